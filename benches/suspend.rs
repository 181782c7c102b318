//! What a suspend and a warm resume cost: `cargo bench --bench suspend`.
//!
//! A suspend is from the parked guest to bytes on the disk, with and without the flush; a warm
//! resume is from the file to the guest's next wait, in a process that has the engine and the
//! compiled module at hand.

use std::path::Path;
use std::time::Duration;

use criterion::{Criterion, criterion_group, criterion_main};
use dormouse::{
    Bindings, EngineKind, Limits, Output, Program, Restore, Runtime, RuntimeOptions, Setup,
    Snapshot, Step, Task,
};

const GUESTS: [&str; 3] = ["c_hello_sleep", "rs_hello_sleep", "go_chan"];

fn silent() -> Bindings {
    Bindings {
        stdout: Output::Null,
        stderr: Output::Null,
        ..Bindings::default()
    }
}

/// A task at its first wait.
fn parked(runtime: &Runtime, program: &std::sync::Arc<Program>) -> Task {
    let setup = Setup {
        bindings: silent(),
        ..Setup::default()
    };
    let mut task = Task::new(
        runtime,
        program,
        EngineKind::Wasmtime,
        setup,
        &dormouse::quiet,
    )
    .expect("the guest can be started");
    let step = task.step().expect("the guest runs");
    assert!(matches!(step, Step::Parked(_)), "{step:?}");
    task
}

fn thaw(runtime: &Runtime, program: &std::sync::Arc<Program>, bytes: &[u8]) -> Task {
    let snapshot = Snapshot::decode(bytes, &Limits::default()).expect("our own snapshot");
    let restore = Restore {
        bindings: silent(),
        ..Restore::default()
    };
    let engine = EngineKind::Wasmtime;
    Task::thaw(
        runtime,
        program,
        engine,
        &snapshot,
        restore,
        &dormouse::quiet,
    )
    .expect("our own snapshot")
}

fn suspend_and_resume(criterion: &mut Criterion) {
    let runtime = Runtime::new(RuntimeOptions::default()).expect("a cache");
    let folder = tempfile::tempdir().expect("a scratch directory");
    let file = folder.path().join("snapshot");
    for guest in GUESTS {
        let module = Path::new(env!("CARGO_MANIFEST_DIR")).join(format!("wasm/bin/{guest}.wasm"));
        let wasm = std::fs::read(module).expect("a guest");
        let program = runtime.load(&wasm, &dormouse::quiet).expect("a good guest");
        let mut task = parked(&runtime, &program);
        let mut group = criterion.benchmark_group(guest);
        group.measurement_time(Duration::from_secs(3));
        group.bench_function("suspend_to_disk", |bencher| {
            bencher.iter(|| {
                let bytes = task
                    .freeze()
                    .and_then(|s| s.encode())
                    .expect("it is parked");
                dormouse::write_snapshot(&file, &bytes).expect("there is room");
            });
        });
        group.bench_function("suspend_to_memory", |bencher| {
            bencher.iter(|| {
                task.freeze()
                    .and_then(|s| s.encode())
                    .expect("it is parked")
            });
        });
        group.bench_function("warm_resume", |bencher| {
            bencher.iter(|| {
                let bytes =
                    dormouse::read_snapshot(&file, &Limits::default()).expect("it was written");
                thaw(&runtime, &program, &bytes)
                    .step()
                    .expect("the guest goes on")
            });
        });
        group.bench_function("start_anew", |bencher| {
            bencher.iter(|| parked(&runtime, &program));
        });
    }
}

criterion_group!(benches, suspend_and_resume);
criterion_main!(benches);
