//! Tables that change under a suspended call.
//!
//! On the way back into the stack each function makes its call again. An indirect call finds its
//! callee by the slot of a table, as at the first time. If the callee, or anything that it has
//! called, has put another function there since, the way leads into that one, which knows nothing
//! of the frame. References cannot be written down or compared, so such a module is refused.

use super::Error;
use super::callgraph::CallGraph;
use super::scan::Scan;

/// Refuses a module in which that could happen.
pub(super) fn check(scan: &Scan, graph: &CallGraph) -> Result<(), Error> {
    for table in scan.changed_tables() {
        let mut reached = vec![false; scan.functions.len()];
        let mut open = Vec::new();
        for (defined, body) in scan.bodies.iter().enumerate() {
            if graph.may_suspend(scan.imported_functions + defined as u32) {
                for (ty, through) in &body.indirect {
                    if *through == table && graph.indirect_may_suspend(*ty, table) {
                        open.extend(graph.targets(scan, *ty, table));
                    }
                }
            }
        }
        while let Some(function) = open.pop() {
            if std::mem::replace(&mut reached[function as usize], true) {
                continue;
            }
            let Some(defined) = function.checked_sub(scan.imported_functions) else {
                continue;
            };
            let body = &scan.bodies[defined as usize];
            if body.changed_tables.contains(&table) {
                return Err(Error::Unsupported {
                    what: format!(
                        "`{}`, which changes table {table} and may be called through it,",
                        scan.function_name(function)
                    ),
                    why: "a call through a slot that has changed meanwhile cannot be found again",
                });
            }
            open.extend(&body.calls);
            for (ty, through) in &body.indirect {
                open.extend(graph.targets(scan, *ty, *through));
            }
        }
    }
    Ok(())
}
