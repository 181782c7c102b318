//! Tasks that move from one daemon to another.

use std::time::{Duration, Instant};

use serde_json::{Value, json};
use ureq::http::Method;

use crate::side::{Side, assert_in_order, comes, pair, rounds};
use crate::support::{folder, text};
use dormouse_test_support::guest;
use dormouse_test_support::ports::free_address;

#[test]
fn a_task_moves_with_all_that_belongs_to_it() {
    let [a, b] = pair(&["--hibernate-after", "100ms"]);
    let shared = folder();
    let dir = shared.path().to_str().expect("UTF-8");
    let grants = json!({"dirs": [dir]});
    b.trusts("other", &a, grants);
    let more = json!({
        "name": "walker", "env": {"COLOUR": "blue"}, "mounts": [{"host": dir, "guest": "/work"}],
        "limits": {"memory": "64M"}
    });
    let id = a.daemon().submit("ex_sleeper", &["0.2", "0.3", "12"], more);
    a.daemon().until_that("it has begun", || {
        (rounds(&a.daemon().output(id)).len() >= 3).then_some(())
    });
    let before = a.daemon().output(id);
    let (status, gone) = a.migrate(id, "other");
    assert_eq!(status, 200, "{gone}");
    assert_eq!(gone["to"]["confirmed"], true, "{gone}");
    let there = gone["to"]["task"].as_u64().expect("a number");
    // What is left says where it is.
    let left = a.daemon().task(id);
    assert_eq!(left["state"], "moved", "{left}");
    assert_eq!(left["moved_to"]["task"], there, "{left}");
    assert_eq!(left["moved_to"]["address"], b.gate.address, "{left}");
    let output = a.daemon().command(&["inspect", "walker"]);
    assert!(
        text(&output.stdout).contains("moved to   task 1 of"),
        "{output:?}"
    );
    let output = a.daemon().command(&["ps"]);
    assert!(text(&output.stdout).contains(&b.gate.address), "{output:?}");
    let output = a.daemon().command(&["logs", "-f", "walker"]);
    assert!(text(&output.stdout).is_empty(), "{output:?}");
    assert!(
        text(&output.stderr).contains("has moved, with its output"),
        "{output:?}"
    );
    for act in ["pause", "resume", "kill"] {
        assert_eq!(a.daemon().act(id, act).0, 409, "{act}");
    }
    // And there it is as it was.
    let task = b.daemon().task(there);
    for (key, value) in [
        ("name", json!("walker")),
        ("variables", json!(["COLOUR"])),
        ("runs", json!(1)),
        ("submitted", left["submitted"].clone()),
    ] {
        assert_eq!(task[key], value, "{task}");
    }
    let mounts = json!([{"host": dir, "guest": "/work"}]);
    assert_eq!(task["spec"]["mounts"], mounts, "{task}");
    assert!(
        task["came_from"]
            .as_str()
            .expect("where from")
            .contains("/1@"),
        "{task}"
    );
    b.daemon().until(there, "exited");
    let output = b.daemon().output(there);
    assert!(output.starts_with(&before), "{before}\nthen\n{output}");
    assert_in_order(&output);
    assert_eq!(rounds(&output).len(), 12);
    // The tombstone goes like any other task that is over.
    let output = a.daemon().command(&["rm", "walker"]);
    assert!(output.status.success(), "{output:?}");
}

/// A paused task, one that has not begun and one with a schedule stay what they are.
#[test]
fn what_waits_moves_as_it_waits() {
    let [a, b] = pair(&["--hibernate-after", "100ms"]);
    let paused = a
        .daemon()
        .submit("ex_sleeper", &["0.2", "0.3", "5"], json!({}));
    a.daemon().until(paused, "hibernated");
    a.daemon().act(paused, "pause");
    let later = json!({"schedule": {"at": "2100-01-01T00:00:00Z"}});
    let later = a.daemon().submit("ex_sleeper", &["1", "1", "1"], later);
    let every = a.daemon().submit(
        "ex_sleeper",
        &["1", "1", "1"],
        json!({"schedule": {"every": "0 0 1 1 *"}}),
    );
    let over = a.daemon().submit("c_args_env", &[], json!({}));
    a.daemon().until(over, "exited");
    let at = a.daemon().task(every)["wakes"].clone();
    let moved = [paused, later, every].map(|id| {
        let (status, gone) = a.migrate(id, "other");
        assert_eq!(status, 200, "{gone}");
        gone["to"]["task"].as_u64().expect("a number")
    });
    let (status, refused) = a.migrate(over, "other");
    assert_eq!(status, 409, "{refused}");
    assert!(
        refused
            .to_string()
            .contains("is exited and cannot be moved"),
        "{refused}"
    );
    let [paused, later, every] = moved.map(|id| b.daemon().task(id));
    assert_eq!(paused["state"], "paused", "{paused}");
    assert_eq!(
        (&later["state"], &later["wakes"]),
        (&json!("hibernated"), &json!("2100-01-01T00:00:00.000Z"))
    );
    assert_eq!(
        (&every["wakes"], &every["spec"]["schedule"]["every"]),
        (&at, &json!("0 0 1 1 *"))
    );
    let id = paused["id"].as_u64().expect("a number");
    assert_eq!(b.daemon().act(id, "resume").0, 200);
    b.daemon().until(id, "exited");
    assert_in_order(&b.daemon().output(id));
}

#[test]
fn strangers_are_refused_on_both_sides() {
    let [a, b] = [Side::new(&[]), Side::new(&[])];
    let id = a
        .daemon()
        .submit("ex_sleeper", &["1", "1", "100"], json!({}));
    // We do not know them; they do not know us.
    let (status, refused) = a.migrate(id, &b.gate.address);
    assert_eq!(status, 502, "{refused}");
    assert!(refused.to_string().contains(&b.fingerprint()), "{refused}");
    a.trusts("b", &b, json!({}));
    let (status, refused) = a.migrate(id, "b");
    assert_eq!(status, 502, "{refused}");
    assert!(
        refused.to_string().contains("does not know this one"),
        "{refused}"
    );
    b.trusts("a", &a, json!({}));
    // Somebody else behind a known name.
    let c = Side::new(&[]);
    b.gate.aim(&c.listens());
    let (status, refused) = a.migrate(id, "b");
    assert_eq!(status, 502, "{refused}");
    assert!(refused.to_string().contains(&c.fingerprint()), "{refused}");
    // One that speaks no TLS, and one that never answers.
    for text in ["GET / HTTP/1.1\r\n\r\n", ""] {
        use std::io::Write;
        let mut plain = std::net::TcpStream::connect(&c.gate.address).expect("it listens");
        plain.write_all(text.as_bytes()).expect("it is sent");
    }
    assert_eq!(a.migrate(id, "nobody").0, 400);
    assert_eq!(a.migrate(id, "127.0.0.1:1").0, 502);
    assert!(b.tasks().is_empty() && c.tasks().is_empty());
    assert_ne!(a.daemon().task(id)["state"], "moving");
}

/// What is missing there is said before anything stops: the task goes on as if nobody had asked.
#[test]
fn what_is_missing_is_said_before_anything_stops() {
    let [a, b] = pair(&["--hibernate-after", "60s"]);
    let shared = folder();
    let dir = shared.path().to_str().expect("UTF-8");
    let gone = folder();
    let gone_dir = gone.path().to_str().expect("UTF-8").to_string();
    let parked = |more: Value| {
        let id = a.daemon().submit("ex_sleeper", &["9", "9", "9"], more);
        a.daemon().until(id, "parked");
        id
    };
    b.daemon()
        .submit("ex_sleeper", &["9", "9", "9"], json!({"name": "taken"}));
    let cases = [
        (
            json!({"mounts": [{"host": dir, "guest": "/d"}]}),
            "is not granted",
        ),
        (
            json!({"mounts": [{"host": &gone_dir, "guest": "/d"}]}),
            "--dir HOST::/d",
        ),
        (
            json!({"network": {"listen": ["127.0.0.1:0"]}}),
            "listen on 127.0.0.1:0 is not granted",
        ),
        (json!({"name": "taken"}), "a task of the name"),
    ];
    let tasks: Vec<_> = cases.map(|(more, why)| (parked(more), why)).into();
    drop(gone);
    for (id, why) in &tasks {
        let before = a.daemon().task(*id);
        let (status, refused) = a.migrate(*id, "other");
        assert_eq!(status, 502, "{refused}");
        assert!(refused.to_string().contains(why), "{refused}");
        let after = a.daemon().task(*id);
        assert_eq!(after["state"], "parked", "{after}");
        assert_eq!(after["version"], before["version"], "{after}");
    }
    let output = a.daemon().command(&["migrate", "99", "other"]);
    assert_eq!(output.status.code(), Some(78), "{output:?}");
    let output = a
        .daemon()
        .command(&["migrate", &tasks[0].0.to_string(), "other"]);
    assert_eq!(output.status.code(), Some(79), "{output:?}");
    // Another directory there, which is granted.
    let other = folder();
    let grants = json!({"dirs": [other.path()], "listen": ["127.0.0.1:*"]});
    b.trusts("other", &a, grants);
    let wish = format!("{}::/d", other.path().display());
    let id = tasks[0].0.to_string();
    let output = a
        .daemon()
        .command(&["migrate", "--dir", &wish, &id, "other"]);
    assert!(output.status.success(), "{output:?}");
    let (status, gone) = a.migrate(tasks[2].0, "other");
    assert_eq!(status, 200, "{gone}");
}

#[test]
fn a_drain_moves_what_can_go_and_says_what_cannot() {
    let [a, b] = pair(&["--hibernate-after", "100ms"]);
    let c = Side::new(&["--hibernate-after", "100ms"]);
    a.trusts("third", &c, json!({}));
    c.trusts("other", &a, json!({}));
    let shared = folder();
    let dir = shared.path().to_str().expect("UTF-8");
    let stays = json!({"mounts": [{"host": dir, "guest": "/d"}]});
    let stays = a.daemon().submit("ex_sleeper", &["9", "9", "9"], stays);
    let batch = json!([{"module": a.daemon().upload("ex_sleeper"), "program": "s", "args": ["0.1", "0.3", "40"], "count": 20}]);
    assert_eq!(a.daemon().json(Method::POST, "/v1/batch", &batch).0, 200);
    let output = a.daemon().command(&["drain"]);
    assert_eq!(output.status.code(), Some(79), "{output:?}");
    let summary = text(&output.stdout);
    assert!(summary.starts_with("moved 20 tasks, "), "{output:?}");
    assert!(
        summary.contains("1 stay") && summary.contains("is not granted"),
        "{output:?}"
    );
    assert!(text(&output.stderr).contains("21/21"), "{output:?}");
    let left: Vec<_> = a.tasks().iter().map(|task| task["id"].clone()).collect();
    assert_eq!(left, [json!(stays)]);
    assert!(b.tasks().len() >= 5 && c.tasks().len() >= 5, "they share");
    let wasm = guest("ex_nap");
    let submit = ["submit", wasm.to_str().expect("UTF-8")];
    let output = a.daemon().command(&submit);
    assert_eq!(output.status.code(), Some(74), "{output:?}");
    assert!(
        text(&output.stderr).contains("is being emptied"),
        "{output:?}"
    );
    assert!(a.daemon().command(&["drain", "--cancel"]).status.success());
    assert!(a.daemon().command(&submit).status.success());
    for side in [&b, &c] {
        for task in side.tasks() {
            let id = task["id"].as_u64().expect("a number");
            assert_ne!(task["state"], "failed", "{task}");
            assert_in_order(&side.daemon().output(id));
        }
    }
}

/// What a copy of a program takes that the other side knows already.
#[test]
fn what_the_other_side_has_is_not_sent_again() {
    let [a, b] = pair(&["--hibernate-after", "100ms"]);
    let send = || {
        let id = a.daemon().submit("ex_sleeper", &["5", "5", "9"], json!({}));
        a.daemon().until(id, "hibernated");
        let (status, gone) = a.migrate(id, "other");
        assert_eq!(status, 200, "{gone}");
        gone["to"]["bytes"].as_u64().expect("bytes")
    };
    let (first, second) = (send(), send());
    assert!(second * 10 < first, "{first}, then {second}");
    assert_eq!(b.tasks().len(), 2);
}

/// The daemon that holds a connection carries it to where the task is: who is connected notices nothing.
#[test]
fn a_connection_survives_moves_with_proxy() {
    use std::io::{BufRead, BufReader, Write};
    let [a, b] = pair(&["--hibernate-after", "100ms"]);
    let grants = json!({"listen": ["127.0.0.1:*"]});
    a.trusts("other", &b, grants.clone());
    b.trusts("other", &a, grants);
    let address = free_address();
    let connect = || {
        let stream = std::net::TcpStream::connect(&address).expect("somebody listens");
        let patience = Some(Duration::from_secs(20));
        stream.set_read_timeout(patience).expect("a socket");
        BufReader::new(stream)
    };
    let line = |stream: &mut BufReader<std::net::TcpStream>| {
        let mut answer = String::new();
        stream.read_line(&mut answer).expect("an answer");
        answer.trim_end().to_string()
    };
    let more = json!({"network": {"listen": [&address], "proxy_streams": true}});
    let mut id = a.daemon().submit("ex_greeter", &[], more);
    a.daemon().until(id, "hibernated");
    let mut client = connect();
    let (mut here, mut there) = (&a, &b);
    for number in 0..3 {
        // Half of a line before the move, and half behind it, asleep or not.
        write!(client.get_mut(), "over ").expect("it is sent");
        if number == 1 {
            here.daemon().until(id, "hibernated");
        }
        let (status, gone) = here.migrate(id, "other");
        assert_eq!(status, 200, "{gone}");
        id = gone["to"]["task"].as_u64().expect("a number");
        (here, there) = (there, here);
        writeln!(client.get_mut(), "there").expect("it is sent");
        assert_eq!(line(&mut client), format!("{}: over there", number + 1));
    }
    here.daemon().until(id, "hibernated");
    // A move that fails leaves the connection as it is.
    let reached = there.gate.arm(12, false);
    let failed = std::thread::scope(|scope| {
        let moving = scope.spawn(|| here.migrate(id, "other").0);
        reached
            .recv_timeout(Duration::from_secs(20))
            .expect("it is offered");
        there.gate.open();
        moving.join().expect("it ends")
    });
    assert_eq!(failed, 502);
    writeln!(client.get_mut(), "still").expect("it is sent");
    assert_eq!(line(&mut client), "4: still");
    // The end of the connection comes through, and the guest goes on with the next one.
    drop(client);
    let mut next = connect();
    writeln!(next.get_mut(), "next").expect("it is sent");
    assert_eq!(line(&mut next), "5: next");
}

/// Where a network is stopped, and what happens then.
#[derive(Clone, Copy, Debug)]
enum Fault {
    Cut,
    KillSource,
    KillTarget,
}

/// One task, and where it is.
struct Walk {
    sides: [Side; 2],
    /// The side that has it.
    at: usize,
}

impl Walk {
    fn new() -> Self {
        let sides = pair(&["--hibernate-after", "30ms", "--checkpoint", "50ms"]);
        let endless = ["0.005", "0.06", "1000000"];
        let more = json!({"name": "walker"});
        let id = sides[0].daemon().submit("ex_sleeper", &endless, more);
        sides[0].daemon().until_that("it has begun", || {
            (!sides[0].daemon().output(id).is_empty()).then_some(())
        });
        Self { sides, at: 0 }
    }

    fn owned(&self, side: usize) -> Vec<u64> {
        let owns = |task: &Value| task["state"] != "arriving" && task["state"] != "moving";
        let tasks = self.sides[side].tasks();
        let mine = tasks.iter().filter(|task| owns(task));
        mine.map(|task| task["id"].as_u64().expect("a number"))
            .collect()
    }

    /// Moves the task while the network stops at a record; gives how many records there were, and whether the
    /// fault was met at all.
    fn step(&mut self, at: usize, deliver: bool, fault: Fault, pause: Duration) -> (usize, bool) {
        let (source, target) = (self.at, 1 - self.at);
        let id = self.owned(source)[0];
        let reached = self.sides[target].gate.arm(at, deliver);
        let moving = self.sides[source].start_moving(id);
        let met = comes(&reached, &moving);
        if met {
            std::thread::sleep(pause);
            match fault {
                Fault::Cut => {}
                Fault::KillSource => self.sides[source].daemon().kill_now(),
                Fault::KillTarget => self.sides[target].daemon().kill_now(),
            }
        }
        let count = self.sides[target].gate.open();
        let status = moving.join().expect("it ends");
        match (met, fault) {
            (false, _) | (true, Fault::Cut) => {}
            (true, Fault::KillSource) => self.sides[source].restart(),
            (true, Fault::KillTarget) => self.sides[target].restart(),
        }
        let what = format!("{fault:?} at record {at} of {count}, delivered: {deliver}, {pause:?}");
        self.until_resolved(status, &what);
        (count, met)
    }

    /// Waits until both sides agree, and checks that one of them has the task, all the time.
    fn until_resolved(&mut self, status: Option<u16>, what: &str) {
        let (source, target) = (self.at, 1 - self.at);
        let started = Instant::now();
        loop {
            // The target first: a task goes one way only.
            let there = self.owned(target);
            let here = self.owned(source);
            assert!(there.len() + here.len() < 2, "two have it after {what}");
            let all = self
                .sides
                .iter()
                .map(|side| side.tasks().len())
                .sum::<usize>();
            if all == 1 && there.len() + here.len() == 1 {
                self.at = if here.is_empty() { target } else { source };
                break;
            }
            assert!(
                started.elapsed() < Duration::from_secs(30),
                "nobody has it after {what}: {:#?} {:#?}",
                self.sides[source].tasks(),
                self.sides[target].tasks()
            );
            std::thread::sleep(Duration::from_millis(10));
        }
        match status {
            Some(200) => assert_eq!(self.at, target, "{what}"),
            Some(502) => assert_eq!(self.at, source, "{what}"),
            other => assert!(
                other.is_none() || other == Some(500),
                "{other:?} after {what}"
            ),
        }
        // It goes on, and nothing is missing or there twice.
        let owner = self.sides[self.at].daemon();
        let id = self.owned(self.at)[0];
        let before = rounds(&owner.output(id)).len();
        let output = owner.until_that("it goes on", || {
            let output = owner.output(id);
            (rounds(&output).len() > before + 1).then_some(output)
        });
        assert_in_order(&output);
    }
}

/// Exactly one daemon has a task, whatever is cut or killed at whichever step of its move.
#[test]
fn exactly_one_has_a_task_whatever_fails_at_whichever_step() {
    let times: usize = match std::env::var("DORMOUSE_MOVES") {
        Ok(times) => times.parse().expect("DORMOUSE_MOVES is a number"),
        Err(_) => 1,
    };
    let seed = fastrand::u64(..);
    println!("seed {seed}");
    let mut random = fastrand::Rng::with_seed(seed);
    let mut walk = Walk::new();
    // The module goes along the first time, in each direction.
    let (first, _) = walk.step(usize::MAX, true, Fault::Cut, Duration::ZERO);
    let (back, _) = walk.step(usize::MAX, true, Fault::Cut, Duration::ZERO);
    let (records, _) = walk.step(usize::MAX, true, Fault::Cut, Duration::ZERO);
    assert!(
        first > records && back >= records,
        "{first} {back} {records}"
    );
    let mut steps = 0;
    for _ in 0..times {
        for at in 1..=records + 1 {
            for fault in [Fault::Cut, Fault::KillSource, Fault::KillTarget] {
                for deliver in [false, true] {
                    let pause = Duration::from_micros(random.u64(0..30_000));
                    walk.step(at, deliver, fault, pause);
                    steps += 1;
                }
            }
        }
    }
    println!("{steps} moves with a fault, {records} records in each");
}
