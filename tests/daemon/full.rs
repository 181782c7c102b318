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
    let task = json!({"module": module, "args": ["sleeper", "0.3", "0.2", rounds.to_string()]});
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
