//! Components that trap in the middle of a composition: with the code, the output and the reason that
//! the oracle gives.

use std::path::Path;
use std::process::{Output, Stdio};

use libtest_mimic::{Failed, Trial};

use dormouse_test_support::{
    check, checkout, component_of_text, dormouse, ended, engines, finish, says, wasmtime,
};

/// What a component does wrong.
struct Case {
    name: &'static str,
    /// The program's code. `$a` is a handle that it owns.
    body: &'static str,
    /// Another source of one of the other components: its name, what is replaced in it, and by what.
    other: Option<(&'static str, &'static str, &'static str)>,
    /// The reason, in words that both messages have.
    reason: &'static str,
}

const fn program(name: &'static str, body: &'static str, reason: &'static str) -> Case {
    Case {
        name,
        body,
        other: None,
        reason,
    }
}

const CASES: [Case; 14] = [
    program("unreachable", "(unreachable)", "unreachable"),
    program(
        "load",
        "(drop (i32.load (i32.const -4)))",
        "out of bounds memory access",
    ),
    program(
        "division",
        "(drop (i32.div_u (i32.const 1) (i32.const 0)))",
        "integer divide by zero",
    ),
    program(
        "no_utf8",
        "(i32.store8 (i32.const 2048) (i32.const 128))
         (call $greet (i32.const 2048) (i32.const 1) (i32.const 512))",
        "invalid utf8 encoding",
    ),
    program(
        "string_outside",
        "(call $greet (i32.const 65530) (i32.const 10) (i32.const 512))",
        "string content out-of-bounds",
    ),
    program(
        "result_not_aligned",
        "(call $greet (i32.const 1024) (i32.const 5) (i32.const 513))",
        "unaligned pointer",
    ),
    program(
        "dropped_twice",
        "(call $drop (local.get $a)) (call $drop (local.get $a))",
        "unknown handle index",
    ),
    program(
        "given_away",
        "(call $keep (local.get $a)) (drop (call $rest (local.get $a) (i32.const 1)))",
        "unknown handle index",
    ),
    program(
        "never_made",
        "(drop (call $stay (i32.const 77)))",
        "unknown handle index",
    ),
    Case {
        name: "borrow_kept",
        body: "(drop (call $stay (local.get $a)))",
        other: Some(("hall", "(call $drop (local.get $bed))", "")),
        reason: "borrow handles still remain at the end of the call",
    },
    Case {
        name: "borrow_given_away",
        body: "(drop (call $stay (local.get $a)))",
        other: Some((
            "hall",
            "(call $drop (local.get $bed))",
            "(global.set $kept (call $make (local.get $bed))) (call $drop (local.get $bed))
             (call $drop (local.get $bed))",
        )),
        reason: "unknown handle index",
    },
    Case {
        name: "within_a_call",
        body: "(drop (call $stay (local.get $a)))",
        other: Some((
            "beds",
            "(i32.mul (local.get $rep) (i32.const 10))",
            "(unreachable)",
        )),
        reason: "unreachable",
    },
    Case {
        name: "in_a_destructor",
        body: "(call $drop (local.get $a))",
        other: Some((
            "beds",
            "(call $say (i32.const 68) (local.get $rep))",
            "(unreachable)",
        )),
        reason: "unreachable",
    },
    Case {
        name: "result_outside",
        body: "(call $greet (i32.const 1024) (i32.const 5) (i32.const 512))",
        other: Some((
            "beds",
            "(i32.store (i32.const 512) (local.get $text))",
            "(i32.store (i32.const 512) (i32.const 65535))",
        )),
        reason: "string content out-of-bounds",
    },
];

pub fn trials() -> Vec<Trial> {
    let mut trials = Vec::new();
    for case in &CASES {
        for engine in engines() {
            for way in ["run", "rehearse"] {
                let name = format!("trap::{}::{engine}::{way}", case.name);
                let run = move || compare(case, engine, way == "rehearse").map_err(Failed::from);
                trials.push(Trial::test(name, run));
            }
        }
    }
    trials
}

impl Case {
    /// Writes the component: the composition with a program of this code.
    fn write(&self, folder: &Path, whole: &Path) {
        let mut command = dormouse();
        command.arg("compose");
        for name in ["program", "hall", "beds"] {
            let source = checkout(&format!("wasm/src/composed/{name}.wat"));
            let mut text = std::fs::read_to_string(source).expect("a source");
            if name == "program" {
                text = self.program(&text);
            }
            if let Some((_, old, new)) = self.other.filter(|(other, ..)| *other == name) {
                assert!(text.contains(old), "{old} is not in {name}.wat");
                text = text.replacen(old, new, 1);
            }
            let path = folder.join(format!("{name}.wasm"));
            std::fs::write(&path, component_of_text(&text)).expect("a file");
            command.arg(path);
        }
        let output = command.arg("-o").arg(whole).output().expect("it starts");
        ended(&output, 0).unwrap_or_else(|error| panic!("{error}"));
    }

    /// The program with this code in the place of its own.
    fn program(&self, text: &str) -> String {
        let start = r#"(func (export "run") (result i32)"#;
        let end = "(i32.const 0)))";
        let (before, rest) = text.split_once(start).expect("it has an entry");
        let (_, after) = rest.split_once(end).expect("it has an end");
        let body = self.body;
        format!(
            "{before}{start} (local $a i32) (local.set $a (call $make (i32.const 1)))
             (call $sleep (i32.const 2)) {body} {end}{after}"
        )
    }
}

fn compare(case: &Case, engine: &str, rehearsed: bool) -> Result<(), String> {
    let folder = tempfile::tempdir().expect("a folder");
    let whole = folder.path().join("whole.wasm");
    case.write(folder.path(), &whole);
    let mut oracle = wasmtime();
    oracle.env_remove("RUST_BACKTRACE").arg("run").arg(&whole);
    let expected = finish(&mut oracle, Stdio::null());
    // It has an exit code for what the engine traps at, and another one for what the host does.
    let told = [134, 1].map(|code| tells(case, code, &expected));
    check(told.iter().any(Result::is_ok), || {
        format!("the oracle: {told:?}")
    })?;
    let mut command = dormouse();
    command.args(["run", "--engine", engine]);
    if rehearsed {
        command.arg("--rehearse");
    }
    let output = finish(command.arg(&whole), Stdio::null());
    tells(case, 134, &output)?;
    check(output.stdout == expected.stdout, || {
        format!(
            "output\n{}\ninstead of\n{}",
            String::from_utf8_lossy(&output.stdout),
            String::from_utf8_lossy(&expected.stdout)
        )
    })
}

/// Fails unless it ended with this code, for the case's reason.
fn tells(case: &Case, code: i32, output: &Output) -> Result<(), String> {
    ended(output, code)?;
    says(output, &[case.reason])
}
