//! How a daemon ends while something is not done: what is not stored is said, and the exit code says it too; and what a
//! command has asked for that is not done yet.

use std::path::Path;
use std::time::{Duration, Instant};

use serde_json::{Value, json};
use ureq::http::Method;

use crate::full::{Small, fill};
use crate::support::{Daemon, folder, text};

/// Tasks wait in memory, and are stored when somebody asks for it.
const IN_MEMORY: [&str; 4] = ["--hibernate-after", "1h", "--checkpoint", "1h"];

/// Fills the disk until not even a change of a task fits.
fn fill_up(daemon: &Daemon, spare: u64, filler: &Path) {
    daemon.until_that("nothing can be stored", || {
        fill(filler);
        let states = ["pause", "resume"].map(|act| daemon.act(spare, act).0);
        states.contains(&507).then_some(())
    });
    fill(filler);
}

/// A daemon on a full disk, with three tasks in memory of which nothing has been stored since they began, the last of them so
/// large that it is stored in chunks.
fn full(data: &Path, grace: &str) -> (Daemon, [u64; 3]) {
    let options = [&IN_MEMORY[..], &["--grace", grace]].concat();
    let daemon = Daemon::start(data, &options);
    let later = json!({"schedule": {"at": "2200-01-01T00:00:00Z"}});
    let spare = daemon.submit("ex_sleeper", &["0"], later);
    let ids = [
        daemon.submit("ex_sleeper", &["1000", "0", "1"], json!({})),
        daemon.submit("ex_sleeper", &["1000", "0", "1"], json!({})),
        daemon.submit("ex_hog", &["16", "1000"], json!({})),
    ];
    for id in ids {
        daemon.until(id, "parked");
    }
    fill_up(&daemon, spare, &data.join("filler"));
    (daemon, ids)
}

#[test]
fn at_the_end_on_a_full_disk_what_is_not_stored_is_said() {
    let data = folder();
    let Some(_small) = Small::mount(data.path(), "64m") else {
        println!("skipped: only root can mount a small file system");
        return;
    };
    let (daemon, ids) = full(data.path(), "10s");
    let started = Instant::now();
    daemon.terminate();
    let (code, said) = daemon.ended_with();
    assert!(
        started.elapsed() >= Duration::from_secs(10),
        "it waits for room"
    );
    assert_eq!(code, Some(73), "{said}");
    let told = said.lines().find(|line| line.contains("not stored: "));
    let told = told.unwrap_or_else(|| panic!("it is not said: {said}"));
    assert!(
        told.contains("the states of 3 tasks are not stored"),
        "{told}"
    );
    let [a, b, c] = ids;
    assert!(told.contains(&format!("tasks {a}, {b}, {c}: ")), "{told}");
    assert!(told.contains("the disk of the store is full"), "{told}");
    assert!(!said.contains("computed all the time"), "{said}");
    // They are there, as they were before: they have never slept.
    std::fs::remove_file(data.path().join("filler")).expect("it is removed");
    let daemon = Daemon::start(data.path(), &IN_MEMORY);
    for id in ids {
        let task = daemon.until(id, "parked");
        assert_eq!(
            (&task["sleeps"], &task["runs"]),
            (&json!(0), &json!(0)),
            "{task}"
        );
    }
    assert_eq!(daemon.stop(), Some(0));
}

/// What could not be stored at first is tried until the daemon's patience ends.
#[test]
fn room_that_comes_before_the_end_is_used() {
    let data = folder();
    let Some(_small) = Small::mount(data.path(), "64m") else {
        println!("skipped: only root can mount a small file system");
        return;
    };
    let (daemon, ids) = full(data.path(), "10m");
    daemon.terminate();
    std::thread::sleep(Duration::from_secs(2));
    std::fs::remove_file(data.path().join("filler")).expect("it is removed");
    let (code, said) = daemon.ended_with();
    assert_eq!(code, Some(0), "{said}");
    let daemon = Daemon::start(data.path(), &IN_MEMORY);
    for id in ids {
        assert_eq!(daemon.task(id)["sleeps"], 1, "{}", daemon.task(id));
    }
    assert_eq!(daemon.stop(), Some(0));
}

/// Nobody waits any longer, and it is said all the same.
#[test]
fn a_second_signal_on_a_full_disk_says_what_is_not_stored() {
    let data = folder();
    let Some(_small) = Small::mount(data.path(), "64m") else {
        println!("skipped: only root can mount a small file system");
        return;
    };
    let (daemon, _) = full(data.path(), "10m");
    daemon.terminate();
    daemon.until_said("a second signal ends at once");
    // The large one is saved last.
    daemon.until_said("cannot be suspended, stays in memory");
    std::thread::sleep(Duration::from_secs(1));
    daemon.terminate();
    let (code, said) = daemon.ended_with();
    assert_eq!(code, Some(73), "{said}");
    assert!(
        said.contains("the states of 3 tasks are not stored"),
        "{said}"
    );
}

/// A guest without checks cannot be stopped while it computes. The command says so after a while, with an exit code of its
/// own, on a full disk too; and it is as it says: a crash forgets it.
#[test]
fn a_pause_that_is_not_done_yet_ends_with_83() {
    for is_full in [false, true] {
        let data = folder();
        let Some(_small) = Small::mount(data.path(), "16m") else {
            println!("skipped: only root can mount a small file system");
            return;
        };
        let daemon = Daemon::start(data.path(), &IN_MEMORY);
        let later = json!({"schedule": {"at": "2200-01-01T00:00:00Z"}});
        let spare = daemon.submit("ex_sleeper", &["0"], later);
        let waits = daemon.submit("ex_sleeper", &["1000"], json!({}));
        let computes = daemon.submit("wat_spin", &[], json!({}));
        daemon.until(waits, "parked");
        daemon.until(computes, "running");
        if is_full {
            fill_up(&daemon, spare, &data.path().join("filler"));
        }
        let [waits, number] = [waits, computes].map(|id| id.to_string());
        let asked = daemon.command(&["pause", &number]);
        assert_eq!(asked.status.code(), Some(83), "{is_full}: {asked:?}");
        let said = text(&asked.stderr);
        assert!(said.contains("unless the daemon dies before"), "{said}");
        let asked = daemon.command(&["pause", "--json", &number]);
        assert_eq!(asked.status.code(), Some(83), "{is_full}: {asked:?}");
        let told: Value = serde_json::from_slice(&asked.stdout).expect("JSON");
        assert_eq!(told[0]["done"], false, "{told}");
        // Of several the first that failed decides, and one that is only not done yet has not failed.
        let asked = daemon.command(&["pause", &number, &waits]);
        let expected = if is_full { 73 } else { 83 };
        assert_eq!(asked.status.code(), Some(expected), "{is_full}: {asked:?}");
        daemon.kill();
        let daemon = Daemon::start(data.path(), &IN_MEMORY);
        daemon.until(computes, "running");
        let told = daemon.act(computes, "kill").0;
        assert_eq!(told, if is_full { 507 } else { 200 });
    }
}

/// The guest is in a call of its host that takes long: it writes to a pipe that nobody reads.
#[test]
fn a_kill_that_is_not_done_yet_ends_with_83() {
    let (data, work) = (folder(), folder());
    let pipe = work.path().join("f");
    let mode = rustix::fs::Mode::from_raw_mode(0o600);
    rustix::fs::mknodat(rustix::fs::CWD, &pipe, rustix::fs::FileType::Fifo, mode, 0)
        .expect("a pipe");
    // Both ways, so that opening it waits for nobody.
    let mut reader = std::fs::File::options()
        .read(true)
        .write(true)
        .open(&pipe)
        .expect("the pipe");
    let daemon = Daemon::start(data.path(), &[]);
    let dirs = json!([{"host": work.path().to_str().expect("UTF-8"), "guest": "/work"}]);
    let id = daemon.submit("bug_hostile", &["file"], json!({"mounts": dirs}));
    daemon.until_that("the pipe is full", || {
        let waiting = rustix::io::ioctl_fionread(&reader).expect("a pipe");
        (waiting > 0).then_some(())
    });
    let asked = daemon.command(&["kill", &id.to_string()]);
    assert_eq!(asked.status.code(), Some(83), "{asked:?}");
    let said = text(&asked.stderr);
    assert!(
        said.contains("it ends at its next call to the host, unless the daemon dies before"),
        "{said}"
    );
    assert_eq!(daemon.task(id)["state"], "running");
    // Now the call ends, and the guest with it.
    let drain = std::thread::spawn(move || {
        use std::io::Read;
        let mut bytes = vec![0; 1 << 20];
        while reader.read(&mut bytes).is_ok_and(|count| count > 0) {}
    });
    let task = daemon.until(id, "failed");
    assert!(
        task["error"].as_str().expect("why").contains("killed"),
        "{task}"
    );
    let (status, _) = daemon.json(Method::DELETE, &format!("/v1/tasks/{id}"), &Value::Null);
    assert_eq!(status, 204);
    drop(drain);
}
