//! Runs the binary and the oracle.

use std::ffi::OsStr;
use std::fs::File;
use std::io::Write;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Output, Stdio};

use crate::place::{cache, checkout, program, test_modules};

/// The binary, with a module cache that only tests use.
pub fn dormouse() -> Command {
    let mut command = Command::new(program());
    command.env("DORMOUSE_CACHE", test_modules());
    command
}

/// The oracle: the module as it is, under an engine and a WASI that nobody here wrote.
pub fn oracle(module: &Path) -> Command {
    let python = std::env::var_os("DORMOUSE_ORACLE_PYTHON").map(PathBuf::from);
    let python = python.unwrap_or_else(|| cache().join("oracle/bin/python"));
    assert!(
        python.exists(),
        "no oracle at {}; run `make setup`",
        python.display()
    );
    let mut command = Command::new(python);
    command.arg(checkout("wasm/oracle.py")).arg(module);
    command
}

/// A file that holds `text`, opened for reading from its start.
pub fn input(folder: &Path, text: &str) -> File {
    let path = folder.join("stdin");
    File::create(&path)
        .and_then(|mut file| file.write_all(text.as_bytes()))
        .expect("a scratch file can be written");
    File::open(path).expect("it was just written")
}

/// Runs a command to its end with `stdin`.
pub fn finish(command: &mut Command, stdin: Stdio) -> Output {
    command.stdin(stdin).output().expect("the command starts")
}

/// Standard output as text.
pub fn stdout(output: &Output) -> String {
    String::from_utf8_lossy(&output.stdout).into_owned()
}

/// Standard error as text.
pub fn stderr(output: &Output) -> String {
    String::from_utf8_lossy(&output.stderr).into_owned()
}

/// All that was printed: standard output, then standard error.
pub fn said(output: &Output) -> String {
    stdout(output) + &stderr(output)
}

/// Sends a child a signal, by its name without `SIG`.
pub fn send(child: &Child, signal: &str) {
    let pid = child.id().to_string();
    let status = Command::new("kill").args(["-s", signal, &pid]).status();
    assert!(status.expect("kill runs").success());
}

/// Fails unless the command ended with this code and without a panic.
pub fn ended(output: &Output, code: i32) -> Result<(), String> {
    let text = stderr(output);
    if text.contains("panicked") || output.status.code() != Some(code) {
        return Err(format!(
            "expected exit code {code}, got {}: {text}",
            output.status
        ));
    }
    Ok(())
}

/// Fails unless the text contains all of the words.
pub fn says(output: &Output, words: &[&str]) -> Result<(), String> {
    let text = stderr(output);
    match words.iter().find(|word| !text.contains(**word)) {
        Some(word) => Err(format!("{word:?} is missing in: {text}")),
        None => Ok(()),
    }
}

/// Asserts that the command ended with this code and without a panic, and that all of the words are in
/// `text`, which is what it printed.
#[track_caller]
pub fn assert_ended(output: &Output, code: i32, text: &str, words: &[&str]) {
    assert_eq!(output.status.code(), Some(code), "{text}");
    for word in words {
        assert!(text.contains(word), "{word:?} is missing in: {text}");
    }
    assert!(!text.contains("panicked"), "{text}");
}

/// `resume` of a snapshot.
pub fn resume(snapshot: &Path, arguments: &[&str]) -> Command {
    let mut command = dormouse();
    command.arg("resume").args(arguments).arg(snapshot);
    command
}

/// Suspends a guest at its first wait, and gives the output.
pub fn suspend<S: AsRef<OsStr>>(module: &Path, snapshot: &Path, arguments: &[S]) -> Output {
    let mut command = dormouse();
    command.args(["run", "--suspend", "always", "--snapshot"]);
    command.arg(snapshot).args(arguments).arg(module);
    finish(&mut command, Stdio::null())
}

/// Turns an assertion's message into a failed trial.
pub fn check(holds: bool, message: impl FnOnce() -> String) -> Result<(), String> {
    match holds {
        true => Ok(()),
        false => Err(message()),
    }
}
