//! Limits, against guests that take without end: each ends with a message that names the limit, its value
//! and how to raise it.

use std::path::Path;
use std::process::{Output, Stdio};

use dormouse_test_support::{assert_ended, engines, finish, stderr};

fn guest(name: &str) -> String {
    dormouse_test_support::guest(name).display().to_string()
}

fn dormouse(arguments: &[&str]) -> Output {
    finish(
        dormouse_test_support::dormouse().args(arguments),
        Stdio::null(),
    )
}

#[track_caller]
fn ends(output: &Output, code: i32, words: &[&str]) {
    assert_ended(output, code, &stderr(output), words);
}

/// What the guest takes, under which limits, and how it ends.
const HOSTILE: [(&str, &[&str], i32, &[&str]); 11] = [
    // It is told, and gives up: its own exit code.
    (
        "memory",
        &["memory=64M"],
        3,
        &["the limit memory=64M was reached", "--limit memory=VALUE"],
    ),
    (
        "files",
        &["files=20"],
        80,
        &["the limit files=20 was reached"],
    ),
    (
        "stack",
        &["stack=256K"],
        134,
        &["the limit stack=256K was reached", "--limit stack=VALUE"],
    ),
    (
        "stdout",
        &["output=100K"],
        80,
        &["the limit output=100K was reached"],
    ),
    (
        "file",
        &["file-size=1M"],
        80,
        &["the limit file-size=1M was reached"],
    ),
    (
        "file",
        &["writes=1M"],
        80,
        &["the limit writes=1M was reached"],
    ),
    (
        "sleep",
        &["time=300ms"],
        80,
        &["the limit time=300ms was reached"],
    ),
    (
        "spin",
        &["cpu=200ms"],
        80,
        &["the limit cpu=200ms was reached", "--limit cpu=none"],
    ),
    (
        "spin",
        &["time=300ms"],
        80,
        &["the limit time=300ms was reached"],
    ),
    (
        "spin",
        &["module=1K"],
        80,
        &["the limit module=1K was reached"],
    ),
    (
        "spin",
        &["functions=5"],
        80,
        &["the limit functions=5 was reached"],
    ),
];

#[test]
fn a_guest_that_takes_without_end_ends_with_the_limit_named() {
    for engine in engines() {
        for (what, limits, code, words) in HOSTILE {
            let folder = tempfile::tempdir().expect("a folder");
            let dir = format!("{}::/work", folder.path().display());
            let module = guest("bug_hostile");
            let mut arguments = vec!["run", "--engine", engine, "--dir", &dir];
            for limit in limits {
                arguments.extend(["--limit", limit]);
            }
            arguments.extend([module.as_str(), what]);
            println!("{engine} {what} {limits:?}");
            ends(&dormouse(&arguments), code, words);
        }
    }
}

#[test]
fn a_guest_that_gives_up_is_explained() {
    for engine in engines() {
        let module = guest("bug_hostile");
        let run = ["run", "--engine", engine];
        let told = [
            &run[..],
            &[
                "--limit", "files=9", "--tmpfs", "/work", &module, "files", "x",
            ],
        ]
        .concat();
        ends(&dormouse(&told), 3, &["the limit files=9 was reached"]);
        let told = [&run[..], &["--tmpfs", "/work=1M", &module, "file"]].concat();
        ends(&dormouse(&told), 3, &["the limit tmpfs="]);
    }
}

/// Wasmtime is told the limit; WasmEdge knows the maximum that every table declares, and says so.
#[test]
fn tables_end_somewhere() {
    let module = guest("bug_tables");
    for engine in engines() {
        let run = ["run", "--engine", engine];
        let output = dormouse(&[&run[..], &["--limit", "table=5000", &module]].concat());
        match engine {
            "wasmtime" => ends(&output, 80, &["the limit table=5000 was reached"]),
            _ => ends(&output, 69, &["cannot hold the limit table"]),
        }
        let output = dormouse(&[&run[..], &[&module]].concat());
        match engine {
            "wasmtime" => ends(&output, 80, &["the limit table=1048576 was reached"]),
            _ => ends(&output, 134, &["trapped"]),
        }
    }
}

fn snapshot_of(arguments: &[&str], snapshot: &Path) -> Output {
    let path = snapshot.display().to_string();
    let all = [
        &["run", "--on-limit", "pause", "--snapshot", &path],
        arguments,
    ]
    .concat();
    dormouse(&all)
}

#[test]
fn a_task_can_be_paused_instead_and_goes_on_with_a_higher_limit() {
    for engine in engines() {
        let folder = tempfile::tempdir().expect("a folder");
        let snapshot = folder.path().join("snapshot");
        let path = snapshot.display().to_string();
        let module = guest("bug_hostile");
        let output = snapshot_of(
            &[
                "--engine",
                engine,
                "--limit",
                "time=300ms",
                "--limit",
                "files=100",
                &module,
                "sleep",
            ],
            &snapshot,
        );
        ends(
            &output,
            75,
            &["paused: the limit time=300ms", "asleep until"],
        );
        // What is to be given again, but for what was not enough.
        let hint = String::from_utf8_lossy(&output.stderr).into_owned();
        let again = format!("dormouse resume --limit files=100 --on-limit pause {path}");
        assert!(hint.contains(&again), "{hint}");
        // The time since the start counts, not that of this process.
        let again = dormouse(&["resume", "--engine", engine, "--limit", "time=300ms", &path]);
        ends(&again, 80, &["the limit time=300ms was reached"]);
        let more = dormouse(&["resume", "--engine", engine, "--limit", "time=3s", &path]);
        ends(&more, 80, &["the limit time=3s was reached"]);
    }
}

#[test]
fn cpu_time_is_carried_over_suspends() {
    for engine in engines() {
        let folder = tempfile::tempdir().expect("a folder");
        let snapshot = folder.path().join("snapshot");
        let path = snapshot.display().to_string();
        let module = guest("bug_hostile");
        let arguments = [
            "--engine",
            engine,
            "--preempt",
            "--limit",
            "cpu=300ms",
            &module,
            "spin",
        ];
        let output = snapshot_of(&arguments, &snapshot);
        ends(&output, 75, &["paused: the limit cpu=300ms"]);
        let begun = std::time::Instant::now();
        let again = dormouse(&["resume", "--engine", engine, "--limit", "cpu=300ms", &path]);
        ends(&again, 80, &["the limit cpu=300ms was reached"]);
        let more = dormouse(&["resume", "--engine", engine, "--limit", "cpu=600ms", &path]);
        ends(&more, 80, &["the limit cpu=600ms was reached"]);
        println!("{engine}: {:?}", begun.elapsed());
    }
}

/// One that can be suspended nowhere ends, a tenth later.
#[test]
fn a_task_that_cannot_be_paused_ends() {
    for engine in engines() {
        let folder = tempfile::tempdir().expect("a folder");
        let snapshot = folder.path().join("snapshot");
        let module = guest("bug_hostile");
        for (what, limit) in [("spin", "cpu=200ms"), ("stdout", "output=100K")] {
            let output = snapshot_of(
                &["--engine", engine, "--limit", limit, &module, what],
                &snapshot,
            );
            ends(&output, 80, &["the limit", limit]);
            assert!(!snapshot.exists());
        }
    }
}

#[test]
fn a_snapshot_gives_no_more_than_its_resumer_does() {
    let folder = tempfile::tempdir().expect("a folder");
    let snapshot = folder.path().join("snapshot");
    let path = snapshot.display().to_string();
    let module = guest("c_hello_sleep");
    let arguments = ["--suspend", "always", "--tmpfs", "/tmp", &module];
    ends(&snapshot_of(&arguments, &snapshot), 75, &["asleep until"]);
    for limit in [
        "memory=64K",
        "files=2",
        "tmpfs=100",
        "suspended-stack=8",
        "snapshot=1K",
    ] {
        let output = dormouse(&["resume", "--limit", limit, &path]);
        let name = limit.split('=').next().expect("a name");
        let code = if name == "snapshot" { 67 } else { 80 };
        ends(&output, code, &[&format!("--limit {name}=")]);
    }
    ends(&dormouse(&["resume", &path]), 0, &[]);
}

#[test]
fn wrong_limits_are_explained() {
    let module = guest("c_exit");
    for (limit, word) in [
        ("nothing=1", "there are memory, table"),
        ("cpu=5", "500ms, 10s"),
        ("memory=x", "256M or 1G"),
        ("memory", "NAME=VALUE"),
    ] {
        ends(&dormouse(&["run", "--limit", limit, &module]), 64, &[word]);
    }
}
