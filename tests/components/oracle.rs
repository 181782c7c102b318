//! A component as it is, under Wasmtime from PyPI.

use std::process::Command;

use dormouse::model::lowered::Trap;
use dormouse_test_support::{cache, checkout};

use super::Outcome;

/// Runs components, each with a name.
pub fn run(components: &[(String, Vec<u8>)]) -> Vec<Outcome> {
    let folder = tempfile::tempdir().expect("a folder");
    let paths = components.iter().enumerate().map(|(place, (_, bytes))| {
        let path = folder.path().join(format!("{place}.wasm"));
        std::fs::write(&path, bytes).expect("a file");
        path
    });
    let python = std::env::var_os("DORMOUSE_ORACLE_PYTHON").map(Into::into);
    let python = python.unwrap_or_else(|| cache().join("oracle/bin/python"));
    assert!(
        python.exists(),
        "no oracle at {}; run `make setup`",
        python.display()
    );
    let output = Command::new(python)
        .arg(checkout("tests/components/oracle.py"))
        .args(paths)
        .output()
        .expect("it starts");
    let stderr = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success(), "{stderr}");
    let lines = String::from_utf8(output.stdout).expect("it prints text");
    let outcomes = lines.lines().map(|line| {
        let line: serde_json::Value = serde_json::from_str(line).expect("it prints JSON");
        Outcome {
            log: line["log"].as_array().expect("a list").clone(),
            end: end(line["end"].as_str().expect("a text")),
        }
    });
    outcomes.collect()
}

/// Reasons to trap that WebAssembly and handle tables have, beside those of adapters.
const REASONS: [&str; 6] = [
    "unknown handle index",
    "cannot remove owned resource while borrowed",
    "borrow handles still remain at the end of the call",
    "cannot lift own resource from a borrow",
    "used with the wrong type",
    "realloc return: ",
];

/// The end in the words that both hosts have for it.
pub fn end(text: &str) -> String {
    if !text.starts_with("trap: ") {
        return text.to_owned();
    }
    if let Some((_, reason)) = text.split_once("wasm trap: ") {
        let reason = reason.lines().next().unwrap_or_default();
        return format!("trap: {reason}");
    }
    let adapters = Trap::ALL.map(|trap| trap.to_string());
    let mut reasons = adapters.iter().map(String::as_str).chain(REASONS);
    match reasons.find(|reason| text.contains(reason)) {
        Some(reason) => format!("trap: {reason}"),
        None => text.to_owned(),
    }
}
