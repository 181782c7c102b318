//! Which functions begin with a check, so that every cycle of calls goes through one.
//!
//! A walk through the call graph, depth first, meets every cycle in an edge that leads back to what
//! the walk is still in. The function that such an edge leads to gets the check. Where the edge
//! leads to "any function of this type", the function that makes the call gets it. Both lie on the
//! cycle.
//!
//! A function with a check may be on the stack at a suspend, and there a tail call is made as a
//! call (`lower/tail_calls.rs`). A program that loops by tail calls would run out of stack. So
//! functions that only tail calls keep together in cycles get no check.

use std::collections::BTreeMap;

use petgraph::algo::kosaraju_scc;
use petgraph::graph::{DiGraph, NodeIndex};
use petgraph::visit::EdgeRef;
use wasmparser::Operator;

use crate::analyze::call_graph::CallGraph;
use crate::analyze::scan::{BY_REFERENCE, Scan};
use crate::error::Error;
use crate::module::bodies::bodies;

/// For every function whether it begins with a check.
pub(super) fn checked_functions(source: &[u8], scan: &Scan) -> Result<Vec<bool>, Error> {
    let calls = Calls::of(source, scan)?;
    let grows = calls.growing();
    let functions = scan.functions.len();
    let mut checked = vec![false; functions];
    for (from, to) in calls.back_edges() {
        if grows[to] {
            // Only functions have edges to the nodes of indirect calls.
            checked[if to < functions { to } else { from }] = true;
        }
    }
    Ok(checked)
}

/// A call from one node to another.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
struct Call {
    to: usize,
    /// Whether the caller stays on the stack: it is no tail call.
    keeps_frame: bool,
}

/// The calls of a module. Nodes are the functions, and behind them the indirect calls of one type
/// through one table, which lead to whatever such a call may reach.
struct Calls {
    /// The calls from each node, in rising order, so that the walk is the same every time.
    from: Vec<Vec<Call>>,
}

impl Calls {
    fn of(source: &[u8], scan: &Scan) -> Result<Self, Error> {
        let mut from = vec![Vec::new(); scan.functions.len()];
        let mut indirect: BTreeMap<(u32, u32), usize> = BTreeMap::new();
        for (function, body) in scan.defined().zip(bodies(source)?) {
            let mut calls = Vec::new();
            for operator in body.get_operators_reader().map_err(Error::malformed)? {
                let operator = operator.map_err(Error::malformed)?;
                let to = match operator {
                    Operator::Call { function_index } | Operator::ReturnCall { function_index } => {
                        function_index as usize
                    }
                    Operator::CallIndirect {
                        type_index,
                        table_index,
                    }
                    | Operator::ReturnCallIndirect {
                        type_index,
                        table_index,
                    } => {
                        let next = scan.functions.len() + indirect.len();
                        *indirect.entry((type_index, table_index)).or_insert(next)
                    }
                    Operator::CallRef { type_index } | Operator::ReturnCallRef { type_index } => {
                        let next = scan.functions.len() + indirect.len();
                        *indirect.entry((type_index, BY_REFERENCE)).or_insert(next)
                    }
                    _ => continue,
                };
                let keeps_frame = matches!(
                    operator,
                    Operator::Call { .. }
                        | Operator::CallIndirect { .. }
                        | Operator::CallRef { .. }
                );
                calls.push(Call { to, keeps_frame });
            }
            calls.sort_unstable();
            calls.dedup();
            from[function as usize] = calls;
        }
        let graph = CallGraph::new(scan, |_| false);
        from.resize(scan.functions.len() + indirect.len(), Vec::new());
        for ((ty, table), node) in indirect {
            let callees = graph.callees(scan, ty, table).into_iter();
            from[node] = callees
                .map(|callee| Call {
                    to: callee as usize,
                    keeps_frame: false,
                })
                .collect();
        }
        Ok(Self { from })
    }

    /// For every node whether it lies on a cycle that adds a frame to the stack each time around:
    /// in a strongly connected component with a call that is no tail call.
    fn growing(&self) -> Vec<bool> {
        let mut graph: DiGraph<(), bool> = DiGraph::with_capacity(self.from.len(), 0);
        for _ in &self.from {
            graph.add_node(());
        }
        for (from, calls) in self.from.iter().enumerate() {
            for call in calls {
                graph.add_edge(
                    NodeIndex::new(from),
                    NodeIndex::new(call.to),
                    call.keeps_frame,
                );
            }
        }
        let components = kosaraju_scc(&graph);
        let mut component = vec![0; self.from.len()];
        for (number, nodes) in components.iter().enumerate() {
            for node in nodes {
                component[node.index()] = number;
            }
        }
        let mut grows = vec![false; components.len()];
        for call in graph.edge_references().filter(|call| *call.weight()) {
            let own = component[call.source().index()];
            grows[own] |= own == component[call.target().index()];
        }
        component.into_iter().map(|number| grows[number]).collect()
    }

    /// The calls that lead back to a node on the walk's path, as (from, to). The walk goes through
    /// all nodes in order, depth first. petgraph's own is recursive, and a module can have a
    /// million functions that call each other in a row.
    fn back_edges(&self) -> Vec<(usize, usize)> {
        let mut visits = vec![Visit::New; self.from.len()];
        let mut back = Vec::new();
        for start in 0..self.from.len() {
            if visits[start] != Visit::New {
                continue;
            }
            visits[start] = Visit::OnPath;
            // The nodes on the path, each with how many of its calls have been followed.
            let mut path = vec![(start, 0)];
            while let Some((node, followed)) = path.last_mut() {
                let node = *node;
                let Some(call) = self.from[node].get(*followed) else {
                    visits[node] = Visit::Done;
                    path.pop();
                    continue;
                };
                *followed += 1;
                match visits[call.to] {
                    Visit::New => {
                        visits[call.to] = Visit::OnPath;
                        path.push((call.to, 0));
                    }
                    Visit::OnPath => back.push((node, call.to)),
                    Visit::Done => {}
                }
            }
        }
        back
    }
}

/// How far the walk is with a node.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Visit {
    New,
    OnPath,
    Done,
}

#[cfg(test)]
mod tests {
    use super::*;
    use wasm_encoder::{CodeSection, Function, FunctionSection, Instruction, Module, TypeSection};

    fn checked(wasm: &[u8]) -> Vec<bool> {
        let scan = Scan::of(wasm).expect("it is a module");
        checked_functions(wasm, &scan).expect("it is a module")
    }

    fn checked_in(text: &str) -> Vec<bool> {
        checked(&wat::parse_str(text).expect("the text is right"))
    }

    #[test]
    fn one_function_of_a_cycle_has_a_check() {
        let checked = checked_in(
            "(module (func $alone) (func $even (call $odd)) (func $odd (call $even) (call $alone))
               (func (call $even)))",
        );
        assert_eq!(checked, [false, true, false, false]);
    }

    #[test]
    fn a_caller_of_itself_through_a_table_has_a_check() {
        let checked = checked_in(
            "(module (table 1 funcref) (elem (i32.const 0) $self)
               (func $self (call_indirect (i32.const 0))))",
        );
        assert_eq!(checked, [true]);
    }

    #[test]
    fn a_cycle_of_tail_calls_alone_has_no_check() {
        let text = "(module (func $even (return_call $odd)) (func $odd (CALL $even)))";
        assert_eq!(
            checked_in(&text.replace("CALL", "return_call")),
            [false, false]
        );
        assert_eq!(checked_in(&text.replace("CALL", "call")), [true, false]);
    }

    /// A walk by recursion would go out of stack.
    #[test]
    fn a_long_chain_of_calls_takes_little_stack() {
        const FUNCTIONS: u32 = 200_000;
        let mut types = TypeSection::new();
        types.ty().function([], []);
        let (mut functions, mut code) = (FunctionSection::new(), CodeSection::new());
        for function in 0..FUNCTIONS {
            functions.function(0);
            let mut body = Function::new([]);
            body.instruction(&Instruction::Call((function + 1) % FUNCTIONS));
            body.instruction(&Instruction::End);
            code.function(&body);
        }
        let mut module = Module::new();
        module.section(&types).section(&functions).section(&code);
        let wasm = module.finish();
        let thread = std::thread::Builder::new().stack_size(256 << 10);
        let thread = thread.spawn(move || checked(&wasm)).expect("it starts");
        let checked = thread.join().expect("it does not panic");
        assert!(checked[0]);
        assert_eq!(checked.iter().filter(|checked| **checked).count(), 1);
    }
}
