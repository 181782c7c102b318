//! `--json`, at every command of the command line: what it gives is JSON, and so is what goes wrong.

use std::process::{Command, Stdio};

use serde_json::{Value, json};

use crate::support::{Daemon, dormouse, folder, text};
use dormouse_test_support::{TO_COMPOSE, guest};

/// All of it, as one document or one on each line.
fn documents(bytes: &[u8]) -> Result<Vec<Value>, String> {
    let stream = serde_json::Deserializer::from_slice(bytes).into_iter::<Value>();
    stream
        .collect::<Result<_, _>>()
        .map_err(|error| format!("{error}: {}", text(bytes)))
}

#[test]
fn every_command_gives_json() {
    let data = folder();
    let (here, there) = (data.path().join("here"), data.path().join("there"));
    let daemon = Daemon::start(&here, &["--peer-listen", "127.0.0.1:0", "--audit-log"]);
    let path = |name: &str| data.path().join(name).display().to_string();
    let (nap, sleeper) = (
        guest("ex_nap").display().to_string(),
        guest("c_hello_sleep").display().to_string(),
    );
    let id = daemon.submit("ex_nap", &[], json!({}));
    daemon.until(id, "exited");
    for name in ["a", "b", "c", "d", "e"] {
        daemon.submit("ex_sleeper", &["3600"], json!({"name": name}));
    }
    daemon.submit(
        "ex_nap",
        &[],
        json!({"name": "later", "schedule": {"at": "2200-01-01T00:00:00Z"}}),
    );
    daemon.until_that("it sleeps", || {
        (daemon.task(2)["sleeps"] != 0).then_some(())
    });
    std::fs::write(data.path().join("task.toml"), format!("module = {nap:?}\n"))
        .expect("a task file");
    let suspended = path("suspended");
    let words = |words: &[&str]| words.iter().map(ToString::to_string).collect::<Vec<_>>();
    let output = dormouse(
        &words(&[
            "run",
            "--suspend",
            "always",
            "--snapshot",
            &suspended,
            &sleeper,
        ]),
        "",
    );
    assert_eq!(output.status.code(), Some(75), "{output:?}");
    let (built, key, exported, task_file) = (
        path("built.wasm"),
        path("key"),
        path("exported"),
        path("task.toml"),
    );
    for (name, component) in TO_COMPOSE {
        let bytes = wat::parse_str(component).expect("a component");
        std::fs::write(path(name), bytes).expect("a file");
    }
    let (app, greeter, composed) = (path("app.wasm"), path("greeter.wasm"), path("whole.wasm"));
    let fingerprint = "0".repeat(64);
    let (store, backup) = (path("here"), path("backup"));
    // How each command is called so that it gives something, with its code.
    let calls: Vec<(Vec<&str>, i32)> = vec![
        (vec!["run", &sleeper], 0),
        (
            vec![
                "run",
                "--suspend",
                "always",
                "--snapshot",
                &suspended,
                &sleeper,
            ],
            75,
        ),
        (vec!["run", "--rehearse", &sleeper], 0),
        (vec!["serve-http", "--listen", "127.0.0.1:0", &sleeper], 65),
        (vec!["resume", "--output", &exported, &suspended], 0),
        (vec!["inspect", &suspended], 0),
        (vec!["inspect", "1"], 0),
        (vec!["build", "--functions", &nap, "-o", &built], 0),
        (vec!["compose", &app, &greeter, "-o", &composed], 0),
        (vec!["compile", &nap], 0),
        (vec!["cache", "ls"], 0),
        (vec!["cache", "prune", "--max-size", "100G"], 0),
        (vec!["cache", "verify", "--repair"], 0),
        (vec!["keygen", "sign", &key], 0),
        (vec!["audit", "--fail-on", "high", &task_file], 0),
        (vec!["completions", "bash"], 0),
        (vec!["man"], 0),
        (vec!["submit", "--at", "+1h", &nap], 0),
        (vec!["submit", "--at", "+1h", "--count", "3", &nap], 0),
        (vec!["ps"], 0),
        (vec!["logs", "1"], 0),
        (vec!["pause", "a"], 0),
        (vec!["resume", "a"], 0),
        (vec!["kill", "b"], 0),
        (vec!["rm", "b"], 0),
        (vec!["start", "later"], 0),
        (vec!["runs", "1"], 0),
        (vec!["export", "c", "-o", &exported], 0),
        (vec!["import", &exported], 0),
        (vec!["top", "--once"], 0),
        (vec!["peers"], 0),
        (vec!["peers", "ls"], 0),
        (vec!["peers", "add", "other", &fingerprint], 0),
        (vec!["peers", "rm", "other"], 0),
        (vec!["tenant", "create", "acme"], 0),
        (vec!["tenant", "set", "--max-tasks", "5", "acme"], 0),
        (vec!["tenant", "ls"], 0),
        (vec!["tenant", "rm", "acme"], 0),
        (vec!["token", "create", "--role", "read", "ci"], 0),
        (vec!["token", "ls"], 0),
        (vec!["token", "revoke", "ci"], 0),
        (vec!["audit-log"], 0),
        (vec!["moves"], 0),
        (vec!["nodes"], 0),
        (vec!["migrate", "d", "127.0.0.1:1"], 79),
        (vec!["decide", "d", "--keep"], 78),
        (vec!["drain", "--to", "127.0.0.1:1"], 79),
        (vec!["drain", "--cancel"], 0),
        (vec!["store", "check", "--data", &store], 0),
        (vec!["store", "compact", "--data", &store], 0),
        (vec!["store", "backup", "--data", &store, &backup], 0),
    ];
    let known = dormouse::cli::command();
    for command in known.get_subcommands() {
        let name = command.get_name();
        let tried = name == "serve" || calls.iter().any(|(call, _)| call[0] == name);
        assert!(
            tried,
            "tell this test how to call {name}, so that it gives something"
        );
    }
    for (call, code) in &calls {
        let mut all = words(call);
        // In front of a guest's arguments.
        all.insert(1, "--json".into());
        let output = dormouse(&all, &daemon.url());
        assert_eq!(output.status.code(), Some(*code), "{call:?}: {output:?}");
        let said = documents(&output.stderr).unwrap_or_else(|error| panic!("{call:?}: {error}"));
        if *code != 0 && *code != 75 {
            let last = said
                .last()
                .unwrap_or_else(|| panic!("{call:?} says nothing"));
            assert_eq!(last["code"], json!(code), "{call:?}: {last}");
            assert!(last["error"].is_string(), "{call:?}: {last}");
            continue;
        }
        let guests = call[0] == "run" || call.contains(&suspended.as_str()) && call[0] == "resume";
        match guests {
            // Its output is the guest's.
            true => {
                let ended = said.iter().find(|line| line["ended"].is_string());
                let ended = ended.unwrap_or_else(|| panic!("{call:?}: {said:?}"));
                assert_eq!(ended["code"], json!(code), "{call:?}");
            }
            false => {
                let given =
                    documents(&output.stdout).unwrap_or_else(|error| panic!("{call:?}: {error}"));
                assert!(!given.is_empty(), "{call:?} gives nothing: {output:?}");
            }
        }
        // Where something is wrong with the words: of each command.
        let mut all = words(&call[..1]);
        all.extend(words(&["--json", "--no-such-flag"]));
        let output = dormouse(&all, &daemon.url());
        assert_eq!(output.status.code(), Some(64), "{all:?}");
        let said = documents(&output.stderr).unwrap_or_else(|error| panic!("{all:?}: {error}"));
        assert_eq!(said[0]["code"], 64, "{said:?}");
    }
    serves(&there);
}

/// The daemon says in JSON where it is; its log is a log.
fn serves(data: &std::path::Path) {
    let mut child = Command::new(env!("CARGO_BIN_EXE_dormouse"))
        .args(["serve", "--json", "--listen", "127.0.0.1:0", "--data"])
        .arg(data)
        .stdin(Stdio::null())
        .stdout(Stdio::piped())
        .stderr(Stdio::null())
        .spawn()
        .expect("the binary starts");
    let stdout = child.stdout.take().expect("it is piped");
    let mut found = serde_json::Deserializer::from_reader(stdout).into_iter::<Value>();
    let found = found.next().expect("it says something").expect("JSON");
    let url = found["url"].as_str().expect("an address").to_string();
    let output = dormouse(&["ps".into(), "--json".into()], &url);
    assert_eq!(documents(&output.stdout).expect("JSON"), [json!([])]);
    child.kill().expect("it runs");
    child.wait().expect("it ends");
}
