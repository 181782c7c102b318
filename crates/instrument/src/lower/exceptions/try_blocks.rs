//! What is known of a `try` of the older form only at its end: its handlers, and whether a
//! `delegate` ends it. The rewriting needs it at the start.

use std::collections::{HashMap, HashSet};

use wasmparser::Operator;

use crate::error::Error;

/// What is known of the `try`s of a body, by the positions of their instructions.
#[derive(Default)]
pub(super) struct TryBlocks {
    /// The labels of the `delegate`s that end a `try`.
    pub delegated: HashMap<usize, u32>,
    /// The tags that the handlers of a `try` catch; `None` where one of them catches everything.
    pub caught: HashMap<usize, Option<Vec<u32>>>,
    /// The `try`s with a handler that rethrows the exception.
    pub rethrown: HashSet<usize>,
}

impl TryBlocks {
    /// Reads the instructions of a body.
    pub(super) fn of(ops: &[Operator<'_>]) -> Result<Self, Error> {
        const NO_TRY: Error = Error::Internal("a handler stands outside of a `try`");
        let mut tries = Self::default();
        // Where the open blocks start.
        let mut open = Vec::new();
        for (position, op) in ops.iter().enumerate() {
            match op {
                Operator::Block { .. }
                | Operator::Loop { .. }
                | Operator::If { .. }
                | Operator::TryTable { .. } => open.push(position),
                Operator::Try { .. } => {
                    open.push(position);
                    tries.caught.insert(position, Some(Vec::new()));
                }
                Operator::Catch { tag_index } => {
                    let start = open.last().ok_or(NO_TRY)?;
                    if let Some(Some(caught)) = tries.caught.get_mut(start) {
                        caught.push(*tag_index);
                    }
                }
                Operator::CatchAll => {
                    let start = open.last().ok_or(NO_TRY)?;
                    tries.caught.insert(*start, None);
                }
                Operator::Delegate { relative_depth } => {
                    let start = open.pop().ok_or(NO_TRY)?;
                    tries.delegated.insert(start, *relative_depth);
                }
                Operator::Rethrow { relative_depth } => {
                    let position = open.len().checked_sub(1 + *relative_depth as usize);
                    tries.rethrown.insert(open[position.ok_or(NO_TRY)?]);
                }
                // The last `end` is that of the body, which no instruction has opened.
                Operator::End => {
                    open.pop();
                }
                _ => {}
            }
        }
        Ok(tries)
    }
}
