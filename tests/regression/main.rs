//! Every bug found, by name. A test here failed before the bug was mended.

#![allow(
    clippy::expect_used,
    clippy::panic,
    clippy::too_many_lines,
    clippy::unreachable,
    clippy::unwrap_used,
    reason = "a test may fail"
)]

use std::process::{Output, Stdio};
use std::sync::{Arc, Mutex};

use dormouse::model::{ValType, Value};
use dormouse::task::{HostFunctions, HostReply};
use dormouse::wasi::Output as Sink;
use dormouse::{Ended, Error, Limits, Policy, Runtime, Snapshot, Task};

mod bytes;
mod forged;
mod hostile;
mod limits;
mod paths;
mod process;
mod wasi;

use dormouse_test_support as support;
use dormouse_test_support::guest;

fn dormouse(arguments: &[&str]) -> Output {
    support::finish(support::dormouse().args(arguments), Stdio::null())
}

/// Rehearses a guest in an empty directory, and gives what it printed.
fn rehearse(name: &str) -> String {
    let work = tempfile::tempdir().expect("a scratch directory");
    let dir = format!("{}::/work", work.path().display());
    let module = guest(name).display().to_string();
    let output = dormouse(&["run", "--rehearse", "--dir", &dir, &module]);
    let errors = String::from_utf8_lossy(&output.stderr).into_owned();
    assert!(output.status.success(), "{name}: {errors}");
    String::from_utf8_lossy(&output.stdout).into_owned()
}

/// Binaryen's crate runs passes without their arguments, so that asyncify kept its stack in the
/// guest's own memory and instrumented everything.
#[test]
fn asyncify_gets_its_arguments() {
    let out = tempfile::NamedTempFile::new().expect("a scratch file");
    let path = out.path().display().to_string();
    let module = guest("rs_hello_sleep").display().to_string();
    let output = dormouse(&["build", &module, "-o", &path]);
    assert!(output.status.success());
    let text = String::from_utf8_lossy(&output.stdout).into_owned();
    let counts: Vec<usize> = text
        .split_whitespace()
        .filter_map(|word| word.parse().ok())
        .take(2)
        .collect();
    assert!(counts[0] * 4 < counts[1], "{text}");
    let wasm = std::fs::read(out.path()).expect("it was written");
    let exports = |name: &[u8]| wasm.windows(name.len()).any(|window| window == name);
    assert!(exports(b"dormouse.asyncify_memory") && exports(b"dormouse.memory.0"));
}

/// cap-std opens directories for paths only, and such a descriptor cannot be listed.
#[test]
fn a_directory_opened_by_path_can_be_listed() {
    assert!(rehearse("c_readdir").contains("found 150"));
}

/// A file whose first name was removed was looked for under that name, although it had another.
#[test]
fn a_file_is_found_by_its_other_name() {
    assert!(rehearse("c_positional").contains("links 1"));
}

/// Reading a file for its digest changed the time of its last access, which the guest could see.
#[test]
fn a_suspend_does_not_touch_access_times() {
    assert!(rehearse("c_positional").contains("atime 1000000000"));
}

/// Zig asks for no inheriting rights when it opens a directory, and could write nothing in there.
#[test]
fn rights_not_asked_for_do_not_matter() {
    assert!(rehearse("zig_files").contains("empty: true"));
}

/// WasmEdge counts a guest that a host call has ended as one that returned.
#[cfg(feature = "wasmedge")]
#[test]
fn exit_codes_come_through_wasmedge() {
    let module = guest("c_exit").display().to_string();
    let output = dormouse(&["run", "--engine", "wasmedge", &module]);
    assert_eq!(output.status.code(), Some(42));
}

/// `dormouse inspect | head -1` panicked when its reader had gone.
#[test]
fn a_reader_that_goes_is_no_panic() {
    let mut child = support::dormouse()
        .args(["build", "--functions", "-o", "/dev/null"])
        .arg(guest("c_deep"))
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .expect("the binary starts");
    drop(child.stdout.take());
    let output = child.wait_with_output().expect("it ends");
    let errors = String::from_utf8_lossy(&output.stderr).into_owned();
    assert!(
        output.status.success() && !errors.contains("panicked"),
        "{errors}"
    );
}

/// A guest that waited for an asynchronous host function was never woken.
#[tokio::test]
async fn host_functions_wake_their_guest() -> Result<(), Error> {
    let mut functions = HostFunctions::default();
    let params = [ValType::I32, ValType::I32];
    functions.add("shop", "price", &params, &[ValType::I32], |_| async {
        tokio::task::yield_now().await;
        Ok(HostReply::value(Value::I32(7)))
    });
    let cache = tempfile::tempdir().expect("a scratch directory");
    let runtime = Runtime::builder()
        .cache(cache.path().join("modules"))
        .functions(functions)
        .build()?;
    let wasm = std::fs::read(guest("ex_price")).expect("a guest");
    let program = runtime.load(&wasm)?;
    let printed = Arc::new(Mutex::new(Vec::new()));
    let mut task = Task::builder(&runtime, &program)
        .stdout(Sink::Capture(printed.clone()))
        .start()?;
    assert_eq!(task.run(Policy::Never).await?.exit_code(), Some(0));
    let printed = printed.lock().expect("nobody panicked").clone();
    assert!(String::from_utf8_lossy(&printed).contains("together 21"));
    Ok(())
}

/// Wasmtime's host calls kept room for 17 arguments, and gave a function with more the first 17.
#[tokio::test]
async fn host_functions_get_all_their_arguments() -> Result<(), Error> {
    const COUNT: u32 = 20;
    let mut functions = HostFunctions::default();
    let params = [ValType::I32; COUNT as usize];
    functions.add("host", "sum", &params, &[ValType::I32], |call| {
        let arguments = call.arguments.into_iter();
        let sum = arguments.map(|value| match value {
            Value::I32(value) => value,
            other => panic!("{other:?}"),
        });
        let sum: u32 = sum.sum();
        async move { Ok(HostReply::value(Value::I32(sum))) }
    });
    let arguments: String = (1..=COUNT).map(|n| format!("(i32.const {n})")).collect();
    let source = wat::parse_str(format!(
        r#"(module
             (import "host" "sum" (func $sum (param {params}) (result i32)))
             (import "wasi_snapshot_preview1" "proc_exit" (func $exit (param i32)))
             (memory (export "memory") 1)
             (func (export "_start") (call $exit (call $sum {arguments}))))"#,
        params = "i32 ".repeat(COUNT as usize),
    ))
    .expect("the text is right");
    let cache = tempfile::tempdir().expect("a scratch directory");
    let runtime = Runtime::builder()
        .cache(cache.path().join("modules"))
        .functions(functions)
        .build()?;
    let program = runtime.load(&source)?;
    for engine in dormouse::EngineKind::available() {
        let mut task = Task::builder(&runtime, &program).engine(engine).start()?;
        let ended = task.run(Policy::Never).await?;
        assert_eq!(ended.exit_code(), Some(210), "{engine}");
    }
    Ok(())
}

/// A frozen task goes on in its process, and its snapshot goes on elsewhere: two equal ends.
#[tokio::test]
async fn a_frozen_task_can_go_on() -> Result<(), Error> {
    let cache = tempfile::tempdir().expect("a scratch directory");
    let runtime = Runtime::builder()
        .cache(cache.path().join("modules"))
        .build()?;
    let wasm = std::fs::read(guest("c_sleep_loop")).expect("a guest");
    let program = runtime.load(&wasm)?;
    let here = Arc::new(Mutex::new(Vec::new()));
    let mut task = Task::builder(&runtime, &program)
        .stdout(Sink::Capture(here.clone()))
        .start()?;
    let bytes = match task.run(Policy::Always).await? {
        Ended::Suspended(mut parked) => parked.freeze()?.encode()?,
        ended @ Ended::Exited(_) => panic!("{ended:?}"),
    };
    let before = here.lock().expect("nobody panicked").clone();
    task.run(Policy::Never).await?;

    let there = Arc::new(Mutex::new(before));
    let snapshot = Snapshot::decode(&bytes, &Limits::default())?;
    let mut copy = Task::builder(&runtime, &program)
        .stdout(Sink::Capture(there.clone()))
        .resume(&snapshot)?;
    copy.run(Policy::Never).await?;
    let (here, there) = (here.lock(), there.lock());
    assert_eq!(
        *here.expect("nobody panicked"),
        *there.expect("nobody panicked")
    );
    Ok(())
}

/// WasmEdge links what it has compiled with LLD as a library, which knows one linking at a time.
#[cfg(feature = "wasmedge")]
#[test]
fn two_modules_compile_on_wasmedge_at_once() {
    let compile = |name: &str| {
        let cache = tempfile::tempdir().expect("a scratch directory");
        let runtime = Runtime::builder().cache(cache.path().join("cache"));
        let runtime = runtime.build().expect("a runtime");
        let wasm = std::fs::read(guest(name)).expect("a guest");
        let program = runtime.load(&wasm).expect("a good guest");
        let engine = dormouse::EngineKind::WasmEdge;
        let compiled = program.compile(&runtime, engine, &dormouse::task::quiet);
        compiled.expect("it compiles");
    };
    std::thread::scope(|scope| {
        for _ in 0..4 {
            scope.spawn(|| (0..12).for_each(|_| compile("wat_globals")));
        }
    });
}

/// Where all that may suspend is dead code, optimising took asyncify's memory away, and the guest's
/// own was taken for it: nothing was printed.
#[test]
fn a_call_that_is_never_made_takes_no_memory_away() {
    let output = dormouse(&["run", &guest("bug_dead_code").display().to_string()]);
    assert_eq!(output.stdout, b"still here\n");
}

/// A slot that changes while a call through it is suspended led the way back into another function,
/// which ends in a trap. Every transform took it for the one that was called.
#[test]
fn a_slot_that_changes_under_its_call_leads_back_to_the_callee() {
    let module = guest("bug_slot").display().to_string();
    for transform in ["two-version", "plain", "native"] {
        let output = dormouse(&["run", "--rehearse", "--transform", transform, &module]);
        let errors = String::from_utf8_lossy(&output.stderr).into_owned();
        assert_eq!(output.status.code(), Some(0), "{transform}: {errors}");
        assert!(errors.contains("rehearsed: suspended"), "{errors}");
    }
}

/// A value on the operand stack below a call is computed again on the way back, from a local that
/// nothing read any more: the local had not been kept.
#[test]
fn what_lies_below_a_call_is_kept() {
    let folder = tempfile::tempdir().expect("a scratch directory");
    let bytes: Vec<u8> = (0..64_u8)
        .map(|n| n.wrapping_mul(37).wrapping_add(11))
        .collect();
    let path = folder.path().join("stdin");
    std::fs::write(&path, bytes).expect("there is room");
    let printed = |flags: &[&str]| {
        let stdin = std::fs::File::open(&path).expect("it was just written");
        let mut command = support::dormouse();
        command.arg("run").args(flags).arg(guest("bug_operands"));
        support::finish(&mut command, stdin.into()).stdout
    };
    let plain = printed(&["--transform", "none"]);
    assert!(!plain.is_empty());
    assert_eq!(printed(&["--rehearse"]), plain);
}
