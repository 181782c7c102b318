//! A disk without room: nothing is lost, and it is said.

use std::fs::{File, OpenOptions};
use std::io::Write;
use std::path::Path;
use std::process::Command;
use std::time::Duration;

use serde_json::{Value, json};
use ureq::http::Method;

use crate::support::{Daemon, folder};

/// A small file system in memory; gone with this.
pub struct Small<'a>(&'a Path);

impl<'a> Small<'a> {
    /// `None` where we may not make one.
    pub fn mount(folder: &'a Path, size: &str) -> Option<Self> {
        let options = format!("size={size},mode=0700");
        let mounted = Command::new("mount")
            .args(["-t", "tmpfs", "-o", &options, "tmpfs"])
            .arg(folder)
            .status();
        mounted
            .is_ok_and(|status| status.success())
            .then_some(Self(folder))
    }
}

impl Drop for Small<'_> {
    fn drop(&mut self) {
        // Where it is still in use, it goes with its last user.
        let _ = Command::new("umount").arg("-l").arg(self.0).status();
    }
}

/// Writes a file until there is no room.
pub fn fill(path: &Path) {
    let mut file: File = OpenOptions::new()
        .create(true)
        .append(true)
        .open(path)
        .expect("a file");
    for size in [65536, 4096, 512, 1] {
        while file.write_all(&vec![0; size]).is_ok() {}
    }
}

#[test]
fn a_full_disk_refuses_new_tasks_and_loses_none() {
    let data = folder();
    let Some(_small) = Small::mount(data.path(), "4m") else {
        println!("skipped: only root can mount a small file system");
        return;
    };
    let daemon = Daemon::start(data.path(), &["--hibernate-after", "100ms"]);
    let module = daemon.upload("ex_sleeper");
    let rounds = 6;
    let task =
        json!({"module": module, "program": "sleeper", "args": ["0.3", "0.2", rounds.to_string()]});
    let (status, told) = daemon.json(
        Method::POST,
        "/v1/batch",
        &json!([merged(&task, json!({"count": 20}))]),
    );
    assert_eq!(status, 200, "{told}");
    std::thread::sleep(Duration::from_millis(400));
    let filler = data.path().join("filler");
    fill(&filler);
    let refused = daemon.until_that("a submission is refused", || {
        fill(&filler);
        let (status, answer) = daemon.json(Method::POST, "/v1/tasks", &task);
        (status != 201).then_some((status, answer))
    });
    assert_eq!(refused.0, 507, "{refused:?}");
    assert!(
        refused.1["error"].as_str().expect("why").contains("full"),
        "{refused:?}"
    );
    // What sleeps now cannot be stored, and waits.
    std::thread::sleep(Duration::from_millis(1500));
    std::fs::remove_file(&filler).expect("it is removed");
    let all = daemon.until_that("all tasks are over", || {
        let (_, page) = daemon.json(Method::GET, "/v1/tasks?limit=1000", &Value::Null);
        let tasks = page["tasks"].as_array().expect("tasks").clone();
        tasks
            .iter()
            .all(|task| task["state"] == "exited")
            .then_some(tasks)
    });
    assert!(all.len() >= 20);
    for task in all {
        let output = daemon.output(task["id"].as_u64().expect("a number"));
        assert_eq!(output.lines().count(), rounds, "{output}");
    }
}

fn merged(task: &Value, more: Value) -> Value {
    let mut task = task.clone();
    for (key, value) in more.as_object().into_iter().flatten() {
        task[key] = value.clone();
    }
    task
}

/// Writing where the daemon is, is a convenience. What is stored can be read, and changed when there is
/// room.
#[test]
fn a_daemon_starts_on_a_full_disk() {
    for end in ["stopped", "killed"] {
        let data = folder();
        let Some(_small) = Small::mount(data.path(), "6m") else {
            println!("skipped: only root can mount a small file system");
            return;
        };
        let first = Daemon::start(data.path(), &[]);
        let later = json!({"schedule": {"at": "2200-01-01T00:00:00Z"}});
        let id = first.submit("ex_sleeper", &["0"], later);
        match end {
            "stopped" => assert_eq!(first.stop(), Some(0)),
            _ => first.kill(),
        }
        let filler = data.path().join("filler");
        // What an earlier daemon wrote there would be of use.
        let _ = std::fs::remove_file(data.path().join("url"));
        fill(&filler);
        let daemon = Daemon::start(data.path(), &[]);
        assert_eq!(daemon.task(id)["state"], "hibernated", "{end}");
        let said = daemon.said();
        let about = |line: &&String| line.contains("/url: No space left");
        assert_eq!(said.iter().filter(about).count(), 1, "{end}: {said:?}");
        assert!(
            said.iter().any(|line| line.contains("DORMOUSE_URL=")),
            "{said:?}"
        );
        std::fs::remove_file(&filler).expect("it is removed");
        daemon.until_that("a change is stored", || {
            (daemon.act(id, "kill").0 == 200).then_some(())
        });
        assert_eq!(
            daemon.command(&["rm", &id.to_string()]).status.code(),
            Some(0)
        );
    }
}

/// Each command on a full disk, of tasks in memory and in the store: what is said to be done is there
/// after a crash, and all else is refused with 507 and exit code 73.
#[test]
fn commands_say_that_they_are_not_stored() {
    let data = folder();
    let Some(_small) = Small::mount(data.path(), "6m") else {
        println!("skipped: only root can mount a small file system");
        return;
    };
    let options = ["--hibernate-after", "1h", "--checkpoint", "1h"];
    let daemon = Daemon::start(data.path(), &options);
    let later = json!({"schedule": {"at": "2200-01-01T00:00:00Z"}});
    let pairs = [0, 1].map(|_| {
        [
            (daemon.submit("ex_sleeper", &["0"], later.clone()), "pause"),
            (daemon.submit("ex_sleeper", &["0"], later.clone()), "kill"),
            (daemon.submit("ex_sleeper", &["1000"], json!({})), "pause"),
            (daemon.submit("ex_sleeper", &["1000"], json!({})), "kill"),
        ]
    });
    for (id, _) in pairs.iter().flat_map(|asked| &asked[2..]) {
        daemon.until(*id, "parked");
    }
    let module = daemon.upload("ex_sleeper");
    let spare = daemon.submit("ex_sleeper", &["0"], later);
    let filler = data.path().join("filler");
    // Until not even a change of a task fits.
    let task = json!({"module": module, "program": "sleeper", "args": ["0"], "schedule": {"at": "2200-01-01T00:00:00Z"}});
    daemon.until_that("nothing can be stored", || {
        fill(&filler);
        let states = ["pause", "resume"].map(|act| daemon.act(spare, act).0);
        let submitted = daemon.json(Method::POST, "/v1/tasks", &task).0;
        (states.contains(&507) && submitted == 507).then_some(())
    });
    let mut done = Vec::new();
    let mut refused = 0;
    let [first, second] = pairs;
    for (id, act) in first {
        let (status, answer) = daemon.act(id, act);
        match status {
            200 => done.push((id, act)),
            507 => {
                refused += 1;
                let error = answer["error"].as_str().expect("why");
                let why = error.matches("the disk of the store is full").count();
                assert_eq!(why, 1, "{error}");
            }
            other => panic!("{act} of {id}: {other} {answer}"),
        }
    }
    for (id, act) in second {
        let told = daemon.command(&[act, &id.to_string()]);
        match told.status.code() {
            Some(0) => done.push((id, act)),
            Some(73) => refused += 1,
            other => panic!("{act} of {id}: {other:?} {told:?}"),
        }
    }
    assert!(refused > 0, "the disk was not full");
    daemon.kill();
    let daemon = Daemon::start(data.path(), &options);
    for (id, act) in done {
        let state = daemon.task(id)["state"].clone();
        let expected = if act == "pause" { "paused" } else { "failed" };
        assert_eq!(state, expected, "{act} of {id} was said to be stored");
    }
    std::fs::remove_file(&filler).expect("it is removed");
    daemon.until_that("commands are stored again", || {
        [200, 409]
            .contains(&daemon.act(spare, "kill").0)
            .then_some(())
    });
}

/// Half a second lies between two tries, and each would write a line.
#[test]
fn a_full_disk_is_said_once_and_not_at_each_try() {
    let data = folder();
    let Some(_small) = Small::mount(data.path(), "6m") else {
        println!("skipped: only root can mount a small file system");
        return;
    };
    let daemon = Daemon::start(data.path(), &["--hibernate-after", "100ms"]);
    let filler = data.path().join("filler");
    let ids: Vec<u64> = (0..20)
        .map(|_| daemon.submit("ex_sleeper", &["0.3", "0", "3"], json!({})))
        .collect();
    fill(&filler);
    let lines = || {
        let said = daemon.said();
        let about = said
            .into_iter()
            .filter(|line| line.contains("the disk of the store is full"));
        about.collect::<Vec<_>>()
    };
    daemon.until_that("it is said", || {
        fill(&filler);
        (!lines().is_empty()).then_some(())
    });
    // At least six tries.
    std::thread::sleep(Duration::from_secs(3));
    let said = lines();
    // Once, and once more after ten seconds on a machine that is that slow.
    assert!(said.len() <= 2, "{said:#?}");
    for line in &said {
        assert_eq!(
            line.matches("the disk of the store is full").count(),
            1,
            "{line}"
        );
    }
    std::fs::remove_file(&filler).expect("it is removed");
    for id in ids {
        daemon.until(id, "exited");
    }
    daemon.until_that("it is said that it is over", || {
        let said = daemon.said();
        said.iter()
            .any(|line| line.contains("can be stored again"))
            .then_some(())
    });
}
