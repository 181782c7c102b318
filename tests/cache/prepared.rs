//! Modules that were made ready elsewhere: `dormouse compile --output`, and what `run` makes of the
//! file.

use std::path::{Path, PathBuf};
use std::process::Output;

use dormouse_test_support::{assert_ended, engines, guest, said, stderr, stdout};

use crate::support::Place;

/// What the guest `c_hello_sleep` prints, as far as it goes without a snapshot.
fn uninterrupted(place: &Place) -> String {
    let output = place
        .command()
        .arg("run")
        .arg(guest("c_hello_sleep"))
        .output();
    let output = output.expect("it runs");
    assert_ended(&output, 0, &said(&output), &[]);
    stdout(&output)
}

/// A pair of keys.
fn keys(place: &Place, name: &str) -> (PathBuf, PathBuf) {
    let secret = place.output(name);
    let output = place
        .command()
        .args(["keygen", "sign"])
        .arg(&secret)
        .output();
    assert!(output.expect("it runs").status.success());
    (secret.clone(), secret.with_extension("pub"))
}

/// The guest `c_hello_sleep` with the machine code of all engines, signed if there is a key.
fn prepared(place: &Place, key: Option<&Path>) -> PathBuf {
    let file = place.output("nap.dormouse");
    let mut command = place.command();
    command.arg("compile").arg("--output").arg(&file);
    for engine in engines() {
        command.args(["--engine", engine]);
    }
    if let Some(key) = key {
        command.arg("--sign-key").arg(key);
    }
    let output = command
        .arg(guest("c_hello_sleep"))
        .output()
        .expect("it runs");
    assert_ended(&output, 0, &said(&output), &[]);
    file
}

fn run(place: &Place, flags: &[&str], key: Option<&Path>, file: &Path) -> Output {
    let mut command = place.command();
    command.args(["-v", "run"]).args(flags);
    if let Some(key) = key {
        command.arg("--verify-key").arg(key);
    }
    command.arg(file).output().expect("it runs")
}

#[test]
fn a_signed_file_starts_where_nothing_was_made_ready() {
    let here = Place::new();
    let (secret, public) = keys(&here, "mine");
    let file = prepared(&here, Some(&secret));
    for engine in engines() {
        let there = Place::new();
        let output = run(&there, &["--engine", engine], Some(&public), &file);
        assert_ended(&output, 0, &said(&output), &[]);
        assert_eq!(stdout(&output), uninterrupted(&here));
        let log = stderr(&output);
        assert!(
            !log.contains("asyncify") && !log.contains("compiling"),
            "{log}"
        );
    }
}

/// The law of the project: suspended and resumed, on each engine, it prints what it prints at once.
#[test]
fn a_program_of_a_file_is_suspended_and_resumed() {
    let here = Place::new();
    let file = prepared(&here, None);
    for engine in engines() {
        let there = Place::new();
        let snapshot = there.output("snapshot").display().to_string();
        let flags = [
            "--engine",
            engine,
            "--suspend",
            "always",
            "--slim",
            "--snapshot",
            &snapshot,
        ];
        let mut output = run(&there, &flags, None, &file);
        let mut printed = stdout(&output);
        // The module comes out of the file at each resume.
        for _ in 0..20 {
            if output.status.code() != Some(75) {
                break;
            }
            let elsewhere = Place::new();
            let mut command = elsewhere.command();
            command.args(["resume", "--suspend", "always", "--slim", "--module"]);
            output = command.arg(&file).arg(&snapshot).output().expect("it runs");
            printed.push_str(&stdout(&output));
        }
        assert_ended(&output, 0, &said(&output), &[]);
        assert_eq!(printed, uninterrupted(&here));
    }
}

/// Machine code is run as it is, so that it must come from somebody who is trusted.
#[test]
fn machine_code_that_nobody_has_signed_is_not_taken() {
    let here = Place::new();
    let file = prepared(&here, None);
    let there = Place::new();
    let output = run(&there, &[], None, &file);
    assert_ended(
        &output,
        0,
        &said(&output),
        &["machine code is not taken", "--verify-key"],
    );
    assert_eq!(stdout(&output), uninterrupted(&here));
    assert!(stderr(&output).contains("compiling"), "{}", stderr(&output));
}

#[test]
fn a_file_that_another_key_has_signed_is_refused() {
    let here = Place::new();
    let (secret, _) = keys(&here, "theirs");
    let (_, public) = keys(&here, "mine");
    let signed = prepared(&here, Some(&secret));
    let there = Place::new();
    let output = run(&there, &[], Some(&public), &signed);
    assert_ended(&output, 81, &said(&output), &["--verify-key"]);
    // As is one that nobody has signed.
    let unsigned = prepared(&here, None);
    let output = run(&there, &[], Some(&public), &unsigned);
    assert_ended(&output, 81, &said(&output), &["--verify-key"]);
    assert!(!there.cache().exists(), "nothing was kept");
}

#[test]
fn a_file_that_was_changed_is_refused() {
    let here = Place::new();
    let (secret, public) = keys(&here, "mine");
    let file = prepared(&here, Some(&secret));
    let bytes = std::fs::read(&file).expect("the file");
    let changed = here.output("changed.dormouse");
    for at in (0..bytes.len()).step_by(bytes.len() / 40) {
        let mut bytes = bytes.clone();
        bytes[at] ^= 0x10;
        std::fs::write(&changed, &bytes).expect("a scratch file");
        let output = run(&here, &[], Some(&public), &changed);
        let code = output.status.code();
        assert!(
            matches!(code, Some(65 | 67 | 68 | 81)),
            "byte {at}: {}",
            said(&output)
        );
    }
}

/// Without a signature the module's bytes are a stranger's.
#[test]
fn a_damaged_file_is_an_error_that_says_so() {
    let here = Place::new();
    let file = prepared(&here, None);
    let bytes = std::fs::read(&file).expect("the file");
    let damaged = here.output("damaged.dormouse");
    std::fs::write(&damaged, &bytes[..bytes.len() - 1000]).expect("a scratch file");
    let output = run(&Place::new(), &[], None, &damaged);
    assert_ended(&output, 65, &said(&output), &["damaged.dormouse"]);

    // A module that says that it was made resumable, and imports something else.
    let manifest = b"dormouse.manifest";
    let at = bytes
        .windows(manifest.len())
        .position(|part| part == manifest);
    let at = at.expect("a resumable module has it");
    let mut forged = bytes.clone();
    let name = b"poll_oneoff";
    let import = bytes[at..]
        .windows(name.len())
        .position(|part| part == name);
    forged[at + import.expect("the manifest names imports")] = b'q';
    std::fs::write(&damaged, &forged).expect("a scratch file");
    let output = run(&Place::new(), &[], None, &damaged);
    assert_ended(&output, 65, &said(&output), &["damaged.dormouse"]);
}

#[test]
fn what_was_made_resumable_is_not_made_so_again_in_another_way() {
    let here = Place::new();
    let file = prepared(&here, None);
    for flags in [["--preempt"], ["--transform=native"]] {
        let output = run(&here, &flags, None, &file);
        let named = ["made resumable before", "two-version"];
        assert_ended(&output, 72, &said(&output), &named);
    }
}

#[test]
fn one_file_is_written_for_one_module() {
    let here = Place::new();
    let mut command = here.command();
    command
        .args(["compile", "--output"])
        .arg(here.output("two.dormouse"));
    let output = command
        .arg(guest("c_stdin"))
        .arg(guest("c_hello_sleep"))
        .output();
    let output = output.expect("it runs");
    assert_ended(&output, 64, &said(&output), &["--output", "one module"]);
    assert!(!here.output("two.dormouse").exists());
}
