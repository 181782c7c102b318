//! Every example of `--help` is parsed, and run where one machine is enough.

use std::collections::BTreeSet;
use std::fs;
use std::io::{BufRead, BufReader};
use std::path::Path;
use std::process::{Child, Stdio};

use dormouse_test_support::{TO_COMPOSE, guest, until};
use serde_json::Value;

use crate::user::{commands, examples, run, shell};

/// Examples that are only parsed, and why.
const ONLY_PARSED: [(&str, &str); 10] = [
    (
        "dormouse serve",
        "it listens on a port that is not the test's",
    ),
    (
        "dormouse serve --data /srv/dormouse --listen 127.0.0.1:0 --memory 4G --limit memory=512M",
        "it writes to a directory of the system",
    ),
    (
        "dormouse serve --store postgres://user@db/dormouse --node a --label zone=eu",
        "it needs a database",
    ),
    (
        "dormouse serve --takeover",
        "it listens on a port that is not the test's",
    ),
    (
        "dormouse serve --peer-listen 10.0.0.2:7434",
        "it listens on an address of another machine",
    ),
    (
        "dormouse serve --listen 0.0.0.0:7433 --host box.example.com --tls-cert chain.pem --tls-key key.pem",
        "it listens on a port that is not the test's",
    ),
    ("dormouse migrate nap b", "it needs a second machine"),
    (
        "dormouse migrate --dir /srv/mail::/mail nap 10.0.0.2:7434",
        "it needs a second machine",
    ),
    ("dormouse top", "it does not end"),
    (
        "dormouse serve-http --listen 127.0.0.1:0 api.wasm",
        "it does not end",
    ),
];

/// A directory with the files that examples name, which is a user's home too.
fn home() -> tempfile::TempDir {
    let home = tempfile::tempdir().expect("a directory");
    for (source, name) in [("ex_nap", "job.wasm"), ("ex_sleeper", "sleeper.wasm")] {
        fs::copy(guest(source), home.path().join(name)).expect("a guest");
    }
    for (name, text) in TO_COMPOSE {
        let component = wat::parse_str(text).expect("a component");
        fs::write(home.path().join(name), component).expect("a component");
    }
    let task_file = "module = \"job.wasm\"\n[[mount]]\nhost = \"mail\"\nguest = \"/mail\"\n";
    fs::write(home.path().join("task.toml"), task_file).expect("a task file");
    for folder in [
        "mail",
        ".local/share/bash-completion/completions",
        ".config/fish/completions",
    ] {
        fs::create_dir_all(home.path().join(folder)).expect("a directory");
    }
    home
}

#[test]
fn every_command_has_examples_which_are_command_lines() {
    let mut wrong = Vec::new();
    for (words, command) in commands() {
        let examples = examples(&command);
        if examples.is_empty() {
            wrong.push(format!("dormouse {words}: no example"));
        }
        for line in examples {
            let (plain, _) = line.split_once(" > ").unwrap_or((&line, ""));
            let Some(parts) = shlex::split(plain) else {
                wrong.push(format!("{line}: a quote is open"));
                continue;
            };
            let named = parts[1..].join(" ");
            if !format!("{named} ").starts_with(&format!("{words} ").trim_start().to_string()) {
                wrong.push(format!("{line}: no example of `{words}`"));
            }
            if let Err(error) = dormouse::cli::command().try_get_matches_from(parts) {
                wrong.push(format!("{line}: {error}"));
            }
        }
    }
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
}

/// What each example ends with, in an order in which they can be run.
const ALONE: [(&str, &[i32]); 36] = [
    ("dormouse keygen sign mine", &[0]),
    ("dormouse keygen encrypt box", &[0]),
    ("dormouse run --suspend after=10s job.wasm", &[0]),
    (
        "dormouse run --suspend always --sign-key mine --encrypt-to box.pub job.wasm",
        &[75],
    ),
    (
        "dormouse resume --verify-key mine.pub --decrypt-key box ./snapshot",
        &[0],
    ),
    ("dormouse run --suspend after=1s job.wasm", &[75]),
    ("dormouse inspect ./snapshot", &[0]),
    ("dormouse resume ./snapshot", &[0]),
    (
        "dormouse run --dir mail::/mail --env VERBOSE=1 --limit cpu=10m job.wasm --all",
        &[0],
    ),
    // No example: for the one that follows.
    (
        "dormouse run --suspend always --dir mail::/mail job.wasm",
        &[75],
    ),
    // It sleeps again, unless the machine was so slow that the time has come.
    (
        "dormouse resume --suspend always --dir mail::/mail ./snapshot",
        &[0, 75],
    ),
    ("dormouse run --config task.toml --engine wasmtime", &[0]),
    ("dormouse run --rehearse job.wasm", &[0]),
    ("dormouse build job.wasm -o resumable.wasm", &[0]),
    (
        "dormouse build --functions job.wasm -o resumable.wasm",
        &[0],
    ),
    ("dormouse build --timings job.wasm -o resumable.wasm", &[0]),
    ("dormouse compose app.wasm greeter.wasm -o whole.wasm", &[0]),
    ("dormouse compile job.wasm", &[0]),
    (
        "dormouse compile --engine wasmtime --preempt job.wasm",
        &[0],
    ),
    (
        "dormouse compile --output job.dormouse --sign-key mine job.wasm",
        &[0],
    ),
    ("dormouse cache ls", &[0]),
    ("dormouse cache ls --json", &[0]),
    ("dormouse cache prune --max-size 1G", &[0]),
    ("dormouse cache prune --older-than 30d", &[0]),
    ("dormouse cache verify", &[0]),
    ("dormouse cache verify --repair", &[0]),
    // The module has no digest.
    ("dormouse audit task.toml", &[82]),
    ("dormouse audit --json --fail-on high task.toml", &[0]),
    (
        "dormouse completions bash > ~/.local/share/bash-completion/completions/dormouse",
        &[0],
    ),
    ("dormouse completions zsh > _dormouse", &[0]),
    (
        "dormouse completions fish > ~/.config/fish/completions/dormouse.fish",
        &[0],
    ),
    ("dormouse man ~/.local/share/man/man1", &[0]),
    ("dormouse man > dormouse.1", &[0]),
    // Where no daemon runs.
    ("dormouse store check", &[74]),
    ("dormouse ps", &[74]),
    ("dormouse peers", &[74]),
];

#[test]
fn examples_without_a_daemon_do_what_they_say() {
    let home = home();
    for (line, codes) in ALONE {
        run(home.path(), line, codes);
    }
    for made in [
        "mine.pub",
        "box.pub",
        "snapshot",
        "resumable.wasm",
        ".local/share/man/man1/dormouse-run.1",
        "dormouse.1",
    ] {
        let size = fs::metadata(home.path().join(made)).map_or(0, |found| found.len());
        assert!(size > 0, "{made} is empty or not there");
    }
}

/// A daemon of a user.
struct Daemon(Child);

impl Daemon {
    fn start(home: &Path) -> Self {
        let script = "exec dormouse serve --json --listen 127.0.0.1:0 --peer-listen 127.0.0.1:0 --audit-log 2>serve.log";
        let mut child = shell(home, script)
            .stdout(Stdio::piped())
            .spawn()
            .expect("bash runs");
        let mut said = BufReader::new(child.stdout.take().expect("it is piped"));
        let mut line = String::new();
        // It has written where it is when its clients can find it.
        while !line.contains("\"url\"") {
            line.clear();
            let read = said.read_line(&mut line).expect("it can be read");
            let log = || fs::read_to_string(home.join("serve.log")).unwrap_or_default();
            assert!(read > 0, "the daemon did not start: {}", log());
        }
        Self(child)
    }
}

impl Drop for Daemon {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

/// Waits until a task of this name has this state.
#[track_caller]
fn until_state(home: &Path, name: &str, state: &str) {
    until(&format!("{name} is {state}"), || {
        let told = run(home, &format!("dormouse ps --json --name {name}"), &[0]);
        let tasks: Value = serde_json::from_str(&told).expect("JSON");
        (tasks[0]["state"] == state).then_some(())
    });
}

/// What is done with a daemon: a line, or a wait for a task's state.
enum Step {
    Run(&'static str, &'static [i32]),
    Until(&'static str, &'static str),
}

const WITH_A_DAEMON: [Step; 62] = {
    use Step::{Run, Until};
    [
        Run("dormouse submit --name nap job.wasm", &[0]),
        Run("dormouse logs --follow nap", &[0]),
        Run("dormouse logs --tail 20 --timestamps nap", &[0]),
        Run("dormouse inspect --json nap", &[0]),
        Run("dormouse rm nap", &[0]),
        Run("dormouse submit --name nap sleeper.wasm 100000", &[0]),
        Until("nap", "hibernated"),
        Run("dormouse pause nap", &[0]),
        Run("dormouse export nap --output nap.snapshot", &[0]),
        Run("dormouse resume --limit cpu=20m nap", &[0]),
        Run("dormouse import --name copy nap.snapshot", &[0]),
        Until("copy", "hibernated"),
        Run("dormouse pause copy", &[0]),
        Run("dormouse kill --state paused", &[0]),
        Run("dormouse pause --name 'mail-*'", &[0]),
        Run(
            "dormouse submit --name nightly --every '15 2 * * *' --dir mail::/mail job.wasm --all",
            &[0],
        ),
        Run("dormouse start nightly", &[0]),
        Run("dormouse runs nightly", &[0]),
        Run(
            "dormouse submit --at +10m --restart on-failure --limit memory=256M job.wasm",
            &[0],
        ),
        // The daemon has its store for itself, and no labels.
        Run("dormouse submit --place zone=eu,disk=ssd job.wasm", &[64]),
        Run("dormouse submit --config task.toml", &[0]),
        Run("dormouse ps", &[0]),
        Run("dormouse ps --state hibernated,paused --sort wakes", &[0]),
        Run("dormouse top --once --json", &[0]),
        Run("dormouse peers", &[0]),
        Run("dormouse peers ls", &[0]),
        Run(
            "dormouse peers add b FINGERPRINT --address 10.0.0.2:7434",
            &[0],
        ),
        Run(
            "dormouse peers add c FINGERPRINT --dir /srv/mail --listen '127.0.0.1:*'",
            &[0],
        ),
        Run("dormouse peers rm b", &[0]),
        Run("dormouse peers rm c", &[0]),
        Run(
            "dormouse tenant create --max-tasks 1000 --limit memory=64M --dir /srv/acme acme",
            &[0],
        ),
        Run(
            "dormouse tenant set --max-tasks 2000 --connect '10.0.0.5:*' acme",
            &[0],
        ),
        Run("dormouse tenant ls", &[0]),
        Run("dormouse token create --role submit ci", &[0]),
        Run(
            "dormouse token create --role operator --tenant acme pat",
            &[0],
        ),
        Run("dormouse token ls", &[0]),
        Run("dormouse audit-log", &[0]),
        Run("dormouse audit-log -n 20 --token ci", &[0]),
        Run("dormouse token revoke ci", &[0]),
        // No example: a tenant with a token is not removed.
        Run("dormouse tenant rm acme", &[64]),
        Run("dormouse token revoke pat", &[0]),
        Run("dormouse tenant rm acme", &[0]),
        Run("dormouse moves", &[0]),
        Run("dormouse nodes", &[0]),
        // No move of it is open.
        Run("dormouse decide nap --keep", &[78]),
        Run("dormouse decide nap --drop --force", &[78]),
        Until("nap", "hibernated"),
        Run("dormouse kill nap", &[0]),
        Until("nap", "failed"),
        Run("dormouse rm --state exited,failed", &[0]),
        Run("dormouse store check", &[0]),
        Run("dormouse store backup copy", &[0]),
        Run("dormouse store compact", &[0]),
        Run("dormouse store check --data copy", &[0]),
        // There is no such peer.
        Run("dormouse drain --to b --to c", &[64, 78, 79]),
        // The daemon has its store for itself.
        Run("dormouse migrate --node b nap", &[64]),
        Run("dormouse drain --node a", &[64]),
        Run("dormouse drain --cancel", &[0]),
        Run("dormouse submit --name again job.wasm", &[0]),
        Until("again", "exited"),
        Run("dormouse rm again", &[0]),
        Run("dormouse inspect again", &[78]),
    ]
};

#[test]
fn examples_that_ask_a_daemon_do_what_they_say() {
    let home = home();
    let _daemon = Daemon::start(home.path());
    for step in WITH_A_DAEMON {
        match step {
            // Names of two fingerprints, so that they are two daemons.
            Step::Run(line, codes) => {
                let digit = if line.contains(" c ") { "1" } else { "0" };
                let line = line.replace("FINGERPRINT", &digit.repeat(64));
                run(home.path(), &line, codes);
            }
            Step::Until(name, state) => until_state(home.path(), name, state),
        }
    }
}

#[test]
fn every_example_is_run_or_says_why_not() {
    let with_daemon = WITH_A_DAEMON.iter().filter_map(|step| match step {
        Step::Run(line, _) => Some(*line),
        Step::Until(..) => None,
    });
    let run: BTreeSet<&str> = ALONE
        .iter()
        .map(|(line, _)| *line)
        .chain(with_daemon)
        .collect();
    let parsed: BTreeSet<&str> = ONLY_PARSED.iter().map(|(line, _)| *line).collect();
    let mut all = BTreeSet::new();
    for (_, command) in commands() {
        all.extend(examples(&command));
    }
    let missing: Vec<&String> = all
        .iter()
        .filter(|line| !run.contains(line.as_str()) && !parsed.contains(line.as_str()))
        .collect();
    assert!(
        missing.is_empty(),
        "tell this test how to run: {missing:#?}"
    );
    for (line, _) in ONLY_PARSED {
        assert!(all.contains(line) && !run.contains(line), "{line}");
    }
}
