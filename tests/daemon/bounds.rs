//! What is sent to the daemon is bounded: bodies before they are kept, arguments and environment, batches, lists.

use std::io::{Read, Write};
use std::net::TcpStream;
use std::path::Path;
use std::process::Stdio;

use serde_json::{Value, json};
use ureq::http::Method;

use crate::support::{Daemon, folder, text};
use dormouse_test_support::guest;

/// The most memory that the daemon has had, in bytes.
fn peak(daemon: &Daemon) -> u64 {
    let status = std::fs::read_to_string(format!("/proc/{}/status", daemon.pid()));
    let status = status.expect("it runs");
    let line = status.lines().find_map(|line| line.strip_prefix("VmHWM:"));
    let kib = line.expect("a peak").trim().trim_end_matches(" kB");
    kib.parse::<u64>().expect("a number") * 1024
}

fn stored(data: &Path) -> u64 {
    let files = std::fs::read_dir(data).expect("a directory");
    let sizes = files.map(|file| {
        file.expect("a file")
            .metadata()
            .map_or(0, |data| data.len())
    });
    sizes.sum()
}

/// Sends so much, in pieces; gives the answer.
fn pour(daemon: &Daemon, path: &str, count: usize, chunked: bool) -> String {
    let mut stream = TcpStream::connect(&daemon.address).expect("it listens");
    let length = match chunked {
        true => "Transfer-Encoding: chunked".to_string(),
        false => format!("Content-Length: {}", count << 20),
    };
    write!(
        stream,
        "{path} HTTP/1.1\r\nHost: localhost\r\nAuthorization: Bearer {}\r\n{length}\r\n\
         Content-Type: application/json\r\nConnection: close\r\n\r\n",
        daemon.token
    )
    .expect("it is sent");
    let piece = vec![b' '; 1 << 20];
    for _ in 0..count {
        if chunked {
            stream.write_all(b"100000\r\n").expect("it is taken");
        }
        stream.write_all(&piece).expect("it is taken");
        if chunked {
            stream.write_all(b"\r\n").expect("it is taken");
        }
    }
    if chunked {
        stream.write_all(b"0\r\n\r\n").expect("it is taken");
    }
    let mut answer = String::new();
    stream.read_to_string(&mut answer).expect("an answer");
    answer
}

#[test]
fn bodies_are_refused_before_they_take_memory() {
    let data = folder();
    let daemon = Daemon::start(
        data.path(),
        &["--limit", "module=1M", "--limit", "snapshot=1M"],
    );
    let before = peak(&daemon);
    for path in [
        "PUT /v1/modules",
        "POST /v1/snapshots",
        "POST /v1/tasks",
        "POST /v1/batch",
        "POST /v1/tasks/1/resume",
        "GET /v1/stats",
    ] {
        for chunked in [false, true] {
            let answer = pour(&daemon, path, 200, chunked);
            assert!(answer.starts_with("HTTP/1.1 413"), "{path}: {answer}");
            assert!(
                answer.contains("\"error\":\"the body of this request may"),
                "{answer}"
            );
        }
    }
    let more = peak(&daemon).saturating_sub(before);
    // A body of the most that may come, twice, and what a request takes.
    assert!(more < 100 << 20, "{more} bytes more at the peak");
    // The command says it, and ends as at any limit.
    let large = data.path().join("large.wasm");
    let mut module = b"\0asm\x01\0\0\0".to_vec();
    module.resize(2 << 20, 0);
    std::fs::write(&large, module).expect("a file");
    let output = daemon.command(&["submit", large.to_str().expect("UTF-8")]);
    assert_eq!(output.status.code(), Some(80), "{output:?}");
    assert!(
        text(&output.stderr).contains("--limit module="),
        "{output:?}"
    );
}

#[test]
fn arguments_and_environment_are_bounded() {
    let data = folder();
    let daemon = Daemon::start(data.path(), &[]);
    let module = daemon.upload("ex_nap");
    let large = "x".repeat(3 << 20);
    let many = vec![""; 300_000];
    let long = |count: usize| "x".repeat(count);
    let cases = [
        (json!({"args": [large]}), 413, "in a file"),
        (json!({"args": many}), 413, "in a file"),
        (json!({"env": {"A": large}}), 413, "in a file"),
        (json!({"env": {"A=B": "x"}}), 400, "name of a variable"),
        (json!({"env": {"": "x"}}), 400, "name of a variable"),
        (json!({"env": {"A\0": "x"}}), 400, "zero byte"),
        (json!({"env": {"A": "\0"}}), 400, "zero byte"),
        (
            json!({"mounts": [{"host": "tmp", "guest": "/tmp"}]}),
            400,
            "whole path",
        ),
        (
            json!({"mounts": [{"host": "", "guest": "/tmp"}]}),
            400,
            "no path",
        ),
        (
            json!({"mounts": [{"host": "./tmp", "guest": "/tmp"}]}),
            400,
            "whole path",
        ),
        (
            json!({"mounts": [{"host": long(5000), "guest": "/tmp"}]}),
            400,
            "whole path",
        ),
        (
            json!({"mounts": [{"host": "/".repeat(5000), "guest": "/tmp"}]}),
            413,
            "4096 bytes",
        ),
        (
            json!({"mounts": vec![json!({"host": "/", "guest": "/"}); 300]}),
            413,
            "256 directories",
        ),
        (
            json!({"tmpfs": vec![json!({"guest": "/", "size": 1}); 300]}),
            413,
            "256 directories",
        ),
        (
            json!({"network": {"listen": vec!["127.0.0.1:0"; 300]}}),
            413,
            "256 addresses",
        ),
        (
            json!({"network": {"allow_connect": vec!["a:1"; 2000]}}),
            413,
            "1024 rules",
        ),
        (
            json!({"network": {"allow_connect": [long(600) + ":1"]}}),
            413,
            "512 bytes",
        ),
        (
            json!({"network": {"listen": [long(600) + ":1"]}}),
            413,
            "512 bytes",
        ),
        (
            json!({"network": {"listen": [":80"]}}),
            400,
            "is no address",
        ),
        (
            json!({"network": {"listen": ["\0:80"]}}),
            400,
            "is no address",
        ),
        (
            json!({"schedule": {"every": "soon"}}),
            400,
            "no cron expression",
        ),
        (json!({"schedule": {"every": "\0"}}), 400, ""),
        (json!({"schedule": {"every": 5}}), 422, "a text"),
        (
            json!({"schedule": {"every": "0 0 30 2 *"}}),
            400,
            "never holds",
        ),
        (
            json!({"schedule": {"every": long(100_000)}}),
            413,
            "512 bytes",
        ),
        (json!({"engine": long(100_000)}), 413, "512 bytes"),
        (json!({"name": long(100_000)}), 400, "at most 100 bytes"),
        (json!({"schedule": {"at": long(100_000)}}), 400, ""),
        (
            json!({"limits": {"x".repeat(100_000): "1"}}),
            400,
            "no limit is called",
        ),
    ];
    for (more, status, said) in cases {
        let mut task = json!({"module": module});
        for (key, value) in more.as_object().expect("fields") {
            task[key] = value.clone();
        }
        let shown: String = more.to_string().chars().take(60).collect();
        for (path, body) in [("/v1/tasks", task.clone()), ("/v1/batch", json!([task]))] {
            let (found, answer) = daemon.json(Method::POST, path, &body);
            let error = match answer.get(0) {
                // A batch says it of each task.
                Some(told) => told["error"].as_str(),
                None => answer["error"].as_str(),
            };
            let error = error.unwrap_or_default();
            assert!(error.contains(said), "{shown}: {answer}");
            assert!(error.len() < 5000, "{shown}: {} bytes", error.len());
            if path == "/v1/tasks" {
                assert_eq!(found, status, "{shown}: {answer}");
            }
        }
    }
    assert_eq!(
        daemon.json(Method::GET, "/v1/tasks", &Value::Null).1["tasks"],
        json!([])
    );
}

/// The commands refuse the same, with the same codes.
#[test]
fn commands_refuse_the_same_environment() {
    let data = folder();
    let daemon = Daemon::start(data.path(), &[]);
    let module = guest("c_args_env").display().to_string();
    // The system itself bounds what a command is given; a task file is not bounded by it.
    let file = |name: &str, lines: &str| {
        let path = data.path().join(name);
        std::fs::write(&path, format!("module = {module:?}\n{lines}")).expect("a task file");
        path.display().to_string()
    };
    let large = "x".repeat(1 << 20);
    let large = file(
        "large.toml",
        &format!("args = [{large:?}, {large:?}, \"x\"]\n"),
    );
    let zero = file("zero.toml", "[env]\nA = \"\\u0000\"\n");
    let equals = file("equals.toml", "[env]\n\"A=B\" = \"x\"\n");
    let cases = [
        (vec!["run", "--config", &large], 80, "in a file"),
        (vec!["run", "--config", &zero], 64, "zero byte"),
        (vec!["run", "--config", &equals], 64, "name of a variable"),
        (vec!["run", "--env", "=x", &module], 64, "NAME=VALUE"),
        (vec!["submit", "--env", "=x", &module], 64, "NAME=VALUE"),
        (vec!["submit", "--env", "", &module], 64, ""),
    ];
    for (arguments, code, said) in cases {
        let output = daemon.command(&arguments);
        let stderr = text(&output.stderr);
        assert_eq!(output.status.code(), Some(code), "{arguments:?}: {stderr}");
        assert!(stderr.contains(said), "{arguments:?}: {stderr}");
    }
}

#[test]
fn a_batch_does_not_multiply_what_is_stored() {
    let data = folder();
    let daemon = Daemon::start(data.path(), &[]);
    let module = daemon.upload("ex_nap");
    let before = stored(data.path());
    let large = "x".repeat(40_000);
    let task = json!({
        "module": module, "args": [large], "count": 10_000, "schedule": {"at": "2100-01-01T00:00:00Z"}
    });
    let (status, answer) = daemon.json(Method::POST, "/v1/batch", &json!([task]));
    assert_eq!(status, 413, "{answer}");
    assert!(
        answer["error"]
            .as_str()
            .is_some_and(|error| error.contains("fewer tasks at once"))
    );
    assert!(stored(data.path()) < before + (1 << 20));
    // The command takes several batches for what one cannot hold.
    let piece = "x".repeat(100_000);
    let output = std::process::Command::new(env!("CARGO_BIN_EXE_dormouse"))
        .args(["submit", "--at", "2100-01-01T00:00:00Z", "--count", "200"])
        .arg(guest("ex_nap"))
        .arg(&piece)
        .env("DORMOUSE_URL", daemon.url())
        .stdin(Stdio::null())
        .output()
        .expect("the binary runs");
    assert!(output.status.success(), "{}", text(&output.stderr));
    assert_eq!(text(&output.stdout).lines().count(), 200);
    // And a list of them is short, in as many pages as it takes.
    let mut found = Vec::new();
    let mut before = u64::MAX;
    loop {
        let path = format!("/v1/tasks?limit=1000&before={before}");
        let (status, page) = daemon.ask(Method::GET, &path, &[]);
        assert_eq!(status, 200);
        assert!(page.len() < 1 << 20, "{} bytes", page.len());
        let page: Value = serde_json::from_slice(&page).expect("JSON");
        for task in page["tasks"].as_array().expect("tasks") {
            assert_eq!(task["shortened"], true);
            assert_eq!(task["spec"]["program"], "ex_nap.wasm");
            found.push(task["id"].as_u64().expect("a number"));
        }
        match page["next"].as_u64() {
            Some(next) => before = next,
            None => break,
        }
    }
    assert_eq!(found.len(), 200);
    assert!(found.is_sorted_by(|a, b| a > b));
    // Alone it is whole.
    let task = daemon.task(found[0]);
    assert_eq!(task["spec"]["program"], "ex_nap.wasm");
    assert_eq!(task["spec"]["args"], json!([piece]));
    assert!(task.get("shortened").is_none());
    let output = daemon.command(&["ps", "--limit", "1000"]);
    assert_eq!(text(&output.stdout).lines().count(), 201);
}

/// Many small things in one request are as little as a large one.
#[test]
fn a_batch_of_too_many_is_not_read_to_its_end() {
    let data = folder();
    let daemon = Daemon::start(data.path(), &[]);
    let before = peak(&daemon);
    let many = format!("[{}{{}}]", "{},".repeat(5_000_000));
    let (status, answer) = daemon.ask(Method::POST, "/v1/batch", many.as_bytes());
    assert_eq!(status, 422, "{}", text(&answer));
    assert!(text(&answer).contains("at most 10000"), "{}", text(&answer));
    let more = peak(&daemon).saturating_sub(before);
    assert!(more < 100 << 20, "{more} bytes more at the peak");
}

#[test]
fn a_state_may_be_named_again_and_again() {
    let data = folder();
    let daemon = Daemon::start(data.path(), &[]);
    let path = format!("/v1/tasks?state={}paused", "ready,exited,".repeat(4000));
    let (status, answer) = daemon.json(Method::GET, &path, &Value::Null);
    assert_eq!(status, 200, "{answer}");
}
