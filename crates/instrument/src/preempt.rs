//! Checks by which a guest can be suspended that never calls the host.
//!
//! A check is a call of an import of ours. It stands at the head of every loop, and at the start of
//! so many functions that every cycle of calls goes through one. So a guest that runs for long makes
//! checks again and again: what runs without end repeats a loop or a cycle of calls.
//!
//! ```text
//!   loop …    ->   loop (call check) …            asyncify sees an import that may suspend
//!                                                 (`fastpath.rs` makes a load and a branch of it)
//! ```
//!
//! The import stands behind all others, so that the defined functions' indices move by one. Everything
//! after this works on the module with checks as if it were the source.

use std::collections::BTreeMap;

use wasm_encoder::reencode::{self, Reencode};
use wasm_encoder::{CodeSection, Encode, EntityType, Instruction, Module, SectionId, TypeSection};
use wasmparser::{FunctionBody, Operator, Parser, Payload};

use super::callgraph::CallGraph;
use super::prepare::append;
use super::scan::Scan;
use super::sections::Sections;
use super::{Error, HostFunction};
use crate::model::shape;

/// What the module imports for its checks.
pub(super) fn import() -> HostFunction {
    HostFunction {
        params: Vec::new(),
        results: Vec::new(),
        blocks: true,
    }
}

/// The module with checks.
pub(super) fn insert(source: &[u8]) -> Result<Vec<u8>, Error> {
    let scan = Scan::of(source)?;
    let mut checks = Checks {
        import: scan.imported_functions,
        at_start: at_start(source, &scan)?,
        function: scan.imported_functions,
    };
    let with_import = add_import(source, &scan)?;
    let mut module = Module::new();
    checks
        .parse_core_module(&mut module, Parser::new(0), &with_import)
        .map_err(|_| Error::Binaryen)?;
    Ok(module.finish())
}

/// Adds the import. The indices are wrong until the rest is encoded again.
fn add_import(source: &[u8], scan: &Scan) -> Result<Vec<u8>, Error> {
    let mut sections = Sections::split(source)?;
    let mut types = TypeSection::new();
    types.ty().function([], []);
    append(&mut sections, SectionId::Type, 1, &types)?;
    let mut import = Vec::new();
    shape::PREEMPT.0.encode(&mut import);
    shape::PREEMPT.1.encode(&mut import);
    EntityType::Function(scan.types.len() as u32).encode(&mut import);
    sections.append(SectionId::Import, 1, &import)?;
    Ok(sections.join())
}

/// The functions that begin with a check: one of every cycle of the call graph at least, unless all its
/// calls are tail calls.
///
/// A walk through the graph, depth first, meets every cycle in an edge that leads back to what the walk
/// is still in. The function that such an edge leads to gets the check; where the edge leads to "any
/// function of this type", the one that makes the call does. Both lie on the cycle.
///
/// A function with a check may be on the stack at a suspend, and there a tail call is made as a call
/// (`lower.rs`). A program that loops by tail calls would use up its stack. So where no other calls keep
/// functions together in cycles, they get none.
fn at_start(source: &[u8], scan: &Scan) -> Result<Vec<bool>, Error> {
    let graph = Graph::of(source, scan).map_err(Error::malformed)?;
    let (order, back) = graph.walk();
    let component = graph.components(&order);
    let mut grows = vec![false; graph.edges.len()];
    for (from, edges) in graph.edges.iter().enumerate() {
        for edge in edges {
            if edge.keeps_frame && component[from] == component[edge.to] {
                grows[component[from]] = true;
            }
        }
    }
    let functions = scan.functions.len();
    let mut checked = vec![false; functions];
    for (from, to) in back.into_iter().filter(|(_, to)| grows[component[*to]]) {
        // Nothing but a function leads to a class.
        checked[if to < functions { to } else { from }] = true;
    }
    Ok(checked)
}

/// The call graph. Nodes are the functions, and behind them the classes: whatever an indirect call of one
/// type through one table may reach.
struct Graph {
    edges: Vec<Vec<Edge>>,
}

#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
struct Edge {
    to: usize,
    /// It is no tail call.
    keeps_frame: bool,
}

impl Graph {
    fn of(source: &[u8], scan: &Scan) -> wasmparser::Result<Self> {
        let mut edges = vec![Vec::new(); scan.functions.len()];
        let mut classes: BTreeMap<(u32, u32), usize> = BTreeMap::new();
        let mut function = scan.imported_functions as usize;
        for payload in Parser::new(0).parse_all(source) {
            let Payload::CodeSectionEntry(body) = payload? else {
                continue;
            };
            let mut calls = Vec::new();
            let mut operators = body.get_operators_reader()?;
            while !operators.eof() {
                let (to, keeps_frame) = match operators.read()? {
                    Operator::Call { function_index } => (function_index as usize, true),
                    Operator::ReturnCall { function_index } => (function_index as usize, false),
                    Operator::CallIndirect {
                        type_index,
                        table_index,
                    } => (class(&mut classes, scan, type_index, table_index), true),
                    Operator::ReturnCallIndirect {
                        type_index,
                        table_index,
                    } => (class(&mut classes, scan, type_index, table_index), false),
                    _ => continue,
                };
                calls.push(Edge { to, keeps_frame });
            }
            calls.sort_unstable();
            calls.dedup();
            edges[function] = calls;
            function += 1;
        }
        let graph = CallGraph::new(scan, |_| false);
        edges.resize(scan.functions.len() + classes.len(), Vec::new());
        for ((ty, table), node) in classes {
            let targets = graph.targets(scan, ty, table).into_iter();
            edges[node] = targets
                .map(|target| Edge {
                    to: target as usize,
                    keeps_frame: false,
                })
                .collect();
        }
        Ok(Self { edges })
    }

    /// Walks depth first through all nodes: gives them in the order in which they are left, and the edges
    /// that lead back to what the walk is in.
    fn walk(&self) -> (Vec<usize>, Vec<(usize, usize)>) {
        let mut visit = vec![Visit::New; self.edges.len()];
        let mut left = Vec::with_capacity(self.edges.len());
        let mut back = Vec::new();
        for start in 0..self.edges.len() {
            if visit[start] != Visit::New {
                continue;
            }
            visit[start] = Visit::Open;
            // Each with how many of its edges have been followed.
            let mut path = vec![(start, 0)];
            while let Some((node, followed)) = path.last_mut() {
                let node = *node;
                let Some(edge) = self.edges[node].get(*followed) else {
                    visit[node] = Visit::Done;
                    left.push(node);
                    path.pop();
                    continue;
                };
                *followed += 1;
                match visit[edge.to] {
                    Visit::New => {
                        visit[edge.to] = Visit::Open;
                        path.push((edge.to, 0));
                    }
                    Visit::Open => back.push((node, edge.to)),
                    Visit::Done => {}
                }
            }
        }
        (left, back)
    }

    /// For every node which of those that reach each other it belongs to (Kosaraju's algorithm).
    fn components(&self, left: &[usize]) -> Vec<usize> {
        let mut callers = vec![Vec::new(); self.edges.len()];
        for (from, edges) in self.edges.iter().enumerate() {
            for edge in edges {
                callers[edge.to].push(from);
            }
        }
        let mut component: Vec<Option<usize>> = vec![None; self.edges.len()];
        for root in left.iter().rev() {
            let mut open = vec![*root];
            while let Some(node) = open.pop() {
                if component[node].is_none() {
                    component[node] = Some(*root);
                    open.extend(&callers[node]);
                }
            }
        }
        // The walk has left every node.
        component
            .into_iter()
            .map(Option::unwrap_or_default)
            .collect()
    }
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum Visit {
    New,
    /// The walk is in it.
    Open,
    Done,
}

/// The node of a class.
fn class(classes: &mut BTreeMap<(u32, u32), usize>, scan: &Scan, ty: u32, table: u32) -> usize {
    let next = scan.functions.len() + classes.len();
    *classes.entry((ty, table)).or_insert(next)
}

/// Encodes a module again, with checks.
struct Checks {
    /// The index of the import.
    import: u32,
    at_start: Vec<bool>,
    /// Index, before, of the function whose body is next.
    function: u32,
}

impl Reencode for Checks {
    type Error = std::convert::Infallible;

    fn function_index(&mut self, index: u32) -> Result<u32, reencode::Error> {
        Ok(index + u32::from(index >= self.import))
    }

    fn parse_function_body(
        &mut self,
        code: &mut CodeSection,
        body: FunctionBody<'_>,
    ) -> Result<(), reencode::Error> {
        let check = Instruction::Call(self.import);
        let mut function = self.new_function_with_parsed_locals(&body)?;
        if self.at_start[self.function as usize] {
            function.instruction(&check);
        }
        let mut operators = body.get_operators_reader()?;
        while !operators.eof() {
            let operator = operators.read()?;
            let is_loop = matches!(operator, Operator::Loop { .. });
            function.instruction(&self.instruction(operator)?);
            if is_loop {
                function.instruction(&check);
            }
        }
        code.function(&function);
        self.function += 1;
        Ok(())
    }
}
