//! What the guest's memories hold right after instantiation. A snapshot holds only what differs
//! from it.

use wasmparser::{ConstExpr, DataKind, Operator, Parser, Payload};

use crate::error::Error;

/// The bytes that one active data segment writes.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Segment {
    /// The index of the memory.
    pub memory: usize,
    /// The address of the first byte.
    pub offset: usize,
    /// The bytes.
    pub bytes: Vec<u8>,
}

/// The active data segments of a module, in the order in which they are written.
///
/// # Errors
/// [`Error::Invalid`] if the module cannot be read, and [`Error::Unsupported`] if an offset
/// is computed from an import; [`instrument`](crate::instrument) refuses imported globals.
pub fn initial_memory(wasm: &[u8]) -> Result<Vec<Segment>, Error> {
    let mut globals = Vec::new();
    let mut segments = Vec::new();
    for payload in Parser::new(0).parse_all(wasm) {
        match payload.map_err(Error::malformed)? {
            Payload::GlobalSection(section) => {
                for global in section {
                    let global = global.map_err(Error::malformed)?;
                    globals.push(evaluate(&global.init_expr, &globals));
                }
            }
            Payload::DataSection(section) => {
                for (index, data) in section.into_iter().enumerate() {
                    let data = data.map_err(Error::malformed)?;
                    if let DataKind::Active {
                        memory_index,
                        offset_expr,
                    } = data.kind
                    {
                        let offset = evaluate(&offset_expr, &globals);
                        let offset = offset.ok_or_else(|| unknown_offset(index))?;
                        segments.push(Segment {
                            memory: memory_index as usize,
                            offset: offset as usize,
                            bytes: data.data.to_vec(),
                        });
                    }
                }
            }
            _ => {}
        }
    }
    Ok(segments)
}

fn unknown_offset(segment: usize) -> Error {
    Error::Unsupported {
        what: format!("data segment {segment}, whose offset the module does not say alone,"),
        why: "what memories hold at the start must be known from the module",
    }
}

/// The value of a constant expression of type `i32`; `None` where it depends on more than the
/// globals given.
pub(crate) fn evaluate(expression: &ConstExpr<'_>, globals: &[Option<u32>]) -> Option<u32> {
    let mut stack: Vec<u32> = Vec::new();
    for operator in expression.get_operators_reader() {
        match operator.ok()? {
            Operator::I32Const { value } => stack.push(value as u32),
            Operator::GlobalGet { global_index } => {
                stack.push((*globals.get(global_index as usize)?)?);
            }
            Operator::I32Add => binary(&mut stack, u32::wrapping_add)?,
            Operator::I32Sub => binary(&mut stack, u32::wrapping_sub)?,
            Operator::I32Mul => binary(&mut stack, u32::wrapping_mul)?,
            Operator::End => {}
            _ => return None,
        }
    }
    stack.pop()
}

fn binary(stack: &mut Vec<u32>, operation: fn(u32, u32) -> u32) -> Option<()> {
    let (right, left) = (stack.pop()?, stack.pop()?);
    stack.push(operation(left, right));
    Some(())
}
