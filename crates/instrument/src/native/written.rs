//! All that is made of a function.

use wasmparser::{FuncToValidate, FunctionBody, ValType, ValidatorResources};

use super::code::Code;
use super::context::Context;
use super::{fast, osr, slow, walk};
use crate::error::Error;

/// What is made of a function.
pub(super) struct Written {
    pub fast: Code,
    pub slow: Code,
    /// Fast versions that begin at loops.
    pub at_loops: Vec<Code>,
    /// The types of the parameters of these.
    pub own_locals: Vec<ValType>,
}

impl Written {
    /// Writes the versions of a function.
    pub(super) fn of(
        context: &Context<'_>,
        function: u32,
        types: &FuncToValidate<ValidatorResources>,
        body: &FunctionBody<'_>,
    ) -> Result<Self, Error> {
        let types = FuncToValidate {
            resources: types.resources.clone(),
            ..*types
        };
        let plan = walk::plan(types, body, context.calls)?;
        let entries = osr::entries(&plan, context.versions.check.is_some());
        let at_loops = entries.iter();
        let at_loops: Result<_, Error> = at_loops
            .map(|entry| fast::write_at_loop(context, &plan, function, entry))
            .collect();
        let mut written = Self {
            fast: fast::write(context, &plan, function)?,
            slow: slow::write(context, &plan, function, &entries)?,
            at_loops: at_loops?,
            own_locals: plan.locals[..plan.own_locals].to_vec(),
        };
        // All of these are kept until the last is written.
        written.fast.give_back_spare_room();
        written.slow.give_back_spare_room();
        for code in &mut written.at_loops {
            code.give_back_spare_room();
        }
        Ok(written)
    }
}
