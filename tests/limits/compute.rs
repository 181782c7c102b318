//! Guests that compute: killed at once, suspended anywhere, and the same in the end.

use std::io::{BufRead, BufReader, Read};
use std::process::{Child, Stdio};
use std::sync::mpsc::channel;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use dormouse::task::quiet;
use dormouse::wasi::{Bindings, Input, Output};
use dormouse::{
    EngineKind, ErrorKind, Limits, Runtime, Snapshot, Step, Task, TaskHandle, Transform,
};

use dormouse_test_support as support;
use dormouse_test_support::{TIMEOUT, guest, send, test_modules};

fn runtime() -> Runtime {
    rewriting(Transform::TwoVersion)
}

fn rewriting(transform: Transform) -> Runtime {
    let runtime = Runtime::builder()
        .cache(test_modules())
        .transform(transform);
    runtime.build().expect("the cache can be used")
}

type Printed = Arc<Mutex<Vec<u8>>>;

fn bindings(printed: &Printed) -> Bindings {
    Bindings {
        stdin: Input::Null,
        stdout: Output::Capture(printed.clone()),
        ..Bindings::default()
    }
}

fn task(
    runtime: &Runtime,
    engine: EngineKind,
    name: &str,
    arguments: &[&str],
    preempt: bool,
) -> Task {
    printing(
        runtime,
        engine,
        name,
        arguments,
        preempt,
        &Printed::default(),
    )
}

fn printing(
    runtime: &Runtime,
    engine: EngineKind,
    name: &str,
    arguments: &[&str],
    preempt: bool,
    printed: &Printed,
) -> Task {
    let source = std::fs::read(guest(name)).expect("the guest is built");
    let program = runtime
        .load_as(&source, preempt, &quiet)
        .expect("it can be made resumable");
    let mut args = vec![name.to_string()];
    args.extend(arguments.iter().map(|word| word.to_string()));
    let task = Task::builder(runtime, &program)
        .engine(engine)
        .args(args)
        .bindings(bindings(printed));
    task.start().expect("a task")
}

/// What a step comes to that another thread puts an end to: the exit code, or nothing where the guest
/// is parked. Both wait for each other only so long.
fn step(
    mut task: Task,
    end: impl FnOnce(&TaskHandle),
) -> (Task, Result<Option<u32>, dormouse::Error>) {
    let handle = task.handle();
    let (done, result) = channel();
    std::thread::spawn(move || {
        let result = task.step().map(|step| step.exit_code());
        // Nobody waits for it only when the test has failed.
        let _ = done.send((task, result));
    });
    end(&handle);
    let ended = result.recv_timeout(TIMEOUT);
    ended.expect("the guest ends")
}

fn killed(engine: EngineKind, name: &str, arguments: &[&str], preempt: bool) {
    let runtime = runtime();
    for pause in [0, 1, 20] {
        let task = task(&runtime, engine, name, arguments, preempt);
        let (mut task, result) = step(task, |handle| {
            std::thread::sleep(Duration::from_millis(pause));
            handle.kill();
        });
        let error = result.expect_err("it was killed");
        assert!(
            error.kind() == ErrorKind::Task && error.to_string().contains("killed"),
            "{error}"
        );
        // It never runs again.
        assert!(task.step().is_err());
    }
}

/// The engines' own handling of faults is as it was.
fn traps_are_traps(engine: EngineKind) {
    let runtime = runtime();
    let mut task = task(&runtime, engine, "c_trap", &[], false);
    let error = loop {
        match task.step() {
            Ok(Step::Parked(_)) => {}
            Ok(Step::Exited(code)) => panic!("exit code {code}"),
            Err(error) => break error,
        }
    };
    assert_eq!(error.kind(), ErrorKind::Trap, "{error}");
}

#[test]
fn a_loop_of_nothing_is_killed() {
    for engine in EngineKind::available() {
        killed(engine, "wat_spin", &[], false);
        traps_are_traps(engine);
    }
}

#[test]
fn whatever_computes_is_killed() {
    for engine in EngineKind::available() {
        killed(engine, "ex_spin", &["1000000"], false);
        // Recursion, calls through tables, and the library's own loops.
        killed(engine, "c_compute", &["1000000"], false);
        killed(engine, "c_compute", &["1000000"], true);
        traps_are_traps(engine);
    }
}

/// Many at once, on many threads, killed in the middle of whatever they do.
#[test]
fn a_crowd_is_killed() {
    let runtime = runtime();
    for engine in EngineKind::available() {
        let crowd: Vec<_> = (0..24)
            .map(|number| {
                let name = ["c_compute", "wat_spin", "ex_spin"][number % 3];
                let task = task(&runtime, engine, name, &["1000000"], number % 2 == 0);
                let pause = Duration::from_micros(number as u64 * 700);
                std::thread::spawn(move || {
                    step(task, |handle| {
                        std::thread::sleep(pause);
                        handle.kill();
                    })
                    .1
                })
            })
            .collect();
        for one in crowd {
            let result = one.join().expect("no thread panics");
            assert_eq!(result.expect_err("it was killed").kind(), ErrorKind::Task);
        }
        traps_are_traps(engine);
    }
}

/// What the module prints as it is, under an engine and a WASI that nobody here wrote.
fn oracle(name: &str, arguments: &[&str]) -> String {
    let module = guest(name);
    let output = support::finish(
        support::oracle(&module).arg("--").args(arguments),
        Stdio::null(),
    );
    assert!(output.status.success(), "{name}");
    String::from_utf8(output.stdout).expect("it prints text")
}

/// Runs a guest that is asked to suspend after random times, and now and then at the very next check;
/// each time it goes on from bytes, the engines in turn. Gives how often that was.
fn interrupted(name: &str, arguments: &[&str], transform: Transform, seed: u64) -> usize {
    let expected = oracle(name, arguments);
    let runtime = rewriting(transform);
    let mut random = fastrand::Rng::with_seed(seed);
    let engines: Vec<_> = EngineKind::available().collect();
    let printed = Printed::default();
    let mut now = printing(&runtime, engines[0], name, arguments, true, &printed);
    let mut suspends = 0;
    loop {
        let pause = Duration::from_micros(random.u64(..6000));
        if suspends < 6 || random.u8(..4) == 0 {
            now.preempt_next();
        }
        let (mut task, result) = step(now, move |handle| {
            std::thread::sleep(pause);
            handle.preempt();
        });
        match result.expect("it neither traps nor fails") {
            Some(code) => {
                assert_eq!(code, 0);
                break;
            }
            None => suspends += 1,
        }
        // Sometimes it goes on as it is.
        if random.u8(..3) == 0 {
            now = task;
            continue;
        }
        let frozen = task.parked().expect("it is parked").freeze();
        let bytes = frozen
            .and_then(|snapshot| snapshot.encode())
            .expect("it can be written");
        drop(task);
        let snapshot = Snapshot::decode(&bytes, &Limits::default()).expect("it can be read");
        let program = runtime
            .load_snapshot(&snapshot)
            .expect("the module is in it");
        let resumed = Task::builder(&runtime, &program)
            .engine(engines[suspends % engines.len()])
            .bindings(bindings(&printed));
        now = resumed.resume(&snapshot).expect("it goes on");
    }
    let printed = printed.lock().unwrap_or_else(PoisonError::into_inner);
    assert_eq!(
        String::from_utf8_lossy(&printed),
        expected,
        "{name}, {transform}, seed {seed}"
    );
    suspends
}

#[test]
fn suspended_anywhere_is_as_uninterrupted() {
    for (seed, transform) in [
        (1, Transform::TwoVersion),
        (2, Transform::TwoVersion),
        (3, Transform::Plain),
    ] {
        let count = interrupted("wat_compute", &[], transform, seed)
            + interrupted("wat_loops", &[], transform, seed)
            + interrupted("c_compute", &["12"], transform, seed);
        assert!(count > 10, "suspended {count} times only");
    }
}

/// A task that asks for its end before it has begun, and one that is asked between two steps.
#[test]
fn what_was_asked_before_is_met_at_the_first_check() {
    let runtime = runtime();
    for engine in EngineKind::available() {
        let mut task = task(&runtime, engine, "ex_spin", &["1000000"], true);
        for _ in 0..3 {
            task.handle().suspend();
            assert!(matches!(task.step(), Ok(Step::Parked(_))));
            assert!(task.handle().is_asked());
            let mut parked = task.parked().expect("it is parked");
            parked.freeze().expect("it can become a snapshot");
        }
        task.handle().clear();
        let (task, parked) = step(task, |handle| {
            std::thread::sleep(Duration::from_millis(5));
            handle.suspend();
        });
        assert!(matches!(parked, Ok(None)));
        task.handle().kill();
    }
}

// The command.

fn started(arguments: &[&str], name: &str, given: &[&str]) -> Child {
    let mut command = support::dormouse();
    command
        .arg("run")
        .args(arguments)
        .arg(guest(name))
        .args(given);
    command
        .stdin(Stdio::null())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .expect("the binary starts")
}

/// SIGTERM in the middle of a computation, again and again, on both engines.
#[test]
fn sigterm_suspends_what_computes() {
    let scratch = tempfile::tempdir().expect("a scratch directory");
    let path = scratch.path().join("snapshot").display().to_string();
    let engines: Vec<String> = EngineKind::available()
        .map(|engine| engine.to_string())
        .collect();
    let expected = oracle("c_compute", &["40"]);
    let mut child = started(&["--preempt", "--snapshot", &path], "c_compute", &["40"]);
    let mut printed = String::new();
    for turn in 1..=6 {
        // Once it has printed something it computes the next.
        let mut stdout = BufReader::new(child.stdout.take().expect("it is piped"));
        stdout.read_line(&mut printed).expect("it prints text");
        send(&child, "TERM");
        stdout.read_to_string(&mut printed).expect("it prints text");
        let output = child.wait_with_output().expect("it ends");
        assert_eq!(
            output.status.code(),
            Some(75),
            "{}",
            String::from_utf8_lossy(&output.stderr)
        );
        let mut command = support::dormouse();
        command.args(["resume", "--engine", &engines[turn % engines.len()], &path]);
        command
            .stdin(Stdio::null())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped());
        child = command.spawn().expect("the binary starts");
    }
    let output = child.wait_with_output().expect("it ends");
    assert_eq!(output.status.code(), Some(0));
    printed.push_str(&String::from_utf8_lossy(&output.stdout));
    assert_eq!(printed, expected);
}

/// A computation that is killed goes on from its last checkpoint.
#[test]
fn checkpoints_outlive_the_process() {
    let scratch = tempfile::tempdir().expect("a scratch directory");
    let snapshot = scratch.path().join("snapshot");
    let path = snapshot.display().to_string();
    let expected = oracle("c_compute", &["30"]);
    let flags = ["--preempt", "--checkpoint", "50ms", "--snapshot", &path];
    let mut child = started(&flags, "c_compute", &["30"]);
    support::until("a checkpoint is there", || snapshot.exists().then_some(()));
    child.kill().expect("it is ours");
    let output = child.wait_with_output().expect("it ends");
    let before = String::from_utf8_lossy(&output.stdout).into_owned();
    assert!(expected.starts_with(&before));
    let resumed = support::finish(support::dormouse().args(["resume", &path]), Stdio::null());
    assert!(
        resumed.status.success(),
        "{}",
        String::from_utf8_lossy(&resumed.stderr)
    );
    let after = String::from_utf8_lossy(&resumed.stdout).into_owned();
    assert!(expected.ends_with(&after) && before.len() + after.len() >= expected.len());

    // Without a crash they change nothing.
    let whole = started(&flags, "c_compute", &["30"])
        .wait_with_output()
        .expect("it ends");
    assert_eq!(String::from_utf8_lossy(&whole.stdout), expected);
}

#[test]
fn rehearsals_suspend_computations() {
    for name in ["wat_compute", "wat_loops", "c_compute"] {
        let output = started(&["--preempt", "--rehearse"], name, &[])
            .wait_with_output()
            .expect("it ends");
        let text = String::from_utf8_lossy(&output.stderr).into_owned();
        assert!(
            output.status.success() && text.contains("rehearsed"),
            "{text}"
        );
        assert_eq!(String::from_utf8_lossy(&output.stdout), oracle(name, &[]));
    }
}

/// A module that is left as it is cannot have checks.
#[test]
fn checks_need_a_rewriting() {
    let output = started(&["--preempt", "--transform", "none"], "c_compute", &[]);
    let output = output.wait_with_output().expect("it ends");
    assert_eq!(output.status.code(), Some(64));
    assert!(String::from_utf8_lossy(&output.stderr).contains("--preempt"));
}

/// A frame that was suspended in a loop goes on in a function that begins at the loop: with checks there is one for every
/// loop of this guest in which it may be suspended, and a slow version goes there by a tail call.
#[test]
fn loops_have_functions_where_there_are_checks() {
    let tail_calls = |options: &[&str]| {
        let folder = tempfile::tempdir().expect("a folder");
        let made = folder.path().join("made.wasm");
        let mut command = support::dormouse();
        command.arg("build").args(options).arg("-o").arg(&made);
        let output = command.arg(guest("wat_loops")).output().expect("it starts");
        assert!(output.status.success(), "{output:?}");
        let wasm = std::fs::read(made).expect("it is there");
        let mut count = 0;
        for payload in wasmparser::Parser::new(0).parse_all(&wasm) {
            let wasmparser::Payload::CodeSectionEntry(body) = payload.expect("it is valid") else {
                continue;
            };
            let operators = body.get_operators_reader().expect("it has code");
            let calls = operators
                .into_iter()
                .filter(|operator| matches!(operator, Ok(wasmparser::Operator::ReturnCall { .. })));
            count += calls.count();
        }
        count
    };
    assert_eq!(tail_calls(&[]), 0);
    // One in `_start`, six in `$nest`, and two of what it prints with.
    assert_eq!(tail_calls(&["--preempt"]), 9);
}
