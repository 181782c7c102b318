//! A module as asyncify has written it: its state, and the instructions of its bodies.

use std::collections::HashSet;
use std::ops::Range;

use dormouse_model::shape;
use wasm_encoder::Instruction;
use wasmparser::{
    ExternalKind, FuncToValidate, FuncValidatorAllocations, FunctionBody, Operator, Parser,
    ValType, ValidPayload, Validator, ValidatorResources, WasmFeatures,
};

use crate::analyze::scan::Scan;
use crate::error::Error;
use crate::module::bodies::range;
use crate::module::names::original_function;

/// Asyncify's state while frames are saved.
pub(super) const UNWINDING: i32 = 1;

/// Asyncify's state while frames are restored.
pub(super) const REWINDING: i32 = 2;

/// The global with asyncify's state.
pub(super) fn state(scan: &Scan) -> Result<u32, Error> {
    scan.exported(shape::ASYNCIFY_STATE, ExternalKind::Global)
        .ok_or(Error::Internal("asyncify's state has no export"))
}

/// Whether a function is one of the source, not of asyncify's own.
pub(super) fn is_of_source(scan: &Scan, function: u32) -> bool {
    let name = scan.names.get(&function);
    name.is_some_and(|name| original_function(name).is_some())
}

/// Functions that something other than a direct call may enter: the host, or an indirect call.
pub(super) fn entered_indirectly(scan: &Scan) -> HashSet<u32> {
    let exports = scan.exports.iter();
    let exported = exports.filter_map(|(_, kind, index)| match kind {
        ExternalKind::Func | ExternalKind::FuncExact => Some(*index),
        _ => None,
    });
    let elements = scan.elements.iter().flat_map(|segment| &segment.functions);
    exported
        .chain(elements.copied())
        .chain(scan.referenced.iter().copied())
        .chain(scan.start)
        .collect()
}

/// Puts the first locals on the stack, as arguments of a call.
pub(super) fn arguments(count: u32) -> impl Iterator<Item = Instruction<'static>> {
    (0..count).map(Instruction::LocalGet)
}

/// A body, and what is needed to follow its operands.
pub(super) struct Body<'a> {
    pub code: FunctionBody<'a>,
    types: FuncToValidate<ValidatorResources>,
}

/// The bodies of a module that Binaryen has written.
pub(super) fn bodies(wasm: &[u8]) -> Result<Vec<Body<'_>>, Error> {
    let mut validator = Validator::new_with_features(WasmFeatures::all());
    let mut bodies = Vec::new();
    for payload in Parser::new(0).parse_all(wasm) {
        let payload = payload.map_err(Error::malformed)?;
        let valid = validator.payload(&payload).map_err(Error::malformed)?;
        if let ValidPayload::Func(types, code) = valid {
            bodies.push(Body { code, types });
        }
    }
    Ok(bodies)
}

impl<'a> Body<'a> {
    /// Where it stands in the module.
    pub(super) fn range(&self) -> Range<usize> {
        range(&self.code)
    }

    /// Whether it reads a global.
    pub(super) fn reads(&self, global: u32) -> Result<bool, Error> {
        for operator in self.code.get_operators_reader().map_err(Error::malformed)? {
            if matches!(
                operator.map_err(Error::malformed)?,
                Operator::GlobalGet { global_index } if global_index == global
            ) {
                return Ok(true);
            }
        }
        Ok(false)
    }

    /// Its instructions, and the types of its parameters and other locals.
    pub(super) fn decode(&self) -> wasmparser::Result<(Vec<Op<'a>>, Vec<ValType>)> {
        let types = FuncToValidate {
            resources: self.types.resources.clone(),
            ..self.types
        };
        let mut validator = types.into_validator(FuncValidatorAllocations::default());
        validator.read_locals(&mut self.code.get_binary_reader())?;
        let mut reader = self.code.get_operators_reader()?;
        let mut ops = Vec::new();
        while !reader.eof() {
            let start = reader.original_position();
            let operator = reader.read()?;
            let arity = operator.operator_arity(&validator.visitor(start));
            let operands = u32::from(matches!(operator, Operator::If { .. }));
            let frame = validator.get_control_frame(0);
            let no_operands_below = validator.operand_stack_height() == operands
                && frame.is_some_and(|frame| !frame.unreachable);
            validator.op(start, &operator)?;
            ops.push(Op {
                operator,
                start: start as usize,
                end: reader.original_position() as usize,
                // The validator has just used it.
                arity: arity.unwrap_or_default(),
                no_operands_below,
            });
        }
        let types = (0..validator.len_locals()).filter_map(|i| validator.get_local_type(i));
        Ok((ops, types.collect()))
    }
}

/// One instruction of a body.
pub(super) struct Op<'a> {
    pub operator: Operator<'a>,
    /// Where it starts in the module, in bytes.
    pub start: usize,
    /// Where it ends in the module, in bytes.
    pub end: usize,
    /// How many operands it takes and gives.
    pub arity: (u32, u32),
    /// Whether control may reach it, and nothing lies on the function's operand stack but the
    /// condition of an `if`. It is asked of blocks, loops and `if`s.
    pub no_operands_below: bool,
}

/// Whether an instruction moves control in a way that the analyses here do not follow. Binaryen's
/// output has none of these.
pub(super) fn is_unfollowed(operator: &Operator<'_>) -> bool {
    matches!(
        operator,
        Operator::ReturnCall { .. }
            | Operator::ReturnCallIndirect { .. }
            | Operator::ReturnCallRef { .. }
            | Operator::TryTable { .. }
            | Operator::Try { .. }
            | Operator::Catch { .. }
            | Operator::CatchAll
            | Operator::Delegate { .. }
            | Operator::Throw { .. }
            | Operator::ThrowRef
            | Operator::Rethrow { .. }
            | Operator::BrOnNull { .. }
            | Operator::BrOnNonNull { .. }
            | Operator::BrOnCast { .. }
            | Operator::BrOnCastFail { .. }
    )
}
