//! `dormouse build --timings`.

use std::time::Instant;

use dormouse_test_support::{engines, guest, stderr, stdout};
use serde_json::Value;

use crate::support::Place;

const STEPS: [&str; 7] = [
    "reading",
    "analysis",
    "lowering",
    "asyncify",
    "splitting",
    "writing",
    "keeping",
];

#[test]
fn every_step_has_a_row_with_what_it_took() {
    let place = Place::new();
    let out = place.output("out.wasm");
    let mut command = place.command();
    command
        .args(["--json", "build", "--timings", "-o"])
        .arg(&out);
    let began = Instant::now();
    let output = command.arg(guest("c_stdin")).output().expect("it runs");
    let took = began.elapsed().as_secs_f64();
    assert!(output.status.success(), "{}", stderr(&output));
    let told: Value = serde_json::from_str(&stdout(&output)).expect("it is JSON");
    let rows = told["timings"].as_array().expect("a list");
    let mut expected: Vec<_> = STEPS.map(|step| (step, Value::Null)).to_vec();
    for engine in engines() {
        let of_engine = |step| (step, Value::from(engine));
        expected.extend(["compiling", "loading"].map(of_engine));
    }
    let named = |row: &Value| {
        let step = row["step"].as_str().expect("a name").to_owned();
        (step, row["engine"].clone())
    };
    let found: Vec<_> = rows.iter().map(named).collect();
    let expected: Vec<_> = expected
        .into_iter()
        .map(|(step, engine)| (step.to_owned(), engine))
        .collect();
    assert_eq!(found, expected);
    let number = |row: &Value, name: &str| row[name].as_f64().expect("a number");
    let wall: f64 = rows.iter().map(|row| number(row, "seconds")).sum();
    assert!(wall > 0.0 && wall <= took, "{wall} of {took}");
    // Asyncify runs in a child process, and takes processor time and memory there.
    for step in ["asyncify", "compiling"] {
        let row = rows.iter().find(|row| row["step"] == step);
        let row = row.expect("it is there");
        assert!(number(row, "cpu_seconds") > 0.0, "{row}");
        assert!(number(row, "peak_bytes") > 1e6, "{row}");
    }
}

#[test]
fn the_table_is_made_anew_and_for_the_engines_that_are_asked_for() {
    let place = Place::new();
    let out = place.output("out.wasm").display().to_string();
    let module = guest("c_stdin").display().to_string();
    let engine = engines()[0];
    let run = |arguments: &[&str]| {
        let output = place.command().args(arguments).output().expect("it runs");
        assert!(output.status.success(), "{}", stderr(&output));
        stdout(&output)
    };
    let plain = run(&["build", "-o", &out, &module]);
    assert!(!plain.contains("asyncify"), "{plain}");
    let first = std::fs::read(&out).expect("it was written");
    // The report is the same when it comes from the cache.
    assert_eq!(run(&["build", "-o", &out, &module]), plain);
    let flags = ["--timings", "--engine", engine];
    let table = run(&[&["build", "-o", &out, &module], &flags[..]].concat());
    assert!(table.starts_with(&plain), "{table}");
    let rows: Vec<_> = table[plain.len()..].lines().collect();
    let first_word = |row: &&str| row.split("  ").next().unwrap_or_default().to_owned();
    let names: Vec<_> = rows.iter().map(first_word).collect();
    let compiling = format!("compiling ({engine})");
    let loading = format!("loading ({engine})");
    let mut expected = vec!["step"];
    expected.extend(STEPS);
    expected.extend([compiling.as_str(), &loading, "all"]);
    assert_eq!(names, expected);
    assert_eq!(std::fs::read(&out).expect("it was written"), first);
}
