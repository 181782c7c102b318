//! Runs one program as several modules: as it is, after Binaryen's asyncify, after ours, and ours
//! again with a suspend and a resume in the middle. `overhead.py` calls this and makes the table.
//!
//! ```text
//! overhead rewrite VARIANT CACHE MODULE             seconds and sizes, as JSON
//! overhead compile VARIANT ENGINE CACHE MODULE      seconds, as JSON
//! overhead measure VARIANTS ENGINE ROUNDS CACHE MODULE ARG…
//!                                                   one JSON line for each run, variants in turn
//! ```
//!
//! A program reads one line from standard input in the middle of its work, and prints `checksum X`,
//! `first N` and `second N`: the nanoseconds before and after that line, by its own clock. The line
//! is in the pipe already, so that nothing suspends; for the resumed run it is not, and the program
//! goes on in a fresh instance, from the bytes of a snapshot. Its clock counts the processor's time
//! of the thread that runs it, so that whatever else the machine does costs nothing.

use std::error::Error;
use std::fs::File;
use std::io::Write;
use std::os::fd::OwnedFd;
use std::path::Path;
use std::str::FromStr;
use std::sync::{Arc, Mutex};
use std::time::Instant;

use dormouse::{
    Bindings, Clock, Config, EngineKind, Input, Limits, Output, Program, Restore, Runtime,
    RuntimeOptions, Setup, Snapshot, Step, Task, Transform, Wait,
};
use serde_json::json;

type Outcome<T> = Result<T, Box<dyn Error>>;

/// What is compared, in the order of the runs.
const VARIANTS: [(&str, Transform, bool); 4] = [
    ("none", Transform::None, false),
    ("reference", Transform::Reference, false),
    ("two-version", Transform::TwoVersion, false),
    ("resumed", Transform::TwoVersion, true),
];

fn main() -> Outcome<()> {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    let words: Vec<&str> = arguments.iter().map(String::as_str).collect();
    match words[..] {
        ["rewrite", variant, cache, module] => rewrite(variant, cache, module),
        ["compile", variant, engine, cache, module] => compile(variant, engine, cache, module),
        [
            "measure",
            variants,
            engine,
            rounds,
            cache,
            module,
            ref arguments @ ..,
        ] => {
            let variants: Vec<&str> = variants.split(',').collect();
            measure(&variants, engine, rounds.parse()?, cache, module, arguments)
        }
        // `cargo bench` starts every benchmark without a word of ours.
        _ => {
            eprintln!("overhead: run `make bench-overhead`");
            Ok(())
        }
    }
}

/// A runtime for one variant. Each has a cache of its own.
fn runtime(variant: &str, cache: &str) -> Outcome<Runtime> {
    let (name, transform, _) = VARIANTS
        .into_iter()
        .find(|(name, ..)| *name == variant)
        .ok_or_else(|| format!("there is no variant {variant}"))?;
    let cache = Path::new(cache).join(name);
    std::fs::create_dir_all(&cache)?;
    let options = RuntimeOptions {
        cache: Some(cache),
        transform,
        ..RuntimeOptions::default()
    };
    Ok(Runtime::new(options)?)
}

fn rewrite(variant: &str, cache: &str, module: &str) -> Outcome<()> {
    let source = std::fs::read(module)?;
    let start = Instant::now();
    let (program, report) = runtime(variant, cache)?.instrument(&source, &dormouse::quiet)?;
    let seconds = start.elapsed().as_secs_f64();
    let report = json!({
        "module": program.digest().to_string(),
        "seconds": seconds,
        "source_bytes": report.source_bytes,
        "bytes": report.resumable_bytes,
        "functions": report.functions,
        "instrumented": report.instrumented.len(),
        "blocking": report.blocking,
    });
    println!("{report}");
    Ok(())
}

fn compile(variant: &str, engine: &str, cache: &str, module: &str) -> Outcome<()> {
    let source = std::fs::read(module)?;
    let runtime = runtime(variant, cache)?;
    let program = runtime.load(&source, &dormouse::quiet)?;
    program.wasm()?;
    let compiled = Mutex::new(false);
    let progress = |_: &str, _: usize, _: usize| {
        if let Ok(mut compiled) = compiled.lock() {
            *compiled = true;
        }
    };
    let start = Instant::now();
    program.compile(&runtime, EngineKind::from_str(engine)?, &progress)?;
    let seconds = start.elapsed().as_secs_f64();
    let cached = compiled.lock().is_ok_and(|compiled| !*compiled);
    println!("{}", json!({ "seconds": seconds, "cached": cached }));
    Ok(())
}

fn measure(
    variants: &[&str],
    engine: &str,
    rounds: usize,
    cache: &str,
    module: &str,
    arguments: &[&str],
) -> Outcome<()> {
    let source = std::fs::read(module)?;
    let engine = EngineKind::from_str(engine)?;
    let mut args = vec!["program".to_string()];
    args.extend(arguments.iter().map(|word| word.to_string()));
    let mut ready = Vec::new();
    for (variant, _, resumed) in VARIANTS {
        if !variants.contains(&variant) {
            continue;
        }
        let home = if resumed { "two-version" } else { variant };
        let runtime = runtime(home, cache)?;
        let program = runtime.load(&source, &dormouse::quiet)?;
        program.compile(&runtime, engine, &dormouse::quiet)?;
        ready.push((variant, runtime, program, resumed));
    }
    for round in 0..rounds {
        for (variant, runtime, program, resumed) in &ready {
            let run = Run {
                runtime,
                program,
                engine,
                args: &args,
            };
            let text = run.run(*resumed)?;
            let field = |name: &str| -> Outcome<String> {
                let found = text.lines().find_map(|line| line.strip_prefix(name));
                let found = found.ok_or_else(|| format!("{variant} printed no {name}: {text}"))?;
                Ok(found.trim().to_string())
            };
            let line = json!({
                "round": round,
                "variant": variant,
                "checksum": field("checksum ")?,
                "first": field("first ")?.parse::<u64>()?,
                "second": field("second ")?.parse::<u64>()?,
            });
            println!("{line}");
        }
    }
    Ok(())
}

/// One run of one module.
struct Run<'a> {
    runtime: &'a Runtime,
    program: &'a Arc<Program>,
    engine: EngineKind,
    args: &'a [String],
}

impl Run<'_> {
    /// What the program printed.
    fn run(&self, resumed: bool) -> Outcome<String> {
        let printed = Arc::new(Mutex::new(Vec::new()));
        let (reader, mut writer) = std::io::pipe()?;
        if !resumed {
            writer.write_all(b"go\n")?;
        }
        let setup = Setup {
            config: Config {
                args: self.args.to_vec(),
                ..Config::default()
            },
            bindings: bindings(reader.into(), &printed),
            clock: Some(Arc::new(ThreadClock)),
            ..Setup::default()
        };
        let mut task = Task::new(
            self.runtime,
            self.program,
            self.engine,
            setup,
            &dormouse::quiet,
        )?;
        let mut resumes = 0;
        loop {
            match task.step()? {
                Step::Exited(0) => break,
                Step::Exited(code) => return Err(format!("exit code {code}").into()),
                Step::Parked(wait) if resumed && resumes == 0 && is_for_stdin(&wait) => {
                    resumes += 1;
                    task = self.resume(&mut task, &printed)?;
                }
                Step::Parked(_) => {
                    // Go's runtime sleeps now and then. This clock does not run while we sleep.
                    while !task.is_ready() {
                        std::hint::spin_loop();
                    }
                }
            }
        }
        if resumed && resumes == 0 {
            return Err("it never waited for standard input".into());
        }
        let bytes = printed.lock().map_err(|e| e.to_string())?.clone();
        Ok(String::from_utf8(bytes)?)
    }

    /// The same task in a fresh instance, with the line that it waits for.
    fn resume(&self, task: &mut Task, printed: &Arc<Mutex<Vec<u8>>>) -> Outcome<Task> {
        let bytes = task.freeze()?.encode()?;
        let snapshot = Snapshot::decode(&bytes, &Limits::default())?;
        let (reader, mut writer) = std::io::pipe()?;
        writer.write_all(b"go\n")?;
        let restore = Restore {
            bindings: bindings(reader.into(), printed),
            clock: Some(Arc::new(ThreadClock)),
            ..Restore::default()
        };
        Ok(Task::thaw(
            self.runtime,
            self.program,
            self.engine,
            &snapshot,
            restore,
            &dormouse::quiet,
        )?)
    }
}

/// The processor's time of the thread that asks.
#[derive(Debug)]
struct ThreadClock;

impl Clock for ThreadClock {
    fn monotonic(&self) -> u64 {
        processor_time()
    }

    fn realtime(&self) -> u64 {
        // What passes on this clock between a suspend and a resume is added to the other one.
        processor_time()
    }
}

#[repr(C)]
struct Timespec {
    seconds: i64,
    nanoseconds: i64,
}

unsafe extern "C" {
    fn clock_gettime(clock: i32, time: *mut Timespec) -> i32;
}

fn processor_time() -> u64 {
    const CLOCK_THREAD_CPUTIME_ID: i32 = 3;
    let mut time = Timespec {
        seconds: 0,
        nanoseconds: 0,
    };
    // SAFETY: C's function of this name, for 64-bit Linux; it writes one `timespec`.
    let failed = unsafe { clock_gettime(CLOCK_THREAD_CPUTIME_ID, &mut time) };
    assert_eq!(failed, 0, "the thread's clock can be read");
    time.seconds as u64 * 1_000_000_000 + time.nanoseconds as u64
}

fn bindings(stdin: OwnedFd, printed: &Arc<Mutex<Vec<u8>>>) -> Bindings {
    Bindings {
        stdin: Input::File(File::from(stdin)),
        stdout: Output::Capture(printed.clone()),
        ..Bindings::default()
    }
}

fn is_for_stdin(wait: &Wait) -> bool {
    match wait {
        Wait::Poll { fds, .. } => fds.iter().any(|wanted| wanted.fd == 0),
        _ => false,
    }
}
