//! The process around a guest: its streams, its signals, its engines.

use std::fs::{self, File};
use std::io::{BufRead, BufReader, Read};
use std::process::{Child, Stdio};
use std::time::Duration;

#[cfg(feature = "wasmedge")]
use dormouse::{
    Bindings, EngineKind, Error, ErrorKind, Output, Policy, Runtime, RuntimeOptions, Setup, Task,
};

use crate::support::{dormouse, ended, engines, finish, guest, resume, says, suspend};
use crate::{end, send};

pub fn full() -> File {
    File::options()
        .write(true)
        .open("/dev/full")
        .expect("Linux has one")
}

/// The log was mixed with what the guest wrote.
#[test]
fn the_log_goes_to_stderr() -> Result<(), String> {
    for flags in [&["-vv", "run"][..], &["run", "--rehearse", "-vv"]] {
        let output = finish(
            dormouse().args(flags).arg(guest("c_hello_sleep")),
            Stdio::null(),
        );
        ended(&output, 0)?;
        assert_eq!(output.stdout, b"hello\nbye\n", "{flags:?}");
        says(&output, &["fd_write", "TRACE"])?;
    }
    let scratch = tempfile::tempdir().expect("a scratch directory");
    let snapshot = scratch.path().join("snapshot");
    ended(
        &suspend::<&str>(&guest("c_hello_sleep"), &snapshot, &[]),
        75,
    )?;
    let output = finish(&mut resume(&snapshot, &["-v"]), Stdio::null());
    ended(&output, 0)?;
    assert_eq!(output.stdout, b"bye\n");
    let mut command = dormouse();
    command.args(["inspect", "-v", "--json"]).arg(&snapshot);
    let output = finish(&mut command, Stdio::null());
    serde_json::from_slice::<serde_json::Value>(&output.stdout).map_err(|e| e.to_string())?;
    Ok(())
}

/// What one stream of a command holds, one write after another.
fn writes(command: &mut std::process::Command, errors: bool) -> Vec<String> {
    use rustix::net::{AddressFamily, RecvFlags, SocketFlags, SocketType, recv, socketpair};
    // A socket that keeps writes apart.
    let (family, kind) = (AddressFamily::UNIX, SocketType::SEQPACKET);
    let (ours, theirs) = socketpair(family, kind, SocketFlags::CLOEXEC, None).expect("a pair");
    match errors {
        true => command.stdout(Stdio::null()).stderr(theirs),
        false => command.stdout(theirs).stderr(Stdio::null()),
    };
    let mut child = command.stdin(Stdio::null()).spawn().expect("it starts");
    // The command holds the other end too.
    command.stdout(Stdio::null()).stderr(Stdio::null());
    let (mut found, mut buffer) = (Vec::new(), vec![0; 1 << 16]);
    while let Ok((_, length @ 1..)) = recv(&ours, &mut buffer[..], RecvFlags::empty()) {
        found.push(String::from_utf8_lossy(&buffer[..length]).into_owned());
    }
    child.wait().expect("it is ours");
    found
}

/// A daemon said its address and token in two writes, and a line of the log came in between: the token was taken to
/// be longer than it was, and every request was refused.
#[test]
fn a_line_that_is_said_is_one_write() {
    let scratch = tempfile::tempdir().expect("a scratch directory");
    let snapshot = scratch.path().join("snapshot");
    let mut run = dormouse();
    run.args(["-vv", "run", "--suspend", "always", "--snapshot"]);
    let said = writes(run.arg(&snapshot).arg(guest("c_hello_sleep")), true);
    let ours = said.iter().any(|line| line.starts_with("dormouse: asleep"));
    assert!(ours && said.len() > 1, "it says something: {said:?}");
    let mut inspect = dormouse();
    inspect.args(["-v", "inspect"]);
    let told = writes(inspect.arg(&snapshot), false);
    assert!(told.len() > 5, "it tells something: {told:?}");
    for line in said.iter().chain(&told) {
        assert!(line.ends_with('\n'), "{line:?} of {said:?} and {told:?}");
    }
}

/// Where nobody could hear what dormouse had to say, it panicked, with the snapshot just written.
#[test]
fn a_deaf_stderr_is_no_panic() {
    let scratch = tempfile::tempdir().expect("a scratch directory");
    let snapshot = scratch.path().join("snapshot");
    let mut command = dormouse();
    command.args(["run", "--suspend", "always", "--snapshot"]);
    command.arg(&snapshot).arg(guest("c_hello_sleep"));
    let status = command.stdout(Stdio::null()).stderr(full()).status();
    assert_eq!(status.expect("it starts").code(), Some(75));
    assert!(snapshot.exists());
    for (flags, code) in [(&["run", "/nonexistent"][..], 66), (&["fly"], 64)] {
        let status = dormouse().args(flags).stderr(full()).status();
        assert_eq!(status.expect("it starts").code(), Some(code), "{flags:?}");
    }
}

/// A guest in the middle of a write that the pipe has no room for.
fn writing(flags: &[&str]) -> Child {
    let mut command = dormouse();
    command.arg("run").args(flags).arg(guest("c_bigwrite"));
    command.stdin(Stdio::null());
    command.stdout(Stdio::piped()).stderr(Stdio::piped());
    let child = command.spawn().expect("the binary starts");
    // It is there when its thread waits in the kernel for the pipe.
    let tasks = format!("/proc/{}/task", child.id());
    for _ in 0..600 {
        std::thread::sleep(Duration::from_millis(100));
        let threads = fs::read_dir(&tasks).into_iter().flatten().flatten();
        let waits = threads
            .filter_map(|thread| fs::read_to_string(thread.path().join("syscall")).ok())
            // `writev`, by its number on this processor.
            .any(|call| {
                call.starts_with(if cfg!(target_arch = "x86_64") {
                    "20 "
                } else {
                    "66 "
                })
            });
        if waits {
            return child;
        }
    }
    end(child);
    panic!("the guest does not write");
}

/// A request that comes while the guest writes to a pipe that nobody reads is met as soon as the
/// write is done.
#[test]
fn a_request_during_a_write_is_kept() -> Result<(), String> {
    let scratch = tempfile::tempdir().expect("a scratch directory");
    let snapshot = scratch.path().join("snapshot");
    let mut child = writing(&["--snapshot", &snapshot.display().to_string()]);
    send(&child, "TERM");
    std::thread::sleep(Duration::from_secs(6));
    assert!(child.try_wait().expect("it is ours").is_none(), "it ended");
    let mut stdout = child.stdout.take().expect("it is piped");
    let mut printed = Vec::new();
    stdout.read_to_end(&mut printed).expect("a pipe");
    let output = end(child);
    ended(&output, 75)?;
    says(&output, &["not suspended yet", "second signal", "asleep"])?;
    assert_eq!(printed.len(), 128 << 10, "the first of its writes, whole");
    let output = finish(&mut resume(&snapshot, &[]), Stdio::null());
    ended(&output, 0)?;
    printed.extend(output.stdout);
    let whole = finish(
        dormouse().arg("run").arg(guest("c_bigwrite")),
        Stdio::null(),
    );
    assert_eq!(printed, whole.stdout);
    Ok(())
}

/// The ways out for whoever does not want to wait for the reader.
#[test]
fn a_write_that_nobody_reads_can_be_ended() -> Result<(), String> {
    let child = writing(&[]);
    send(&child, "INT");
    ended(&end(child), 130)?;

    let mut child = writing(&[]);
    send(&child, "TERM");
    std::thread::sleep(Duration::from_millis(1500));
    send(&child, "TERM");
    assert_eq!(child.wait().expect("it ends").code(), Some(73));

    // The reader goes: the guest is told, and ends as it likes.
    let mut child = writing(&[]);
    send(&child, "TERM");
    drop(child.stdout.take());
    ended(&end(child), 1)
}

/// LLVM took the signals for itself while it compiled, so that the first one ended the process.
#[cfg(feature = "wasmedge")]
#[test]
fn the_first_signal_suspends_where_nothing_is_cached() -> Result<(), String> {
    let scratch = tempfile::tempdir().expect("a scratch directory");
    let mut command = dormouse();
    command.env("DORMOUSE_CACHE", scratch.path().join("modules"));
    command.args(["run", "--engine", "wasmedge", "--snapshot"]);
    command
        .arg(scratch.path().join("snapshot"))
        .arg(guest("ex_nap"));
    command.stdin(Stdio::null());
    command.stdout(Stdio::piped()).stderr(Stdio::piped());
    let mut child = command.spawn().expect("the binary starts");
    let mut stdout = BufReader::new(child.stdout.take().expect("it is piped"));
    let mut line = String::new();
    stdout.read_line(&mut line).expect("the guest greets");
    send(&child, "TERM");
    ended(&end(child), 75)
}

/// A guest that calls itself without end ended the process by a signal, on WasmEdge; then it was
/// told to have read outside its memory.
#[test]
fn endless_recursion_is_a_trap() -> Result<(), String> {
    for engine in engines() {
        let mut command = dormouse();
        command.args(["run", "--engine", engine]);
        let output = finish(command.arg(guest("bug_endless")), Stdio::null());
        ended(&output, 134).map_err(|message| format!("{engine}: {message}"))?;
        says(&output, &["the guest trapped", "call stack exhausted"])?;
        assert_eq!(output.stdout, b"down\n");
    }
    Ok(())
}

/// WasmEdge took the handlers of Wasmtime away when it left its guest: the next trap there ended
/// the process.
#[cfg(feature = "wasmedge")]
#[tokio::test]
async fn wasmtime_traps_after_wasmedge_ran() -> Result<(), Error> {
    let cache = tempfile::tempdir().expect("a scratch directory");
    let runtime = Runtime::new(RuntimeOptions {
        cache: Some(cache.path().join("modules")),
        ..RuntimeOptions::default()
    })?;
    let wasm = fs::read(guest("wat_dropped")).expect("a guest");
    let program = runtime.load(&wasm, &dormouse::quiet)?;
    let (wasmtime, wasmedge) = (EngineKind::Wasmtime, EngineKind::WasmEdge);
    for engine in [wasmtime, wasmedge, wasmtime, wasmedge, wasmtime] {
        let setup = Setup {
            bindings: Bindings {
                stdout: Output::Null,
                ..Bindings::default()
            },
            ..Setup::default()
        };
        let mut task = Task::new(&runtime, &program, engine, setup, &dormouse::quiet)?;
        let result = dormouse::run(&mut task, Policy::Never).await;
        let kind = result.err().map(|error| error.kind());
        assert_eq!(kind, Some(ErrorKind::Trap), "{engine}");
    }
    Ok(())
}
