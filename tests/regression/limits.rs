//! Bugs in what a guest may take, and in what it is given.

use dormouse::{ErrorKind, Limits, Snapshot};

use super::dormouse;
use dormouse_test_support::guest;

fn text(output: &std::process::Output) -> String {
    String::from_utf8_lossy(&output.stderr).into_owned()
}

/// Where it was to be paused it was asked to suspend, again and again, and never ended: its loop has no place for
/// that.
#[test]
fn a_guest_that_never_listens_and_cannot_be_paused_ends() {
    let work = tempfile::tempdir().expect("a scratch directory");
    let dir = format!("{}::/work", work.path().display());
    let module = guest("bug_hostile").display().to_string();
    let output = dormouse(&[
        "run",
        "--on-limit",
        "pause",
        "--limit",
        "files=20",
        // Where it does not end by that, it does by this.
        "--limit",
        "cpu=20s",
        "--dir",
        &dir,
        &module,
        "files",
    ]);
    assert_eq!(output.status.code(), Some(80), "{}", text(&output));
    assert!(text(&output).contains("files=20"), "{}", text(&output));
}

/// A resume took both for the first, so that what was to be read only could be written to.
#[test]
fn two_directories_of_one_name_are_refused() {
    let module = guest("c_exit").display().to_string();
    let output = dormouse(&["run", "--dir", "/tmp::/a", "--dir", "/::/a:ro", &module]);
    assert_eq!(output.status.code(), Some(64), "{}", text(&output));
    assert!(
        text(&output).contains("are to be called /a"),
        "{}",
        text(&output)
    );
}

/// Without a limit, a write far behind a file's end asked for memory that there is not, and ended the process.
#[test]
fn a_file_in_memory_that_no_memory_can_hold_is_an_error_of_the_guests() {
    let module = guest("bug_grants").display().to_string();
    let run = [
        "run",
        "--limit",
        "tmpfs=none",
        "--tmpfs",
        "/a",
        &module,
        "far",
    ];
    let output = dormouse(&run);
    assert_eq!(output.status.code(), Some(0), "{}", text(&output));
    let printed = String::from_utf8_lossy(&output.stdout).into_owned();
    // 51 is ENOSPC.
    let expected = "create f: 0\nset size f: 51\nwrite far f: 51\nwrite f: 0\n";
    assert_eq!(printed, expected);
}

/// The next file got no number: the sum overflowed.
#[test]
fn a_snapshot_whose_directory_in_memory_has_used_up_its_numbers_is_refused() {
    let folder = tempfile::tempdir().expect("a scratch directory");
    let path = folder.path().join("snapshot");
    let name = path.display().to_string();
    let module = guest("bug_grants").display().to_string();
    let sleep = ["--suspend", "always", "--snapshot", &name];
    let output = dormouse(&[&["run", "--tmpfs", "/a"], &sleep[..], &[&module, "hold"]].concat());
    assert_eq!(output.status.code(), Some(75), "{}", text(&output));
    let bytes = std::fs::read(&path).expect("it is there");
    let mut snapshot = Snapshot::decode(&bytes, &Limits::default()).expect("it is ours");
    let key = b"\xa4next";
    let found = snapshot
        .wasi
        .windows(key.len())
        .position(|bytes| bytes == key);
    let at = found.expect("a number") + key.len();
    assert_eq!(snapshot.wasi[at], 3, "root, `made`, and the next");
    // The largest number that there is.
    snapshot
        .wasi
        .splice(at..=at, [0xcf].into_iter().chain([0xff; 8]));
    std::fs::write(&path, snapshot.encode().expect("it encodes")).expect("it can be written");
    let output = dormouse(&["resume", &name]);
    assert_eq!(output.status.code(), Some(67), "{}", text(&output));
}

/// What the library and the API were told of a directory in memory was not held against the limit.
#[test]
fn a_directory_in_memory_is_no_larger_than_its_limit() {
    let runtime = dormouse::Runtime::new().expect("a runtime");
    let wasm = std::fs::read(guest("c_exit")).expect("a guest");
    let program = runtime.load(&wasm).expect("it can be run");
    let task = dormouse::Task::builder(&runtime, &program)
        .tmpfs(dormouse::wasi::TmpDir {
            guest: "/t".into(),
            limit: 1 << 40,
        })
        .start();
    let error = task.expect_err("it is too much");
    assert_eq!(error.kind(), ErrorKind::Limit, "{error}");
    assert!(error.to_string().contains("tmpfs=64M"), "{error}");
}

/// It went on for as long as one may that is to be paused.
#[test]
fn a_task_that_is_resumed_with_nothing_left_ends_at_once() {
    let folder = tempfile::tempdir().expect("a scratch directory");
    let path = folder.path().join("snapshot").display().to_string();
    let module = guest("ex_spin").display().to_string();
    let pause = ["--preempt", "--limit", "cpu=1s", "--on-limit", "pause"];
    let run = [
        &["run", "--snapshot", &path],
        &pause[..],
        &[&module, "1000"],
    ]
    .concat();
    let output = dormouse(&run);
    assert_eq!(output.status.code(), Some(75), "{}", text(&output));
    assert!(!output.stdout.is_empty(), "a second is enough for a line");
    let output = dormouse(&["resume", "--limit", "cpu=900ms", "--on-limit", "end", &path]);
    assert_eq!(output.status.code(), Some(80), "{}", text(&output));
    let printed = String::from_utf8_lossy(&output.stdout).into_owned();
    // Forty or so before.
    assert!(printed.lines().count() < 10, "{printed}");
}

/// JSON has no bytes that are no text, and the path was put into it as it is.
#[test]
fn a_task_file_whose_name_is_no_text_can_be_audited() {
    use std::os::unix::ffi::OsStrExt;
    let folder = tempfile::tempdir().expect("a scratch directory");
    let path = folder
        .path()
        .join(std::ffi::OsStr::from_bytes(b"\xff.toml"));
    std::fs::write(&path, "module = \"x.wasm\"\n").expect("a file");
    let mut command = dormouse_test_support::dormouse();
    command.args(["audit", "--json"]).arg(&path);
    let output = dormouse_test_support::finish(&mut command, std::process::Stdio::null());
    assert_eq!(output.status.code(), Some(82), "{}", text(&output));
    let printed = String::from_utf8_lossy(&output.stdout).into_owned();
    assert!(printed.contains("module-without-digest"), "{printed}");
}

/// It waited for the whole of a wait, whatever the limit of time said.
#[test]
fn a_rehearsal_ends_at_the_limit_of_time() {
    let module = guest("bug_hostile").display().to_string();
    let mut command = std::process::Command::new("timeout");
    command.args(["-k", "5", "60", env!("CARGO_BIN_EXE_dormouse")]);
    command.args([
        "run",
        "--rehearse",
        "--limit",
        "time=300ms",
        &module,
        "sleep",
    ]);
    command.env("DORMOUSE_CACHE", dormouse_test_support::test_modules());
    let output = dormouse_test_support::finish(&mut command, std::process::Stdio::null());
    assert_eq!(output.status.code(), Some(80), "{}", text(&output));
    assert!(text(&output).contains("time=300ms"), "{}", text(&output));
}
