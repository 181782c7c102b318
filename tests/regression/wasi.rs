//! What review of the WASI module found, seen from a guest: `wasm/src/c/bug_wasi.c` makes the
//! calls. Errnos are those of preview1.

use std::fs;
use std::io::{BufRead, BufReader, Write};
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::time::{Duration, SystemTime};

use dormouse_test_support::{dormouse, end, guest, resume, send};

/// `run` of a case with `work` as its directory.
fn case(name: &str, work: &Path, flags: &[&str]) -> Command {
    let mut command = dormouse();
    command.arg("run").args(flags);
    command
        .arg("--dir")
        .arg(format!("{}::/work", work.display()));
    command.arg(guest("bug_wasi")).arg(name);
    command.stdin(Stdio::null());
    command.stdout(Stdio::piped()).stderr(Stdio::piped());
    command
}

fn spawn(command: &mut Command) -> Child {
    command.spawn().expect("the binary starts")
}

/// What a case prints, without a suspend and with one at every call that can.
fn prints(name: &str, input: &str, expected: &str) -> tempfile::TempDir {
    let mut last = None;
    for flags in [&[][..], &["--rehearse"]] {
        let work = tempfile::tempdir().expect("a scratch directory");
        let mut command = case(name, work.path(), flags);
        let mut child = spawn(command.stdin(Stdio::piped()));
        let mut stdin = child.stdin.take().expect("it is piped");
        stdin.write_all(input.as_bytes()).expect("room in a pipe");
        drop(stdin);
        let output = end(child);
        let errors = String::from_utf8_lossy(&output.stderr).into_owned();
        assert_eq!(output.status.code(), Some(0), "{flags:?}: {errors}");
        assert_eq!(String::from_utf8_lossy(&output.stdout), expected);
        last = Some(work);
    }
    last.expect("it ran")
}

/// Go asks for every right but three where it only wants to read, and a file that cannot be written
/// to did not open. Nobody, root neither, can open a program for writing that runs.
#[test]
fn a_file_that_cannot_be_written_opens_for_reading() {
    let work = tempfile::tempdir().expect("a scratch directory");
    let program = work.path().join("busy");
    fs::copy("/bin/sleep", &program).expect("a program");
    // Another thread's child may hold the copy open for writing for a moment.
    let running = (0..100).find_map(|_| {
        std::thread::sleep(Duration::from_millis(20));
        Command::new(&program).arg("60").spawn().ok()
    });
    let mut running = running.expect("it starts");
    let output = end(spawn(&mut case("readonly", work.path(), &[])));
    running.kill().expect("it runs");
    running.wait().expect("it ends");
    assert_eq!(output.stdout, b"open 0\nwrite 8\n");
}

#[test]
fn flags_that_do_not_exist_are_refused() {
    prints(
        "flags",
        "",
        "oflags 28\nfdflags 28\nlookup 28\nboth 28\nsync 28\nkept 0\n",
    );
}

#[test]
fn a_bad_result_pointer_changes_nothing() {
    prints(
        "pointers",
        "input",
        "write 21\nsize 0\nread 21\nat 0\nseek 21\nat 0\nstdin 21\nread 0: input\n",
    );
}

#[test]
fn nothing_is_created_beyond_the_last_descriptor() {
    let work = prints("full", "", "a 33\nb 33\n");
    assert!(!work.path().join("b").exists());
}

#[test]
fn directories_are_flushed_and_are_no_files() {
    let work = prints(
        "dirs",
        "",
        "write 31\nfile 54\nslash 54\nopen 0\nread 8\nsync 0\ntimes 0\nabove 0\nescape 63\n\
         rename 63\nclose 0\n",
    );
    let modified = fs::metadata(work.path().join("d")).and_then(|d| d.modified());
    let modified = modified.expect("the guest has made it");
    let time = modified.duration_since(SystemTime::UNIX_EPOCH);
    assert_eq!(time.ok(), Some(Duration::from_nanos(5_000_000_007)));
}

#[test]
fn streams_have_the_errnos_of_streams() {
    prints(
        "streams",
        "",
        "tell 70\nseek 70\nsync 8\nadvise 8\nread 8\nwrite 8\nwinch 0\n",
    );
}

#[test]
fn an_absurd_poll_is_refused() {
    prints("many", "", "poll 28\n");
}

#[test]
fn input_follows_its_descriptor() {
    prints("renumber", "input", "renumber 0\nread 0: input\n");
}

/// A deleted file that is open for appending goes on appending, and what it held is kept.
#[test]
fn a_deleted_file_goes_on_appending() {
    let work = prints("append", "", "unlink 0\nread 0: one two three\n");
    assert_eq!(fs::read_dir(work.path()).expect("it").count(), 0);
}

/// The same through a snapshot on disk, in new processes.
#[test]
fn a_deleted_file_goes_on_appending_in_another_process() {
    let work = tempfile::tempdir().expect("a scratch directory");
    let snapshot = tempfile::tempdir().expect("a scratch directory");
    let path = snapshot.path().join("snapshot");
    let text = path.display().to_string();
    let flags = ["--suspend", "always", "--snapshot", &text];
    let mut output = end(spawn(&mut case("append", work.path(), &flags)));
    let mut printed = output.stdout.clone();
    let mut resumes = 0;
    while output.status.code() == Some(75) {
        let dir = format!("{}::/work", work.path().display());
        let mut command = resume(&path, &["--suspend", "always", "--dir", &dir]);
        command.stdin(Stdio::null()).stdout(Stdio::piped());
        command.stderr(Stdio::piped());
        output = end(spawn(&mut command));
        printed.extend(&output.stdout);
        resumes += 1;
    }
    assert_eq!(output.status.code(), Some(0));
    // A wait that is not over yet is suspended once more.
    assert!(resumes >= 2, "{resumes}");
    let printed = String::from_utf8_lossy(&printed).into_owned();
    assert_eq!(printed, "unlink 0\nread 0: one two three\n");
}

/// A guest may list 1024 buffers over the same bytes: 4 GiB out of 4 MiB, which were all copied.
#[test]
fn overlapping_buffers_are_not_copied() {
    let work = tempfile::tempdir().expect("a scratch directory");
    let mut command = case("huge", work.path(), &[]);
    let mut child = spawn(command.stdout(Stdio::null()));
    let mut stderr = BufReader::new(child.stderr.take().expect("it is piped"));
    let mut line = String::new();
    stderr.read_line(&mut line).expect("the guest says it");
    let status = fs::read_to_string(format!("/proc/{}/status", child.id())).expect("it runs");
    child.kill().expect("it runs");
    child.wait().expect("it ends");
    assert_eq!(line, "errno 0\n");
    let peak = status.lines().find_map(|line| line.strip_prefix("VmHWM:"));
    let peak = peak.and_then(|rest| rest.trim().strip_suffix(" kB")?.parse().ok());
    assert!(peak.is_some_and(|peak: u64| peak < 2 << 20), "{peak:?}");
}

#[test]
fn a_closed_pipe_is_told_to_the_guest() {
    let work = tempfile::tempdir().expect("a scratch directory");
    // Closed before the guest starts: afterwards it would be a race with the guest's first write.
    let (reader, writer) = std::io::pipe().expect("a pipe");
    drop(reader);
    let output = end(spawn(case("closed", work.path(), &[]).stdout(writer)));
    assert_eq!(output.status.code(), Some(0));
    let errors = String::from_utf8_lossy(&output.stderr).into_owned();
    assert_eq!(errors, "write 64\n".repeat(3));
}

/// Opening a named pipe that nobody writes to stopped the process, and no signal reached the guest.
#[test]
fn a_named_pipe_suspends_its_reader() {
    let work = tempfile::tempdir().expect("a scratch directory");
    let pipe = work.path().join("pipe");
    let made = Command::new("mkfifo").arg(&pipe).status();
    assert!(made.expect("mkfifo runs").success());
    let snapshot = tempfile::tempdir().expect("a scratch directory");
    let path = snapshot.path().join("snapshot");
    let text = path.display().to_string();
    let mut child = spawn(&mut case("pipe", work.path(), &["--snapshot", &text]));
    let mut stdout = BufReader::new(child.stdout.take().expect("it is piped"));
    let mut line = String::new();
    stdout.read_line(&mut line).expect("the guest says it");
    assert_eq!(line, "open 0\n");
    send(&child, "TERM");
    let output = end(child);
    let errors = String::from_utf8_lossy(&output.stderr).into_owned();
    assert_eq!(output.status.code(), Some(75), "{errors}");

    let dir = format!("{}::/work", work.path().display());
    let mut command = resume(&path, &["--dir", &dir]);
    command.stdin(Stdio::null()).stdout(Stdio::piped());
    command.stderr(Stdio::piped());
    let child = spawn(&mut command);
    // Opens when the other end is open.
    fs::write(&pipe, "hello").expect("the guest reads");
    let output = end(child);
    assert_eq!(output.stdout, b"read 0: hello\n");
}

/// The host's directory itself was renamed while the guest had a file open in there.
#[test]
fn a_directory_of_the_host_may_be_renamed() {
    let outer = tempfile::tempdir().expect("a scratch directory");
    let (before, after) = (outer.path().join("before"), outer.path().join("after"));
    fs::create_dir(&before).expect("a scratch directory");
    let path = outer.path().join("snapshot");
    let text = path.display().to_string();
    let mut child = spawn(&mut case("moved", &before, &["--snapshot", &text]));
    let mut stdout = BufReader::new(child.stdout.take().expect("it is piped"));
    let mut line = String::new();
    stdout.read_line(&mut line).expect("the guest says it");
    fs::rename(&before, &after).expect("both are ours");
    send(&child, "TERM");
    assert_eq!(end(child).status.code(), Some(75));
    // Only half of its sleep is over, which another clock would tell; nobody has to wait for it.
    let dir = format!("{}::/work", after.display());
    let mut command = resume(&path, &["--suspend", "always", "--dir", &dir]);
    command.stdin(Stdio::null()).stderr(Stdio::piped());
    assert_eq!(end(spawn(&mut command)).status.code(), Some(75));
    assert_eq!(fs::read(after.join("a")).expect("it is there"), b"one ");
}

/// A deleted directory that is open has no name to be found by: which one it is, was not told.
#[test]
fn what_cannot_be_written_down_is_named() {
    let work = tempfile::tempdir().expect("a scratch directory");
    let snapshot = work.path().join("snapshot").display().to_string();
    let flags = ["--suspend", "always", "--snapshot", &snapshot];
    let output = end(spawn(&mut case("gone", work.path(), &flags)));
    let errors = String::from_utf8_lossy(&output.stderr).into_owned();
    assert_eq!(output.status.code(), Some(0), "{errors}");
    assert!(
        errors.contains("not suspended") && errors.contains("/work/d"),
        "{errors}"
    );
}
