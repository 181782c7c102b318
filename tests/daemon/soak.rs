//! Everything that can happen to a daemon, at random, for as long as asked: mixed guests, pauses, engines that
//! change, kills, stops, a full disk, clocks that jump. In the end every task is accounted for, line by line, against
//! what an engine that nobody here wrote says of the same module.

use std::collections::{BTreeMap, BTreeSet};
use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::{PoisonError, RwLock, RwLockReadGuard};
use std::time::{Duration, Instant};

use serde_json::{Value, json};
use ureq::http::Method;

use crate::faketime::Clock;
use crate::full::{Small, fill};
use crate::support::{Daemon, folder};
use dormouse_test_support::{engines, guest};

/// Guests that sleep, yield, call deep, hold floats, tables and vectors; in C, Rust, Zig, AssemblyScript and WAT.
const GUESTS: [&str; 16] = [
    "c_hello_sleep",
    "c_sleep_loop",
    "c_locals",
    "c_globals",
    "c_deep",
    "c_fnptr",
    "c_buffered",
    "c_yield",
    "rs_hello_sleep",
    "zig_sleep",
    "as_sleep",
    "wat_table",
    "wat_v128",
    "wat_multivalue",
    "wat_funcref",
    "wat_tail",
];

/// The guest whose sleeps are random, and whose lines say which round it is.
const SLEEPER: &str = "ex_sleeper";

/// After the last disturbance all tasks are over within this, or never.
const PATIENCE: Duration = Duration::from_secs(300);

struct World {
    daemon: RwLock<Daemon>,
    data: PathBuf,
    clock: Clock,
    most: usize,
    /// By guest: the digest that the daemon gave, and what is expected.
    guests: BTreeMap<String, (String, Expected)>,
}

impl World {
    fn start(&self, engine: &str) -> Daemon {
        start(&self.clock, &self.data, engine)
    }

    fn daemon(&self) -> RwLockReadGuard<'_, Daemon> {
        self.daemon.read().unwrap_or_else(PoisonError::into_inner)
    }

    /// A request; `None` where the daemon is just being killed.
    fn ask(&self, method: Method, path: &str, body: &Value) -> Option<(u16, Value)> {
        let daemon = self.daemon();
        let token = format!("Bearer {}", daemon.token);
        let body = match body {
            Value::Null => Vec::new(),
            body => body.to_string().into_bytes(),
        };
        let answer = daemon.ask_with(method, path, &body, &[("authorization", &token)]);
        let (status, bytes) = answer.ok()?;
        Some((
            status,
            serde_json::from_slice(&bytes).unwrap_or(Value::Null),
        ))
    }

    /// How many are not over yet.
    fn left(&self) -> Option<u64> {
        let (_, stats) = self.ask(Method::GET, "/v1/stats", &Value::Null)?;
        let tasks = stats["tasks"].as_object()?;
        let over = |state: &str| matches!(state, "exited" | "failed");
        let left = tasks.iter().filter(|(state, _)| !over(state));
        left.map(|(_, count)| count.as_u64()).sum()
    }

    /// Submits some tasks; gives the numbers of those that were accepted.
    fn submit(&self, random: &mut fastrand::Rng) -> Vec<u64> {
        if self.left().is_none_or(|left| left >= self.most as u64) {
            return Vec::new();
        }
        let mut tasks = Vec::new();
        for _ in 0..random.usize(1..20) {
            let name = match random.u8(..3) {
                0 => GUESTS[random.usize(..GUESTS.len())],
                _ => SLEEPER,
            };
            let (module, _) = &self.guests[name];
            let mut args = Vec::<String>::new();
            if name == SLEEPER {
                let spread = [0.02, 0.3, 3.0][random.usize(..3)];
                args.extend([
                    "0.005".into(),
                    spread.to_string(),
                    random.usize(1..12).to_string(),
                ]);
            }
            let mut task = json!({"module": module, "program": name, "args": args});
            if random.u8(..4) == 0 {
                let engines = engines();
                task["engine"] = json!(engines[random.usize(..engines.len())]);
            }
            tasks.push(task);
        }
        match self.ask(Method::POST, "/v1/batch", &json!(tasks)) {
            Some((200, told)) => {
                let told = told.as_array().cloned().unwrap_or_default();
                told.iter().filter_map(|task| task["id"].as_u64()).collect()
            }
            // Full, or gone: whatever was stored is in the list, and is accounted for as well.
            _ => Vec::new(),
        }
    }

    /// Pauses, resumes, copies.
    fn disturb(&self, highest: u64, random: &mut fastrand::Rng) {
        let id = random.u64(1..=highest.max(1));
        let (method, path) = match random.u8(..8) {
            0..3 => (Method::POST, format!("/v1/tasks/{id}/pause")),
            3..7 => (Method::POST, format!("/v1/tasks/{id}/resume")),
            _ => (Method::GET, format!("/v1/tasks/{id}/snapshot")),
        };
        if let Some((status, answer)) = self.ask(method, &path, &Value::Null) {
            let fine = [200, 202, 404, 409, 503, 507].contains(&status);
            assert!(fine, "{path}: {status} {answer}");
        }
    }

    /// Ends the daemon and starts another.
    fn restart(&self, random: &mut fastrand::Rng, counts: &mut Counts) {
        let engines = engines();
        let engine = engines[random.usize(..engines.len())];
        let kill = random.u8(..4) > 0;
        if kill {
            // While others ask.
            self.daemon().kill_now();
            counts.kills += 1;
        } else {
            let pid = self.daemon().pid();
            let _ = Command::new("kill")
                .args(["-TERM", &pid.to_string()])
                .status();
            counts.stops += 1;
        }
        let mut daemon = self.daemon.write().unwrap_or_else(PoisonError::into_inner);
        daemon.wait();
        *daemon = self.start(engine);
    }
}

fn start(clock: &Clock, data: &Path, engine: &str) -> Daemon {
    let environment = clock.environment();
    let environment: Vec<(&str, &str)> = environment
        .iter()
        .map(|(name, value)| (*name, value.as_str()))
        .collect();
    let options = [
        "--engine",
        engine,
        "--hibernate-after",
        "60ms",
        "--checkpoint",
        "200ms",
        "--set-aside-after",
        "0",
        "--max-warm-memory",
        "16M",
    ];
    match Daemon::try_start_in(&environment, data, &options) {
        Ok(daemon) => daemon,
        Err(text) => panic!("the daemon did not start:\n{text}"),
    }
}

/// What a guest ends with and prints.
#[derive(Clone, Default)]
struct Expected {
    code: i32,
    output: String,
}

/// What an engine and a WASI that nobody here wrote make of a guest.
fn oracle(name: &str) -> Expected {
    let cache = std::env::var_os("XDG_CACHE_HOME").map(PathBuf::from);
    let home = || PathBuf::from(std::env::var_os("HOME").unwrap_or_default()).join(".cache");
    let python = cache
        .unwrap_or_else(home)
        .join("dormouse/oracle/bin/python");
    let script = Path::new(env!("CARGO_MANIFEST_DIR")).join("wasm/oracle.py");
    let output = Command::new(python).arg(script).arg(guest(name)).output();
    let output = output.expect("the oracle runs; `make setup` installs it");
    Expected {
        code: output.status.code().expect("the oracle ends by itself"),
        output: String::from_utf8_lossy(&output.stdout).into_owned(),
    }
}

#[derive(Debug, Default)]
struct Counts {
    kills: usize,
    stops: usize,
    full_disks: usize,
    jumps: usize,
}

#[test]
fn a_soak_accounts_for_every_task() {
    let minutes: Option<f64> = std::env::var("DORMOUSE_SOAK_MINUTES")
        .ok()
        .map(|minutes| minutes.parse().expect("DORMOUSE_SOAK_MINUTES is a number"));
    let length = Duration::from_secs_f64(minutes.map_or(6.0, |minutes| minutes * 60.0));
    let seed = fastrand::u64(..);
    println!("seed {seed}");
    let mut random = fastrand::Rng::with_seed(seed);
    let (data, scratch) = (folder(), folder());
    let small = minutes.and_then(|_| Small::mount(data.path(), "256m"));
    let clock = Clock::new(scratch.path());
    let daemon = start(&clock, data.path(), "wasmtime");
    // Fewer guests where it is short: each costs an engine's compiler.
    let names = GUESTS
        .iter()
        .take(if minutes.is_some() { GUESTS.len() } else { 3 });
    let mut guests: BTreeMap<String, (String, Expected)> = names
        .map(|name| (name.to_string(), (daemon.upload(name), oracle(name))))
        .collect();
    for name in GUESTS {
        let first = guests[GUESTS[0]].clone();
        guests.entry(name.into()).or_insert(first);
    }
    guests.insert(
        SLEEPER.into(),
        (daemon.upload(SLEEPER), Expected::default()),
    );
    let world = World {
        daemon: RwLock::new(daemon),
        data: data.path().into(),
        clock,
        most: if minutes.is_some() { 1000 } else { 100 },
        guests,
    };

    let ends = Instant::now() + length;
    let mut told = BTreeSet::new();
    let mut counts = Counts::default();
    std::thread::scope(|scope| {
        let submitting = scope.spawn(|| {
            let mut random = fastrand::Rng::with_seed(seed ^ 1);
            let mut told = BTreeSet::new();
            while Instant::now() < ends {
                told.extend(world.submit(&mut random));
                std::thread::sleep(Duration::from_millis(random.u64(5..150)));
            }
            told
        });
        for thread in 2..5 {
            let world = &world;
            scope.spawn(move || {
                let mut random = fastrand::Rng::with_seed(seed ^ thread);
                while Instant::now() < ends {
                    let (_, list) = world
                        .ask(Method::GET, "/v1/tasks?limit=1", &Value::Null)
                        .unwrap_or_default();
                    world.disturb(list["tasks"][0]["id"].as_u64().unwrap_or(1), &mut random);
                    std::thread::sleep(Duration::from_millis(random.u64(1..60)));
                }
            });
        }
        while Instant::now() < ends {
            std::thread::sleep(Duration::from_millis(random.u64(100..2500)));
            match random.u8(..8) {
                0..4 => world.restart(&mut random, &mut counts),
                4 if small.is_some() => {
                    let filler = world.data.join("filler");
                    fill(&filler);
                    std::thread::sleep(Duration::from_millis(random.u64(100..3000)));
                    std::fs::remove_file(&filler).expect("it is removed");
                    counts.full_disks += 1;
                }
                5 | 6 if world.clock.is_there() => {
                    let far = [1, 60, 3600, 86_400][random.usize(..4)];
                    // Sleepers sleep as long as they would have, whatever the clock shows.
                    let seconds = random.i64(0..far);
                    world.clock.jump(match random.bool() {
                        true => seconds,
                        false => -seconds,
                    });
                    counts.jumps += 1;
                }
                _ => {}
            }
        }
        told = submitting.join().expect("it ends");
    });
    // Once more from the disk alone.
    world.restart(&mut random, &mut counts);
    let all = account(&world, &told);
    println!(
        "{:.1} minutes, {counts:?}, {all} tasks",
        length.as_secs_f64() / 60.0
    );
    if !world.clock.is_there() {
        println!("no libfaketime: the clock did not jump");
    }
}

/// Waits until all tasks are over, and compares each with what it should have written.
fn account(world: &World, told: &BTreeSet<u64>) -> usize {
    let started = Instant::now();
    loop {
        for task in list(world, "?limit=1000&state=paused") {
            assert_eq!(task["error"], Value::Null, "{task}");
            let path = format!("/v1/tasks/{}/resume", task["id"]);
            world.ask(Method::POST, &path, &Value::Null);
        }
        match world.left() {
            Some(0) => break,
            left => assert!(started.elapsed() < PATIENCE, "{left:?} are not over"),
        }
        std::thread::sleep(Duration::from_millis(200));
    }
    let mut found = BTreeSet::new();
    let mut before = String::new();
    loop {
        let page = list(world, &format!("?limit=1000{before}"));
        let Some(last) = page.last() else { break };
        before = format!("&before={}", last["id"]);
        for task in &page {
            let name = task["spec"]["program"].as_str().expect("a name");
            let code = world.guests[name].1.code;
            assert_eq!(
                (&task["state"], &task["exit_code"]),
                (&json!("exited"), &json!(code)),
                "{task}"
            );
            let id = task["id"].as_u64().expect("a number");
            found.insert(id);
            check_output(world, id, task);
        }
    }
    let lost: Vec<_> = told.difference(&found).collect();
    assert!(
        lost.is_empty(),
        "tasks that were accepted are gone: {lost:?}"
    );
    found.len()
}

fn list(world: &World, query: &str) -> Vec<Value> {
    let (status, page) = world
        .ask(Method::GET, &format!("/v1/tasks{query}"), &Value::Null)
        .expect("the daemon answers");
    assert_eq!(status, 200, "{page}");
    page["tasks"].as_array().expect("tasks").clone()
}

fn check_output(world: &World, id: u64, task: &Value) {
    let output = world.daemon().output(id);
    let (name, args) = (&task["spec"]["program"], &task["spec"]["args"]);
    let name = name.as_str().expect("a name");
    if name == SLEEPER {
        let rounds: usize = args[2]
            .as_str()
            .and_then(|n| n.parse().ok())
            .expect("rounds");
        let lines: Vec<&str> = output.lines().collect();
        assert_eq!(lines.len(), rounds, "task {id}:\n{output}");
        for (round, line) in lines.iter().enumerate() {
            assert!(
                line.starts_with(&format!("round {round} late")),
                "task {id}:\n{output}"
            );
        }
        return;
    }
    let (_, expected) = &world.guests[name];
    // The host's wall clock is set back now and then, and a guest that looks at it says so.
    let output = output.replace("wall clock not back: false", "wall clock not back: true");
    assert_eq!(output, expected.output, "task {id}, {name}");
}
