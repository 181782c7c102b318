//! Moves that are stopped on their way, for tests.

use std::thread::JoinHandle;
use std::time::{Duration, Instant};

use serde_json::{Value, json};
use ureq::http::Method;

use crate::side::{Side, assert_in_order, comes, rounds};
use crate::support::text;

const ENDLESS: [&str; 3] = ["0.005", "0.06", "1000000"];

impl Side {
    pub fn moves(&self) -> Vec<Value> {
        let (status, open) = self.daemon().json(Method::GET, "/v1/moves", &Value::Null);
        assert_eq!(status, 200, "{open}");
        open.as_array().expect("a list").clone()
    }

    /// The one task that is here and has a state like that.
    pub fn states(&self) -> Vec<String> {
        let state = |task: &Value| task["state"].as_str().expect("a state").to_string();
        self.tasks().iter().map(state).collect()
    }

    /// Waits until a task is paused with a reason, and gives that.
    pub fn set_aside(&self, id: u64) -> String {
        self.daemon().until_that("it is set aside", || {
            let task = self.daemon().task(id);
            let why = task["error"].as_str().map(String::from);
            why.filter(|_| task["state"] == "paused")
        })
    }

    /// The number of the one task that is here.
    pub fn only(&self) -> u64 {
        let tasks = self.tasks();
        assert_eq!(tasks.len(), 1, "{tasks:#?}");
        tasks[0]["id"].as_u64().expect("a number")
    }

    pub fn begin(&self, name: &str) -> u64 {
        let id = self
            .daemon()
            .submit("ex_sleeper", &ENDLESS, json!({"name": name}));
        self.goes_on(id);
        id
    }

    /// Waits for more output of a task, and looks whether it is in order.
    pub fn goes_on(&self, id: u64) -> usize {
        let before = rounds(&self.daemon().output(id)).len();
        let output = self.daemon().until_that("it goes on", || {
            let output = self.daemon().output(id);
            (rounds(&output).len() > before + 1).then_some(output)
        });
        assert_in_order(&output);
        rounds(&output).len()
    }

    pub fn until_settled(&self) {
        self.daemon()
            .until_that("all moves end", || self.moves().is_empty().then_some(()));
    }

    /// What a command of the binary's says, and its exit code.
    pub fn says(&self, arguments: &[&str]) -> (Option<i32>, String) {
        let output = self.daemon().command(arguments);
        let said = text(&output.stdout) + &text(&output.stderr);
        (output.status.code(), said)
    }
}

/// Starts to move a task, and stops the network behind a record; gives what ends when the move does, if the record
/// came at all.
pub fn stopped_at(
    source: &Side,
    target: &Side,
    id: u64,
    at: usize,
) -> Result<JoinHandle<Option<u16>>, ()> {
    let reached = target.gate.arm(at, true);
    let moving = source.start_moving(id);
    if comes(&reached, &moving) {
        return Ok(moving);
    }
    target.gate.open();
    Err(())
}

/// A task that is on its way while the network is stopped.
pub struct Halted {
    /// Its number at the source.
    id: u64,
    moving: JoinHandle<Option<u16>>,
}

impl Halted {
    /// The network works again, and the move ends as it can.
    pub fn end(self, target: &Side) -> u64 {
        self.end_with(target).0
    }

    /// The same; gives the answer's status, too.
    pub fn end_with(self, target: &Side) -> (u64, Option<u16>) {
        target.gate.open();
        let status = self.moving.join().expect("it ends");
        (self.id, status)
    }
}

/// Moves a task until the two sides stand like that, and stops the network there.
pub fn stopped_when(
    source: &Side,
    target: &Side,
    mut id: u64,
    stands: impl Fn(&str, &[String]) -> bool,
) -> Halted {
    // Not at the same record each time: what the other side has already is not sent again.
    for at in (8..20).cycle().take(60) {
        let Ok(moving) = stopped_at(source, target, id, at) else {
            id = returned(source, target);
            continue;
        };
        let started = Instant::now();
        let mut since = None;
        // What was delivered takes a moment, and then nothing changes.
        while started.elapsed() < Duration::from_millis(300) {
            let here = source.daemon().task(id)["state"].clone();
            let now = stands(here.as_str().expect("a state"), &target.states());
            since = since.filter(|_| now).or(now.then(Instant::now));
            if since.is_some_and(|since| since.elapsed() > Duration::from_millis(80)) {
                return Halted { id, moving };
            }
            std::thread::sleep(Duration::from_millis(5));
        }
        target.gate.open();
        moving.join().expect("it ends");
        source.until_settled();
        target.until_settled();
        if source.tasks().is_empty() {
            id = returned(source, target);
        }
    }
    panic!("it never stood so");
}

/// Moves the task back that has gone; gives its number.
pub fn returned(source: &Side, target: &Side) -> u64 {
    let there = target.tasks()[0]["id"].as_u64().expect("a number");
    let (status, gone) = target.migrate(there, "other");
    assert_eq!(status, 200, "{gone}");
    source.until_settled();
    target.until_settled();
    gone["to"]["task"].as_u64().expect("a number")
}

/// The target holds it, and the source has not been told.
pub fn held(source: &Side, target: &Side, id: u64) -> Halted {
    stopped_when(source, target, id, |here, there| {
        here == "moving" && there == ["arriving"]
    })
}

/// The source has given it up, and the target has not been told.
pub fn given(source: &Side, target: &Side, id: u64) -> Halted {
    stopped_when(source, target, id, |here, there| {
        here == "moved" && there == ["arriving"]
    })
}

/// The target has it, and the source has not been told.
pub fn taken(source: &Side, target: &Side, id: u64) -> Halted {
    stopped_when(source, target, id, |here, there| {
        here == "moved" && there.len() == 1 && there[0] != "arriving" && !source.moves().is_empty()
    })
}
