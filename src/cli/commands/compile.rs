//! `dormouse compile`: fills the cache ahead of time.

use std::path::Path;
use std::time::Instant;

use serde_json::{Value, json};

use crate::cli::args::Compile;
use crate::cli::exit::{Done, Failure, MODULE, OK, USAGE};
use crate::cli::module_file::{self, file_name, preempt};
use crate::cli::output::{self, out};
use crate::cli::parse::guest::engine;
use crate::cli::progress::Bar;
use crate::engine::EngineKind;
use crate::error::Error;
use crate::snapshot::Seal;
use crate::task::Runtime;

pub(crate) fn compile(command: &Compile) -> Result<Done, Failure> {
    if command.output.is_some() && command.modules.len() > 1 {
        return Err(Failure::new(
            USAGE,
            "--output takes one module, and several are given",
        ));
    }
    let seal = Seal::load(command.sign_key.as_deref(), &[])?;
    let output = command
        .output
        .as_deref()
        .map(|path| Output { path, seal: &seal });
    let runtime = Runtime::builder()
        .transform(command.transform.name)
        .preempt(preempt(command.preempt, command.transform.name)?)
        .build()?;
    let engines = match command.engine.is_empty() {
        true => vec![engine(None)?],
        false => command.engine.clone(),
    };
    let (mut told, mut failed) = (Vec::new(), None);
    for module in &command.modules {
        match one(&runtime, module, &engines, output.as_ref()) {
            Ok(made) => told.push(made),
            Err(failure) => {
                // All modules are tried; the exit code is that of the first failure.
                match output::as_json() {
                    true => told.push(json!({
                        "module": module.to_string_lossy(),
                        "error": failure.message,
                        "code": failure.code.number(),
                    })),
                    false => output::failure(&failure),
                }
                failed.get_or_insert(failure.code);
            }
        }
    }
    if output::as_json() {
        output::result(&told);
    }
    failed.map_or(OK, |code| Ok(Done::Own(code)))
}

/// Where the module goes with its machine code.
struct Output<'a> {
    path: &'a Path,
    seal: &'a Seal,
}

/// Makes a module ready for the engines, and says so.
fn one(
    runtime: &Runtime,
    module: &Path,
    engines: &[EngineKind],
    output: Option<&Output<'_>>,
) -> Result<Value, Failure> {
    let source = module_file::read(module)?;
    let path = module.display().to_string();
    let about = |error: Error| Failure::from(error).about(MODULE, &path);
    let began = Instant::now();
    let bar = Bar::new(&file_name(&path));
    let (program, was_made) = runtime.load_and_tell(&source, &bar).map_err(about)?;
    let mut made = Vec::new();
    for engine in engines {
        let was_compiled = program
            .compile(runtime, *engine, &bar)
            .map_err(|error| Failure::from(error).about(MODULE, &path))?;
        made.push((*engine, was_compiled));
    }
    if let Some(Output { path, seal }) = output {
        let file = runtime
            .with_machine_code(&program, engines, &bar)
            .and_then(|file| seal.close(file))
            .map_err(about)?;
        module_file::write(path, &file)?;
    }
    // It listens to signals until here.
    drop(bar.finish());
    let seconds = began.elapsed().as_secs_f64();
    let digest = program.digest();
    if !output::as_json() {
        let names: Vec<_> = engines.iter().map(ToString::to_string).collect();
        let names = names.join(" and ");
        match was_made || made.iter().any(|(_, made)| *made) {
            true => out!("{path}: ready for {names} now, after {seconds:.1} s"),
            false => out!("{path}: was ready for {names}"),
        }
    }
    let engines = made
        .iter()
        .map(|(engine, made)| json!({ "engine": engine.to_string(), "compiled": made }));
    Ok(json!({
        "module": path,
        "source": program.manifest().source.to_string(),
        "digest": digest.to_string(),
        "rewritten": was_made,
        "engines": engines.collect::<Vec<_>>(),
        "seconds": seconds,
        "output": output.map(|output| output.path.to_string_lossy()),
    }))
}
