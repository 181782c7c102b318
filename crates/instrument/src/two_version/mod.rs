//! The two-version transform: asyncify that costs almost nothing while nothing is suspended.
//!
//! Asyncify makes each function able to unwind and to rewind. The rewinding is what costs: every
//! stretch of code is guarded by "is the guest rewinding?", and compilers cannot optimize across
//! these guards. So each instrumented function becomes two:
//!
//! - `F$slow` is the pass's output as it is. It restores frames.
//! - `F` starts with `if rewinding { return F$slow(arguments) }`. Behind that it is the pass's
//!   output, in which every read of asyncify's state is the constant 0 (normal), but for the test
//!   behind each call that may suspend: did it start to unwind? Folding constants gives the
//!   original code back, with one predicted branch for each such call.
//!
//! It is sound because the body of `F` is entered in the normal state only, and the state changes
//! only inside calls. Behind a call it may be "unwinding", and then the test jumps to the end of
//! the body, which saves exactly what `F$slow` restores, since both are copies of one body. A
//! function in which the test behind some call is not recognized stays as asyncify made it.
//!
//! While the guest rewinds, only versions that restore frames run, and the host calls the entry. So
//! where every call of `F` is a direct one, `F` has no test at its start. Versions that restore
//! frames call `F$enter` in its place, which has the test and goes on to one of the two.
//!
//! A check (`preempt`) is a call that may suspend like any other, and in a fast version not even
//! made ([`check`]). With checks a frame may be restored in the middle of a long loop, and [`osr`]
//! leads from there to a fast version for the rest of the loop.
//!
//! - [`asyncified`] reads asyncify's output.
//! - [`unwind_test`] recognizes and writes the tests behind calls.
//! - [`normal_state`] finds constants, and [`liveness`] locals that need not be kept.
//! - [`fast_body`] writes the body of a fast version, and [`folding`] leaves out what it never
//!   reaches.
//! - [`versions`] makes all versions of a function, and [`write`] puts them into the module.

mod asyncified;
mod check;
mod fast_body;
mod folding;
mod liveness;
mod normal_state;
mod osr;
mod unwind_test;
mod versions;
mod write;

use self::asyncified::{bodies, entered_indirectly, is_of_source, state};
use self::check::Check;
use self::fast_body::FastBody;
use self::versions::Versions;
use self::write::Asyncified;
use crate::analyze::call_graph::CallGraph;
use crate::analyze::scan::Scan;
use crate::error::Error;

/// Makes two versions of every function that asyncify has instrumented. `blocks` says of an import,
/// by module and name, whether it may suspend.
pub(crate) fn split(wasm: &[u8], blocks: impl Fn(&str, &str) -> bool) -> Result<Vec<u8>, Error> {
    let scan = Scan::of(wasm)?;
    let state = state(&scan)?;
    let bodies = bodies(wasm)?;
    let check = Check::of(&scan);
    let graph = CallGraph::new(&scan, |function| {
        let import = scan.imports.get(function as usize);
        import.is_some_and(|import| blocks(&import.module, &import.name))
    });

    let mut instrumented = Vec::new();
    for (function, body) in scan.defined().zip(&bodies) {
        if is_of_source(&scan, function) && body.reads(state)? {
            instrumented.push(function);
        } else if graph.may_suspend(function) {
            return Err(Error::Internal(
                "asyncify left out a function that may be on the stack at a suspend",
            ));
        }
    }

    let entered_indirectly = entered_indirectly(&scan);
    let mut versions = Versions::default();
    for function in &instrumented {
        let position = (function - scan.imported_functions) as usize;
        let Some(fast) = FastBody::of(wasm, &bodies[position], state, &graph, check)? else {
            continue;
        };
        let entries = match check.is_some() {
            true => osr::entries(&fast),
            false => Vec::new(),
        };
        versions.add(&scan, *function, &fast, &entries, &entered_indirectly)?;
    }
    versions.add_enter(&scan, &entered_indirectly);

    let module = Asyncified {
        wasm,
        scan: &scan,
        bodies: &bodies,
        state,
        check,
    };
    module.write(&instrumented, &versions)
}

/// Asyncify's output with one version of each function, and checks that cost less.
pub(crate) fn cheapen_checks(wasm: &[u8]) -> Result<Vec<u8>, Error> {
    let scan = Scan::of(wasm)?;
    let Some(check) = Check::of(&scan) else {
        return Ok(wasm.to_vec());
    };
    let module = Asyncified {
        wasm,
        scan: &scan,
        bodies: &bodies(wasm)?,
        state: state(&scan)?,
        check: Some(check),
    };
    let all: Vec<u32> = scan.defined().collect();
    module.write(&all, &Versions::default())
}
