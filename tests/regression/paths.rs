//! Rights that a guest gives up, names with a slash at their end, and named pipes, seen from a guest.

use std::fs;
use std::io::Read;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Output, Stdio};

use dormouse_test_support::{dormouse, end, engines, guest, resume, send};

/// `run` of a module with `work` as its directory.
fn run(module: &str, work: &Path, engine: &str, flags: &[&str], arguments: &[&str]) -> Command {
    let mut command = dormouse();
    command.args(["run", "--engine", engine]).args(flags);
    command
        .arg("--dir")
        .arg(format!("{}::/work", work.display()));
    command.arg(guest(module)).args(arguments);
    piped(&mut command);
    command
}

fn piped(command: &mut Command) {
    command.stdin(Stdio::null());
    command.stdout(Stdio::piped()).stderr(Stdio::piped());
}

fn spawn(command: &mut Command) -> Child {
    command.spawn().expect("the binary starts")
}

fn text(bytes: &[u8]) -> String {
    String::from_utf8_lossy(bytes).into_owned()
}

/// What it prints, where it ends well.
fn printed(output: &Output) -> String {
    assert_eq!(output.status.code(), Some(0), "{}", text(&output.stderr));
    text(&output.stdout)
}

/// What the specification says of each right: the call is made while it is held, then it is given up, and then the
/// call is refused, and the right does not come back. 76 is ENOTCAPABLE. Where one right includes
/// another, as that to seek includes that to tell, the call goes on until both are given up.
fn expected_of_rights() -> String {
    const LINES: [(&str, usize, bool); 40] = [
        ("fd_datasync", 1, false),
        ("fd_read", 1, false),
        ("fd_pread", 2, false),
        ("fd_pwrite", 2, false),
        ("fd_seek", 1, false),
        ("fd_seek to where it is", 1, true),
        ("fd_tell", 1, true),
        ("fd_fdstat_set_flags", 1, false),
        ("fd_sync", 1, false),
        ("fd_write", 1, false),
        ("fd_advise", 1, false),
        ("fd_filestat_get", 1, false),
        ("fd_filestat_set_size", 1, false),
        ("fd_filestat_set_times", 1, false),
        ("poll for reading", 2, false),
        ("poll for writing", 2, false),
        ("path_create_directory", 1, false),
        ("path_open, creating", 2, false),
        ("path_open", 1, false),
        ("path_open, dsync", 1, false),
        ("path_open, data or all", 1, true),
        ("path_open, rsync", 2, false),
        ("path_open, sync", 2, false),
        ("path_open, emptying", 2, false),
        ("path_open, only emptying", 2, false),
        ("path_link, from", 1, false),
        ("path_link, to", 1, false),
        ("path_rename, from", 1, false),
        ("path_rename, to", 1, false),
        ("fd_readdir", 1, false),
        ("path_readlink", 1, false),
        ("path_filestat_get", 1, false),
        ("path_filestat_set_times", 1, false),
        ("fd_filestat_get of a directory", 1, false),
        ("fd_filestat_set_times of a directory", 1, false),
        ("fd_sync of a directory", 1, false),
        ("fd_datasync of a directory", 1, false),
        ("path_symlink", 1, false),
        ("path_remove_directory", 1, false),
        ("path_unlink_file", 1, false),
    ];
    let mut text = String::new();
    for (name, rights, or_another) in LINES {
        text += &format!("{name}: held 0");
        for _ in 0..rights {
            text += if or_another { ", or 0" } else { "" };
            text += ", given up 76, again 76";
        }
        text += "\n";
    }
    // A file does not have the last two anyway.
    for name in [
        "reading",
        "writing",
        "seeking",
        "sizes",
        "unlinking",
        "emptying",
    ] {
        text += &format!("{name}: asked 76, passed on 76, below 0: 0 0, in a file 0: 0\n");
    }
    text
}

/// A right was looked at by some calls and not by others; what a directory passes on, by none.
#[test]
fn a_right_that_was_given_up_stays_so() {
    for engine in engines() {
        for (flags, arguments) in [(&[][..], &[][..]), (&["--rehearse"], &["sleep"])] {
            let work = tempfile::tempdir().expect("a scratch directory");
            let command = &mut run("bug_rights", work.path(), engine, flags, arguments);
            let printed = printed(&end(spawn(command)));
            assert_eq!(printed, expected_of_rights(), "{engine} {flags:?}");
        }
    }
}

/// The same in a directory in memory. A link or a rename to another one is refused there for that alone.
#[test]
fn a_right_that_was_given_up_stays_so_in_memory() {
    for (flags, arguments) in [(&[][..], &[][..]), (&["--rehearse"], &["sleep"])] {
        let mut command = dormouse();
        command
            .arg("run")
            .args(flags)
            .args(["--tmpfs", "/work"])
            .arg(guest("bug_rights"));
        piped(command.args(arguments));
        let printed = printed(&end(spawn(&mut command)));
        assert_eq!(printed, expected_of_rights(), "{flags:?}");
    }
}

/// cap-std drops the slash, and so a file was renamed to `new/`, and a link replaced one. Expected is what the kernel
/// says of the same calls, in `crates/wasi/src/p1/tests/kernel`: here for the whole way from a guest.
#[test]
fn a_file_is_not_renamed_to_a_name_with_a_slash() {
    for engine in engines() {
        let work = tempfile::tempdir().expect("a scratch directory");
        let command = &mut run(
            "bug_wasi",
            work.path(),
            engine,
            &["--rehearse"],
            &["rename_slash"],
        );
        assert_eq!(
            printed(&end(spawn(command))),
            "to a new name 54\na link over a file 54\nwith two 54\nover a file 54\nfrom a slash 54\n"
        );
        let mut names: Vec<_> = fs::read_dir(work.path())
            .expect("it is there")
            .flatten()
            .map(|entry| entry.file_name())
            .collect();
        names.sort();
        assert_eq!(names, ["f", "g", "l"]);
    }
}

/// A directory with a named pipe in it.
fn with_pipe() -> (tempfile::TempDir, PathBuf) {
    let work = tempfile::tempdir().expect("a scratch directory");
    let pipe = work.path().join("pipe");
    let made = Command::new("mkfifo").arg(&pipe).status();
    assert!(made.expect("mkfifo runs").success());
    (work, pipe)
}

/// Reads a pipe to its end, as any program does: its open waits for a writer.
fn reader(pipe: &Path) -> Child {
    spawn(Command::new("cat").arg(pipe).stdout(Stdio::piped()))
}

const WRITTEN: &str = "opens 0\nopen 0\nwrite 0\nclose 0\n";

/// It gave ENXIO. The kernel lets an open wait, and so does this; a reader that was there first is met, too.
#[test]
fn opening_a_pipe_to_write_waits_for_its_reader() {
    for engine in engines() {
        for flags in [&[][..], &["--rehearse"], &["--transform", "none"]] {
            for way in ["plain", "fopen"] {
                for reader_first in [false, true] {
                    let (work, pipe) = with_pipe();
                    let first = reader_first.then(|| reader(&pipe));
                    let command =
                        &mut run("bug_wasi", work.path(), engine, flags, &["writer", way]);
                    let mut guest = spawn(command);
                    let mut begun = [0; 8];
                    let stdout = guest.stdout.as_mut().expect("it is piped");
                    stdout.read_exact(&mut begun).expect("the guest says it");
                    let reader = first.unwrap_or_else(|| reader(&pipe));
                    let (output, read) = (end(guest), end(reader));
                    let printed = text(&begun) + &printed(&output);
                    assert_eq!(printed, WRITTEN, "{engine} {flags:?} {way} {reader_first}");
                    assert_eq!(text(&read.stdout), "from the guest");
                }
            }
        }
    }
}

/// Its wait is one like another: a snapshot of it says what it is for, and other processes, with the other engine,
/// go on with it until the reader comes.
#[test]
fn a_guest_that_waits_for_a_reader_is_suspended() {
    for way in ["plain", "fopen"] {
        let (work, pipe) = with_pipe();
        let path = work.path().join("snapshot");
        let name = path.display().to_string();
        let always = ["--suspend", "always", "--snapshot", &name];
        let engines = engines();
        let command = &mut run(
            "bug_wasi",
            work.path(),
            engines[0],
            &always,
            &["writer", way],
        );
        let output = end(spawn(command));
        assert_eq!(output.status.code(), Some(75), "{}", text(&output.stderr));
        assert_eq!(text(&output.stdout), "opens 0\n");
        let inspect = dormouse().arg("inspect").arg(&path).output();
        let shown = text(&inspect.expect("it runs").stdout);
        assert!(shown.contains("a reader of a named pipe"), "{shown}");

        let dir = format!("{}::/work", work.path().display());
        let resumed = |engine: &str, policy: &str| {
            let mut command = resume(
                &path,
                &["--engine", engine, "--suspend", policy, "--dir", &dir],
            );
            piped(&mut command);
            spawn(&mut command)
        };
        for engine in &engines {
            let output = end(resumed(engine, "always"));
            assert_eq!(output.status.code(), Some(75), "{}", text(&output.stderr));
            assert!(output.stdout.is_empty());
        }
        let guest = resumed(engines[engines.len() - 1], "never");
        let reader = reader(&pipe);
        let (output, read) = (end(guest), end(reader));
        assert_eq!(printed(&output), "open 0\nwrite 0\nclose 0\n");
        assert_eq!(text(&read.stdout), "from the guest");
    }
}

/// SIGTERM reaches it while it waits.
#[test]
fn a_guest_that_waits_for_a_reader_hears_signals() {
    let (work, _pipe) = with_pipe();
    let path = work.path().join("snapshot").display().to_string();
    let command = &mut run(
        "bug_wasi",
        work.path(),
        engines()[0],
        &["--snapshot", &path],
        &["writer", "plain"],
    );
    let mut guest = spawn(command);
    let mut begun = [0; 8];
    let stdout = guest.stdout.as_mut().expect("it is piped");
    stdout.read_exact(&mut begun).expect("the guest says it");
    send(&guest, "TERM");
    let output = end(guest);
    assert_eq!(output.status.code(), Some(75), "{}", text(&output.stderr));
}

/// As natively: who does not want to wait is told ENXIO (60), who has both ends waits for nobody, and a pipe is no
/// directory (54).
#[test]
fn pipes_are_not_waited_for_by_all() {
    let (work, pipe) = with_pipe();
    let native = native_open(&pipe, native_flags::WRITE_NONBLOCK);
    assert_eq!(native, Some(6), "the kernel's own ENXIO");
    assert_eq!(native_open(&pipe, native_flags::BOTH), None);
    for engine in engines() {
        for (way, expected) in [
            ("nonblock", "opens 0\nopen 60\n"),
            ("both", WRITTEN),
            ("directory", "opens 0\nopen 54\n"),
        ] {
            let command = &mut run(
                "bug_wasi",
                work.path(),
                engine,
                &["--rehearse"],
                &["writer", way],
            );
            assert_eq!(printed(&end(spawn(command))), expected, "{way}");
        }
    }
}

/// The system's error of an open, if it is one.
fn native_open(path: &Path, (write, flags): (bool, i32)) -> Option<i32> {
    use std::os::unix::fs::OpenOptionsExt;
    let mut options = fs::OpenOptions::new();
    options.read(!write).write(true).custom_flags(flags);
    options
        .open(path)
        .err()
        .and_then(|error| error.raw_os_error())
}

mod native_flags {
    pub const WRITE_NONBLOCK: (bool, i32) = (true, 0o4000);
    pub const BOTH: (bool, i32) = (false, 0);
}

/// Times of a pipe were set by opening it, which waited for its other end, in the host and for ever.
#[test]
fn times_of_a_pipe_are_set_without_opening_it() {
    let (work, pipe) = with_pipe();
    let command = &mut run("bug_wasi", work.path(), engines()[0], &[], &["pipe_times"]);
    assert_eq!(
        printed(&end(spawn(command))),
        "followed 0\nnot followed 0\n"
    );
    let modified = fs::metadata(&pipe).and_then(|pipe| pipe.modified());
    let since = modified
        .expect("it is there")
        .duration_since(std::time::SystemTime::UNIX_EPOCH);
    assert_eq!(since.ok(), Some(std::time::Duration::new(6, 7)));
}
