//! One call of a component's, and how the host's functions are called.

use dormouse_model::lowered::StringEncoding;
use dormouse_model::{ValType, Wait};

use super::abi::{
    ComponentType, Flat, Image, Lift, Lifting, Lower, MAX_FLAT_PARAMS, MAX_FLAT_RESULTS, check,
};
use super::component::ComponentV1;
use super::stop::Called;
use crate::guest::Ctx;

/// A call of a component's that is being answered.
pub(crate) struct Call<'a> {
    pub(crate) ctx: &'a mut Ctx,
    /// The memory that the import uses.
    pub(crate) memory: &'a mut [u8],
    /// The wait that this very call gave when it blocked before.
    pub(crate) woken: Option<&'a Wait>,
    /// The component instance that calls.
    pub(crate) instance: u32,
    pub(crate) encoding: StringEncoding,
}

impl Call<'_> {
    /// What the guest has beyond descriptors.
    pub(crate) fn component(&mut self) -> &mut ComponentV1 {
        &mut self.ctx.component
    }
}

/// Takes the parameters of a call, makes it, and puts its result where the guest wants it.
pub(crate) fn invoke<P: Lift, R: Lower>(
    function: fn(&mut Call<'_>, P) -> Called<R>,
    call: &mut Call<'_>,
    arguments: &[u64],
) -> Called<Option<u64>> {
    let mut flat = Flat(arguments);
    let params = lift(call, &mut flat)?;
    let result = function(call, params)?;
    let returns_flat = R::FLAT <= MAX_FLAT_RESULTS;
    let at = match returns_flat {
        true => 0,
        false => flat.next() as u32,
    };
    if !returns_flat {
        check(call.memory, at, R::SIZE.into(), R::ALIGN)?;
    }
    let component = &mut call.ctx.component;
    let mut image = Image::new(
        &mut component.handles,
        call.instance,
        call.encoding,
        R::SIZE,
    );
    result.store(&mut image, Image::ROOT)?;
    match returns_flat {
        true => Ok((R::FLAT > 0).then(|| image.core_value())),
        false => {
            component.pending = image.write(call.memory, at);
            Ok(None)
        }
    }
}

fn lift<P: Lift>(call: &mut Call<'_>, flat: &mut Flat<'_>) -> Called<P> {
    let mut from = Lifting {
        memory: call.memory,
        encoding: call.encoding,
        handles: &mut call.ctx.component.handles,
        instance: call.instance,
        copied: 0,
    };
    match P::FLAT <= MAX_FLAT_PARAMS {
        true => P::lift(&mut from, flat),
        false => {
            let at = flat.next() as u32;
            from.check(at, P::SIZE.into(), P::ALIGN)?;
            P::load(&mut from, at)
        }
    }
}

/// The type of a function.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Signature {
    /// The types of its parameters as core values.
    pub(crate) params: Vec<ValType>,
    /// The type of its result as a core value; at most one.
    pub(crate) results: Vec<ValType>,
    /// The types of its parameters, as an interface's text has them.
    pub(crate) described_params: String,
    /// The type of its result, as an interface's text has it.
    pub(crate) described_result: String,
}

/// The type of a function.
pub(crate) fn signature<P: ComponentType, R: ComponentType>(
    _: fn(&mut Call<'_>, P) -> Called<R>,
) -> Signature {
    let mut params = Vec::new();
    P::flatten(&mut params);
    if params.len() > MAX_FLAT_PARAMS {
        params = vec![ValType::I32];
    }
    let mut results = Vec::new();
    R::flatten(&mut results);
    if results.len() > MAX_FLAT_RESULTS {
        results = Vec::new();
        params.push(ValType::I32);
    }
    Signature {
        params,
        results,
        described_params: P::describe(),
        described_result: R::describe(),
    }
}
