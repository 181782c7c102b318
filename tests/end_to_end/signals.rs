//! Signals suspend instead of losing work; deadlines pass while nobody runs.

use std::io::{BufRead, BufReader, Read, Write};
use std::process::{Child, ChildStdout, Stdio};
use std::time::{Duration, Instant};

use libtest_mimic::{Failed, Trial};

use dormouse_test_support::{
    check, dormouse, ended, engines, finish, guest, resume, says, send, suspend,
};

pub fn trials() -> Vec<Trial> {
    let mut trials = Vec::new();
    for engine in engines() {
        for signal in ["TERM", "TSTP", "HUP"] {
            trials.push(Trial::test(
                format!("signal::{engine}::{signal}_suspends"),
                move || suspends(engine, signal).map_err(Failed::from),
            ));
        }
    }
    let add = |name: &str, run: fn() -> Result<(), String>| {
        Trial::test(format!("signal::{name}"), move || {
            run().map_err(Failed::from)
        })
    };
    trials.push(add("interrupt_ends", interrupt_ends));
    trials.push(add("nohup_is_heeded", nohup));
    trials.push(add("twice_at_once_is_one_request", twice_at_once));
    trials.push(add("stdin_dialogue_goes_on_with_other_input", dialogue));
    trials.push(add("after_suspends_long_waits_only", after));
    trials.push(add("a_deadline_passes_while_off", deadline_passes));
    trials
}

/// A guest that has greeted and naps for three seconds.
fn napping(options: &[&str]) -> (Child, BufReader<ChildStdout>) {
    // These tests may run under `nohup` themselves.
    let ours = dormouse();
    let variables = ours.get_envs();
    let mut child = std::process::Command::new("env")
        .arg("--default-signal=HUP")
        .arg(ours.get_program())
        .envs(variables.filter_map(|(name, value)| Some((name, value?))))
        .arg("run")
        .args(options)
        .arg(guest("ex_nap"))
        .stdin(Stdio::null())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .expect("the binary starts");
    let mut stdout = BufReader::new(child.stdout.take().expect("it is piped"));
    let mut line = String::new();
    stdout.read_line(&mut line).expect("the guest greets");
    (child, stdout)
}

/// Under `nohup`, a closed terminal means nothing.
fn nohup() -> Result<(), String> {
    let mut child = std::process::Command::new("nohup")
        .arg(env!("CARGO_BIN_EXE_dormouse"))
        .arg("run")
        .arg(guest("ex_nap"))
        .stdin(Stdio::null())
        .stdout(Stdio::piped())
        .stderr(Stdio::null())
        .spawn()
        .map_err(|error| error.to_string())?;
    let mut stdout = BufReader::new(child.stdout.take().ok_or("it is piped")?);
    let mut line = String::new();
    stdout
        .read_line(&mut line)
        .map_err(|error| error.to_string())?;
    send(&child, "HUP");
    line.clear();
    stdout
        .read_line(&mut line)
        .map_err(|error| error.to_string())?;
    let status = child.wait().map_err(|error| error.to_string())?;
    check(line.starts_with("Good morning") && status.success(), || {
        format!("{line} {status}")
    })
}

fn suspends(engine: &str, signal: &str) -> Result<(), String> {
    let scratch = tempfile::tempdir().expect("a scratch directory");
    let snapshot = scratch.path().join("snapshot");
    let path = snapshot.display().to_string();
    let (child, _) = napping(&["--engine", engine, "--snapshot", &path]);
    send(&child, signal);
    let output = child.wait_with_output().expect("it ends");
    ended(&output, 75)?;
    says(&output, &["asleep until", "dormouse resume"])?;
    let output = finish(&mut resume(&snapshot, &["--engine", engine]), Stdio::null());
    ended(&output, 0)?;
    let text = String::from_utf8_lossy(&output.stdout).into_owned();
    check(text == "Good morning! It is still 5050 sheep.\n", || text)
}

fn interrupt_ends() -> Result<(), String> {
    let (child, _) = napping(&[]);
    send(&child, "INT");
    ended(&child.wait_with_output().expect("it ends"), 130)
}

fn twice_at_once() -> Result<(), String> {
    let scratch = tempfile::tempdir().expect("a scratch directory");
    let path = scratch.path().join("snapshot").display().to_string();
    let (child, _) = napping(&["--snapshot", &path]);
    send(&child, "TERM");
    send(&child, "TERM");
    ended(&child.wait_with_output().expect("it ends"), 75)
}

fn dialogue() -> Result<(), String> {
    let scratch = tempfile::tempdir().expect("a scratch directory");
    let snapshot = scratch.path().join("snapshot");
    let mut child = dormouse()
        .args(["run", "--snapshot"])
        .arg(&snapshot)
        .arg(guest("c_stdin"))
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .expect("the binary starts");
    // The pipe stays open, so that the guest waits for more.
    let mut stdin = child.stdin.take().expect("it is piped");
    stdin.write_all(b"first\n").expect("the guest reads");
    // Its answer says that it runs: making it resumable may have taken long. 8 ms later it reads on.
    let mut answered = Vec::new();
    let mut stdout = child.stdout.take().expect("it is piped");
    while !answered.ends_with(b"first\n? ") {
        let mut byte = [0];
        let read = stdout.read(&mut byte).expect("the guest's output");
        // It has ended, which its exit code tells below.
        if read == 0 {
            break;
        }
        answered.extend(byte);
    }
    std::thread::sleep(Duration::from_millis(500));
    send(&child, "TERM");
    let output = child.wait_with_output().expect("it ends");
    drop(stdin);
    stdout
        .read_to_end(&mut answered)
        .map_err(|error| error.to_string())?;
    ended(&output, 75)?;
    says(&output, &["input on stdin"])?;
    let mut rest = resume(&snapshot, &[])
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .expect("the binary starts");
    let mut stdin = rest.stdin.take().expect("it is piped");
    stdin.write_all(b"second\n").expect("the guest reads on");
    drop(stdin);
    let rest = rest.wait_with_output().expect("it ends");
    let text = [answered, rest.stdout].concat();
    let text = String::from_utf8_lossy(&text).into_owned();
    check(text.contains("first") && text.contains("second"), || text)
}

fn after() -> Result<(), String> {
    let scratch = tempfile::tempdir().expect("a scratch directory");
    let path = scratch.path().join("snapshot").display().to_string();
    let (child, _) = napping(&["--suspend", "after=1m", "--snapshot", &path]);
    ended(&child.wait_with_output().expect("it ends"), 0)?;
    let (child, _) = napping(&["--suspend", "after=1s", "--snapshot", &path]);
    ended(&child.wait_with_output().expect("it ends"), 75)
}

fn deadline_passes() -> Result<(), String> {
    let scratch = tempfile::tempdir().expect("a scratch directory");
    let snapshot = scratch.path().join("snapshot");
    ended(&suspend::<&str>(&guest("ex_nap"), &snapshot, &[]), 75)?;
    std::thread::sleep(Duration::from_secs(3));
    let start = Instant::now();
    ended(&finish(&mut resume(&snapshot, &[]), Stdio::null()), 0)?;
    // Far below the nap itself, far above what a busy machine needs.
    check(start.elapsed() < Duration::from_millis(2500), || {
        format!("it slept again, {:?}", start.elapsed())
    })
}
