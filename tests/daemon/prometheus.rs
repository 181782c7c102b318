//! What `deploy/` has for Prometheus and Grafana, against a real Prometheus that scrapes a real
//! daemon: every expression of the dashboard finds data, and alerts fire when they should.

use std::fs;
use std::io::{BufRead, BufReader};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::Duration;

use dormouse_test_support::{TIMEOUT, cache};
use serde_json::{Value, json};

use crate::support::{Daemon, folder};

/// Debian's programs, which the set-up unpacks; nothing where it could not.
fn program(name: &str) -> Option<PathBuf> {
    let unpacked = cache().join("programs/prometheus/usr/bin").join(name);
    if unpacked.exists() {
        return Some(unpacked);
    }
    println!("left out: there is no {name} in {}", unpacked.display());
    None
}

fn deploy() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("deploy")
}

#[test]
fn alerts_fire_when_their_tests_say_so() {
    let Some(promtool) = program("promtool") else {
        return;
    };
    for arguments in [
        &["test", "rules", "alerts_test.yml"][..],
        &["check", "config", "--syntax-only", "prometheus.yml"],
    ] {
        let mut command = Command::new(&promtool);
        command
            .args(arguments)
            .current_dir(deploy().join("prometheus"));
        let output = command.output().expect("promtool runs");
        let said = String::from_utf8_lossy(&output.stdout).into_owned();
        let wrong = String::from_utf8_lossy(&output.stderr);
        assert!(output.status.success(), "{arguments:?}: {said}{wrong}");
    }
    // Each alert has a test.
    let read = |name: &str| fs::read_to_string(deploy().join("prometheus").join(name));
    let (alerts, tests) = (read("alerts.yml"), read("alerts_test.yml"));
    let (alerts, tests) = (alerts.expect("a file"), tests.expect("a file"));
    let names = alerts
        .lines()
        .filter_map(|line| line.trim().strip_prefix("- alert: "));
    let missing: Vec<&str> = names.filter(|name| !tests.contains(name)).collect();
    assert!(missing.is_empty(), "alerts without a test: {missing:?}");
}

/// A Prometheus; it is killed when this goes.
struct Prometheus {
    child: Child,
    address: String,
}

impl Prometheus {
    /// Starts one with the configuration of `deploy/`, which scrapes this daemon.
    fn start(program: &Path, folder: &Path, daemon: &Daemon) -> Self {
        let made = daemon.command(&["token", "create", "--role", "metrics", "prometheus"]);
        assert!(made.status.success(), "{made:?}");
        let token = folder.join("token");
        fs::write(&token, &made.stdout).expect("a file");
        let from = deploy().join("prometheus");
        fs::copy(from.join("alerts.yml"), folder.join("alerts.yml")).expect("a file");
        let config = fs::read_to_string(from.join("prometheus.yml")).expect("a file");
        let changed = [
            ("15s", "1s"),
            (
                "/etc/prometheus/dormouse-token",
                &token.display().to_string(),
            ),
            ("127.0.0.1:7433", &daemon.address),
        ];
        let config = changed.iter().fold(config, |config, (from, to)| {
            assert!(config.contains(from), "{from} is not in {config}");
            config.replace(from, to)
        });
        let path = folder.join("prometheus.yml");
        fs::write(&path, config).expect("a file");
        let mut child = Command::new(program)
            .arg(format!("--config.file={}", path.display()))
            .arg(format!(
                "--storage.tsdb.path={}",
                folder.join("data").display()
            ))
            .arg("--web.listen-address=127.0.0.1:0")
            .stdout(Stdio::null())
            .stderr(Stdio::piped())
            .spawn()
            .expect("it starts");
        let mut log = BufReader::new(child.stderr.take().expect("a pipe")).lines();
        let address = log.by_ref().map_while(Result::ok).find_map(|line| {
            let (_, address) = line.split_once("\"Listening on\" address=")?;
            Some(address.to_string())
        });
        let address = address.expect("it says where it listens");
        // A full pipe would stop it.
        std::thread::spawn(move || log.for_each(drop));
        Self { child, address }
    }

    /// What an API gives; nothing while it does not answer.
    fn get(&self, path: &str, query: &[(&str, &str)]) -> Option<Value> {
        let url = format!("http://{}/api/v1/{path}", self.address);
        let mut request = ureq::get(url);
        for (name, value) in query {
            request = request.query(name, value);
        }
        let request = request.config().timeout_global(Some(TIMEOUT));
        let answer: Value = request.build().call().ok()?.body_mut().read_json().ok()?;
        assert_eq!(answer["status"], "success", "{path} {query:?}: {answer}");
        Some(answer["data"].clone())
    }

    /// Whether an expression gives a number now.
    fn gives(&self, expression: &str) -> bool {
        let data = self.get("query", &[("query", expression)]);
        let data = data.unwrap_or_default();
        let series = data["result"].as_array().into_iter().flatten();
        series.into_iter().any(|one| one["value"][1] != "NaN")
    }
}

impl Drop for Prometheus {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// The expressions of the dashboard's panels, as Grafana would ask them.
fn expressions() -> Vec<String> {
    let path = deploy().join("grafana/dormouse.json");
    let text = fs::read_to_string(path).expect("a file");
    let dashboard: Value = serde_json::from_str(&text).expect("JSON");
    let panels = dashboard["panels"].as_array().into_iter().flatten();
    let targets = panels.flat_map(|panel| panel["targets"].as_array().into_iter().flatten());
    targets
        .map(|target| {
            let expression = target["expr"].as_str().expect("an expression");
            [
                ("$job", "dormouse"),
                ("$instance", ".*"),
                ("$__rate_interval", "5m"),
            ]
            .iter()
            .fold(expression.to_string(), |text, (from, to)| {
                text.replace(from, to)
            })
        })
        .collect()
}

#[test]
fn prometheus_finds_all_that_the_dashboard_shows_and_sees_a_daemon_go() {
    let Some(program) = program("prometheus") else {
        return;
    };
    let (home, data) = (folder(), folder());
    // Tasks sleep in the store, so that there are times of that.
    let daemon = Daemon::start(data.path(), &["--hibernate-after", "0s"]);
    let prometheus = Prometheus::start(&program, home.path(), &daemon);
    // What is counted later is counted from there on.
    daemon.until_that("the daemon is scraped", || {
        let zero = "sum(dormouse_wakes_total{job=\"dormouse\"}) == 0 and sum(up) == 1";
        prometheus.gives(zero).then_some(())
    });
    let expressions = expressions();
    assert!(expressions.len() > 20, "{expressions:?}");
    let task = daemon.submit("ex_nap", &[], json!({}));
    daemon.until(task, "exited");
    for expression in &expressions {
        daemon.until_that(&format!("{expression} gives a number"), || {
            prometheus.gives(expression).then_some(())
        });
    }
    let rules = || prometheus.get("rules", &[]);
    let rules = daemon.until_that("all rules have been evaluated", || {
        let rules = rules()?["groups"][0]["rules"].as_array()?.clone();
        let is_known = |rule: &Value| rule["health"] != "unknown";
        rules.iter().all(is_known).then_some(rules)
    });
    assert_eq!(rules.len(), 6, "{rules:?}");
    for rule in &rules {
        assert_eq!(rule["health"], "ok", "{rule}");
        assert_eq!(rule["alerts"], json!([]), "{rule}");
    }
    daemon.kill();
    let is_down = || {
        let alerts = prometheus.get("alerts", &[])?;
        let alerts = alerts["alerts"].as_array()?;
        let is = |alert: &&Value| alert["labels"]["alertname"] == "DormouseDown";
        alerts.iter().find(is).cloned()
    };
    // It fires after a minute; that it is about to is seen at once.
    let begun = std::time::Instant::now();
    while is_down().is_none() {
        assert!(begun.elapsed() < TIMEOUT, "nobody saw that the daemon went");
        std::thread::sleep(Duration::from_millis(100));
    }
}
