//! Guests whose snapshots are stored in chunks: what is said of their size, checks of the store, a copy in a file, and a
//! move.

use std::process::{Command, Stdio};

use serde_json::{Value, json};

use crate::side::pair;
use crate::store::{sqlite, store};
use crate::support::{Daemon, text};
use dormouse_test_support::engines;

/// MiB of memory that no page of repeats, so that no compression makes them fewer.
const LARGE: u64 = 24;

/// Waits until a task sleeps with all of its memory in the store, for the `sleeps`th time.
fn asleep(daemon: &Daemon, id: u64, sleeps: u64) -> Value {
    daemon.until_that("it sleeps", || {
        let task = daemon.task(id);
        let there = task["sleeps"].as_u64() >= Some(sleeps) && task["memory"] == 0;
        (task["state"] == "hibernated" && there).then_some(task)
    })
}

/// Pauses a task that has slept so often.
fn paused_after(daemon: &Daemon, id: u64, sleeps: u64) -> Value {
    daemon.until_that("it has slept", || {
        (daemon.task(id)["sleeps"].as_u64() >= Some(sleeps)).then_some(())
    });
    let (status, task) = daemon.act(id, "pause");
    assert_eq!(status, 200, "{task}");
    task
}

/// It is filled, stored, filled with something else and stored again; then its copy goes on from a file, and it goes on
/// itself at another daemon, both to the end. A guest that has lost a word ends with 3.
#[test]
fn a_large_guest_is_shown_as_large_checked_exported_and_moved() {
    let [a, b] = pair(&["--hibernate-after", "0s"]);
    let size = LARGE.to_string();
    let id = a
        .daemon()
        .submit("ex_hog", &[&size, "3600", "1"], json!({}));
    let first = asleep(a.daemon(), id, 1);
    let bytes = |task: &Value| task["snapshot_bytes"].as_u64().expect("a number");
    let expected = LARGE << 20..(LARGE + 2) << 20;
    assert!(expected.contains(&bytes(&first)), "{first:#}");
    // As much as SQLite itself finds: the guest is alone here, and so has all chunks.
    let file = a.data.path().join("store.sqlite");
    let stored = sqlite(&file, &["SELECT sum(length(bytes)) FROM chunks"]);
    let stored: u64 = stored.parse().expect("a number");
    assert!(
        (stored..stored + 64 * 1024).contains(&bytes(&first)),
        "{stored}: {first:#}"
    );
    let chunks = sqlite(&file, &["SELECT count(*) FROM chunks"]);
    assert!(
        chunks.parse::<u64>().expect("a number") >= LARGE,
        "{chunks}"
    );
    for command in [&["ps"][..], &["inspect", "1"]] {
        let shown = text(&a.daemon().command(command).stdout);
        assert!(shown.contains("24.") && shown.contains("MiB"), "{shown}");
    }
    let checked = store(&["check"], a.data.path());
    assert_eq!(checked.status.code(), Some(0), "{checked:?}");

    // Another one of which the first sleep looks the same, and the second has no page in common with it.
    let changed = a.daemon().submit("ex_hog", &[&size, "3", "9"], json!({}));
    let paused = paused_after(a.daemon(), changed, 2);
    assert!(expected.contains(&bytes(&paused)), "{paused:#}");
    let checked = store(&["check"], a.data.path());
    assert_eq!(checked.status.code(), Some(0), "{checked:?}");
    assert_eq!(a.daemon().act(changed, "kill").0, 200);
    assert_eq!(bytes(&a.daemon().task(changed)), 0);

    for engine in engines() {
        let path = a.data.path().join(format!("copy-{engine}"));
        let path = path.to_str().expect("UTF-8");
        let exported = a.daemon().command(&["export", "1", "-o", path]);
        assert_eq!(exported.status.code(), Some(0), "{exported:?}");
        let file = std::fs::metadata(path).expect("a file").len();
        assert!(file >= LARGE << 20, "{file}");
        // Its sleep is an hour: it is saved again at once, whole.
        let again = format!("{path}-again");
        let resume = [
            "resume",
            "--engine",
            engine,
            "--suspend",
            "always",
            "--output",
            &again,
            path,
        ];
        let output = dormouse(&resume);
        assert_eq!(output.status.code(), Some(75), "{engine}: {output:?}");
        assert!(std::fs::metadata(&again).expect("a file").len() >= LARGE << 20);
    }

    let (status, gone) = a.migrate(id, "other");
    assert_eq!(status, 200, "{gone}");
    let there = gone["to"]["task"].as_u64().expect("a number");
    let moved = b.daemon().task(there);
    assert!(bytes(&moved) >= LARGE << 20, "{moved:#}");
    let checked = store(&["check"], b.data.path());
    assert_eq!(checked.status.code(), Some(0), "{checked:?}");
    // And what it has there is whole.
    let path = b.data.path().join("moved");
    let path = path.to_str().expect("UTF-8");
    let exported = b
        .daemon()
        .command(&["export", &there.to_string(), "-o", path]);
    assert_eq!(exported.status.code(), Some(0), "{exported:?}");
}

/// One that wakes soon: from a file, and after a move, it finds every word as it was.
#[test]
fn a_large_guest_goes_on_from_a_file_and_after_a_move() {
    let [a, b] = pair(&["--hibernate-after", "0s"]);
    let size = LARGE.to_string();
    let id = a.daemon().submit("ex_hog", &[&size, "2", "9"], json!({}));
    let before = paused_after(a.daemon(), id, 2)["sleeps"].clone();
    let path = a.data.path().join("copy");
    let path = path.to_str().expect("UTF-8");
    let exported = a.daemon().command(&["export", "1", "-o", path]);
    assert_eq!(exported.status.code(), Some(0), "{exported:?}");
    let (status, gone) = a.migrate(id, "other");
    assert_eq!(status, 200, "{gone}");
    let there = gone["to"]["task"].as_u64().expect("a number");
    for engine in engines() {
        let output = dormouse(&["resume", "--engine", engine, path]);
        assert_eq!(output.status.code(), Some(0), "{engine}: {output:?}");
        assert!(
            text(&output.stdout).ends_with("as it was\n"),
            "{engine}: {output:?}"
        );
    }
    assert_eq!(b.daemon().act(there, "resume").0, 200);
    let task = b.daemon().until(there, "exited");
    assert_eq!(task["exit_code"], 0, "{task:#}");
    assert!(task["sleeps"].as_u64() > before.as_u64(), "{task:#}");
    let rounds: String = (1..=9).map(|round| format!("full {round}\n")).collect();
    assert_eq!(b.daemon().output(there), rounds + "as it was\n");
}

/// One byte of a chunk, which SQLite does not see.
#[test]
fn a_damaged_chunk_is_found() {
    let [a, _b] = pair(&["--hibernate-after", "0s"]);
    let id = a
        .daemon()
        .submit("ex_hog", &[&LARGE.to_string(), "3600"], json!({}));
    asleep(a.daemon(), id, 1);
    let flip = "UPDATE chunks SET bytes = CAST(substr(bytes, 1, 5000) || x'5a5a5a5a' || substr(bytes, 5005) AS BLOB)
        WHERE id = (SELECT max(id) FROM chunks)";
    sqlite(&a.data.path().join("store.sqlite"), &[flip]);
    let checked = store(&["check"], a.data.path());
    assert_eq!(checked.status.code(), Some(74), "{checked:?}");
    let found = text(&checked.stdout);
    assert!(
        found.contains(&format!("task {id}: its snapshot cannot be used")),
        "{found}"
    );
}

fn dormouse(arguments: &[&str]) -> std::process::Output {
    Command::new(env!("CARGO_BIN_EXE_dormouse"))
        .args(arguments)
        .stdin(Stdio::null())
        .output()
        .expect("the binary runs")
}
