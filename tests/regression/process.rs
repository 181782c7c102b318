//! The process around a guest: its streams, its signals, its engines.

use std::fs::{self, File};
use std::io::{BufRead, BufReader, Read};
use std::process::{Child, Stdio};
use std::time::Duration;

#[cfg(feature = "wasmedge")]
use dormouse::wasi::Output;
use dormouse::{EngineKind, Error, ErrorKind, Policy, Runtime, Task};

use dormouse_test_support::{
    dormouse, end, ended, engines, finish, guest, resume, says, send, suspend,
};

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
    let runtime = Runtime::builder()
        .cache(cache.path().join("modules"))
        .build()?;
    let wasm = fs::read(guest("wat_dropped")).expect("a guest");
    let program = runtime.load(&wasm)?;
    let (wasmtime, wasmedge) = (EngineKind::Wasmtime, EngineKind::WasmEdge);
    for engine in [wasmtime, wasmedge, wasmtime, wasmedge, wasmtime] {
        let mut task = Task::builder(&runtime, &program)
            .engine(engine)
            .stdout(Output::Null)
            .start()?;
        let result = task.run(Policy::Never).await;
        let kind = result.err().map(|error| error.kind());
        assert_eq!(kind, Some(ErrorKind::Trap), "{engine}");
    }
    Ok(())
}

/// Binaryen takes long for a large module.
const BINARYEN: &str = "--transform=two-version";

/// A module that takes long to make ready, with a cache in which nothing is.
fn making(
    cache: &std::path::Path,
    flags: &[&str],
) -> (Child, BufReader<std::process::ChildStderr>) {
    // What runs the tests may ignore SIGHUP, as `nohup` does, and its children then do as well.
    let mut child = std::process::Command::new("env")
        .arg("--default-signal=HUP")
        .arg(env!("CARGO_BIN_EXE_dormouse"))
        .arg("run")
        .args(flags)
        .arg(guest("go_chan"))
        .env("DORMOUSE_CACHE", cache)
        .stdin(Stdio::null())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .expect("the binary starts");
    let stderr = BufReader::new(child.stderr.take().expect("it is piped"));
    (child, stderr)
}

/// Processes that have this directory for their cache.
fn users_of(cache: &std::path::Path) -> Vec<std::path::PathBuf> {
    use std::os::unix::ffi::OsStrExt;
    let wanted = [b"DORMOUSE_CACHE=", cache.as_os_str().as_bytes()].concat();
    let all = fs::read_dir("/proc").expect("Linux has it").flatten();
    let has = |path: &std::path::PathBuf| {
        let environment = fs::read(path.join("environ")).unwrap_or_default();
        environment
            .split(|byte| *byte == 0)
            .any(|word| word == wanted)
    };
    all.map(|entry| entry.path()).filter(has).collect()
}

/// The line that begins a work was not there where stderr is no terminal: minutes of silence. And a signal then left what
/// was half made in the cache.
#[test]
fn a_signal_while_a_module_is_made_ready_ends_it_and_leaves_nothing() -> Result<(), String> {
    for (signal, code) in [("TERM", 143), ("INT", 130), ("HUP", 129)] {
        let cache = tempfile::tempdir().expect("a scratch directory");
        let (mut child, mut stderr) = making(cache.path(), &[BINARYEN]);
        let mut line = String::new();
        stderr.read_line(&mut line).expect("it is text");
        let begins = "dormouse: making go_chan.wasm resumable: once, about ";
        dormouse_test_support::check(line.starts_with(begins), || line.clone())?;
        send(&child, signal);
        let mut said = String::new();
        stderr.read_to_string(&mut said).expect("it is text");
        let status = child.wait().expect("it ends");
        assert_eq!(status.code(), Some(code), "{said}");
        assert!(
            said.contains(&format!("ended by SIG{signal} before the guest")),
            "{said}"
        );
        let left: Vec<_> = fs::read_dir(cache.path())
            .expect("it is there")
            .flatten()
            .collect();
        assert!(left.is_empty(), "{left:?}");
        // The kernel ends the children of a process that has gone; that takes a moment.
        let since = std::time::Instant::now();
        while !users_of(cache.path()).is_empty() {
            assert!(
                since.elapsed() < Duration::from_secs(60),
                "{:?}",
                users_of(cache.path())
            );
            std::thread::sleep(Duration::from_millis(20));
        }
    }
    Ok(())
}

/// Of both engines' compilers, which write files of their own.
#[test]
fn a_signal_while_a_module_is_compiled_leaves_nothing_half_made() {
    // The rewriting is in the cache that all tests share, and is taken from there.
    let shared = dormouse_test_support::test_modules();
    let runtime = Runtime::builder().cache(shared.clone()).build();
    let wasm = fs::read(guest("go_chan")).expect("a guest");
    let program = runtime.expect("a cache").load(&wasm);
    let digest = program.expect("a good guest").digest().to_string();
    let cache = tempfile::tempdir().expect("a scratch directory");
    for entry in fs::read_dir(&shared).expect("it is there").flatten() {
        let name = entry.file_name().into_string().expect("text");
        let ours = name.ends_with(".source")
            || name == format!("{digest}.manifest")
            || name == format!("{digest}.wasm.zst");
        if ours {
            fs::copy(entry.path(), cache.path().join(name)).expect("a copy");
        }
    }
    let complete = |folder: &std::path::Path| {
        let entries = fs::read_dir(folder).expect("it is there").flatten();
        let mut names: Vec<_> = entries.map(|entry| entry.file_name()).collect();
        names.sort();
        names
    };
    let before = complete(cache.path());
    for engine in engines() {
        let (mut child, stderr) = making(cache.path(), &["-v", "--engine", engine]);
        let mut lines = stderr.lines().map_while(Result::ok);
        // In the log, where there is one.
        let begins = format!("making go_chan.wasm ready for {engine}: once, about ");
        assert!(lines.any(|line| line.contains(&begins)), "{begins}");
        send(&child, "TERM");
        let status = child.wait().expect("it ends");
        assert_eq!(status.code(), Some(143));
        assert_eq!(complete(cache.path()), before, "{engine}");
    }
}

/// A line at the beginning of long work and one at its end, and none for short work.
#[test]
fn long_work_on_a_module_is_told_once_at_each_end() {
    let lines = |name: &str| {
        let cache = tempfile::tempdir().expect("a scratch directory");
        let mut command = dormouse();
        command.env("DORMOUSE_CACHE", cache.path());
        command.args(["build", BINARYEN, "-o", "/dev/null"]);
        command.arg(guest(name));
        let output = finish(&mut command, Stdio::null());
        assert!(output.status.success(), "{output:?}");
        dormouse_test_support::stderr(&output)
    };
    let said = lines("go_chan");
    let count = |words: &str| said.lines().filter(|line| line.contains(words)).count();
    let begins = "dormouse: making go_chan.wasm resumable: once, about ";
    assert_eq!(count(begins), 1, "{said}");
    assert_eq!(
        count("dormouse: go_chan.wasm is resumable now: it took "),
        1,
        "{said}"
    );
    assert_eq!(lines("c_hello_sleep"), "");
}

/// A relative `XDG_CACHE_HOME` was taken for a directory below the working directory. The
/// specification of base directories says: what is empty counts as not set, and what is relative is
/// ignored.
#[test]
fn modules_are_cached_where_the_base_directories_say() {
    let folder = tempfile::tempdir().expect("a scratch directory");
    let other = folder.path().join("other").display().to_string();
    let cases = [
        (None, "home/.cache/dormouse/modules"),
        (Some(""), "home/.cache/dormouse/modules"),
        (Some("relative"), "home/.cache/dormouse/modules"),
        (Some(other.as_str()), "other/dormouse/modules"),
    ];
    for (caches, expected) in cases {
        let mut command = dormouse();
        command
            .current_dir(folder.path())
            .env_remove("DORMOUSE_CACHE")
            .env_remove("XDG_CACHE_HOME")
            .env("HOME", folder.path().join("home"));
        if let Some(caches) = caches {
            command.env("XDG_CACHE_HOME", caches);
        }
        let output = finish(
            command.arg("run").arg(guest("c_hello_sleep")),
            Stdio::null(),
        );
        assert!(output.status.success(), "{caches:?}: {output:?}");
        let made = folder.path().join(expected);
        assert_ne!(
            fs::read_dir(&made).map_or(0, Iterator::count),
            0,
            "{caches:?}"
        );
        fs::remove_dir_all(&made).expect("it was just made");
        assert!(!folder.path().join("relative").exists(), "{caches:?}");
    }
}
