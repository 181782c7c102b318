//! `dormouse compose`: several components become one.

use std::fs;
use std::path::Path;
use std::process::Output;

use dormouse_test_support::{dormouse, ended, says, wasmtime};

/// A program that imports a function, and fails unless it gives 42.
pub(super) const PROGRAM: &str = r#"(component
  (import "zoo:sheep/count@0.1.2" (instance $count (export "next" (func (result u32)))))
  (core func $next (canon lower (func $count "next")))
  (core module $m
    (import "zoo" "next" (func $next (result i32)))
    (func (export "run") (result i32) (i32.ne (call $next) (i32.const 42))))
  (core instance $i (instantiate $m (with "zoo" (instance (export "next" (func $next))))))
  (func $run (result (result)) (canon lift (core func $i "run")))
  (component $c
    (import "run" (func $f (result (result))))
    (export "run" (func $f)))
  (instance $r (instantiate $c (with "run" (func $run))))
  (export "wasi:cli/run@0.2.6" (instance $r)))"#;

/// A component that exports a function, which gives one more than one that it imports.
pub(super) fn counter(export: &str, import: &str) -> String {
    format!(
        r#"(component
  (import "{import}" (instance $count (export "next" (func (result u32)))))
  (core func $next (canon lower (func $count "next")))
  (core module $m
    (import "zoo" "next" (func $next (result i32)))
    (func (export "next") (result i32) (i32.add (call $next) (i32.const 1))))
  (core instance $i (instantiate $m (with "zoo" (instance (export "next" (func $next))))))
  (func $f (result u32) (canon lift (core func $i "next")))
  (instance $s (export "next" (func $f)))
  (export "{export}" (instance $s)))"#
    )
}

/// A component that exports a function, whose result has this type and value.
pub(super) fn constant(export: &str, ty: &str, value: &str) -> String {
    format!(
        r#"(component
  (core module $m (func (export "next") (result {value})))
  (core instance $i (instantiate $m))
  (func $f (result {ty}) (canon lift (core func $i "next")))
  (instance $s (export "next" (func $f)))
  (export "{export}" (instance $s)))"#
    )
}

/// A component that imports a resource, and from the host a function that makes one.
const HALVES: &str = r#"(component
  (import "wasi:half/types@0.2.0" (instance $types (export "half" (type (sub resource)))))
  (alias export $types "half" (type $half))
  (import "wasi:half/make@0.2.0" (instance
    (alias outer 1 $half (type $outer))
    (export "half" (type $its (eq $outer)))
    (export "make" (func (result (own $its)))))))"#;

/// A component that exports the resource alone.
const ONE_HALF: &str = r#"(component
  (type $half (resource (rep i32)))
  (instance $types (export "half" (type $half)))
  (export "wasi:half/types@0.2.0" (instance $types)))"#;

fn compose(folder: &Path, components: &[(&str, &str)]) -> Output {
    let mut command = dormouse();
    command.current_dir(folder).arg("compose");
    for (name, text) in components {
        let bytes = wat::parse_str(text).unwrap_or_else(|error| panic!("{name}: {error}"));
        fs::write(folder.join(name), bytes).expect("a file");
        command.arg(name);
    }
    command
        .args(["-o", "whole.wasm"])
        .output()
        .expect("it starts")
}

#[test]
fn what_one_imports_another_exports() {
    let folder = tempfile::tempdir().expect("a folder");
    let middle = counter("zoo:sheep/count@0.1.3", "zoo:sheep/start");
    let last = constant("zoo:sheep/start", "u32", "i32) (i32.const 41");
    let components = [
        ("program.wasm", PROGRAM),
        ("last.wasm", last.as_str()),
        ("middle.wasm", middle.as_str()),
    ];
    let output = compose(folder.path(), &components);
    ended(&output, 0).expect("it is composed");
    let whole = folder.path().join("whole.wasm");
    let oracle = wasmtime().arg("run").arg(&whole).output().expect("it runs");
    assert!(oracle.status.success(), "{oracle:?}");
    for engine in dormouse_test_support::engines() {
        let mut command = dormouse();
        command.args(["run", "--engine", engine]).arg(&whole);
        ended(&command.output().expect("it starts"), 0).expect(engine);
    }
}

#[test]
fn a_link_that_cannot_be_made_is_named() {
    let count = "zoo:sheep/count@0.1.2";
    let right = constant(count, "u32", "i32) (i32.const 42");
    let text = constant(count, "s64", "i64) (i64.const 42");
    let forth = counter(count, "zoo:sheep/back");
    let back = counter("zoo:sheep/back", count);
    let other = constant("zoo:cow/count", "u32", "i32) (i32.const 42");
    let program = ("program.wasm", PROGRAM);
    let (a, b) = ("a.wasm", "b.wasm");
    // Components by file and text, and what is said of them.
    type Case<'a> = (&'a [(&'a str, &'a str)], &'a [&'a str]);
    let cases: &[Case<'_>] = &[
        (
            &[program, (a, &other)],
            &["program.wasm imports", count, "none"],
        ),
        (
            &[program, (a, &text)],
            &["program.wasm imports", count, "a.wasm", "another type"],
        ),
        (
            &[program, (a, &right), (b, &right)],
            &[count, "several", "a.wasm, b.wasm"],
        ),
        (
            &[program, (a, &forth), (b, &back)],
            &["circle", "a.wasm", "b.wasm"],
        ),
        (
            &[program, (a, &right), (b, &other)],
            &["b.wasm", "leave it out"],
        ),
        // What one component makes is not what the host makes.
        (
            &[("program.wasm", HALVES), (a, ONE_HALF)],
            &["wasi:half/make@0.2.0", "resource types are not the same"],
        ),
    ];
    for (components, words) in cases {
        let folder = tempfile::tempdir().expect("a folder");
        let output = compose(folder.path(), components);
        ended(&output, 65).unwrap_or_else(|error| panic!("{words:?}: {error}"));
        says(&output, words).unwrap_or_else(|error| panic!("{words:?}: {error}"));
        assert!(!folder.path().join("whole.wasm").exists());
    }
}

#[test]
fn a_module_is_no_component() {
    let folder = tempfile::tempdir().expect("a folder");
    let output = compose(
        folder.path(),
        &[("a.wasm", PROGRAM), ("b.wasm", "(module)")],
    );
    ended(&output, 65).expect("it is refused");
    says(&output, &["b.wasm"]).expect("it is named");
}
