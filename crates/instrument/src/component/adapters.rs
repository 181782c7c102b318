//! The bodies of adapters. They call a few functions of the host with constants as arguments, which
//! say what is moved from where to where. Each such call is replaced by a call of a function in
//! whose name these constants stand.

use dormouse_model::lowered::Builtin;
use wasmparser::{FunctionBody, Operator};

use super::plan::{AdapterCall, HandleType};
use super::translate;
use crate::error::ComponentError;

/// A part of an adapter's body.
pub(super) enum Piece<'a> {
    /// An instruction as it is.
    Instruction(Operator<'a>),
    /// A call of the host that replaces one with constants.
    Call(Builtin),
}

impl AdapterCall {
    /// How many constants stand in front of the call.
    fn constants(self) -> usize {
        match self {
            Self::TransferOwn | Self::TransferBorrow => 2,
            Self::EnterCall => 3,
            Self::ExitCall => 0,
            Self::Trap => 1,
        }
    }
}

/// The body of an adapter. `called` says which function of the host a function is.
pub(super) fn pieces<'a>(
    body: &FunctionBody<'a>,
    handles: &[HandleType],
    called: impl Fn(u32) -> Option<AdapterCall>,
) -> Result<Vec<Piece<'a>>, ComponentError> {
    let unreadable =
        |error| ComponentError::Internal(format!("an adapter cannot be read: {error}"));
    let mut pieces = Vec::new();
    for operator in body.get_operators_reader().map_err(unreadable)? {
        let operator = operator.map_err(unreadable)?;
        let call = match operator {
            Operator::Call { function_index } => called(function_index),
            _ => None,
        };
        let Some(call) = call else {
            pieces.push(Piece::Instruction(operator));
            continue;
        };
        let mut constants = Vec::new();
        while constants.len() < call.constants() {
            match pieces.pop() {
                Some(Piece::Instruction(Operator::I32Const { value })) => {
                    constants.push(value as u32);
                }
                _ => return Err(internal("an adapter calls the host without constants")),
            }
        }
        constants.reverse();
        pieces.push(Piece::Call(builtin(call, &constants, handles)?));
    }
    Ok(pieces)
}

/// The function of the host that a call with these constants is.
fn builtin(
    call: AdapterCall,
    constants: &[u32],
    handles: &[HandleType],
) -> Result<Builtin, ComponentError> {
    let handle = |number: u32| match handles.get(number as usize) {
        Some(HandleType::Of { handle, is_owner }) => Ok((handle.clone(), *is_owner)),
        _ => Err(internal("an adapter moves a handle of an unknown type")),
    };
    Ok(match (call, constants) {
        (AdapterCall::TransferOwn, [from, to]) => Builtin::TransferOwn {
            from: handle(*from)?.0,
            to: handle(*to)?.0.instance,
        },
        (AdapterCall::TransferBorrow, [from, to]) => match (handle(*from)?.0, handle(*to)?) {
            (from, (_, true)) => Builtin::Lend(from),
            (from, (to, false)) => Builtin::TransferBorrow {
                from,
                to: to.instance,
            },
        },
        (AdapterCall::EnterCall, _) => Builtin::EnterCall,
        (AdapterCall::ExitCall, _) => Builtin::ExitCall,
        (AdapterCall::Trap, [code]) => {
            let reason = translate::trap(*code);
            let unknown = || ComponentError::Internal(format!("an adapter traps with {code}"));
            Builtin::Trap(reason.ok_or_else(unknown)?)
        }
        _ => return Err(internal("an adapter calls the host with too few constants")),
    })
}

fn internal(what: &str) -> ComponentError {
    ComponentError::Internal(what.to_owned())
}
