//! Refuses modules in which a resume could enter another function than the one that was suspended.
//!
//! While the stack is restored, each function makes its call again. `call_indirect` takes the
//! callee from the table again. If the callee, or a function below it, has changed that element of
//! the table since then, the call enters a function that has no saved frame. Asyncify cannot save
//! the reference instead: wasm can neither store a `funcref` in a linear memory nor compare two.

use super::call_graph::CallGraph;
use super::scan::Scan;
use crate::error::Error;

/// Refuses a module in which a function that is called through a table may change that table during
/// a call that may suspend.
pub(crate) fn check(scan: &Scan, graph: &CallGraph) -> Result<(), Error> {
    for table in scan.changed_tables() {
        if let Some(function) = changer(scan, graph, table) {
            return Err(Error::Unsupported {
                what: format!(
                    "`{}`, which changes table {table} and may be called through it,",
                    scan.function_name(function)
                ),
                why: "a call through a slot that has changed meanwhile cannot be found again",
            });
        }
    }
    Ok(())
}

/// A function that changes the table and runs during a suspending call through it.
fn changer(scan: &Scan, graph: &CallGraph, table: u32) -> Option<u32> {
    let mut open = Vec::new();
    for (function, body) in scan.defined().zip(&scan.bodies) {
        if graph.may_suspend(function) {
            for (ty, through) in &body.indirect {
                if *through == table && graph.indirect_may_suspend(*ty, table) {
                    open.extend(graph.callees(scan, *ty, table));
                }
            }
        }
    }
    let mut seen = vec![false; scan.functions.len()];
    while let Some(function) = open.pop() {
        if std::mem::replace(&mut seen[function as usize], true) {
            continue;
        }
        let Some(body) = scan.body(function) else {
            continue;
        };
        if body.changed_tables.contains(&table) {
            return Some(function);
        }
        open.extend(&body.calls);
        for (ty, through) in &body.indirect {
            open.extend(graph.callees(scan, *ty, *through));
        }
    }
    None
}
