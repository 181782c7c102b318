//! What a guest may only read, and what it learns of time and chance.

use std::fs;
use std::process::{Output, Stdio};

use crate::escapes::{Host, in_a_mount_namespace};
use crate::lines;
use dormouse_test_support::{dormouse, ended, finish, guest};

fn host() -> Host {
    let host = Host::new();
    std::os::unix::fs::symlink("sub/file", host.path("a/link")).expect("a link");
    std::os::unix::fs::symlink("nowhere", host.path("a/dangling")).expect("a link");
    host
}

/// Everything below a directory: names, what they are, content and times.
fn content(host: &Host) -> Vec<String> {
    let mut found = Vec::new();
    let mut left = vec![host.path("a"), host.path("b")];
    while let Some(path) = left.pop() {
        let meta = path.symlink_metadata().expect("it is there");
        let text = fs::read_to_string(&path).unwrap_or_default();
        let time = meta.modified().expect("a time");
        found.push(format!("{path:?} {:?} {text} {time:?}", meta.file_type()));
        if meta.is_dir() {
            let entries = fs::read_dir(&path).expect("a listing");
            left.extend(entries.map(|entry| entry.expect("an entry").path()));
        }
    }
    found.sort();
    found
}

fn go(command: &str, flags: &[&str], rest: &[&str]) -> Output {
    let mut dormouse = dormouse();
    dormouse.arg(command).args(flags).args(rest);
    finish(&mut dormouse, Stdio::null())
}

/// The kernel is the oracle: the same directory, given to be written to, on a mount that is read-only.
#[test]
fn a_directory_to_be_read_only_is_one_on_a_read_only_mount() {
    let ours = host();
    let before = content(&ours);
    let module = guest("bug_grants").display().to_string();
    let dir =
        |host: &Host, name: &str, end: &str| format!("{}::/{name}{end}", host.path(name).display());
    let (a, b) = (dir(&ours, "a", ":ro"), dir(&ours, "b", ""));
    let output = go("run", &["--dir", &a, "--dir", &b], &[&module, "write"]);
    ended(&output, 0).expect("it runs");
    assert_eq!(content(&ours), before);
    let ours = lines(&output);

    let theirs = host();
    let (a, b) = (dir(&theirs, "a", ""), dir(&theirs, "b", ""));
    let root = theirs.path("a").display().to_string();
    let script = format!(
        "mount --bind {root} {root} && mount -o remount,bind,ro {root} &&
         exec $dormouse run --dir {a} --dir {b} {module} write"
    );
    let output = in_a_mount_namespace(&script);
    ended(&output, 0).expect("it runs");
    let theirs = lines(&output);
    let differ: Vec<_> = ours.iter().zip(&theirs).filter(|(o, t)| o != t).collect();
    assert!(differ.is_empty(), "ours, the kernel's: {differ:#?}");
    assert_eq!(ours.len(), theirs.len());
    // ROFS is 69.
    assert!(ours.iter().filter(|line| line.ends_with(": 69")).count() > 100);
}

#[test]
fn what_may_only_be_read_stays_so_over_a_resume() {
    for engine in dormouse_test_support::engines() {
        let host = host();
        let before = content(&host);
        let module = guest("bug_grants").display().to_string();
        let snapshot = host.path("snapshot").display().to_string();
        let plain = format!("{}::/a", host.path("a").display());
        let (ro, rw) = (format!("{plain}:ro"), format!("{plain}:rw"));
        let run = |dir: &str, how: &str| {
            let flags = [
                "--engine",
                engine,
                "--suspend",
                "always",
                "--snapshot",
                &snapshot,
            ];
            let output = go(
                "run",
                &[&flags[..], &["--dir", dir]].concat(),
                &[&module, "hold", how],
            );
            ended(&output, 75).expect("it sleeps");
            lines(&output)
        };
        let resume = |dir: &str| go("resume", &["--engine", engine, "--dir", dir], &[&snapshot]);

        let refused = ["may make: 0", "mkdir made: 69", "write file: 8"];
        assert_eq!(run(&ro, "r")[1..], refused);
        // Given again without a word it is as it was; the snapshot says so.
        for dir in [&plain, &ro] {
            let output = resume(dir);
            ended(&output, 0).expect("it ends");
            assert_eq!(lines(&output), refused);
        }
        assert_eq!(content(&host), before);
        let output = resume(&rw);
        ended(&output, 0).expect("it ends");
        assert_eq!(lines(&output)[..2], ["may make: 1", "mkdir made: 0"]);

        // What could be written to, and is not to be any more, is refused where a file is open for it.
        fs::remove_dir(host.path("a/made2")).expect("it was made");
        assert_eq!(
            run(&plain, "w")[1..],
            ["may make: 1", "mkdir made: 0", "write file: 0"]
        );
        let output = resume(&ro);
        ended(&output, 69).expect("it is refused");
        let text = String::from_utf8_lossy(&output.stderr).into_owned();
        assert!(
            text.contains("/a/file open for writing") && text.contains("/a:rw"),
            "{text}"
        );
        fs::remove_dir(host.path("a/made")).expect("it was made");
        run(&plain, "r");
        let output = resume(&ro);
        ended(&output, 0).expect("it ends");
        assert_eq!(lines(&output), refused);
    }
}

/// Two runs, on whichever engine, suspended everywhere or nowhere, are one.
#[test]
fn a_guest_with_its_own_time_and_a_seed_is_the_same_each_time() {
    let module = guest("bug_grants").display().to_string();
    let world = ["--clocks", "virtual", "--random", "seed=42"];
    let mut seen: Vec<Vec<String>> = Vec::new();
    for engine in dormouse_test_support::engines() {
        let flags = [&["--engine", engine], &world[..]].concat();
        for more in [&[][..], &["--rehearse"]] {
            let output = go("run", &[&flags[..], more].concat(), &[&module, "world"]);
            ended(&output, 0).expect("it ends");
            seen.push(lines(&output));
        }
        // In processes of their own; nothing is said again at the resume.
        let folder = tempfile::tempdir().expect("a scratch directory");
        let snapshot = folder.path().join("snapshot").display().to_string();
        let sleep = ["--suspend", "always"];
        let start = [&flags[..], &sleep, &["--snapshot", &snapshot]].concat();
        let mut output = go("run", &start, &[&module, "world"]);
        let mut all = lines(&output);
        for _ in 0..20 {
            if output.status.code() != Some(75) {
                break;
            }
            std::thread::sleep(std::time::Duration::from_millis(220));
            output = go(
                "resume",
                &["--suspend", "always", "--engine", engine],
                &[&snapshot],
            );
            all.extend(lines(&output));
        }
        ended(&output, 0).expect("it ends");
        seen.push(all);
    }
    for other in &seen {
        assert_eq!(*other, seen[0]);
    }
    // A tick for each reading, the waits, and the beginning of the year 2000.
    let first = "1000 946684800000002000 ";
    let second = "200003000 946684800200004000 ";
    assert!(
        seen[0][0].starts_with(first) && seen[0][2].starts_with(second),
        "{:#?}",
        seen[0]
    );
    assert_eq!(seen[0].iter().filter(|line| *line == "1").count(), 4);
    // The host's are others.
    let output = go("run", &[], &[&module, "world"]);
    ended(&output, 0).expect("it ends");
    assert!(!lines(&output)[0].starts_with("1000 9466848"));
    // Whoever resumes may take them away, and the clock goes on.
    for wrong in [["--clocks", "frozen"], ["--random", "seed=x"]] {
        ended(&go("run", &wrong, &[&module, "world"]), 64).expect("it is refused");
    }
}
