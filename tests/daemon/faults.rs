//! Faults of the host while tasks sleep, start and are put to sleep: what passes is waited out, and only
//! what somebody has to mend pauses a task. `crates/daemon/src/workers/tests.rs` has every answer of the system's;
//! here are those that a test can make for real.

use std::fs;
use std::path::Path;
use std::process::Command;

use serde_json::{Value, json};

use crate::full::{Small, fill};
use crate::support::{Daemon, folder, text};
use dormouse_test_support::engines;

/// Sleeps of so many seconds are slept through in the store.
const OPTIONS: [&str; 2] = ["--hibernate-after", "100ms"];

fn start(data: &Path, cache: &Path) -> Daemon {
    let cache = cache.to_str().expect("UTF-8");
    Daemon::try_start_in(&[("DORMOUSE_CACHE", cache)], data, &OPTIONS).expect("it starts")
}

/// A task that has slept once, and is paused: whatever is put in its way is there when it goes on.
fn asleep(daemon: &Daemon, more: &Value) -> u64 {
    for seconds in ["1", "5", "25"] {
        let id = daemon.submit("ex_sleeper", &[seconds, "0", "2"], more.clone());
        daemon.until_that("it sleeps", || {
            (daemon.task(id)["sleeps"].as_u64() >= Some(1)).then_some(())
        });
        let (_, task) = daemon.act(id, "pause");
        if task["state"] == "paused" && task["sleeps"] == 1 {
            return id;
        }
        // The machine is slow, and it has gone on.
        daemon.act(id, "kill");
    }
    panic!("no task was paused while it slept");
}

fn resume(daemon: &Daemon, id: u64) {
    let (status, task) = daemon.act(id, "resume");
    assert_eq!(status, 200, "{task}");
}

/// A task in trouble: says since when, and why.
fn in_trouble(daemon: &Daemon, id: u64) -> Value {
    daemon.until_that("it is in trouble", || {
        let task = daemon.task(id);
        assert_ne!(task["state"], "paused", "{task}");
        (!task["trouble"].is_null()).then(|| task["trouble"].clone())
    })
}

fn exits(daemon: &Daemon, id: u64, lines: usize) {
    let task = daemon.until(id, "exited");
    assert_eq!(
        (&task["exit_code"], &task["trouble"]),
        (&json!(0), &Value::Null),
        "{task}"
    );
    assert_eq!(
        daemon.output(id).lines().count(),
        lines,
        "{}",
        daemon.output(id)
    );
}

/// How often the log says something.
fn lines(daemon: &Daemon, part: &str) -> usize {
    daemon
        .said()
        .iter()
        .filter(|line| line.contains(part))
        .count()
}

/// The module is in the store: its files and their directory are made again.
#[test]
fn deleting_the_module_cache_pauses_nobody() {
    for engine in engines() {
        let (data, caches) = (folder(), folder());
        let cache = caches.path().join("modules");
        let id = {
            let daemon = start(data.path(), &cache);
            let id = asleep(&daemon, &json!({"engine": engine}));
            daemon.stop();
            id
        };
        // Nothing of the module is in memory either.
        let daemon = start(data.path(), &cache);
        fs::remove_dir_all(&cache).expect("it is deleted");
        resume(&daemon, id);
        exits(&daemon, id, 2);
        let made: Vec<String> = fs::read_dir(&cache)
            .expect("the directory is there again")
            .map(|entry| {
                entry
                    .expect("an entry")
                    .file_name()
                    .to_string_lossy()
                    .into_owned()
            })
            .collect();
        for end in [".wasm.zst", ".manifest"] {
            assert!(made.iter().any(|name| name.ends_with(end)), "{made:?}");
        }
        assert_eq!(
            made.iter().filter(|name| name.starts_with(".new")).count(),
            0
        );
        // While the daemon has it in memory, too: nothing is missed.
        fs::remove_dir_all(&cache).expect("it is deleted");
        let again = daemon.submit("ex_sleeper", &["0.3", "0", "2"], json!({"engine": engine}));
        exits(&daemon, again, 2);
    }
}

/// A file in the cache's place is what somebody has to mend.
#[test]
fn a_cache_that_is_no_directory_pauses_with_the_reason() {
    let (data, caches) = (folder(), folder());
    let cache = caches.path().join("modules");
    let id = {
        let daemon = start(data.path(), &cache);
        let id = asleep(&daemon, &json!({}));
        daemon.stop();
        id
    };
    let daemon = start(data.path(), &cache);
    fs::remove_dir_all(&cache).expect("it is deleted");
    fs::write(&cache, "in the way").expect("a file");
    resume(&daemon, id);
    let task = daemon.until(id, "paused");
    let error = task["error"].as_str().expect("why");
    assert!(error.contains("cannot use the cache"), "{error}");
    fs::remove_file(&cache).expect("it is removed");
    assert_eq!(daemon.act(id, "resume").0, 200);
    exits(&daemon, id, 2);
}

/// ENOSPC where the cache is: tried again, said once in the log, and shown by `ps` and `inspect`.
#[test]
fn a_full_disk_of_the_cache_is_waited_out() {
    let (data, small) = (folder(), folder());
    let Some(_small) = Small::mount(small.path(), "8m") else {
        println!("skipped: only root can mount a small file system");
        return;
    };
    let cache = small.path().join("modules");
    let id = {
        let daemon = start(data.path(), &cache);
        let id = asleep(&daemon, &json!({}));
        daemon.stop();
        id
    };
    let daemon = start(data.path(), &cache);
    fs::remove_dir_all(&cache).expect("it is deleted");
    let filler = small.path().join("filler");
    fill(&filler);
    resume(&daemon, id);
    let trouble = in_trouble(&daemon, id);
    assert!(
        trouble["error"]
            .as_str()
            .expect("why")
            .contains("No space left"),
        "{trouble}"
    );
    daemon.until_that("it is tried again", || {
        (in_trouble(&daemon, id)["tries"].as_u64() >= Some(3)).then_some(())
    });
    assert_eq!(in_trouble(&daemon, id)["since"], trouble["since"]);
    let since = trouble["since"].as_str().expect("a time");
    for arguments in [&["ps"][..], &["inspect", &id.to_string()]] {
        let shown = text(&daemon.command(arguments).stdout);
        assert!(
            shown.contains(since) && shown.contains("No space left"),
            "{shown}"
        );
    }
    assert_eq!(lines(&daemon, "No space left"), 1, "{:?}", daemon.said());
    fs::remove_file(&filler).expect("it is removed");
    exits(&daemon, id, 2);
}

/// EMFILE: the daemon may have no more descriptors than it has.
#[test]
fn a_daemon_without_descriptors_waits_until_there_are_some() {
    let (data, files) = (folder(), folder());
    let cache = folder();
    let daemon = start(data.path(), cache.path());
    let dirs = json!([{"host": files.path(), "guest": "/files"}]);
    let id = asleep(&daemon, &json!({"mounts": dirs}));
    // Its connection is there already, and is kept.
    let agent = ureq::Agent::new_with_defaults();
    let path = format!("http://{}/v1/tasks/{id}", daemon.address);
    let token = format!("Bearer {}", daemon.token);
    let look = || {
        let asked = agent.get(&path).header("authorization", &token).call();
        let mut answer = asked.expect("an answer");
        answer.body_mut().read_json::<Value>().expect("JSON")
    };
    look();
    let pid = daemon.pid().to_string();
    let prlimit = |arguments: &[&str]| {
        let told = Command::new("prlimit")
            .args(["--pid", &pid])
            .args(arguments)
            .output();
        let told = told.expect("prlimit(1) is there");
        assert!(told.status.success(), "{told:?}");
        text(&told.stdout).trim().to_string()
    };
    let usual = prlimit(&["--nofile", "--output", "SOFT", "--noheadings", "--raw"]);
    // All numbers below this one are taken.
    prlimit(&["--nofile=3:"]);
    let asked = agent
        .post(format!("{path}/resume"))
        .header("authorization", &token);
    let mut answer = asked.send_empty().expect("it is paused");
    // The connection is kept only when all of the answer has been read.
    answer.body_mut().read_to_vec().expect("an answer");
    let trouble = daemon.until_that("it is in trouble", || {
        let task = look();
        assert_ne!(task["state"], "paused", "{task}");
        (!task["trouble"].is_null()).then(|| task["trouble"].clone())
    });
    assert!(
        trouble["error"]
            .as_str()
            .expect("why")
            .contains("Too many open files"),
        "{trouble}"
    );
    prlimit(&[&format!("--nofile={usual}:")]);
    exits(&daemon, id, 2);
}

/// A mount whose server has gone, and comes back: ENOTCONN, as of FUSE.
#[test]
fn an_unreachable_mount_is_waited_out() {
    let (data, files, cache) = (folder(), folder(), folder());
    let daemon = start(data.path(), cache.path());
    // What lies below the mount has to be looked for there.
    let here = files.path().join("here");
    fs::create_dir(&here).expect("a directory");
    let dirs = json!([{"host": here, "guest": "/files"}]);
    let id = asleep(&daemon, &json!({"mounts": dirs}));
    // The server's end of the device is closed when the shell ends.
    let mount = format!(
        "exec 5<>/dev/fuse && mount -i -t fuse -o fd=5,rootmode=40000,user_id=0,group_id=0 gone {}",
        files.path().display()
    );
    let mounted = Command::new("sh")
        .args(["-c", &mount])
        .output()
        .expect("a shell");
    if !mounted.status.success() {
        println!("skipped: no FUSE here: {}", text(&mounted.stderr));
        return;
    }
    resume(&daemon, id);
    let trouble = in_trouble(&daemon, id);
    let error = trouble["error"].as_str().expect("why").to_string();
    let unmounted = Command::new("umount").arg("-l").arg(files.path()).status();
    assert!(unmounted.expect("umount(8) is there").success());
    assert!(
        error.contains("not connected") || error.contains("aborted"),
        "{error}"
    );
    exits(&daemon, id, 2);
}

/// A directory that is not there is what somebody has to mend.
#[test]
fn a_directory_that_is_gone_pauses_with_the_reason() {
    let (data, files, cache) = (folder(), folder(), folder());
    let daemon = start(data.path(), cache.path());
    let (here, there) = (files.path().join("here"), files.path().join("there"));
    fs::create_dir(&here).expect("a directory");
    let dirs = json!([{"host": here, "guest": "/files"}]);
    let id = asleep(&daemon, &json!({"mounts": dirs}));
    fs::rename(&here, &there).expect("it is renamed");
    resume(&daemon, id);
    let task = daemon.until(id, "paused");
    let error = task["error"].as_str().expect("why");
    assert!(error.contains("No such file or directory"), "{error}");
    assert_eq!(task["trouble"], Value::Null);
    fs::rename(&there, &here).expect("it is renamed");
    assert_eq!(daemon.act(id, "resume").0, 200);
    exits(&daemon, id, 2);
}
