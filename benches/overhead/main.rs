//! Runs one program as several modules: as it is, after Binaryen's asyncify, after ours, and ours
//! again with a suspend and a resume in the middle, and ours with checks, straight and in slices.
//! `overhead.py` calls this and makes the table.
//!
//! ```text
//! overhead rewrite VARIANT CACHE MODULE             seconds and sizes, as JSON
//! overhead compile VARIANT ENGINE CACHE MODULE      seconds, as JSON
//! overhead measure VARIANTS ENGINE ROUNDS CACHE MODULE ARG…
//!                                                   one JSON line for each run, variants in turn
//! overhead whole VARIANTS ENGINE ROUNDS CACHE FOLDER MODULE ARG…
//!                                                   the same of a program that knows nothing of this
//! overhead pause ENGINE COUNT CACHE MODULE ARG…     how soon a computation stops when it is asked
//! ```
//!
//! A program reads one line from standard input in the middle of its work, and prints `checksum X`,
//! `first N` and `second N`: the nanoseconds before and after that line, by its own clock. The line
//! is in the pipe already, so that nothing suspends; for the resumed run it is not, and the program
//! goes on in a fresh instance, from the bytes of a snapshot. Its clock counts the processor's time
//! of the thread that runs it, so that whatever else the machine does costs nothing.
//!
//! `whole` is for large programs as they are: FOLDER is their root directory, the time is that of the
//! whole run by the same clock, and the checksum is the digest of what they print.

#![allow(
    clippy::expect_used,
    clippy::panic,
    clippy::unreachable,
    clippy::unwrap_used,
    reason = "a benchmark may fail"
)]

use std::error::Error;
use std::fs::File;
use std::io::Write;
use std::os::fd::OwnedFd;
use std::path::Path;
use std::str::FromStr;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

use dormouse::model::clock::Clock;
use dormouse::model::spec::Access;
use dormouse::model::{Digest, MonotonicTime, Timestamp, Wait};
use dormouse::task::quiet;
use dormouse::wasi::{Bindings, HostDir, Input, Output};
use dormouse::{
    EngineKind, Limits, Parked, Program, Runtime, Snapshot, Step, Task, TaskHandle, Transform,
};
use serde_json::json;

type Outcome<T> = Result<T, Box<dyn Error>>;

/// One thing that is compared.
#[derive(Clone, Copy)]
struct Variant {
    name: &'static str,
    /// The variant whose module it runs.
    home: &'static str,
    transform: Transform,
    /// With checks in loops and calls.
    preempt: bool,
    way: Way,
}

/// How a program is run.
#[derive(Clone, Copy, PartialEq)]
enum Way {
    Straight,
    /// Suspended and resumed once, where it reads its line.
    Resumed,
    /// Suspended at a check and gone on with in the same instance, again and again.
    Sliced,
}

/// How long a slice is.
const SLICE: Duration = Duration::from_millis(10);

const fn variant(name: &'static str, transform: Transform, preempt: bool) -> Variant {
    Variant {
        name,
        home: name,
        transform,
        preempt,
        way: Way::Straight,
    }
}

/// What is compared, in the order of the runs; the last two only if they are asked for.
const VARIANTS: [Variant; 8] = [
    variant("none", Transform::None, false),
    variant("reference", Transform::Reference, false),
    variant("ours", Transform::Auto, false),
    Variant {
        name: "resumed",
        way: Way::Resumed,
        ..variant("ours", Transform::Auto, false)
    },
    variant("preempt", Transform::Auto, true),
    Variant {
        name: "sliced",
        way: Way::Sliced,
        ..variant("preempt", Transform::Auto, true)
    },
    variant("two-version", Transform::TwoVersion, false),
    variant("native", Transform::Native, false),
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
            measure(
                &variants,
                engine,
                rounds.parse()?,
                cache,
                None,
                module,
                arguments,
            )
        }
        [
            "whole",
            variants,
            engine,
            rounds,
            cache,
            folder,
            module,
            ref arguments @ ..,
        ] => {
            let variants: Vec<&str> = variants.split(',').collect();
            let (rounds, folder) = (rounds.parse()?, Some(folder));
            measure(&variants, engine, rounds, cache, folder, module, arguments)
        }
        ["pause", engine, count, cache, module, ref arguments @ ..] => {
            pause(engine, count.parse()?, cache, module, arguments)
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
    let found = VARIANTS.into_iter().find(|known| known.name == variant);
    let variant = found.ok_or_else(|| format!("there is no variant {variant}"))?;
    let cache = Path::new(cache).join(variant.home);
    std::fs::create_dir_all(&cache)?;
    Ok(Runtime::builder()
        .cache(cache)
        .transform(variant.transform)
        .preempt(variant.preempt)
        .build()?)
}

fn rewrite(variant: &str, cache: &str, module: &str) -> Outcome<()> {
    let source = std::fs::read(module)?;
    let start = Instant::now();
    let (program, report) = runtime(variant, cache)?.instrument(&source, &quiet)?;
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
    let program = runtime.load(&source)?;
    program.wasm()?;
    let compiled = Mutex::new(false);
    let progress = |_: &dormouse::task::UnderWay| {
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
    folder: Option<&str>,
    module: &str,
    arguments: &[&str],
) -> Outcome<()> {
    let source = std::fs::read(module)?;
    let engine = EngineKind::from_str(engine)?;
    let mut args = vec!["program".to_string()];
    args.extend(arguments.iter().map(|word| word.to_string()));
    let mut ready = Vec::new();
    for Variant { name, way, .. } in VARIANTS {
        if !variants.contains(&name) {
            continue;
        }
        let runtime = runtime(name, cache)?;
        let program = runtime.load(&source)?;
        program.compile(&runtime, engine, &quiet)?;
        ready.push((name, runtime, program, way));
    }
    for round in 0..rounds {
        for (variant, runtime, program, way) in &ready {
            let run = Run {
                runtime,
                program,
                engine,
                args: &args,
                folder,
            };
            let began = processor_time();
            let text = run.run(*way)?;
            if folder.is_some() {
                let line = json!({
                    "round": round,
                    "variant": variant,
                    "checksum": Digest::of(text.as_bytes()).to_string(),
                    "first": 0,
                    "second": processor_time() - began,
                });
                println!("{line}");
                continue;
            }
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

/// Asks a program that computes to suspend, again and again, and prints how many nanoseconds it took until
/// it stood, and until its snapshot was bytes.
fn pause(engine: &str, count: usize, cache: &str, module: &str, arguments: &[&str]) -> Outcome<()> {
    let source = std::fs::read(module)?;
    let engine = EngineKind::from_str(engine)?;
    let runtime = runtime("preempt", cache)?;
    let program = runtime.load(&source)?;
    program.compile(&runtime, engine, &quiet)?;
    let mut args = vec!["program".to_string()];
    args.extend(arguments.iter().map(|word| word.to_string()));
    let began = Instant::now();
    let (mut stood, mut written) = (Vec::new(), Vec::new());
    while stood.len() < count {
        let (reader, mut writer) = std::io::pipe()?;
        writer.write_all(b"go\n")?;
        let mut task = Task::builder(&runtime, &program)
            .engine(engine)
            .args(args.iter().cloned())
            .bindings(bindings(reader.into(), &Arc::default()))
            .clock(Arc::new(ThreadClock))
            .start()?;
        // When it was asked, in nanoseconds; zero while it is not.
        let asked = Arc::new(AtomicU64::new(0));
        let (theirs, handle, over) = (
            asked.clone(),
            task.handle(),
            Arc::new(AtomicBool::new(false)),
        );
        let ended = over.clone();
        let asking = std::thread::spawn(move || {
            for number in 1_u64.. {
                // Between 3 and 10 ms, never in step with anything.
                std::thread::sleep(Duration::from_micros(3000 + number * 7919 % 7001));
                if ended.load(Ordering::SeqCst) {
                    return;
                }
                if theirs.load(Ordering::SeqCst) == 0 {
                    theirs.store(began.elapsed().as_nanos() as u64, Ordering::SeqCst);
                    handle.preempt();
                }
            }
        });
        while let Step::Parked(mut parked) = task.step()? {
            let now = began.elapsed().as_nanos() as u64;
            let then = asked.load(Ordering::SeqCst);
            if then != 0 {
                stood.push(now - then);
                if stood.len() % 10 == 0 {
                    parked.freeze()?.encode()?;
                    written.push(began.elapsed().as_nanos() as u64 - then);
                }
                asked.store(0, Ordering::SeqCst);
            }
            if stood.len() >= count {
                break;
            }
        }
        over.store(true, Ordering::SeqCst);
        asking
            .join()
            .map_err(|_| "the thread that asks has failed")?;
    }
    let line = |mut times: Vec<u64>| {
        times.sort_unstable();
        let at = |part: f64| times[((times.len() - 1) as f64 * part) as usize];
        json!({"count": times.len(), "median": at(0.5), "p99": at(0.99), "most": at(1.0)})
    };
    println!(
        "{}",
        json!({"stood": line(stood), "written": line(written)})
    );
    Ok(())
}

/// One run of one module.
struct Run<'a> {
    runtime: &'a Runtime,
    program: &'a Arc<Program>,
    engine: EngineKind,
    args: &'a [String],
    /// Its root directory.
    folder: Option<&'a str>,
}

impl Run<'_> {
    /// What the program printed.
    fn run(&self, way: Way) -> Outcome<String> {
        let printed = Arc::new(Mutex::new(Vec::new()));
        let (reader, mut writer) = std::io::pipe()?;
        let resumed = way == Way::Resumed;
        if !resumed {
            writer.write_all(b"go\n")?;
        }
        let mut task = Task::builder(self.runtime, self.program)
            .engine(self.engine)
            .args(self.args.iter().cloned())
            .bindings(self.bindings(reader.into(), &printed))
            .clock(Arc::new(ThreadClock))
            .start()?;
        let slicer = (way == Way::Sliced).then(|| Slicer::start(task.handle()));
        let mut resumes = 0;
        loop {
            match task.step()? {
                Step::Exited(0) => break,
                Step::Exited(code) => return Err(format!("exit code {code}").into()),
                Step::Parked(mut parked)
                    if resumed && resumes == 0 && is_for_stdin(&parked.wait()) =>
                {
                    resumes += 1;
                    task = self.resume(&mut parked, &printed)?;
                }
                Step::Parked(_) => {
                    // Go's runtime sleeps now and then. This clock does not run while we sleep.
                    while !task.is_ready() {
                        std::hint::spin_loop();
                    }
                }
            }
        }
        drop(slicer);
        if resumed && resumes == 0 {
            return Err("it never waited for standard input".into());
        }
        let bytes = printed.lock().map_err(|e| e.to_string())?.clone();
        Ok(String::from_utf8(bytes)?)
    }

    /// The same task in a fresh instance, with the line that it waits for.
    fn resume(&self, parked: &mut Parked<'_>, printed: &Arc<Mutex<Vec<u8>>>) -> Outcome<Task> {
        let bytes = parked.freeze()?.encode()?;
        let snapshot = Snapshot::decode(&bytes, &Limits::default())?;
        let (reader, mut writer) = std::io::pipe()?;
        writer.write_all(b"go\n")?;
        Ok(Task::builder(self.runtime, self.program)
            .engine(self.engine)
            .bindings(self.bindings(reader.into(), printed))
            .clock(Arc::new(ThreadClock))
            .resume(&snapshot)?)
    }

    fn bindings(&self, stdin: OwnedFd, printed: &Arc<Mutex<Vec<u8>>>) -> Bindings {
        let root = |folder: &str| HostDir {
            host: folder.into(),
            guest: "/".into(),
            access: Access::ReadWrite,
        };
        Bindings {
            dirs: self.folder.map(root).into_iter().collect(),
            ..bindings(stdin, printed)
        }
    }
}

/// Ends a task's turns, from a thread of its own.
struct Slicer(Arc<AtomicBool>);

impl Slicer {
    fn start(handle: TaskHandle) -> Self {
        let over = Arc::new(AtomicBool::new(false));
        let theirs = over.clone();
        std::thread::spawn(move || {
            while !theirs.load(Ordering::Relaxed) {
                std::thread::sleep(SLICE);
                handle.preempt();
            }
        });
        Self(over)
    }
}

impl Drop for Slicer {
    fn drop(&mut self) {
        self.0.store(true, Ordering::Relaxed);
    }
}

/// The processor's time of the thread that asks.
#[derive(Debug)]
struct ThreadClock;

impl Clock for ThreadClock {
    fn monotonic(&self) -> MonotonicTime {
        MonotonicTime::from_nanos(processor_time())
    }

    fn realtime(&self) -> Timestamp {
        // What passes on this clock between a suspend and a resume is added to the other one.
        Timestamp::from_nanos(processor_time())
    }
}

/// What this thread has computed for, in nanoseconds.
fn processor_time() -> u64 {
    let time = rustix::time::clock_gettime(rustix::time::ClockId::ThreadCPUTime);
    time.tv_sec as u64 * 1_000_000_000 + time.tv_nsec as u64
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
