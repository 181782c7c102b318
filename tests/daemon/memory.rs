//! One budget of memory for all guests: who finds no room waits, and the daemon lives.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use serde_json::{Value, json};
use ureq::http::Method;

use crate::support::{Daemon, folder, text};
use dormouse_test_support::{engines, guest};

/// Bytes of a line of a process's status.
fn status(pid: u32, name: &str) -> u64 {
    let text = fs::read_to_string(format!("/proc/{pid}/status")).unwrap_or_default();
    let line = text.lines().find_map(|line| line.strip_prefix(name));
    let kib = line.and_then(|line| line.trim_start_matches(':').trim().strip_suffix("kB"));
    kib.and_then(|kib| kib.trim().parse::<u64>().ok())
        .unwrap_or(0)
        << 10
}

fn stats(daemon: &Daemon) -> Value {
    daemon.json(Method::GET, "/v1/stats", &Value::Null).1
}

/// Waits until all are over; gives the most memory that the process had of its own, and whether any task was seen to
/// wait for memory.
fn all_end(daemon: &Daemon, ids: &[u64]) -> (u64, bool) {
    let (mut most, mut waited) = (0, false);
    for id in ids {
        loop {
            most = most.max(status(daemon.pid(), "RssAnon"));
            let task = daemon.task(*id);
            let words = task["waits_for"].as_str().unwrap_or_default();
            waited |= task["memory_wanted"].is_u64() && words.contains("MiB of memory");
            match task["state"].as_str().expect("a state") {
                "exited" => break,
                "failed" | "paused" => panic!("{task:#}"),
                _ => std::thread::sleep(std::time::Duration::from_millis(5)),
            }
        }
    }
    (most, waited)
}

/// They sleep between, so that each of them is written down and comes back.
#[test]
fn guests_wait_for_memory_and_all_end_as_they_should() {
    let data = folder();
    let options = ["--memory", "200M", "--hibernate-after", "0s"];
    let daemon = Daemon::start(data.path(), &options);
    let sleeper = daemon.submit("ex_sleeper", &["3600"], json!({}));
    let ids: Vec<u64> = (0..6)
        .map(|_| daemon.submit("ex_hog", &["50", "1", "2"], json!({})))
        .collect();
    let (most, waited) = all_end(&daemon, &ids);
    assert!(waited, "nobody was seen to wait: {}", stats(&daemon));
    assert!(most < 200 << 20, "{} MiB", most >> 20);
    for id in ids {
        assert_eq!(daemon.output(id), "full 1\nfull 2\nas it was\n");
    }
    assert_eq!(stats(&daemon)["budget"]["waiting"], 0);
    assert_eq!(daemon.task(sleeper)["state"], "hibernated");
}

/// All of them are loaded while they are small. The youngest is given up, and begins again later.
#[test]
fn guests_that_grow_together_beyond_the_budget_all_end() {
    for engine in engines() {
        let data = folder();
        let options = ["--memory", "200M", "--workers", "4", "--engine", engine];
        let daemon = Daemon::start(data.path(), &options);
        let ids: Vec<u64> = (0..4)
            .map(|_| daemon.submit("ex_hog", &["90", "1"], json!({})))
            .collect();
        all_end(&daemon, &ids);
        for id in ids {
            assert_eq!(daemon.output(id), "full 1\nas it was\n", "{engine}");
        }
    }
}

#[test]
fn a_task_that_can_never_have_its_memory_is_paused_with_the_reason() {
    let data = folder();
    let daemon = Daemon::start(data.path(), &["--memory", "200M"]);
    let id = daemon.submit("ex_hog", &["180", "1"], json!({}));
    let task = daemon.until(id, "paused");
    let why = task["error"].as_str().expect("why");
    assert!(
        why.contains("MiB of memory") && why.contains("--memory"),
        "{why}"
    );
    assert_eq!(daemon.output(id), "");
    // Others are served.
    let other = daemon.submit("c_hello_sleep", &[], json!({}));
    daemon.until(other, "exited");
    daemon.stop();
    let daemon = Daemon::start(data.path(), &["--memory", "600M"]);
    assert_eq!(daemon.act(id, "resume").0, 200);
    daemon.until(id, "exited");
    assert_eq!(daemon.output(id), "full 1\nas it was\n");
}

/// It may wait for hours.
#[test]
fn a_task_that_waits_for_memory_says_so_and_can_be_paused_killed_and_removed() {
    let data = folder();
    let options = ["--memory", "200M", "--hibernate-after", "1h"];
    let daemon = Daemon::start(data.path(), &options);
    let sleeps = daemon.submit("ex_hog", &["100", "3"], json!({}));
    daemon.until_that("it is full", || {
        daemon.output(sleeps).contains("full 1").then_some(())
    });
    // This one is in memory all the time. The other one has to leave, and waits for it then.
    let computes = daemon.submit("ex_hog", &["100", "0", "100000000"], json!({}));
    let waits = |id: u64| {
        daemon.until_that("it waits for memory", || {
            let task = daemon.task(id);
            (task["memory_wanted"].is_u64() && task["state"] == "ready").then_some(())
        });
    };
    waits(sleeps);
    let ps = text(&daemon.command(&["ps"]).stdout);
    assert!(ps.contains("waits for 10"), "{ps}");
    let top = text(&daemon.command(&["top", "--once"]).stdout);
    assert!(top.contains("; 1 wait for memory"), "{top}");
    let metrics = text(&daemon.ask(Method::GET, "/metrics", &[]).1);
    assert!(
        metrics.contains("dormouse_waiting_for_memory 1\n"),
        "{metrics}"
    );
    let inspect = text(&daemon.command(&["inspect", &sleeps.to_string()]).stdout);
    assert!(inspect.contains("MiB of memory"), "{inspect}");
    // One that waits to grow is on a worker, and can be killed all the same.
    let grows = daemon.submit("ex_hog", &["100", "0", "100000000"], json!({}));
    daemon.until_that("it waits to grow", || {
        let task = daemon.task(grows);
        (task["memory_wanted"].is_u64()).then_some(())
    });
    assert_eq!(daemon.act(grows, "kill").0, 200);
    daemon.until(grows, "failed");
    assert_eq!(daemon.act(sleeps, "pause").0, 200);
    daemon.until(sleeps, "paused");
    assert_eq!(daemon.act(sleeps, "resume").0, 200);
    waits(sleeps);
    assert_eq!(daemon.act(sleeps, "kill").0, 200);
    daemon.until(sleeps, "failed");
    assert_eq!(daemon.act(computes, "kill").0, 200);
    daemon.until(computes, "failed");
    for id in [sleeps, computes, grows] {
        let path = format!("/v1/tasks/{id}");
        let (status, answer) = daemon.json(Method::DELETE, &path, &Value::Null);
        assert!(status < 300, "{status} {answer}");
    }
    assert_eq!(stats(&daemon)["budget"]["used"], 0);
    assert_eq!(daemon.stop(), Some(0));
}

/// What it was doing at each death is to blame, and nothing else.
#[test]
fn a_task_that_was_run_in_three_deaths_of_the_daemon_is_set_aside() {
    let data = folder();
    let options = ["--hibernate-after", "0s"];
    let daemon = Daemon::start(data.path(), &options);
    let sleeper = daemon.submit("ex_sleeper", &["3600"], json!({}));
    let module = daemon.upload_as("bug_hostile", true);
    let task = json!({"module": module, "program": "x", "args": ["spin"]});
    let id = daemon.json(Method::POST, "/v1/tasks", &task).1["id"].as_u64();
    let id = id.expect("a number");
    // It is running for the daemon a moment before a worker has it.
    let marked = |daemon: &Daemon| {
        daemon.until_that("a worker has it", || {
            let marks = fs::read(data.path().join("running")).ok()?;
            let number = id.to_le_bytes();
            marks.chunks(8).any(|mark| mark == number).then_some(())
        });
    };
    daemon.until(sleeper, "hibernated");
    marked(&daemon);
    daemon.kill();
    for _ in 0..2 {
        let daemon = Daemon::start(data.path(), &options);
        marked(&daemon);
        daemon.kill();
    }
    let daemon = Daemon::start(data.path(), &options);
    let task = daemon.task(id);
    assert_eq!(task["state"], "paused", "{task:#}");
    let why = task["error"].as_str().expect("why");
    assert!(why.contains("died 3 times in a row"), "{why}");
    assert_eq!(daemon.task(sleeper)["state"], "hibernated");
    // Whoever wants it gets it again, and an end of the daemon's own is no death.
    assert_eq!(daemon.act(id, "resume").0, 200);
    marked(&daemon);
    daemon.kill();
    for _ in 0..3 {
        let daemon = Daemon::start(data.path(), &options);
        marked(&daemon);
        assert_eq!(daemon.stop(), Some(0));
    }
    let daemon = Daemon::start(data.path(), &options);
    daemon.until(id, "running");
    assert_eq!(daemon.act(id, "kill").0, 200);
    daemon.until(id, "failed");
    let (status, _) = daemon.json(Method::DELETE, &format!("/v1/tasks/{id}"), &Value::Null);
    assert!(status < 300);
}

/// Its guest's memory is in ours once, however large it is: at a suspend, at a resume, and in the daemon.
#[test]
fn a_suspend_and_a_resume_take_little_beside_the_guest() {
    const LARGE: u64 = 192;
    const BESIDE: u64 = 64 << 20;
    let work = folder();
    let snapshot = work.path().join("snapshot");
    // The most memory that a command had.
    let most = |arguments: &[&str], code: i32| -> u64 {
        let script = "import resource, subprocess, sys\n\
            code = subprocess.call(sys.argv[1:], stderr=subprocess.DEVNULL, stdout=subprocess.DEVNULL)\n\
            print(code, resource.getrusage(resource.RUSAGE_CHILDREN).ru_maxrss)";
        let output = Command::new("python3")
            .args(["-c", script, env!("CARGO_BIN_EXE_dormouse")])
            .args(arguments)
            .stdin(Stdio::null())
            .output()
            .expect("python runs");
        let said = text(&output.stdout);
        let (found, kib) = said.trim().split_once(' ').expect("two numbers");
        assert_eq!(found, code.to_string(), "{arguments:?}");
        kib.parse::<u64>().expect("a number") << 10
    };
    let (module, path) = (guest("ex_hog"), snapshot.display().to_string());
    let module = module.display().to_string();
    let large = LARGE.to_string();
    let suspend = |size: &str| {
        let run = ["run", "--suspend", "always", "--snapshot", &path, &module];
        most(&[&run[..], &[size, "1"]].concat(), 75)
    };
    let resume = || most(&["resume", &path], 0);
    suspend("1");
    let small = (suspend("1"), resume());
    let big = (suspend(&large), resume());
    for (what, small, big) in [("suspend", small.0, big.0), ("resume", small.1, big.1)] {
        let beside = big.saturating_sub(small).saturating_sub(LARGE << 20);
        assert!(
            beside <= BESIDE,
            "{what}: {} MiB beside the guest",
            beside >> 20
        );
    }

    let data = folder();
    let daemon = Daemon::start(data.path(), &["--hibernate-after", "0s"]);
    let warm = daemon.submit("ex_hog", &["1", "1"], json!({}));
    daemon.until(warm, "exited");
    let before = status(daemon.pid(), "VmHWM");
    let id = daemon.submit("ex_hog", &[&large, "1", "2"], json!({}));
    daemon.until(id, "exited");
    assert_eq!(daemon.output(id), "full 1\nfull 2\nas it was\n");
    let task = daemon.task(id);
    assert!(task["sleeps"].as_u64() >= Some(2), "{task:#}");
    let beside = status(daemon.pid(), "VmHWM").saturating_sub(before);
    let beside = beside.saturating_sub(LARGE << 20);
    assert!(beside <= BESIDE, "{} MiB beside the guest", beside >> 20);
    // And what it had goes back to the system.
    daemon.until_that("memory goes back", || {
        (status(daemon.pid(), "RssAnon") < 64 << 20).then_some(())
    });
}

/// A group of control of our own, where we may make one.
struct Group(PathBuf);

impl Group {
    fn new(limit: u64) -> Option<Self> {
        let name = format!("dormouse-test-{}", std::process::id());
        let kinds = [
            ("/sys/fs/cgroup/memory", "memory.limit_in_bytes"),
            ("/sys/fs/cgroup", "memory.max"),
        ];
        kinds.iter().find_map(|(root, file)| {
            let path = Path::new(root).join(&name);
            fs::create_dir(&path).ok()?;
            let group = Self(path);
            fs::write(group.0.join(file), limit.to_string()).ok()?;
            Some(group)
        })
    }
}

impl Drop for Group {
    fn drop(&mut self) {
        // Its processes have ended.
        let _ = fs::remove_dir(&self.0);
    }
}

/// By itself the daemon takes no more than its group may have.
#[test]
fn in_a_control_group_the_daemon_lives() {
    let Some(group) = Group::new(512 << 20) else {
        return eprintln!("no control group of our own: not tried");
    };
    let data = folder();
    let daemon = Daemon::start_in_group(&group.0.join("cgroup.procs"), data.path());
    let budget = stats(&daemon)["budget"]["size"].as_u64().expect("a number");
    assert!(budget <= 512 << 20, "{budget}");
    let sleeper = daemon.submit("ex_sleeper", &["3600"], json!({}));
    let ids: Vec<u64> = (0..3)
        .map(|_| daemon.submit("ex_hog", &["256", "5"], json!({})))
        .collect();
    all_end(&daemon, &ids);
    for id in ids {
        assert_eq!(daemon.output(id), "full 1\nas it was\n");
    }
    daemon.until(sleeper, "hibernated");
    assert_eq!(daemon.stop(), Some(0));
}
