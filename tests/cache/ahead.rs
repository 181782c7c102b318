//! `dormouse compile`, and what `run` then needs no more.

use dormouse_test_support::{assert_ended, engines, guest, said, stderr, stdout};
use serde_json::Value;

use crate::support::Place;

#[test]
fn what_is_compiled_ahead_is_not_made_at_the_first_run() {
    let place = Place::new();
    let (nap, stdin) = (guest("c_hello_sleep"), guest("c_stdin"));
    for engine in engines() {
        let run = || {
            let mut command = place.command();
            command.args(["compile", "--engine", engine]);
            command.arg(&nap).arg(&stdin).output().expect("it runs")
        };
        let first = run();
        assert_ended(&first, 0, &said(&first), &[]);
        let lines = stdout(&first);
        let (nap, stdin) = (nap.display(), stdin.display());
        let ready = format!("ready for {engine} now, after ");
        assert_eq!(lines.matches(&ready).count(), 2, "{lines}");
        assert!(lines.starts_with(&format!("{nap}: ")), "{lines}");
        assert!(lines.contains(&format!("\n{stdin}: ")), "{lines}");
        let again = stdout(&run());
        let expected = format!("{nap}: was ready for {engine}\n{stdin}: was ready for {engine}\n");
        assert_eq!(again, expected);
    }
    let before = place.files();
    for engine in engines() {
        let mut command = place.command();
        let output = command
            .args(["-v", "run", "--engine", engine])
            .arg(&nap)
            .output();
        let output = output.expect("it runs");
        assert_ended(&output, 0, &said(&output), &[]);
        let log = stderr(&output);
        assert!(
            !log.contains("asyncify") && !log.contains("compiling"),
            "{log}"
        );
    }
    assert_eq!(place.files(), before);
}

#[test]
fn all_modules_are_tried_and_the_first_failure_is_the_code() {
    let place = Place::new();
    let broken = place.output("broken.wasm");
    std::fs::write(&broken, b"\0asm\x01\0\0\0\xff\xff").expect("a scratch file");
    let missing = place.output("missing.wasm");
    let good = guest("c_stdin");
    let run = |flags: &[&str]| {
        let mut command = place.command();
        command.args(flags).args(["compile", "--preempt"]);
        command.arg(&broken).arg(&missing).arg(&good);
        command.output().expect("it runs")
    };
    let output = run(&[]);
    assert_ended(
        &output,
        65,
        &said(&output),
        &["broken.wasm", "missing.wasm", "c_stdin.wasm: ready"],
    );
    let output = run(&["--json"]);
    assert_eq!(output.status.code(), Some(65));
    let told: Value = serde_json::from_str(&stdout(&output)).expect("it is JSON");
    let codes: Vec<_> = (0..3).map(|place| told[place]["code"].as_u64()).collect();
    assert_eq!(codes, [Some(65), Some(66), None], "{told}");
    let made = &told[2];
    assert_eq!(made["rewritten"], false, "{made}");
    assert_eq!(made["engines"][0]["compiled"], false, "{made}");
    let source = std::fs::read(&good).expect("a guest");
    assert_eq!(
        made["source"],
        blake3::hash(&source).to_hex().as_str(),
        "{made}"
    );
}
