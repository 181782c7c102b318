//! Runs the binary and the oracle.

use std::ffi::OsStr;
use std::fs::File;
use std::io::Write;
use std::path::{Path, PathBuf};
use std::process::{Command, Output, Stdio};

/// The engines in this build.
pub fn engines() -> Vec<&'static str> {
    let mut engines = Vec::new();
    if cfg!(feature = "wasmtime") {
        engines.push("wasmtime");
    }
    if cfg!(feature = "wasmedge") {
        engines.push("wasmedge");
    }
    engines
}

/// A file of the checkout.
pub fn checkout(path: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join(path)
}

/// A built guest.
pub fn guest(name: &str) -> PathBuf {
    checkout(&format!("wasm/bin/{name}.wasm"))
}

/// The user's cache directory for this project.
pub fn cache() -> PathBuf {
    let base = std::env::var_os("XDG_CACHE_HOME").map(PathBuf::from);
    let home = std::env::var_os("HOME")
        .map(PathBuf::from)
        .unwrap_or_default();
    base.unwrap_or_else(|| home.join(".cache")).join("dormouse")
}

/// The binary, with a module cache that only tests use.
pub fn dormouse() -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_dormouse"));
    command.env("DORMOUSE_CACHE", cache().join("test-modules"));
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

/// Standard error as text.
pub fn stderr(output: &Output) -> String {
    String::from_utf8_lossy(&output.stderr).into_owned()
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
