//! A module that is made ready is shown: in a task that waits for it, and by itself while it is
//! uploaded.

use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

use serde_json::{Value, json};
use ureq::http::Method;

use crate::support::{Daemon, folder, slow_to_make, text};
use dormouse_test_support::guest;

/// A large module takes minutes on a busy machine.
const LONG: Duration = Duration::from_secs(900);

/// A daemon with a cache of its own.
fn daemon(data: &tempfile::TempDir, cache: &tempfile::TempDir) -> Daemon {
    let cache = cache.path().display().to_string();
    let environment = [("DORMOUSE_CACHE", cache.as_str())];
    Daemon::try_start_in(&environment, data.path(), &[]).expect("it starts")
}

fn until<T>(what: &str, look: impl Fn() -> Option<T>) -> T {
    let started = Instant::now();
    loop {
        if let Some(found) = look() {
            return found;
        }
        assert!(started.elapsed() < LONG, "it never came that {what}");
        std::thread::sleep(Duration::from_millis(20));
    }
}

fn preparations(daemon: &Daemon) -> Value {
    let (status, all) = daemon.json(Method::GET, "/v1/preparations", &Value::Null);
    assert_eq!(status, 200, "{all}");
    all
}

/// The module is here, and its machine code for the task's engine is not: the task goes on when it
/// has been compiled.
#[cfg(all(feature = "wasmtime", feature = "wasmedge"))]
#[test]
fn a_task_says_how_far_its_module_is() {
    let (data, cache) = (folder(), folder());
    let daemon = daemon(&data, &cache);
    let path = guest("go_chan").display().to_string();
    let submitted = daemon.command(&["submit", "--engine", "wasmedge", &path]);
    let id = text(&submitted.stdout);
    let id: u64 = id.trim().parse().expect("its number");
    let shown = until("it is compiled", || {
        let task = daemon.task(id);
        (!task["preparing"].is_null()).then(|| task["preparing"].clone())
    });
    let compiling = (&json!("wasmedge"), &json!("compiling"));
    assert_eq!((&shown["engine"], &shown["step"]), compiling, "{shown}");
    let share = shown["share"].as_f64().expect("a number");
    assert!((0.0..1.0).contains(&share), "{shown}");
    let left = shown["left"].as_f64().expect("a number");
    assert!(left > 0.0, "{shown}");
    let list = text(&daemon.command(&["ps"]).stdout);
    let words = "its module is made ready for wasmedge: compiling, ";
    assert!(list.contains(words), "{list}");
    let one = text(&daemon.command(&["inspect", &id.to_string()]).stdout);
    assert!(one.contains(words), "{one}");
    let module = daemon.task(id)["module"].clone();
    let all = preparations(&daemon);
    assert_eq!(
        (&all[0]["module"], &all[0]["step"]),
        (&module, &json!("compiling")),
        "{all}"
    );
    // It gets further while nobody tells it so.
    until("more of it is done", || {
        let task = daemon.task(id);
        let now = task["preparing"]["share"].as_f64();
        now.is_some_and(|now| now > share).then_some(())
    });
    let task = until("it ends", || {
        let task = daemon.task(id);
        (task["state"] == "exited").then_some(task)
    });
    assert_eq!(
        (&task["exit_code"], &task["preparing"]),
        (&json!(3), &Value::Null)
    );
    assert_eq!(preparations(&daemon), json!([]));
}

/// `submit` says what the daemon does, which may take minutes.
#[test]
fn an_upload_is_shown_to_all_and_to_the_one_that_sends_it() {
    let (data, cache, modules) = (folder(), folder(), folder());
    let module = slow_to_make(modules.path());
    let daemon = daemon(&data, &cache);
    let submit = Command::new(env!("CARGO_BIN_EXE_dormouse"))
        .args(["submit", "--url", &daemon.url()])
        .arg(&module)
        .stdin(Stdio::null())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .expect("the binary starts");
    let source = std::fs::read(&module).expect("a file");
    let digest = blake3::hash(&source).to_hex();
    let shown = until("it is rewritten", || {
        let all = preparations(&daemon);
        let mut all = all.as_array().expect("a list").iter();
        all.find(|one| one["step"] == "asyncify").cloned()
    });
    assert_eq!(shown["module"], digest.as_str(), "{shown}");
    assert_eq!(shown.get("engine"), None, "{shown}");
    let output = submit.wait_with_output().expect("it ends");
    let said = text(&output.stderr);
    assert!(output.status.success(), "{said}");
    assert!(
        said.contains("another process makes slow.wasm resumable: about "),
        "{said}"
    );
    assert_eq!(preparations(&daemon), json!([]));
}
