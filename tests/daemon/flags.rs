//! Every flag of every command that takes a time, a size or a number: what it takes, and how it refuses the rest. The
//! flags come from the command line's own description, so that a new one is tried as well.

use std::any::TypeId;
use std::sync::Mutex;
use std::time::Duration;

use serde_json::{Value, json};
use ureq::http::Method;

use crate::support::{Daemon, dormouse, folder, text};
use dormouse_test_support::guest;

/// What a flag takes, by the name of its value in the help.
#[derive(Clone, Copy, Debug, PartialEq)]
enum Kind {
    Duration,
    Size,
    Number,
    Time,
    Cron,
    Limit,
    Policy,
    Tmpfs,
    Random,
}

fn kind(value: &str) -> Option<Kind> {
    Some(match value {
        "DURATION" => Kind::Duration,
        "SIZE" => Kind::Size,
        "NUMBER" | "COUNT" => Kind::Number,
        "TIME" => Kind::Time,
        "CRON" => Kind::Cron,
        "NAME=VALUE" => Kind::Limit,
        "POLICY" => Kind::Policy,
        "GUEST[=SIZE]" => Kind::Tmpfs,
        "host|seed=NUMBER" => Kind::Random,
        _ => return None,
    })
}

/// What no number, time or size is.
const NONSENSE: [&str; 5] = ["", "nonsense", "-1", "1x1", "\u{202e}1"];

/// Values to try: first those that may be right, then those that never are.
fn values(kind: Kind) -> (Vec<String>, Vec<String>) {
    let own = |values: &[&str]| values.iter().map(ToString::to_string).collect::<Vec<_>>();
    let (some, never) = match kind {
        Kind::Number => (
            own(&[
                "0",
                "1",
                "1024",
                "1025",
                "4294967295",
                "4294967296",
                "18446744073709551615",
            ]),
            own(&[
                "18446744073709551616",
                "99999999999999999999999999",
                "1.5",
                "+",
            ]),
        ),
        Kind::Duration => (
            own(&[
                "0s",
                "1ns",
                "1s",
                "1000000s",
                "1000001s",
                "36500d",
                "36501d",
                "18446744073709551615s",
            ]),
            own(&[
                "18446744073709551616s",
                "-1s",
                "s",
                "1",
                "8000000000y",
                "1e3s",
            ]),
        ),
        Kind::Size => (
            own(&[
                "0",
                "1",
                "16777215T",
                "18446744073709551615",
                "9223372036854775808",
            ]),
            own(&[
                "16777216T",
                "18446744073709551616",
                "-1K",
                "K",
                "1Q",
                "1.5G",
            ]),
        ),
        Kind::Time => (
            own(&[
                "+0s",
                "+1s",
                "0s",
                "1s",
                "9999-12-31T23:59:59Z",
                "2262-04-11T23:47:16Z",
                "1970-01-01T00:00:00Z",
                "+36500d",
                "+8000y",
                "+18446744073709551615s",
                "2030-01-31T12:00:00Z",
            ]),
            own(&[
                "10000-01-01T00:00:00Z",
                "0000-01-01T00:00:00Z",
                "1969-12-31T23:59:59Z",
                "2262-04-11T23:47:17Z",
                "+18446744073709551616s",
                "-1s",
                "+-1s",
                "2030-13-01T00:00:00Z",
                "+",
            ]),
        ),
        Kind::Cron => (
            own(&["* * * * *", "59 23 31 12 7"]),
            own(&[
                "60 * * * *",
                "* 24 * * *",
                "* * 32 * *",
                "* * * 13 *",
                "18446744073709551616 * * * *",
                "*/0 * * * *",
            ]),
        ),
        Kind::Limit => {
            let times = ["0s", "1s", "106751d", "213503d", "18446744073s"];
            let sizes = ["0", "1", "16777215T", "18446744073709551615"];
            let mut some = Vec::new();
            for limit in dormouse::model::Limit::ALL {
                let values: &[&str] = match limit.name() {
                    "cpu" | "time" => &times,
                    _ => &sizes,
                };
                some.extend(values.iter().map(|value| format!("{limit}={value}")));
                if limit.adds_up() {
                    some.push(format!("{limit}={}/d", values[1]));
                    some.push(format!("{limit}={}/213503d", values[2]));
                }
            }
            (
                some,
                own(&[
                    "memory",
                    "memory=",
                    "memory=-1",
                    "memory=18446744073709551616",
                    "memory=16777216T",
                    "cpu=213504d",
                    "cpu=1",
                    "cpu=-1s",
                    "cpu=1s/0s",
                    "cpu=1s/",
                    "files=1.5",
                    "nothing=1",
                    "=1",
                    "time=99999999999999999999d",
                ]),
            )
        }
        Kind::Policy => (
            own(&[
                "never",
                "always",
                "after=0s",
                "after=1s",
                "after=18446744073709551615s",
            ]),
            own(&[
                "after",
                "after=",
                "after=1",
                "after=-1s",
                "after=99999999999999999999999s",
            ]),
        ),
        Kind::Tmpfs => (
            own(&[
                "/t=0",
                "/t=1",
                "/t=64M",
                "/t=64G",
                "/t=18446744073709551615",
            ]),
            own(&[
                "/t=",
                "/t=-1",
                "/t=18446744073709551616",
                "/t=16777216T",
                "=1",
            ]),
        ),
        Kind::Random => (
            own(&["seed=0", "seed=1", "seed=18446744073709551615"]),
            own(&["seed", "seed=", "seed=-1", "seed=18446744073709551616"]),
        ),
    };
    // An expression, a path and the name of a state are words of their own.
    let nonsense = match kind {
        Kind::Tmpfs => Vec::new(),
        _ => own(&NONSENSE),
    };
    (some, [never, nonsense].concat())
}

/// What else a command needs, behind the flag.
fn rest(command: &str, flag: &str, module: &str, snapshot: &str) -> Option<Vec<String>> {
    let own = |words: &[&str]| Some(words.iter().map(ToString::to_string).collect());
    match command {
        "run" => own(&["--snapshot", snapshot, module]),
        // No component that answers requests: it is refused before anything runs.
        "serve-http" if flag == "max-instances" => {
            own(&["--per-request", "--listen", "127.0.0.1:0", module])
        }
        "serve-http" => own(&["--listen", "127.0.0.1:0", module]),
        // No component that answers requests, either.
        "submit" if flag == "max-instances" => {
            own(&["--per-request", "--http", "127.0.0.1:0", module])
        }
        // Nothing has to be stored ten million times: of a module that is not there, nothing is.
        "submit" if flag == "count" => own(&[&format!("blake3:{}", "0".repeat(64))]),
        "submit" if flag == "every" || flag == "at" => own(&[module]),
        "submit" => own(&["--at", "+1h", module]),
        "resume" => own(&["--output", "/dev/null", snapshot]),
        "import" => own(&[snapshot]),
        "ps" | "audit-log" => own(&[]),
        "logs" => own(&["1"]),
        "migrate" => own(&["1", "127.0.0.1:1"]),
        "drain" => own(&["--to", "127.0.0.1:1"]),
        _ => None,
    }
}

/// Runs a task, unless a limit of the daemon's is against its module.
fn run_one(daemon: &Daemon) {
    let wasm = std::fs::read(guest("ex_nap")).expect("a guest");
    let (status, answer) = daemon.ask(Method::PUT, "/v1/modules", &wasm);
    let answer: Value = serde_json::from_slice(&answer).expect("JSON");
    if status != 200 {
        assert_eq!(answer["kind"], "limit", "{answer}");
        return;
    }
    let task = json!({"module": answer["module"]});
    let (status, task) = daemon.json(Method::POST, "/v1/tasks", &task);
    assert_eq!(status, 201, "{task}");
    let id = task["id"].as_u64().expect("a number");
    daemon.until_that("it has been run", || {
        let state = daemon.task(id)["state"].clone();
        let stands = ["hibernated", "parked", "exited", "failed", "paused"];
        stands.iter().any(|stand| state == *stand).then_some(())
    });
}

/// A daemon that is to be started with a flag: it serves, or refuses.
fn serve(flag: &str, value: &str) -> (Option<i32>, String) {
    let data = folder();
    let given = format!("--{flag}={value}");
    match Daemon::try_start(data.path(), &[&given, "--grace=1s"]) {
        Ok(daemon) => {
            run_one(&daemon);
            (daemon.stop(), String::new())
        }
        Err(said) => {
            let code = said
                .rsplit_once("exit code Some(")
                .and_then(|(_, code)| code.trim_end_matches(')').parse().ok());
            (code, said)
        }
    }
}

/// `submit --at +8000y` and `run --checkpoint 18446744073709551615s` panicked.
#[test]
fn every_flag_with_a_number_takes_it_or_says_why_not() {
    let data = folder();
    let daemon = Daemon::start(data.path(), &[]);
    let module = guest("c_exit").display().to_string();
    let sleeper = guest("c_hello_sleep").display().to_string();
    let snapshot = data.path().join("snapshot").display().to_string();
    let own = |words: &[&str]| words.iter().map(ToString::to_string).collect::<Vec<_>>();
    let output = dormouse(
        &own(&[
            "run",
            "--suspend",
            "always",
            "--snapshot",
            &snapshot,
            &sleeper,
        ]),
        &daemon.url(),
    );
    assert_eq!(output.status.code(), Some(75), "{output:?}");
    let id = daemon.submit("ex_nap", &[], json!({}));
    daemon.until(id, "exited");

    let mut cases: Vec<(String, String, String, bool)> = Vec::new();
    let known = dormouse::cli::command();
    for command in known.get_subcommands() {
        for flag in command.get_arguments() {
            let Some(long) = flag.get_long().filter(|_| flag.get_action().takes_values()) else {
                continue;
            };
            let names = flag.get_value_names().unwrap_or_default();
            let found = names.first().and_then(|name| kind(name));
            let parsed = flag.get_value_parser().type_id();
            let numbers = [
                TypeId::of::<u8>(),
                TypeId::of::<u16>(),
                TypeId::of::<u32>(),
                TypeId::of::<u64>(),
                TypeId::of::<usize>(),
                TypeId::of::<i32>(),
                TypeId::of::<i64>(),
                TypeId::of::<f64>(),
            ];
            let is_number = numbers.iter().any(|number| parsed == *number);
            assert!(
                !is_number || found.is_some(),
                "--{long} of {} takes a number, and its value is called {names:?}: call it NUMBER, or tell this test",
                command.get_name()
            );
            let Some(found) = found else { continue };
            let (some, never) = values(found);
            let both = some.into_iter().map(|value| (value, false));
            for (value, never) in both.chain(never.into_iter().map(|value| (value, true))) {
                cases.push((command.get_name().into(), long.into(), value, never));
            }
        }
    }
    let flags: std::collections::BTreeSet<_> = cases
        .iter()
        .map(|(command, flag, ..)| (command, flag))
        .collect();
    assert!(flags.len() > 30, "{flags:?}");

    let left = Mutex::new(cases.iter());
    let wrong = Mutex::new(Vec::new());
    std::thread::scope(|scope| {
        for number in 0..4 {
            let (left, wrong) = (&left, &wrong);
            let (daemon, module, snapshot) = (&daemon, &module, &snapshot);
            // A run may write its own.
            let own_snapshot = data.path().join(format!("snapshot-{number}"));
            scope.spawn(move || {
                loop {
                    let case = left.lock().expect("nobody panicked").next();
                    let Some((command, flag, value, never)) = case else {
                        return;
                    };
                    let (code, said) = match command.as_str() {
                        "serve" => serve(flag, value),
                        _ => {
                            let target = match command.as_str() {
                                "run" => own_snapshot.display().to_string(),
                                _ => snapshot.clone(),
                            };
                            let Some(rest) = rest(command, flag, module, &target) else {
                                let text = format!(
                                    "tell this test how to call {command}, for its --{flag}"
                                );
                                wrong.lock().expect("nobody panicked").push(text);
                                continue;
                            };
                            let mut words = vec![command.clone(), format!("--{flag}={value}")];
                            words.extend(rest);
                            let output = dormouse(&words, &daemon.url());
                            (output.status.code(), text(&output.stderr))
                        }
                    };
                    let names = said.contains(&format!("--{flag}"));
                    let fits = match code {
                        Some(64) => names,
                        // Codes of the table, the guest's own 42 among them; 124 is `timeout`'s.
                        Some(0 | 42 | 65..=82) => !never,
                        _ => false,
                    };
                    if !fits || said.contains("panicked") {
                        let text = format!("{command} --{flag}={value:?}: code {code:?}: {said}");
                        wrong.lock().expect("nobody panicked").push(text);
                    }
                }
            });
        }
    });
    let wrong = wrong.into_inner().expect("nobody panicked");
    assert!(
        wrong.is_empty(),
        "{} of {}:\n{}",
        wrong.len(),
        cases.len(),
        wrong.join("\n")
    );
    // Nothing of it has hurt the daemon.
    let deadline = std::time::Instant::now() + Duration::from_secs(60);
    while daemon.command(&["ps"]).status.code() != Some(0) {
        assert!(
            std::time::Instant::now() < deadline,
            "the daemon does not answer"
        );
    }
}
