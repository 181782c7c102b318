//! Daemons of our own, and what is asked of them.

use std::io::{BufRead, BufReader};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Output, Stdio};
use std::sync::{Arc, Mutex};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

use dormouse_test_support::{TIMEOUT, guest};
use serde_json::{Value, json};
use ureq::http::{Method, Request};

/// A directory for a daemon, which only its owner can read.
pub fn folder() -> tempfile::TempDir {
    tempfile::Builder::new()
        .prefix("dormouse-daemon-")
        .permissions(std::os::unix::fs::PermissionsExt::from_mode(0o700))
        .tempdir()
        .expect("a folder")
}

/// A daemon that runs; it is killed when this goes.
pub struct Daemon {
    child: Child,
    /// Reads the log to its end.
    reader: Option<JoinHandle<()>>,
    said: Arc<Mutex<Vec<String>>>,
    pub address: String,
    pub token: String,
}

impl Daemon {
    pub fn start(data: &Path, options: &[&str]) -> Self {
        match Self::try_start(data, options) {
            Ok(daemon) => daemon,
            Err(text) => panic!("the daemon did not start:\n{text}"),
        }
    }

    /// A daemon, or what it said when it ended.
    pub fn try_start(data: &Path, options: &[&str]) -> Result<Self, String> {
        Self::try_start_in(&[], data, options)
    }

    /// The same with variables of the environment.
    pub fn try_start_in(
        environment: &[(&str, &str)],
        data: &Path,
        options: &[&str],
    ) -> Result<Self, String> {
        let mut binary = Command::new(env!("CARGO_BIN_EXE_dormouse"));
        binary.envs(environment.iter().copied());
        Self::try_start_by(binary, data, options)
    }

    /// A daemon that may have only so many descriptors open.
    pub fn start_with_descriptors(count: u64, data: &Path, options: &[&str]) -> Self {
        let mut shell = Command::new("sh");
        shell
            .arg("-c")
            .arg(format!("ulimit -n {count} && exec \"$0\" \"$@\""))
            .arg(env!("CARGO_BIN_EXE_dormouse"));
        Self::try_start_by(shell, data, options).unwrap_or_else(|text| panic!("{text}"))
    }

    /// A daemon in a control group, whose list of processes this is.
    pub fn start_in_group(processes: &Path, data: &Path) -> Self {
        let mut shell = Command::new("sh");
        shell.args(["-c", "echo $$ >\"$0\" && exec \"$@\""]);
        shell.arg(processes).arg(env!("CARGO_BIN_EXE_dormouse"));
        Self::try_start_by(shell, data, &[]).expect("the daemon starts")
    }

    /// The same by a command that runs the binary with the arguments that it gets.
    pub fn try_start_by(
        mut command: Command,
        data: &Path,
        options: &[&str],
    ) -> Result<Self, String> {
        let mut child = command
            .args(["serve", "--data"])
            .arg(data)
            .args(match options.contains(&"--listen") {
                true => &[][..],
                false => &["--listen", "127.0.0.1:0"],
            })
            .args(options)
            .stdin(Stdio::null())
            .stderr(Stdio::piped())
            .spawn()
            .expect("the binary starts");
        let stderr = child.stderr.take().expect("it is piped");
        let mut lines = BufReader::new(stderr).lines();
        let mut said = String::new();
        let found = lines.by_ref().map_while(Result::ok).find_map(|line| {
            said.push_str(&line);
            said.push('\n');
            let (_, url) = line.split_once("dashboard  ")?;
            let (_, url) = url.split_once("://")?;
            let (address, token) = url.split_once("/#token=")?;
            Some((address.to_string(), token.to_string()))
        });
        let Some((address, token)) = found else {
            let code = child.wait().expect("it ended").code();
            return Err(format!("{said}exit code {code:?}"));
        };
        let said = Arc::new(Mutex::new(
            said.lines().map(String::from).collect::<Vec<_>>(),
        ));
        let log = said.clone();
        // So that it never waits for us.
        let reader = std::thread::spawn(move || {
            for line in lines.map_while(Result::ok) {
                if std::env::var_os("DORMOUSE_TEST_LOG").is_some() {
                    eprintln!("{line}");
                }
                log.lock().expect("the log").push(line);
            }
        });
        Ok(Self {
            child,
            reader: Some(reader),
            said,
            address,
            token,
        })
    }

    /// Sends SIGKILL, and does not wait.
    pub fn kill_now(&self) {
        let pid = rustix::process::Pid::from_child(&self.child);
        rustix::process::kill_process(pid, rustix::process::Signal::KILL).expect("it runs");
    }

    /// What it has written to its log so far.
    pub fn said(&self) -> Vec<String> {
        self.said.lock().expect("the log").clone()
    }

    /// Waits until the log has this.
    pub fn until_said(&self, part: &str) {
        self.until_that(part, || {
            let said = self.said();
            said.iter().any(|line| line.contains(part)).then_some(())
        });
    }

    pub fn pid(&self) -> u32 {
        self.child.id()
    }

    /// Waits for its end.
    pub fn wait(&mut self) {
        self.child.wait().expect("it ends");
    }

    pub fn kill(mut self) {
        self.child.kill().expect("it can be killed");
        self.child.wait().expect("it ends");
    }

    /// Ends it with SIGTERM; gives its exit code.
    pub fn stop(mut self) -> Option<i32> {
        self.terminate();
        self.child.wait().expect("it ends").code()
    }

    /// Sends SIGTERM, and does not wait.
    pub fn terminate(&self) {
        let pid = rustix::process::Pid::from_child(&self.child);
        rustix::process::kill_process(pid, rustix::process::Signal::TERM).expect("it runs");
    }

    /// Waits for its end; gives its exit code, and all that it has written to its log.
    pub fn ended_with(mut self) -> (Option<i32>, String) {
        let code = self.child.wait().expect("it ends").code();
        if let Some(reader) = self.reader.take() {
            reader.join().expect("the log is read");
        }
        (code, self.said().join("\n"))
    }

    /// Waits until it ends by itself; gives its exit code.
    pub fn ended(mut self) -> Option<i32> {
        self.child.wait().expect("it ends").code()
    }

    pub fn url(&self) -> String {
        format!("http://{}@{}", self.token, self.address)
    }

    /// Asks; gives the status and the body.
    pub fn ask(&self, method: Method, path: &str, body: &[u8]) -> (u16, Vec<u8>) {
        let token = format!("Bearer {}", self.token);
        self.ask_with(method, path, body, &[("authorization", &token)])
            .expect("the daemon answers")
    }

    /// Asks with these headers; an error where the daemon is gone.
    pub fn ask_with(
        &self,
        method: Method,
        path: &str,
        body: &[u8],
        headers: &[(&str, &str)],
    ) -> Result<(u16, Vec<u8>), ureq::Error> {
        let config = ureq::Agent::config_builder()
            .http_status_as_error(false)
            .timeout_global(Some(TIMEOUT))
            .build();
        let mut request = Request::builder()
            .method(method)
            .uri(format!("http://{}{path}", self.address))
            .header("content-type", "application/json");
        for (name, value) in headers {
            request = request.header(*name, *value);
        }
        let request = request.body(body.to_vec()).expect("a request");
        let mut response = ureq::Agent::from(config).run(request)?;
        let status = response.status().as_u16();
        Ok((status, response.body_mut().read_to_vec()?))
    }

    pub fn json(&self, method: Method, path: &str, body: &Value) -> (u16, Value) {
        let body = match body {
            Value::Null => Vec::new(),
            body => body.to_string().into_bytes(),
        };
        let (status, answer) = self.ask(method, path, &body);
        (
            status,
            serde_json::from_slice(&answer).unwrap_or(Value::Null),
        )
    }

    /// Uploads a guest; gives its digest.
    pub fn upload(&self, name: &str) -> String {
        self.upload_as(name, false)
    }

    /// With checks or without.
    pub fn upload_as(&self, name: &str, preempt: bool) -> String {
        let wasm = std::fs::read(guest(name)).expect("a guest");
        self.upload_bytes(&wasm, preempt)
    }

    /// Uploads a module or a component.
    pub fn upload_bytes(&self, wasm: &[u8], preempt: bool) -> String {
        let path = format!("/v1/modules?preempt={preempt}");
        let (status, answer) = self.ask(Method::PUT, &path, wasm);
        let text = String::from_utf8_lossy(&answer).into_owned();
        assert_eq!(status, 200, "{text}");
        let answer: Value = serde_json::from_str(&text).expect("JSON");
        answer["module"].as_str().expect("a digest").to_string()
    }

    /// Submits a guest with arguments and whatever else; gives its number.
    pub fn submit(&self, name: &str, args: &[&str], more: Value) -> u64 {
        let mut task = json!({"module": self.upload(name), "program": name, "args": args});
        for (key, value) in more.as_object().into_iter().flatten() {
            task[key] = value.clone();
        }
        let (status, task) = self.json(Method::POST, "/v1/tasks", &task);
        assert_eq!(status, 201, "{task}");
        task["id"].as_u64().expect("a number")
    }

    pub fn task(&self, id: u64) -> Value {
        let (status, task) = self.json(Method::GET, &format!("/v1/tasks/{id}"), &Value::Null);
        assert_eq!(status, 200, "{task}");
        task
    }

    pub fn act(&self, id: u64, act: &str) -> (u16, Value) {
        self.json(Method::POST, &format!("/v1/tasks/{id}/{act}"), &Value::Null)
    }

    pub fn output(&self, id: u64) -> String {
        let path = format!("/v1/tasks/{id}/logs?format=raw");
        let (status, bytes) = self.ask(Method::GET, &path, &[]);
        assert_eq!(status, 200);
        String::from_utf8_lossy(&bytes).into_owned()
    }

    /// Waits until a task has this state.
    pub fn until(&self, id: u64, state: &str) -> Value {
        self.until_that(&format!("task {id} is {state}"), || {
            let task = self.task(id);
            (task["state"] == state).then_some(task)
        })
    }

    /// Waits for so long, and then until a task is in the store alone.
    pub fn until_asleep(&self, id: u64, after: Duration) {
        std::thread::sleep(after);
        self.until_that("it sleeps", || {
            let task = self.task(id);
            (task["state"] == "hibernated" && task["memory"] == 0).then_some(())
        });
    }

    /// Waits until there is a value.
    pub fn until_that<T>(&self, what: &str, look: impl Fn() -> Option<T>) -> T {
        let started = Instant::now();
        loop {
            if let Some(found) = look() {
                return found;
            }
            if started.elapsed() > TIMEOUT {
                let path = "/v1/tasks?limit=20";
                let (_, tasks) = self.json(Method::GET, path, &Value::Null);
                panic!("it never came that {what}: {tasks:#}");
            }
            std::thread::sleep(Duration::from_millis(20));
        }
    }

    /// Runs a command of the binary's against this daemon.
    pub fn command(&self, arguments: &[&str]) -> Output {
        Command::new(env!("CARGO_BIN_EXE_dormouse"))
            .args(arguments)
            .env("DORMOUSE_URL", self.url())
            .stdin(Stdio::null())
            .output()
            .expect("the binary runs")
    }
}

impl Drop for Daemon {
    fn drop(&mut self) {
        // It has ended, where a test has ended it.
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// Runs the binary as a client of the daemon at `url`; one that does not end is ended.
pub fn dormouse(arguments: &[String], url: &str) -> Output {
    Command::new("timeout")
        .args(["-k", "10", "300", env!("CARGO_BIN_EXE_dormouse")])
        .args(arguments)
        .env("DORMOUSE_URL", url)
        .stdin(Stdio::null())
        .output()
        .expect("the binary runs")
}

pub fn text(bytes: &[u8]) -> String {
    String::from_utf8_lossy(bytes).into_owned()
}

/// Writes a module that takes seconds to be made resumable: Binaryen rewrites it, since it has less
/// than 512 KiB of code that may be on the stack at a suspend.
pub fn slow_to_make(folder: &Path) -> PathBuf {
    let steps = "(local.set 0 (i32.add (local.get 0) (call $yield)))".repeat(40);
    let functions = "(func (param i32) (result i32) STEPS (local.get 0))".repeat(1500);
    let text = format!(
        r#"(module
             (import "wasi_snapshot_preview1" "sched_yield" (func $yield (result i32)))
             (memory (export "memory") 1)
             {functions}
             (func (export "_start")))"#
    );
    let wasm = wat::parse_str(text.replace("STEPS", &steps)).expect("the text is right");
    let path = folder.join("slow.wasm");
    std::fs::write(&path, wasm).expect("a file");
    path
}
