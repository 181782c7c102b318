//! What tasks may be called, and what `inspect` and `resume` take for a file and what for a task.

use std::process::{Command, Output, Stdio};

use serde_json::{Value, json};
use ureq::http::Method;

use crate::support::{Daemon, folder, text};
use dormouse_test_support::guest;

const RULE: &str = "a name begins with a letter or a digit";

/// They were names, and then `inspect` looked for a file.
#[test]
fn what_could_be_a_file_a_number_or_a_flag_is_no_name() {
    let data = folder();
    let daemon = Daemon::start(data.path(), &[]);
    let wasm = guest("ex_nap").display().to_string();
    let module = daemon.upload("ex_nap");
    let file = data.path().join("task.toml");
    let wrong = [
        "",
        ".",
        "..",
        "...",
        "....",
        ".nap",
        "-",
        "-1",
        "-nap",
        "--name",
        "_nap",
        "a/b",
        "/",
        "./nap",
        "a b",
        "7",
        "007",
        "18446744073709551616",
        "99999999999999999999999999",
        "\u{663}\u{661}",
        "a\u{1b}[2J",
        "a\nb",
        "a\u{7f}",
        "a\u{202e}b",
        "a\u{200b}",
        "a*",
        "a?",
    ];
    for name in wrong {
        let output = daemon.command(&["submit", &format!("--name={name}"), &wasm]);
        let said = text(&output.stderr);
        assert_eq!(output.status.code(), Some(64), "{name:?}: {said}");
        assert!(
            said.contains(RULE) && said.contains("--name"),
            "{name:?}: {said}"
        );
        let unseen = |c: char| (c.is_control() && c != '\n') || c == '\u{202e}' || c == '\u{200b}';
        assert!(!said.contains(unseen), "{said:?}");

        let (status, answer) = daemon.json(
            Method::POST,
            "/v1/tasks",
            &json!({"module": module, "name": name}),
        );
        assert_eq!(status, 400, "{name:?}: {answer}");
        assert!(
            answer["error"].as_str().expect("a reason").contains(RULE),
            "{answer}"
        );

        let quoted = Value::from(name).to_string();
        std::fs::write(&file, format!("module = {:?}\nname = {quoted}\n", wasm))
            .expect("a task file");
        let output = daemon.command(&["submit", "--config", &file.display().to_string()]);
        let said = text(&output.stderr);
        assert_eq!(output.status.code(), Some(64), "{name:?}: {said}");
        // TOML takes no DEL.
        if name != "a\u{7f}" {
            assert!(
                said.contains(RULE) && said.contains("task.toml:2:8"),
                "{name:?}: {said}"
            );
        }
    }
    for name in ["nap", "7up", "web-1.2_b", "x.wasm", "übung", "1.5"] {
        let output = daemon.command(&["submit", "--at", "+1h", "--name", name, &wasm]);
        assert_eq!(output.status.code(), Some(0), "{name:?}: {output:?}");
        let output = daemon.command(&["inspect", name]);
        assert_eq!(output.status.code(), Some(0), "{name:?}: {output:?}");
    }
}

/// In whatever is written to the log: a terminal would obey them, and a line feed would make a line of its own.
#[test]
fn characters_that_turn_hide_or_forge_text_are_escaped_in_the_log() {
    let place = folder();
    let name = "a\u{202e}b\u{1b}[2J\u{200b}\n2030-01-01 [ERROR] forged";
    let data = place.path().join(name);
    std::fs::create_dir(&data).expect("a folder");
    let private = std::os::unix::fs::PermissionsExt::from_mode(0o700);
    std::fs::set_permissions(&data, private).expect("it is ours");
    // So that the log names the path.
    std::fs::create_dir(data.join("running")).expect("a folder");
    let daemon = Daemon::start(&data, &["-v"]);
    daemon.terminate();
    let (code, said) = daemon.ended_with();
    assert_eq!(code, Some(0), "{said}");
    let line = said
        .lines()
        .find(|line| line.contains("makes the daemon die"));
    let line = line.unwrap_or_else(|| panic!("the log does not say it: {said}"));
    let shown = r"/a\u{202e}b\u{1b}[2J\u{200b}\n2030-01-01 [ERROR] forged/running: ";
    assert!(line.contains(shown), "{line}");
    let unseen = ['\u{202e}', '\u{1b}', '\u{200b}'];
    assert!(!said.contains(unseen), "{said:?}");
}

#[test]
fn one_rule_says_what_is_a_file_and_what_is_a_task() {
    let data = folder();
    let daemon = Daemon::start(data.path(), &[]);
    let here = tempfile::tempdir().expect("a folder");
    let ask = |arguments: &[&str], url: &str| -> Output {
        Command::new(env!("CARGO_BIN_EXE_dormouse"))
            .args(arguments)
            .env("DORMOUSE_URL", url)
            .env("XDG_DATA_HOME", here.path())
            .current_dir(here.path())
            .stdin(Stdio::null())
            .output()
            .expect("the binary runs")
    };
    let sleeper = guest("c_hello_sleep").display().to_string();
    let output = ask(
        &["run", "--suspend", "always", "--snapshot", "1", &sleeper],
        "",
    );
    assert_eq!(output.status.code(), Some(75), "{output:?}");
    assert!(
        text(&output.stderr).contains("dormouse resume ./1"),
        "{output:?}"
    );
    for copy in ["snap", ".hidden", "both"] {
        std::fs::copy(here.path().join("1"), here.path().join(copy)).expect("a copy");
    }
    for name in ["nap", "both"] {
        daemon.submit(
            "ex_nap",
            &[],
            json!({"name": name, "schedule": {"at": "2200-01-01T00:00:00Z"}}),
        );
    }
    let url = daemon.url();
    // What is given, with the task that is meant or the code of a file that is.
    let cases = [
        ("1", Ok(1)),
        ("./1", Err(0)),
        ("snap", Err(0)),
        (".hidden", Err(0)),
        ("./both", Err(0)),
        ("both", Err(0)),
        ("2", Ok(2)),
        ("nap", Ok(1)),
        ("./nap", Err(66)),
        (".nap", Err(66)),
        ("x/nap", Err(66)),
    ];
    for (given, meant) in cases {
        let output = ask(&["inspect", "--json", given], &url);
        let found: Value = serde_json::from_slice(&output.stdout).unwrap_or(Value::Null);
        match meant {
            Ok(id) => assert_eq!(found["id"], json!(id), "{given}: {output:?}"),
            Err(code) => {
                assert_eq!(output.status.code(), Some(code), "{given}: {output:?}");
                assert_eq!(
                    found["program"].is_array(),
                    code == 0,
                    "{given}: {output:?}"
                );
            }
        }
        // A task that waits for its start is not paused: 78. A file goes on.
        let output = ask(&["resume", "--output", "out", given], &url);
        let expected = match meant {
            Ok(_) => 64,
            Err(code) => code,
        };
        assert_eq!(output.status.code(), Some(expected), "{given}: {output:?}");
    }
    for command in ["inspect", "resume"] {
        let output = ask(&[command, "nobody"], &url);
        assert_eq!(output.status.code(), Some(78), "{output:?}");
        let rule =
            "what has a '/' in it or begins with '.' is a file; digits alone are a task's number";
        assert!(text(&output.stderr).contains(rule), "{output:?}");
        let output = ask(&[command, "nobody"], "");
        assert_eq!(output.status.code(), Some(66), "{output:?}");
        assert!(text(&output.stderr).contains(rule), "{output:?}");
        let help = text(&ask(&[command, "--help"], "").stdout);
        let help = help.split_whitespace().collect::<Vec<_>>().join(" ");
        assert!(help.to_lowercase().contains(rule), "{help}");
    }
}
