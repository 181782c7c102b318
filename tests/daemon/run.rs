//! The commands that ask a daemon.

use std::process::{Command, Stdio};

use serde_json::{Value, json};

use crate::support::{Daemon, folder, text};
use dormouse_test_support::guest;

#[test]
fn the_commands_do_what_they_say() {
    let data = folder();
    let daemon = Daemon::start(data.path(), &[]);
    let wasm = guest("ex_nap");
    let wasm = wasm.to_str().expect("UTF-8");
    let output = daemon.command(&["submit", "--name", "nap", wasm]);
    assert_eq!(text(&output.stdout), "1\n", "{output:?}");
    let output = daemon.command(&["logs", "-f", "nap"]);
    let lines = "Good night. I have counted 5050 sheep.\nGood morning! It is still 5050 sheep.\n";
    assert_eq!(text(&output.stdout), lines);
    let output = daemon.command(&["ps", "--json"]);
    let tasks: Value = serde_json::from_slice(&output.stdout).expect("JSON");
    assert_eq!(tasks[0]["name"], "nap");
    let output = daemon.command(&["ps"]);
    let table = text(&output.stdout);
    assert!(
        table.contains("exited") && table.contains("exit code 0"),
        "{table}"
    );
    let output = daemon.command(&["inspect", "nap"]);
    assert!(
        text(&output.stdout).contains("state      exited"),
        "{output:?}"
    );
    let output = daemon.command(&["top", "--once"]);
    assert!(text(&output.stdout).contains("1 exited"), "{output:?}");
    let output = daemon.command(&["submit", "--name", "nap", wasm]);
    assert_eq!(output.status.code(), Some(64), "{output:?}");
    assert!(
        text(&output.stderr).contains("there is a task of the name"),
        "{output:?}"
    );
    let output = Command::new(env!("CARGO_BIN_EXE_dormouse"))
        .args(["inspect", "--url", &daemon.url(), "nap"])
        .env_remove("DORMOUSE_URL")
        .env("XDG_DATA_HOME", data.path())
        .output()
        .expect("the binary runs");
    assert!(
        text(&output.stdout).contains("state      exited"),
        "{output:?}"
    );
    let output = daemon.command(&["rm", "nap"]);
    assert!(output.status.success(), "{output:?}");
    let output = daemon.command(&["submit", "--count", "3", "--at", "+1h", wasm]);
    assert_eq!(
        text(&output.stdout),
        "3\n4\n5\n",
        "a refused task keeps its number"
    );
    let output = daemon.command(&["kill", "4"]);
    assert!(
        text(&output.stderr).contains("task 4 is failed"),
        "{output:?}"
    );
    let output = daemon.command(&["ps", "--state", "hibernated"]);
    assert_eq!(text(&output.stdout).lines().count(), 3, "{output:?}");
}

#[test]
fn what_cannot_be_says_why() {
    let data = folder();
    let daemon = Daemon::start(data.path(), &[]);
    let wasm = guest("ex_nap");
    let wasm = wasm.to_str().expect("UTF-8");
    let cases: [(&[&str], i32, &str); 12] = [
        (&["logs", "99"], 78, "there is no task 99"),
        (&["kill", "nobody"], 78, "there is no task nobody"),
        (&["resume", "99"], 78, "there is no task 99"),
        (&["inspect", "99"], 78, "there is no task 99"),
        (
            &["export", "99", "-o", "/dev/null"],
            78,
            "there is no task 99",
        ),
        (&["submit", "/dev/null"], 65, "module"),
        (&["submit", "nowhere.wasm"], 66, "nowhere.wasm"),
        (
            &["submit", "--every", "sometimes", wasm],
            64,
            "no cron expression",
        ),
        (
            &["submit", "--at", "tomorrow", wasm],
            64,
            "write 2030-01-31T12:00:00Z",
        ),
        (
            &["submit", "--name", "7", wasm],
            64,
            "cannot be a task's name",
        ),
        (
            &["submit", "--dir", "/nowhere", wasm],
            66,
            "cannot find /nowhere",
        ),
        (&["import", wasm], 67, "snapshot"),
    ];
    for (arguments, code, said) in cases {
        let output = daemon.command(arguments);
        assert_eq!(
            output.status.code(),
            Some(code),
            "{arguments:?}: {output:?}"
        );
        assert!(
            text(&output.stderr).contains(said),
            "{arguments:?}: {output:?}"
        );
    }
}

#[test]
fn a_daemon_that_is_not_there_or_not_ours_is_said() {
    let data = folder();
    let daemon = Daemon::start(data.path(), &[]);
    let ask = |url: &str| {
        Command::new(env!("CARGO_BIN_EXE_dormouse"))
            .args(["ps", "--url", url])
            .stdin(Stdio::null())
            .output()
            .expect("the binary runs")
    };
    let output = ask(&format!("http://wrong@{}", daemon.address));
    assert_eq!(output.status.code(), Some(77), "{output:?}");
    assert!(text(&output.stderr).contains("the token is missing or wrong"));
    let output = ask("http://x@127.0.0.1:1");
    assert_eq!(output.status.code(), Some(74), "{output:?}");
    assert!(text(&output.stderr).contains("is `dormouse serve` running?"));
    let output = ask("127.0.0.1");
    assert_eq!(output.status.code(), Some(64), "{output:?}");
    let nobody = Command::new(env!("CARGO_BIN_EXE_dormouse"))
        .arg("ps")
        .env_remove("DORMOUSE_URL")
        .env("XDG_DATA_HOME", data.path())
        .output()
        .expect("the binary runs");
    assert_eq!(nobody.status.code(), Some(74), "{nobody:?}");
    assert!(text(&nobody.stderr).contains("no daemon is known"));
}

#[test]
fn the_data_directory_is_nobody_elses() {
    use std::os::unix::fs::PermissionsExt;
    let data = folder();
    let open = std::fs::Permissions::from_mode(0o755);
    std::fs::set_permissions(data.path(), open).expect("it is ours");
    let Err(said) = Daemon::try_start(data.path(), &[]) else {
        panic!("others can read the token");
    };
    assert!(said.contains("chmod 700"), "{said}");
    let file = data.path().join("file");
    std::fs::write(&file, "x").expect("it is written");
    assert!(Daemon::try_start(&file, &[]).is_err());
}

#[test]
fn output_is_kept_up_to_its_limit() {
    let data = folder();
    let daemon = Daemon::start(data.path(), &["--output-limit", "64K"]);
    let id = daemon.submit("c_bigwrite", &[], json!({}));
    daemon.until(id, "exited");
    let kept = daemon.output(id);
    assert!(
        !kept.is_empty() && kept.len() <= 128 << 10,
        "{} bytes",
        kept.len()
    );
}
