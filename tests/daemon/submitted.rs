//! What `dormouse submit` makes of a program before a daemon gets it.

use std::path::Path;
use std::process::Command;

use dormouse_test_support::{assert_ended, guest, said};
use dormouse_test_support::{composed, wasmtime};

use crate::support::{Daemon, folder, text};

/// The number of the task that a submission has made.
fn submitted(daemon: &Daemon, arguments: &[&str]) -> u64 {
    let arguments = [&["--json", "submit"], arguments].concat();
    let output = daemon.command(&arguments);
    assert_ended(&output, 0, &said(&output), &[]);
    let task: serde_json::Value = serde_json::from_slice(&output.stdout).expect("JSON");
    task["id"].as_u64().expect("a number")
}

fn path(path: &Path) -> &str {
    path.to_str().expect("UTF-8")
}

/// The components of a task file become one here, which sleeps in the daemon's store in the middle of
/// a call from one of them into another.
#[test]
fn components_of_a_task_file_are_one_task() {
    let (data, files) = (folder(), folder());
    let names = ["program", "hall", "beds"].map(str::to_owned);
    // The files of the components are left beside it.
    let whole = files.path().join("whole.wasm");
    composed(&names, files.path(), &whole);
    let oracle = wasmtime().arg("run").arg(&whole).output().expect("it runs");
    let lines = names.map(|name| format!("[[component]]\npath = \"{name}.wasm\"\n"));
    let config = files.path().join("task.toml");
    std::fs::write(&config, lines.concat()).expect("a task file");
    let daemon = Daemon::start(data.path(), &["--hibernate-after", "0s"]);
    let id = submitted(&daemon, &["--config", path(&config)]);
    let task = daemon.until(id, "exited");
    assert_eq!(
        task["exit_code"].as_i64(),
        oracle.status.code().map(i64::from)
    );
    assert_eq!(daemon.output(id), text(&oracle.stdout));
    assert!(task["sleeps"].as_u64() > Some(0), "it has slept: {task}");
}

/// A prepared module is submitted as the resumable module that it holds. Its machine code goes into
/// the cache of the user who trusts its signer, and to no daemon.
#[test]
fn a_prepared_module_is_submitted_without_its_machine_code() {
    let (data, files) = (folder(), folder());
    let (key, file) = (files.path().join("key"), files.path().join("nap.dormouse"));
    let cached = |arguments: &[&str]| {
        let output = Command::new(env!("CARGO_BIN_EXE_dormouse"))
            .args(arguments)
            .env("DORMOUSE_CACHE", files.path().join("cache"))
            .output()
            .expect("the binary runs");
        assert_ended(&output, 0, &said(&output), &[]);
        output
    };
    cached(&["keygen", "sign", path(&key)]);
    let public = key.with_extension("pub");
    let module = guest("c_hello_sleep");
    let uninterrupted = cached(&["run", path(&module)]);
    let sign = ["--sign-key", path(&key), path(&module)];
    cached(&[&["compile", "--output", path(&file)], &sign[..]].concat());
    let resumable = files.path().join("nap.wasm");
    cached(&["build", path(&module), "-o", path(&resumable)]);

    let daemon = Daemon::start(data.path(), &["--hibernate-after", "0s"]);
    let trusted = ["--verify-key", path(&public), path(&file)];
    let ids = [
        submitted(&daemon, &trusted),
        submitted(&daemon, &[path(&resumable)]),
        submitted(&daemon, &[path(&module)]),
    ];
    let modules = ids.map(|id| {
        let task = daemon.until(id, "exited");
        assert_eq!(daemon.output(id), text(&uninterrupted.stdout));
        task["module"].clone()
    });
    // One resumable module, whichever way it came.
    assert_eq!(modules[0], modules[1]);
    assert_eq!(modules[1], modules[2]);
}
