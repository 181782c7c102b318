//! What a suspend and a warm resume cost, whole and in parts: `cargo bench --bench suspend`.
//!
//! ```text
//! suspend   guest calls a blocking import -> parked -> freeze -> encode -> write, flushed to the disk
//! resume    file -> read -> decode -> thaw -> the guest runs to its next wait, or to its end
//! ```
//!
//! Resume is in a process that has the engine and the compiled module at hand. The clock is a
//! simulated one, so that a sleep lasts for as long as it is measured and not longer. CPython takes
//! part where the tests have left it (`~/.cache/dormouse/programs/python.wasm`).

#![allow(
    clippy::expect_used,
    clippy::panic,
    clippy::unreachable,
    clippy::unwrap_used,
    reason = "a benchmark may fail"
)]

use dormouse::model::Timestamp;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use criterion::{BatchSize, Criterion, criterion_group, criterion_main};
use dormouse::model::clock::SimClock;
use dormouse::wasi::{Bindings, Output};
use dormouse::{EngineKind, Limits, Program, Runtime, Snapshot, Step, Task};

const ENGINE: EngineKind = EngineKind::Wasmtime;

/// Small ones, then the largest.
const GUESTS: [&str; 3] = ["c_hello_sleep", "rs_hello_sleep", "go_chan"];

const PYTHON: &str = "import json, time; time.sleep(3600); print(json.dumps([1]))";

/// The wall clock at the suspend, and a year later: whatever the guest waits for is over.
const SUSPENDED: u64 = 1_800_000_000_000_000_000;
const RESUMED: u64 = SUSPENDED + 31_536_000_000_000_000;

/// A guest ready to be started.
struct Guest {
    name: String,
    args: Vec<String>,
    program: Arc<Program>,
}

fn guests(runtime: &Runtime) -> Vec<Guest> {
    let wasm = Path::new(env!("CARGO_MANIFEST_DIR")).join("wasm/bin");
    let mut found: Vec<(String, PathBuf, Vec<String>)> = GUESTS
        .iter()
        .map(|name| {
            let file = wasm.join(format!("{name}.wasm"));
            ((*name).into(), file, vec![(*name).into()])
        })
        .collect();
    if let Some(file) = python().filter(|file| file.exists()) {
        let args = ["python", "-c", PYTHON].map(String::from).to_vec();
        found.push(("cpython".into(), file, args));
    }
    found
        .into_iter()
        .map(|(name, file, args)| {
            let wasm = std::fs::read(file).expect("a guest");
            Guest {
                program: runtime.load(&wasm).expect("a good guest"),
                name,
                args,
            }
        })
        .collect()
}

/// Where the tests put CPython.
fn python() -> Option<PathBuf> {
    let caches = std::env::var_os("XDG_CACHE_HOME")
        .map(PathBuf::from)
        .or_else(|| Some(Path::new(&std::env::var_os("HOME")?).join(".cache")))?;
    Some(caches.join("dormouse/programs/python.wasm"))
}

fn silent() -> Bindings {
    Bindings {
        stdout: Output::Null,
        stderr: Output::Null,
        ..Bindings::default()
    }
}

/// A task at its first wait.
fn parked(runtime: &Runtime, guest: &Guest) -> Task {
    let mut task = Task::builder(runtime, &guest.program)
        .engine(ENGINE)
        .args(guest.args.iter().cloned())
        .bindings(silent())
        .clock(Arc::new(SimClock::at(Timestamp::from_nanos(SUSPENDED))))
        .start()
        .expect("the guest can be started");
    let step = task.step().expect("the guest runs");
    assert!(matches!(step, Step::Parked(_)), "{step:?}");
    task
}

fn freeze(task: &mut Task) -> Snapshot {
    let mut parked = task.parked().expect("it is parked");
    parked.freeze().expect("it can be written down")
}

/// Runs it to its next wait.
fn step(task: &mut Task) {
    task.step().expect("it goes on");
}

fn bytes_of(task: &mut Task) -> Vec<u8> {
    freeze(task).encode().expect("it can be written down")
}

fn decode(bytes: &[u8]) -> Snapshot {
    Snapshot::decode(bytes, &Limits::default()).expect("our own snapshot")
}

fn read(file: &Path) -> Vec<u8> {
    dormouse::snapshot::read(file, &Limits::default()).expect("it was written")
}

fn write(file: &Path, bytes: &[u8]) {
    dormouse::snapshot::write(file, bytes).expect("there is room");
}

fn thaw(runtime: &Runtime, guest: &Guest, snapshot: &Snapshot) -> Task {
    Task::builder(runtime, &guest.program)
        .engine(ENGINE)
        .bindings(silent())
        .clock(Arc::new(SimClock::at(Timestamp::from_nanos(RESUMED))))
        .resume(snapshot)
        .expect("our own snapshot")
}

fn suspend(criterion: &mut Criterion, guest: &Guest, task: &mut Task, disk: &Path, memory: &Path) {
    let mut group = criterion.benchmark_group(format!("{}/suspend", guest.name));
    group
        .warm_up_time(Duration::from_millis(500))
        .measurement_time(Duration::from_secs(2));
    // Before its wait is over a step winds the guest up and down again: the call and its unwinding,
    // and a rewinding on top, which a first suspend has not.
    group.bench_function("whole", |bencher| {
        bencher.iter(|| {
            step(task);
            write(disk, &bytes_of(task));
        });
    });
    group.bench_function("whole_without_disk", |bencher| {
        bencher.iter(|| {
            step(task);
            bytes_of(task)
        });
    });
    group.bench_function("part_1_unwind", |bencher| {
        bencher.iter(|| step(task));
    });
    group.bench_function("part_2_freeze", |bencher| {
        bencher.iter(|| freeze(task));
    });
    let snapshot = freeze(task);
    group.bench_function("part_3_encode", |bencher| {
        bencher.iter(|| snapshot.encode().expect("it can be written down"));
    });
    let bytes = bytes_of(task);
    group.bench_function("part_4_write", |bencher| {
        bencher.iter(|| write(disk, &bytes));
    });
    // The same system calls where a flush has nothing to wait for.
    group.bench_function("part_4_write_to_tmpfs", |bencher| {
        bencher.iter(|| write(memory, &bytes));
    });
}

fn resume(criterion: &mut Criterion, runtime: &Runtime, guest: &Guest, file: &Path) {
    let mut group = criterion.benchmark_group(format!("{}/resume", guest.name));
    group
        .warm_up_time(Duration::from_millis(500))
        .measurement_time(Duration::from_secs(2));
    group.bench_function("whole", |bencher| {
        bencher.iter(|| {
            let mut task = thaw(runtime, guest, &decode(&read(file)));
            step(&mut task);
        });
    });
    group.bench_function("part_1_read", |bencher| bencher.iter(|| read(file)));
    let bytes = read(file);
    group.bench_function("part_2_decode", |bencher| bencher.iter(|| decode(&bytes)));
    let snapshot = decode(&bytes);
    group.bench_function("part_3_thaw_and_drop", |bencher| {
        bencher.iter(|| thaw(runtime, guest, &snapshot));
    });
    group.bench_function("part_4_run_to_next_wait", |bencher| {
        let fresh = || thaw(runtime, guest, &snapshot);
        bencher.iter_batched_ref(fresh, step, BatchSize::PerIteration);
    });
    // To compare: what the same guest takes from its start to its first wait.
    group.bench_function("start_anew", |bencher| {
        bencher.iter(|| parked(runtime, guest));
    });
}

fn suspend_and_resume(criterion: &mut Criterion) {
    let runtime = Runtime::new().expect("a cache");
    // Not in the system's folder for temporary files, which may be in memory.
    let folder = tempfile::tempdir_in(env!("CARGO_TARGET_TMPDIR")).expect("a scratch directory");
    let shared = tempfile::tempdir_in("/dev/shm").unwrap_or_else(|_| {
        eprintln!("no /dev/shm: `write_to_tmpfs` is the disk as well");
        tempfile::tempdir_in(folder.path()).expect("a scratch directory")
    });
    let memory = shared.path().join("snapshot");
    for guest in guests(&runtime) {
        let disk = folder.path().join(&guest.name);
        let mut task = parked(&runtime, &guest);
        let bytes = bytes_of(&mut task);
        println!("{}: snapshot of {} bytes", guest.name, bytes.len());
        write(&disk, &bytes);
        suspend(criterion, &guest, &mut task, &disk, &memory);
        resume(criterion, &runtime, &guest, &disk);
    }
}

criterion_group!(benches, suspend_and_resume);
criterion_main!(benches);
