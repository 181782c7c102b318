//! An OpenTelemetry collector (Rotel), and what it passes on.

use std::fs;
use std::io::{BufRead, BufReader};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use dormouse_test_support::ports::free_address;
use dormouse_test_support::{TIMEOUT, cache};
use serde_json::Value;

use crate::support::folder;

/// A collector, and what it passes on. Both are killed when this goes.
pub struct Collector {
    children: Vec<Child>,
    folder: tempfile::TempDir,
    pub url: String,
}

impl Collector {
    /// Starts one that the set-up has fetched; nothing where it could not.
    pub fn start() -> Option<Self> {
        let programs = cache().join("programs/otlp");
        let python = programs.join("bin/python");
        let found = fs::read_dir(programs.join("lib")).into_iter().flatten();
        let agents = found.flatten().map(|version| {
            let package = version.path().join("site-packages/rotel");
            package.join("rotel-agent")
        });
        let Some(agent) = agents.filter(|path| path.exists()).last() else {
            println!("left out: there is no collector in {}", programs.display());
            return None;
        };
        let folder = folder();
        let mut receiver = Command::new(python)
            .arg(Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/daemon/otlp_receiver.py"))
            .arg(folder.path().join("got"))
            .stdout(Stdio::piped())
            .spawn()
            .expect("it starts");
        let mut line = String::new();
        let said = receiver.stdout.take().expect("a pipe");
        let read = BufReader::new(said).read_line(&mut line);
        read.expect("it says its port");
        let to = format!("http://127.0.0.1:{}", line.trim());
        let mut collector = Self {
            children: vec![receiver],
            folder,
            url: String::new(),
        };
        collector.start_agent(&agent, &to);
        Some(collector)
    }

    fn start_agent(&mut self, agent: &PathBuf, to: &str) {
        let (http, grpc) = (free_address(), free_address());
        let log = fs::File::create(self.folder.path().join("log")).expect("a file");
        let child = Command::new(agent)
            .arg("start")
            .args(["--otlp-http-endpoint", &http, "--otlp-grpc-endpoint", &grpc])
            .args(["--exporter", "otlp", "--otlp-exporter-endpoint", to])
            .args(["--otlp-exporter-protocol", "http"])
            .arg("--pid-file")
            .arg(self.folder.path().join("pid"))
            .current_dir(self.folder.path())
            .stdout(log.try_clone().expect("a file"))
            .stderr(log)
            .spawn()
            .expect("it starts");
        self.children.push(child);
        let begun = Instant::now();
        while std::net::TcpStream::connect(&http).is_err() {
            let log = fs::read_to_string(self.folder.path().join("log"));
            assert!(begun.elapsed() < TIMEOUT, "it does not listen: {log:?}");
            std::thread::sleep(Duration::from_millis(20));
        }
        self.url = format!("http://{http}");
    }

    /// All that it has passed on.
    pub fn got(&self) -> Vec<Value> {
        let got = fs::read_to_string(self.folder.path().join("got")).unwrap_or_default();
        // The last line may not be whole yet.
        let whole = got
            .split_inclusive('\n')
            .filter(|line| line.ends_with('\n'));
        whole
            .map(|line| serde_json::from_str(line).expect("JSON"))
            .collect()
    }

    pub fn spans(&self, name: &str) -> Vec<Value> {
        let mut spans = self.got();
        spans.retain(|one| one["signal"] == "span" && one["name"] == name);
        spans.sort_by_key(|span| span["start"].as_u64());
        spans
    }

    pub fn lines(&self) -> Vec<Value> {
        let mut lines = self.got();
        lines.retain(|one| one["signal"] == "log");
        lines
    }

    /// Waits until this holds of what has come.
    pub fn until(&self, what: &str, holds: impl Fn(&Self) -> bool) {
        let begun = Instant::now();
        while !holds(self) {
            let got = self.got();
            assert!(
                begun.elapsed() < TIMEOUT,
                "it never came that {what}: {got:#?}"
            );
            std::thread::sleep(Duration::from_millis(50));
        }
    }
}

impl Drop for Collector {
    fn drop(&mut self) {
        for child in &mut self.children {
            let _ = child.kill();
            let _ = child.wait();
        }
    }
}
