//! `dormouse build`: the instrumentation alone, with a report.

use crate::cli::args::Build;
use crate::cli::exit::{Done, Failure, MODULE, OK};
use crate::cli::module_file::{self, file_name, preempt};
use crate::cli::output::format::bytes;
use crate::cli::output::{self, out, timings};
use crate::cli::progress::Bar;
use crate::engine::EngineKind;
use crate::error::Error;
use crate::instrument;
use crate::task::Runtime;
use crate::task::progress::Timings;

pub(crate) fn build(command: &Build) -> Result<Done, Failure> {
    let source = module_file::read(&command.module)?;
    if command.flatten_only {
        return flatten(command, &source);
    }
    let runtime = Runtime::builder()
        .transform(command.transform.name)
        .preempt(preempt(command.preempt, command.transform.name)?)
        .build()?;
    let name = command.module.display().to_string();
    let bar = Bar::new(&file_name(&name));
    let about = |error: Error| Failure::from(error).about(MODULE, &name);
    let (program, report, timings) = match command.timings {
        false => {
            let (program, report) = runtime.load_with_report(&source, &bar).map_err(about)?;
            (program, report, None)
        }
        true => {
            let timings = Timings::new(&bar);
            let (program, report) = runtime.instrument(&source, &timings).map_err(about)?;
            for engine in engines(&command.engine) {
                program
                    .compile_anew(&runtime, engine, &timings)
                    .map_err(about)?;
            }
            (program, report, Some(timings.into_steps()))
        }
    };
    // It listens to signals until the end of this function.
    let _preparation = bar.finish();
    module_file::write(&command.output, program.wasm()?)?;
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
            "transform": program.manifest().transform.to_string(),
            "source_bytes": report.source_bytes,
            "resumable_bytes": report.resumable_bytes,
            "instrumented_functions": command.functions.then(|| functions.collect::<Vec<_>>()),
            "timings": timings.map(|steps| timings::json(&steps)),
        }));
        return OK;
    }
    out!(
        "functions  {} of {} may be on the stack at a suspend",
        report.instrumented.len(),
        report.functions,
    );
    out!("blocking   {}", report.blocking.join(", "));
    out!("transform  {}", program.manifest().transform);
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
    if let Some(steps) = timings {
        timings::print(&steps);
    }
    OK
}

/// Writes a component as a core module.
fn flatten(command: &Build, component: &[u8]) -> Result<Done, Failure> {
    let name = command.module.display().to_string();
    let about = |error| Failure::from(Error::from(error)).about(MODULE, &name);
    let module = instrument::flatten(component).map_err(about)?;
    module_file::write(&command.output, &module)?;
    if output::as_json() {
        output::result(&serde_json::json!({
            "output": command.output.to_string_lossy(),
            "source_bytes": component.len(),
            "flattened_bytes": module.len(),
        }));
        return OK;
    }
    out!(
        "size       {} became {}",
        bytes(component.len() as u64),
        bytes(module.len() as u64),
    );
    OK
}

/// The engines that the module is compiled for: those that were given, else all of the build.
fn engines(given: &[EngineKind]) -> Vec<EngineKind> {
    match given.is_empty() {
        true => EngineKind::available().collect(),
        false => given.to_vec(),
    }
}
