//! Daemons that move tasks to each other, for tests.

use std::sync::mpsc::{Receiver, RecvTimeoutError};
use std::thread::JoinHandle;
use std::time::Duration;

use serde_json::{Value, json};
use ureq::http::Method;

use crate::gate::Gate;
use crate::support::{Daemon, folder};

/// A daemon that others reach through a gate.
pub struct Side {
    pub data: tempfile::TempDir,
    options: Vec<String>,
    environment: Vec<(&'static str, String)>,
    pub daemon: Option<Daemon>,
    pub gate: Gate,
}

impl Side {
    pub fn new(options: &[&str]) -> Self {
        Self::new_in(&[], options)
    }

    /// Starts to move a task, and does not wait for it.
    pub fn start_moving(&self, id: u64) -> JoinHandle<Option<u16>> {
        let address = self.daemon().address.clone();
        let token = format!("Bearer {}", self.daemon().token);
        std::thread::spawn(move || {
            let config = ureq::Agent::config_builder()
                .http_status_as_error(false)
                .timeout_global(Some(Duration::from_secs(30)))
                .build();
            let answer = ureq::Agent::from(config)
                .post(format!("http://{address}/v1/tasks/{id}/migrate"))
                .header("authorization", token)
                .send_json(json!({"to": "other"}));
            answer.ok().map(|answer| answer.status().as_u16())
        })
    }

    /// With variables of the environment.
    pub fn new_in(environment: &[(&'static str, &str)], options: &[&str]) -> Self {
        let owned = |(name, value): &(&'static str, &str)| (*name, value.to_string());
        let mut side = Self {
            data: folder(),
            options: options.iter().map(|option| option.to_string()).collect(),
            environment: environment.iter().map(owned).collect(),
            daemon: None,
            gate: Gate::new(),
        };
        side.start();
        side
    }

    pub fn start(&mut self) {
        let gate = self.gate.address.clone();
        let mut options = vec!["--peer-listen", "127.0.0.1:0", "--peer-address", &gate];
        options.extend(self.options.iter().map(String::as_str));
        let environment = self.environment.iter();
        let environment: Vec<_> = environment.map(|(name, value)| (*name, &**value)).collect();
        let daemon = Daemon::try_start_in(&environment, self.data.path(), &options);
        self.daemon = Some(daemon.unwrap_or_else(|text| panic!("it did not start:\n{text}")));
        self.gate.aim(&self.listens());
    }

    pub fn known(&self) -> Value {
        let (status, known) = self.daemon().json(Method::GET, "/v1/peers", &Value::Null);
        assert_eq!(status, 200, "{known}");
        known
    }

    pub fn listens(&self) -> String {
        self.known()["listens"]
            .as_str()
            .expect("an address")
            .to_string()
    }

    pub fn daemon(&self) -> &Daemon {
        self.daemon.as_ref().expect("it runs")
    }

    pub fn restart(&mut self) {
        if let Some(daemon) = self.daemon.take() {
            daemon.kill();
        }
        self.start();
    }

    pub fn kill(&mut self) {
        if let Some(daemon) = self.daemon.take() {
            daemon.kill();
        }
    }

    pub fn fingerprint(&self) -> String {
        self.known()["fingerprint"]
            .as_str()
            .expect("hex")
            .to_string()
    }

    /// Makes a peer known here.
    pub fn trusts(&self, name: &str, other: &Self, more: Value) {
        let mut peer = json!({
            "name": name, "fingerprint": other.fingerprint(), "address": other.gate.address
        });
        for (key, value) in more.as_object().into_iter().flatten() {
            peer[key] = value.clone();
        }
        let (status, told) = self.daemon().json(Method::POST, "/v1/peers", &peer);
        assert_eq!(status, 200, "{told}");
    }

    pub fn migrate(&self, id: u64, to: &str) -> (u16, Value) {
        let path = format!("/v1/tasks/{id}/migrate");
        self.daemon().json(Method::POST, &path, &json!({"to": to}))
    }

    /// Tasks that are not tombstones.
    pub fn tasks(&self) -> Vec<Value> {
        let path = "/v1/tasks?limit=1000";
        let (status, page) = self.daemon().json(Method::GET, path, &Value::Null);
        assert_eq!(status, 200, "{page}");
        let tasks = page["tasks"].as_array().expect("tasks").clone();
        let here = |task: &Value| task["state"] != "moved";
        tasks.into_iter().filter(here).collect()
    }
}

/// Two that know each other.
pub fn pair(options: &[&str]) -> [Side; 2] {
    pair_in(&[], options)
}

/// The same with variables of the environment.
pub fn pair_in(environment: &[(&'static str, &str)], options: &[&str]) -> [Side; 2] {
    let side = || Side::new_in(environment, options);
    let sides = [side(), side()];
    sides[0].trusts("other", &sides[1], json!({}));
    sides[1].trusts("other", &sides[0], json!({}));
    sides
}

/// Lines of `ex_sleeper` without how late each was.
pub fn rounds(output: &str) -> Vec<&str> {
    let round = |line: &'_ str| line.find(" late").unwrap_or(line.len());
    output.lines().map(|line| &line[..round(line)]).collect()
}

pub fn assert_in_order(output: &str) {
    for (number, line) in rounds(output).into_iter().enumerate() {
        assert_eq!(line, format!("round {number}"), "{output}");
    }
}

/// Waits for the record that a gate was armed for; `false` where the move ended before it came.
pub fn comes(reached: &Receiver<()>, moving: &JoinHandle<Option<u16>>) -> bool {
    loop {
        match reached.recv_timeout(Duration::from_millis(20)) {
            Ok(()) => return true,
            Err(RecvTimeoutError::Timeout) if !moving.is_finished() => {}
            Err(_) => return false,
        }
    }
}
