//! Components, flattened, do what the same components do under another host.
//!
//! The oracle is Wasmtime from PyPI, which runs the component as it is; it and this test's host
//! offer the same interface, and note every call. What was noted and how the program ended are
//! compared, traps with their reasons among it.
//!
//! | file | what is in it |
//! | --- | --- |
//! | `host.rs` | the host of flattened modules: handle tables, borrows, results |
//! | `oracle.rs`, `oracle.py` | the component as it is |
//! | `text.rs` | parts that the components are made of |

#![allow(
    clippy::expect_used,
    clippy::panic,
    clippy::unwrap_used,
    reason = "a test may fail"
)]

mod broken;
mod compose;
mod flag;
mod host;
mod malformed;
mod oracle;
mod resources;
mod starts;
mod strings;
mod task_file;
mod text;
mod values;
mod wrapped;

use dormouse::instrument;

/// What a program has told its host, and how it has ended.
#[derive(Clone, Debug, PartialEq)]
pub struct Outcome {
    /// Each call of the host, with its arguments.
    pub log: Vec<serde_json::Value>,
    /// `ok`, `failed`, or why it trapped.
    pub end: String,
}

/// What makes a module resumable.
const TRANSFORMS: [instrument::Transform; 3] = [
    instrument::Transform::None,
    instrument::Transform::Native,
    instrument::Transform::TwoVersion,
];

/// Compares what components do, each with its name, and gives what they do.
pub fn compare(components: &[(String, String)]) -> Vec<Outcome> {
    let bytes: Vec<(String, Vec<u8>)> = components
        .iter()
        .map(|(name, text)| {
            let component = wat::parse_str(text).unwrap_or_else(|error| panic!("{name}: {error}"));
            (name.clone(), component)
        })
        .collect();
    let wanted = oracle::run(&bytes);
    assert_eq!(wanted.len(), bytes.len());
    for ((name, component), wanted) in bytes.iter().zip(&wanted) {
        let module =
            instrument::flatten(component).unwrap_or_else(|error| panic!("{name}: {error}"));
        assert_eq!(host::run(&module), *wanted, "{name}");
    }
    wanted
}

/// Compares also what becomes of the component when it is made resumable.
pub fn compare_resumable(components: &[(String, String)]) -> Vec<Outcome> {
    let outcomes = compare(components);
    for ((name, text), wanted) in components.iter().zip(&outcomes) {
        let component = wat::parse_str(text).expect("it was one");
        for transform in TRANSFORMS {
            let module = host::resumable(&component, transform);
            let module = module.unwrap_or_else(|error| panic!("{name}, {transform}: {error}"));
            assert_eq!(host::run(&module), *wanted, "{name}, {transform}");
        }
    }
    outcomes
}
