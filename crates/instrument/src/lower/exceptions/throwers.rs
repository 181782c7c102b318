//! Which functions may end with an exception.
//!
//! The search is that of the call graph (`analyze/call_graph.rs`) with other starting points and
//! fewer calls: it starts at functions that throw out of themselves, and leaves out the calls
//! around which handlers catch everything. "May suspend" means "may throw" in its result.

use std::collections::HashSet;

use wasmparser::{Catch, ExternalKind, FunctionBody, Operator};

use super::try_blocks::TryBlocks;
use crate::analyze::call_graph::{CallGraph, Calls};
use crate::analyze::scan::{Body, Scan};
use crate::error::Error;
use crate::module::bodies::bodies;

/// The functions that may end with an exception.
pub(super) struct Throwers {
    graph: CallGraph,
    /// The functions that the host calls. Nobody catches what they throw.
    entries: HashSet<u32>,
}

impl Throwers {
    pub(super) fn find(wasm: &[u8], scan: &Scan) -> Result<Self, Error> {
        let mut escaping = Vec::with_capacity(scan.bodies.len());
        let mut starts = HashSet::new();
        for ((function, known), body) in scan.defined().zip(&scan.bodies).zip(bodies(wasm)?) {
            escaping.push(match known.exceptions {
                false => None,
                true => {
                    let escaping = Escaping::of(scan, &body)?;
                    if escaping.throws {
                        starts.insert(function);
                    }
                    Some(escaping)
                }
            });
        }
        let calls: Vec<Calls<'_>> = escaping
            .iter()
            .zip(&scan.bodies)
            .map(|(escaping, body)| match escaping {
                Some(escaping) => (escaping.calls.as_slice(), escaping.indirect.as_slice()),
                None => (body.calls.as_slice(), body.indirect.as_slice()),
            })
            .collect();
        let graph = CallGraph::search(scan, |function| starts.contains(&function), &calls);
        let throwers = Self {
            graph,
            entries: entries(scan),
        };
        throwers.refuse_called_entries(scan)?;
        Ok(throwers)
    }

    /// Whether a call of this function may throw.
    pub(super) fn may_throw(&self, function: u32) -> bool {
        self.graph.may_suspend(function)
    }

    /// Whether an indirect call of this type through this table may throw.
    pub(super) fn indirect_may_throw(&self, ty: u32, table: u32) -> bool {
        self.graph.indirect_may_suspend(ty, table)
    }

    /// Whether any call of this body may throw.
    pub(super) fn are_called_by(&self, body: &Body) -> bool {
        let mut calls = body.calls.iter();
        let mut indirect = body.indirect.iter();
        calls.any(|callee| self.may_throw(*callee))
            || indirect.any(|(ty, table)| self.indirect_may_throw(*ty, *table))
    }

    /// Whether the host calls this function.
    pub(super) fn is_entry(&self, function: u32) -> bool {
        self.entries.contains(&function)
    }

    /// Refuses a module that itself calls a function that the host calls too, if that may throw.
    fn refuse_called_entries(&self, scan: &Scan) -> Result<(), Error> {
        let segments = scan.elements.iter().flat_map(|segment| &segment.functions);
        let called = scan.bodies.iter().flat_map(|body| &body.calls);
        let mut called = segments.chain(&scan.referenced).chain(called);
        match called.find(|function| self.is_entry(**function) && self.may_throw(**function)) {
            None => Ok(()),
            Some(function) => Err(Error::Unsupported {
                what: format!(
                    "`{}`, which the program itself calls and which may throw,",
                    scan.function_name(*function)
                ),
                why: "where its exception goes depends on who has called it",
            }),
        }
    }
}

fn entries(scan: &Scan) -> HashSet<u32> {
    let start = scan.exported("_start", ExternalKind::Func);
    start.into_iter().chain(scan.start).collect()
}

/// What lets exceptions out of a body.
struct Escaping {
    /// Direct calls, each callee once, in order.
    calls: Vec<u32>,
    /// Indirect calls as (type, table), each pair once, in order.
    indirect: Vec<(u32, u32)>,
    /// Whether it throws itself.
    throws: bool,
}

/// What is caught at some place of a body.
#[derive(Clone, Default)]
struct Caught {
    all: bool,
    tags: HashSet<u32>,
}

impl Caught {
    fn everything(&self, scan: &Scan) -> bool {
        self.all || self.tags.len() == scan.tags.len()
    }

    fn add(&mut self, tag: Option<u32>) {
        match tag {
            Some(tag) => {
                self.tags.insert(tag);
            }
            None => self.all = true,
        }
    }
}

impl Escaping {
    fn of(scan: &Scan, body: &FunctionBody<'_>) -> Result<Self, Error> {
        let operators = body.get_operators_reader().map_err(Error::malformed)?;
        let ops: Result<Vec<_>, _> = operators.into_iter().collect();
        let ops = ops.map_err(Error::malformed)?;
        let tries = TryBlocks::of(&ops)?;
        let mut escaping = Self {
            calls: Vec::new(),
            indirect: Vec::new(),
            throws: false,
        };
        // What is caught in each open block.
        let mut open = vec![Caught::default()];
        for (position, op) in ops.iter().enumerate() {
            let here = open.last().cloned().unwrap_or_default();
            match op {
                Operator::Block { .. } | Operator::Loop { .. } | Operator::If { .. } => {
                    open.push(here);
                }
                Operator::TryTable { try_table } => {
                    let mut inside = here;
                    for catch in &try_table.catches {
                        inside.add(match *catch {
                            Catch::One { tag, .. } | Catch::OneRef { tag, .. } => Some(tag),
                            Catch::All { .. } | Catch::AllRef { .. } => None,
                        });
                    }
                    open.push(inside);
                }
                Operator::Try { .. } => {
                    let inside = inside_try(&tries, position, here, &open)?;
                    open.push(inside);
                }
                Operator::Catch { .. } | Operator::CatchAll => {
                    open.pop();
                    open.push(open.last().cloned().unwrap_or_default());
                }
                Operator::End | Operator::Delegate { .. } => {
                    open.pop();
                }
                _ => escaping.add(op, &here, scan),
            }
        }
        escaping.calls.sort_unstable();
        escaping.calls.dedup();
        escaping.indirect.sort_unstable();
        escaping.indirect.dedup();
        Ok(escaping)
    }

    /// Adds an instruction, if an exception of it leaves the body.
    fn add(&mut self, op: &Operator<'_>, here: &Caught, scan: &Scan) {
        match *op {
            Operator::Throw { tag_index } => {
                self.throws |= !here.all && !here.tags.contains(&tag_index);
            }
            Operator::ThrowRef | Operator::Rethrow { .. } => {
                self.throws |= !here.everything(scan);
            }
            Operator::Call { function_index } if !here.everything(scan) => {
                self.calls.push(function_index);
            }
            Operator::CallIndirect {
                type_index,
                table_index,
            } if !here.everything(scan) => self.indirect.push((type_index, table_index)),
            // A tail call leaves the handlers around it before it enters the callee.
            Operator::ReturnCall { function_index } => self.calls.push(function_index),
            Operator::ReturnCallIndirect {
                type_index,
                table_index,
            } => self.indirect.push((type_index, table_index)),
            _ => {}
        }
    }
}

/// What is caught inside a `try` of the older form.
fn inside_try(
    tries: &TryBlocks,
    position: usize,
    here: Caught,
    open: &[Caught],
) -> Result<Caught, Error> {
    let mut inside = here;
    if let Some(depth) = tries.delegated.get(&position) {
        let target = open.len().checked_sub(1 + *depth as usize);
        let target = target.ok_or(Error::Internal("a `delegate` leads out of its function"))?;
        inside = open[target].clone();
    }
    match tries.caught.get(&position) {
        Some(Some(tags)) => tags.iter().for_each(|tag| inside.add(Some(*tag))),
        _ => inside.add(None),
    }
    Ok(inside)
}
