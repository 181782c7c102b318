//! What is known of a `try` in the older form only at its end.

use std::collections::{HashMap, HashSet};

use wasmparser::Operator;

use crate::Error;

/// What the end of a `try` tells about it.
#[derive(Default)]
pub(super) struct Tries {
    /// Where a `delegate` ends a `try`, its label; by the place of the `try`.
    pub delegated: HashMap<usize, u32>,
    /// Tags that the handlers of a `try` catch; `None` for all of them.
    pub caught: HashMap<usize, Option<Vec<u32>>>,
    /// Those whose exception is thrown once more by a handler.
    pub rethrown: HashSet<usize>,
}

impl Tries {
    pub(super) fn of(ops: &[Operator<'_>]) -> Result<Self, Error> {
        let mut tries = Self::default();
        let mut open = Vec::new();
        for (place, op) in ops.iter().enumerate() {
            match op {
                Operator::Block { .. }
                | Operator::Loop { .. }
                | Operator::If { .. }
                | Operator::TryTable { .. } => open.push(place),
                Operator::Try { .. } => {
                    open.push(place);
                    tries.caught.insert(place, Some(Vec::new()));
                }
                Operator::Catch { tag_index } => {
                    let start = open.last().ok_or(Error::Binaryen)?;
                    if let Some(Some(caught)) = tries.caught.get_mut(start) {
                        caught.push(*tag_index);
                    }
                }
                Operator::CatchAll => {
                    let start = open.last().ok_or(Error::Binaryen)?;
                    tries.caught.insert(*start, None);
                }
                Operator::Delegate { relative_depth } => {
                    let start = open.pop().ok_or(Error::Binaryen)?;
                    tries.delegated.insert(start, *relative_depth);
                }
                Operator::Rethrow { relative_depth } => {
                    let place = open.len().checked_sub(1 + *relative_depth as usize);
                    tries.rethrown.insert(open[place.ok_or(Error::Binaryen)?]);
                }
                // The last is the body's own.
                Operator::End => {
                    open.pop();
                }
                _ => {}
            }
        }
        Ok(tries)
    }
}
