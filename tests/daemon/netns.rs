//! A job that walks over three daemons, each in a network namespace of its own, with networks that are
//! cut in the middle. Needs root; says so and does nothing without.
//!
//! ```text
//!   namespace 1 --veth-- bridge in namespace 0 --veth-- namespace 2, 3
//!   10.97.0.1                                           10.97.0.2, 10.97.0.3
//! ```

use std::process::Command;
use std::time::Duration;

use serde_json::{Value, json};

use crate::support::{folder, text};
use dormouse_test_support::guest;

/// Three hosts on one network.
struct Net {
    name: String,
}

fn ip(arguments: &[&str]) -> Result<String, String> {
    let output = Command::new("ip").args(arguments).output();
    let output = output.map_err(|error| error.to_string())?;
    match output.status.success() {
        true => Ok(text(&output.stdout)),
        false => Err(format!(
            "ip {}: {}",
            arguments.join(" "),
            text(&output.stderr)
        )),
    }
}

impl Net {
    fn new() -> Result<Self, String> {
        let net = Self {
            name: format!("dm{}", std::process::id()),
        };
        let hub = net.hub();
        ip(&["netns", "add", &hub])?;
        ip(&["-n", &hub, "link", "add", "bridge", "type", "bridge"])?;
        ip(&["-n", &hub, "link", "set", "bridge", "up"])?;
        for host in 1..=3 {
            let (space, port) = (net.host(host), format!("port{host}"));
            ip(&["netns", "add", &space])?;
            let veth = [
                "link", "add", &port, "netns", &hub, "type", "veth", "peer", "name", "eth",
                "netns", &space,
            ];
            ip(&veth)?;
            ip(&["-n", &hub, "link", "set", &port, "master", "bridge", "up"])?;
            ip(&["-n", &space, "link", "set", "lo", "up"])?;
            ip(&["-n", &space, "link", "set", "eth", "up"])?;
            ip(&[
                "-n",
                &space,
                "address",
                "add",
                &format!("10.97.0.{host}/24"),
                "dev",
                "eth",
            ])?;
        }
        Ok(net)
    }

    fn hub(&self) -> String {
        format!("{}-0", self.name)
    }

    fn host(&self, number: usize) -> String {
        format!("{}-{number}", self.name)
    }

    /// Takes a host's cable out, or puts it in again.
    fn cable(&self, host: usize, state: &str) {
        let port = format!("port{host}");
        ip(&["-n", &self.hub(), "link", "set", &port, state]).expect("a cable");
    }

    /// Runs a command of the binary's in a host.
    fn dormouse(&self, host: usize, url: &str, arguments: &[&str]) -> std::process::Output {
        Command::new("ip")
            .args([
                "netns",
                "exec",
                &self.host(host),
                env!("CARGO_BIN_EXE_dormouse"),
            ])
            .args(arguments)
            .env("DORMOUSE_URL", url)
            .output()
            .expect("it runs")
    }
}

impl Drop for Net {
    fn drop(&mut self) {
        for number in 0..=3 {
            // Where it could not be made, it cannot be removed.
            let _ = ip(&["netns", "del", &self.host(number)]);
        }
    }
}

/// A daemon in a host.
struct Host<'a> {
    net: &'a Net,
    number: usize,
    child: std::process::Child,
    url: String,
    _data: tempfile::TempDir,
}

impl<'a> Host<'a> {
    fn start(net: &'a Net, number: usize) -> Self {
        let data = folder();
        let listen = format!("10.97.0.{number}:7434");
        let child = Command::new("ip")
            .args([
                "netns",
                "exec",
                &net.host(number),
                env!("CARGO_BIN_EXE_dormouse"),
            ])
            .args([
                "serve",
                "--listen",
                "127.0.0.1:7433",
                "--hibernate-after",
                "50ms",
            ])
            .args(["--peer-listen", &listen, "--data"])
            .arg(data.path())
            .stderr(std::process::Stdio::null())
            .spawn()
            .expect("it starts");
        let mut host = Self {
            net,
            number,
            child,
            url: String::new(),
            _data: data,
        };
        for _ in 0..500 {
            let url = std::fs::read_to_string(host._data.path().join("url"));
            if let Ok(url) = url {
                host.url = url;
                if host.ask(&["peers"]).status.success() {
                    return host;
                }
            }
            std::thread::sleep(Duration::from_millis(20));
        }
        panic!("the daemon in host {number} did not start");
    }

    fn ask(&self, arguments: &[&str]) -> std::process::Output {
        self.net.dormouse(self.number, &self.url, arguments)
    }

    fn json(&self, arguments: &[&str]) -> Value {
        let output = self.ask(arguments);
        serde_json::from_slice(&output.stdout).unwrap_or_else(|_| panic!("{output:?}"))
    }

    /// Tasks that are here, and not on their way.
    fn tasks(&self) -> Vec<Value> {
        let tasks = self.json(&["ps", "--json"]);
        let tasks = tasks.as_array().expect("tasks").clone();
        let on_its_way = ["moved", "moving", "arriving"];
        let here = |task: &Value| !on_its_way.contains(&task["state"].as_str().expect("a state"));
        tasks.into_iter().filter(here).collect()
    }
}

impl Drop for Host<'_> {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

#[test]
fn a_long_job_walks_over_three_daemons_while_networks_are_cut() {
    let net = match Net::new() {
        Ok(net) => net,
        Err(why) => return println!("no network namespaces here, so nothing is tested: {why}"),
    };
    let hosts = [1, 2, 3].map(|number| Host::start(&net, number));
    let known = hosts
        .each_ref()
        .map(|host| host.json(&["peers", "ls", "--json"]));
    for (number, host) in (1..).zip(&hosts) {
        for (other, known) in (1..).zip(&known) {
            if other != number {
                let name = format!("host{other}");
                let fingerprint = known["fingerprint"].as_str().expect("hex");
                let address = known["address"].as_str().expect("an address");
                let add = ["peers", "add", &name, fingerprint, "--address", address];
                assert!(host.ask(&add).status.success());
            }
        }
    }
    let wasm = guest("ex_sleeper");
    let wasm = wasm.to_str().expect("UTF-8");
    let submit = ["submit", "--name", "walker", wasm, "0.02", "0.1", "100000"];
    assert!(hosts[0].ask(&submit).status.success());
    std::thread::sleep(Duration::from_millis(300));
    let mut at = 0;
    let mut moved = 0;
    let mut random = fastrand::Rng::with_seed(3);
    for step in 0..9 {
        let to = (at + 1) % 3;
        let name = format!("host{}", to + 1);
        let cut = step % 3 == 1;
        let output = std::thread::scope(|scope| {
            let moving = scope.spawn(|| hosts[at].ask(&["migrate", "walker", &name]));
            if cut {
                std::thread::sleep(Duration::from_millis(random.u64(1..60)));
                net.cable(to + 1, "down");
                // Once until the move is given up; else it is a moment that TCP survives.
                if step != 4 {
                    std::thread::sleep(Duration::from_millis(300));
                    net.cable(to + 1, "up");
                }
            }
            let output = moving.join().expect("it ends");
            net.cable(to + 1, "up");
            output
        });
        if !cut {
            assert!(output.status.success(), "{output:?}");
        }
        moved += usize::from(output.status.success());
        // Whatever happened, one has it, and that one alone.
        let mut patience = 0;
        at = loop {
            // The one that it goes to is asked first: it goes one way only.
            let order = [to, at, (at + 2) % 3];
            let mut owners: Vec<usize> = order
                .into_iter()
                .filter(|host| !hosts[*host].tasks().is_empty())
                .collect();
            owners.dedup();
            assert!(owners.len() < 2, "{owners:?} have it");
            if let [owner] = owners[..] {
                break owner;
            }
            patience += 1;
            assert!(patience < 300, "nobody has it");
            std::thread::sleep(Duration::from_millis(50));
        };
    }
    assert!(moved >= 6, "{moved}");
    std::thread::sleep(Duration::from_millis(300));
    let output = hosts[at].ask(&["logs", "walker"]);
    let output = text(&output.stdout);
    let lines: Vec<&str> = output.lines().collect();
    assert!(lines.len() > 10, "{output}");
    for (number, line) in lines.iter().enumerate() {
        assert!(line.starts_with(&format!("round {number} ")), "{output}");
    }
    let task = hosts[at].json(&["inspect", "--json", "walker"]);
    assert_eq!(task["runs"], json!(1), "{task}");
    println!("{moved} moves, {} lines in order", lines.len());
}
