//! `dormouse build`: the instrumentation alone, with a report.

use crate::cli::args::Build;
use crate::cli::exit::{Done, Failure, MODULE, OK, WRITE};
use crate::cli::module_file::{self, file_name, preempt};
use crate::cli::output::format::bytes;
use crate::cli::output::progress::Bar;
use crate::cli::output::{self, out};
use crate::task::Runtime;

pub(crate) fn build(command: &Build) -> Result<Done, Failure> {
    let source = module_file::read(&command.module)?;
    let runtime = Runtime::builder()
        .transform(command.transform)
        .preempt(preempt(command.preempt, command.transform)?)
        .build()?;
    let name = command.module.display().to_string();
    let bar = Bar::new(&file_name(&name));
    let (program, report) = runtime
        .instrument(&source, &bar)
        .map_err(|error| Failure::from(error).about(MODULE, &name))?;
    // It listens to signals until the end of this function.
    let _preparation = bar.finish();
    std::fs::write(&command.output, program.wasm()?).map_err(|error| {
        let path = command.output.display();
        Failure::new(WRITE, format!("cannot write {path}: {error}"))
    })?;
    if output::as_json() {
        let functions = report.instrumented.iter();
        let functions = functions
            .filter(|_| command.functions)
            .map(|function| serde_json::json!({ "name": function.name, "path": function.path }));
        output::result(&serde_json::json!({
            "output": command.output.to_string_lossy(),
            "functions": report.functions,
            "instrumented": report.instrumented.len(),
            "blocking": report.blocking,
            "source_bytes": report.source_bytes,
            "resumable_bytes": report.resumable_bytes,
            "instrumented_functions": command.functions.then(|| functions.collect::<Vec<_>>()),
        }));
        return OK;
    }
    out!(
        "functions  {} of {} may be on the stack at a suspend",
        report.instrumented.len(),
        report.functions,
    );
    out!("blocking   {}", report.blocking.join(", "));
    out!(
        "size       {} became {} ({:.2} times)",
        bytes(report.source_bytes as u64),
        bytes(report.resumable_bytes as u64),
        report.resumable_bytes as f64 / report.source_bytes as f64,
    );
    if command.functions {
        for function in &report.instrumented {
            out!("  {}", function.path);
        }
    }
    OK
}
