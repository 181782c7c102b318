//! `dormouse build`: the instrumentation alone, with a report.

use super::args::Build;
use super::exit::{Done, Failure, MODULE, WRITE};
use super::progress::Bar;
use super::run::{file_name, preempt, read_module};
use super::text::{self, out};
use crate::task::{Runtime, RuntimeOptions};

pub(super) fn build(command: &Build) -> Result<Done, Failure> {
    let source = read_module(&command.module)?;
    let runtime = Runtime::new(RuntimeOptions {
        transform: command.transform,
        preempt: preempt(command.preempt, command.transform)?,
        ..RuntimeOptions::default()
    })?;
    let module = command.module.display().to_string();
    let bar = Bar::new(&file_name(&module));
    let (program, report) = runtime
        .instrument(&source, &bar)
        .map_err(|error| Failure::from(error).about(MODULE, &module))?;
    // Nothing else listens to signals from then on.
    let _making = bar.finish();
    std::fs::write(&command.output, program.wasm()?).map_err(|error| {
        let path = command.output.display();
        Failure::new(WRITE, format!("cannot write {path}: {error}"))
    })?;
    if text::as_json() {
        let functions = report.instrumented.iter();
        let functions = functions
            .filter(|_| command.functions)
            .map(|function| serde_json::json!({ "name": function.name, "path": function.path }));
        text::result(&serde_json::json!({
            "output": command.output.to_string_lossy(),
            "functions": report.functions,
            "instrumented": report.instrumented.len(),
            "blocking": report.blocking,
            "source_bytes": report.source_bytes,
            "resumable_bytes": report.resumable_bytes,
            "instrumented_functions": command.functions.then(|| functions.collect::<Vec<_>>()),
        }));
        return Ok(Done::Guest(0));
    }
    out!(
        "functions  {} of {} may be on the stack at a suspend",
        report.instrumented.len(),
        report.functions,
    );
    out!("blocking   {}", report.blocking.join(", "));
    out!(
        "size       {} became {} ({:.2} times)",
        text::bytes(report.source_bytes as u64),
        text::bytes(report.resumable_bytes as u64),
        report.resumable_bytes as f64 / report.source_bytes as f64,
    );
    if command.functions {
        for function in &report.instrumented {
            out!("  {}", function.path);
        }
    }
    Ok(Done::Guest(0))
}
