//! Descriptors, clocks and random numbers after a resume: each number is what it was, closed ones stay closed,
//! and nothing of the new process's shows through.

use std::collections::BTreeSet;
use std::fs;

use crate::escapes::Host;
use crate::{lines, sleep, steps, wake};
use dormouse_test_support::ended;

/// Numbers that were closed, moved and given out again, before the sleep and after it.
#[test]
fn numbers_are_what_they_were() {
    let host = Host::new();
    host.write("a/one", "1");
    host.write("a/two", "2");
    host.write("a/three", "3");
    let before = [
        "open 3 one",
        "open 3 two",
        "open 3 three",
        // 5 is one, 6 two, 7 three; then 6 is gone, and three is 5.
        "close 6",
        "renumber 7 5",
    ];
    let after = [
        "read 5",
        "read 6",
        "read 7",
        "close 6",
        "renumber 6 5",
        "open 3 two",
        "read 6",
        "open 3 one",
        "read 7",
        // The process has more open than the guest knows of: the snapshot, the engine's, tokio's.
        "read 8",
        "read 9",
        "read 20",
        "read 100",
        "write 30 x",
        "close 25",
        "renumber 40 41",
        "read 1000000",
        "read -1",
    ];
    let awake = crate::run(&host.dirs(), &steps(&[&before[..], &after].concat()));
    let snapshot = host.path("snapshot");
    let script = steps(&[&before[..], &["sleep 1"], &after].concat());
    let slept = sleep(&snapshot, &host.dirs(), &script);
    let woken = wake(&snapshot, &host.dirs());
    ended(&woken, 0).expect("it goes on");
    let mut text = lines(&slept);
    let rest = lines(&woken);
    assert_eq!(rest[0], "slept 0");
    text.extend_from_slice(&rest[1..]);
    assert_eq!(text, lines(&awake), "resumed equals uninterrupted");
    let expected = [
        "read 5: 3",
        "read 6: 8",
        "read 7: 8",
        "close 6: 8",
        "renumber 5: 8",
    ];
    assert_eq!(rest[1..6], expected, "{rest:#?}");
    for line in &rest[10..] {
        assert!(line.ends_with(": 8"), "{line}");
    }
}

/// The standard streams can be closed and their numbers given to files; a resume does not open them again.
#[test]
fn a_closed_stream_stays_closed() {
    let host = Host::new();
    host.write("a/mine", "");
    let snapshot = host.path("snapshot");
    let script = steps(&[
        "close 0",
        "close 2",
        "open 3 mine w",
        "open 3 file",
        "sleep 1",
        "read 2",
        "write 0 kept",
        "write 2 lost",
    ]);
    let slept = sleep(&snapshot, &host.dirs(), &script);
    let text = lines(&slept);
    assert_eq!(
        text[2..4],
        ["open mine: fd 0", "open file: fd 2"],
        "{text:#?}"
    );
    let woken = wake(&snapshot, &host.dirs());
    ended(&woken, 0).expect("it goes on");
    assert_eq!(lines(&woken)[1], "read 2: inside a");
    assert_eq!(fs::read(host.path("a/mine")).expect("a file"), b"kept");
    assert!(!String::from_utf8_lossy(&woken.stderr).contains("lost"));
}

/// A directory opened below another, by a number that a file had: rights and offsets do not travel with numbers.
#[test]
fn a_reused_number_has_nothing_of_the_old_one() {
    let host = Host::new();
    let snapshot = host.path("snapshot");
    let script = steps(&[
        "open 3 file w",
        "seek 5 4",
        "close 5",
        "open 4 file",
        "sleep 1",
        "read 5",
        "write 5 x",
        "close 5",
        "open 3 sub d",
        "open 5 file",
        "read 6",
        "read 5",
    ]);
    sleep(&snapshot, &host.dirs(), &script);
    let woken = wake(&snapshot, &host.dirs());
    ended(&woken, 0).expect("it goes on");
    let text = lines(&woken);
    assert_eq!(text[1], "read 5: inside b");
    assert!(!text[2].ends_with(": 0"), "{text:#?}");
    assert_eq!(text[6], "read 6: inside sub", "{text:#?}");
    assert_eq!(fs::read(host.path("b/file")).expect("a file"), b"inside b");
}

/// The guest's directories by guest name, not by place: given in another order, each number is what it was.
#[test]
fn directories_keep_their_numbers() {
    let host = Host::new();
    let snapshot = host.path("snapshot");
    let script = "sleep 1;open 3 file;read 5;open 4 file;read 6";
    sleep(&snapshot, &host.dirs(), script);
    let [first, a, second, b] = host.dirs();
    let woken = wake(&snapshot, &[first, b, second, a]);
    ended(&woken, 0).expect("it goes on");
    let text = lines(&woken);
    assert_eq!(
        (&*text[2], &*text[4]),
        ("read 5: inside a", "read 6: inside b")
    );
    // One more than it had is not given to it, and one less is told.
    fs::create_dir(host.path("outside/c")).expect("a directory");
    let more = format!("{}::/c", host.path("outside/c").display());
    let mut flags = host.dirs().to_vec();
    flags.extend(["--dir".into(), more]);
    sleep(&snapshot, &host.dirs(), "sleep 1;open 5 .");
    let woken = wake(&snapshot, &flags);
    ended(&woken, 0).expect("it goes on");
    assert_eq!(lines(&woken)[1], "open .: 8");
    ended(&wake(&snapshot, &host.dirs()[..2]), 69).expect("it is told");
}

/// The monotonic clock goes forward over a sleep whatever the wall clock says, and two tasks out of one snapshot
/// have different random numbers.
#[test]
fn clocks_go_forward_and_random_numbers_are_fresh() {
    let host = Host::new();
    let snapshot = host.path("snapshot");
    sleep(&snapshot, &[], "clock;random;sleep 1;clock;random;random");
    let bytes = fs::read(&snapshot).expect("it was written");
    let mut seen = BTreeSet::new();
    for round in 0..3 {
        let woken = wake(&snapshot, &[]);
        ended(&woken, 0).expect("it goes on");
        let text = lines(&woken);
        assert_eq!(text[1], "clock 0 0: forward", "round {round}");
        assert!(text[2].starts_with("random 0 "), "{text:#?}");
        seen.extend([text[2].clone(), text[3].clone()]);
        assert_eq!(fs::read(&snapshot).expect("it is there"), bytes);
    }
    assert_eq!(seen.len(), 6, "random numbers were repeated");
}
