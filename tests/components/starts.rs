//! The order in which instances come to be, and when they may not be called or call.

use super::text::{HOST, IMPORTS, LIBC, command, composition, inner};
use super::{compare, compare_resumable};

#[test]
fn start_functions_and_segments_take_their_turns() {
    // The first start function sees what later segments have not written yet; the last one does.
    let component = command(&format!(
        r#"{LIBC} {HOST}
           (core module $first {IMPORTS}
             (data (i32.const 16) "one")
             (func $tell (call $bytes (i32.const 16) (i32.const 8)))
             (start $tell))
           (core instance $first (instantiate $first (with "libc" (instance $libc))
             (with "host" (instance $host))))
           (core module $second {IMPORTS}
             (data (i32.const 18) "two")
             (memory $own 1)
             (data (memory $own) (i32.const 0) "own")
             (table 2 funcref)
             (elem (i32.const 0) func $tell)
             (func $tell (call $bytes (i32.const 16) (i32.const 8))
               (call $number (i32.load8_u $own (i32.const 1))))
             (func $start (call_indirect (i32.const 0)))
             (start $start))
           (core instance (instantiate $second (with "libc" (instance $libc))
             (with "host" (instance $host))))
           (core module $main {IMPORTS}
             (data (i32.const 20) "three")
             (func (export "run") (result i32)
               (call $bytes (i32.const 16) (i32.const 12)) (i32.const 0)))
           (core instance $main (instantiate $main (with "libc" (instance $libc))
             (with "host" (instance $host))))"#
    ));
    let outcomes = compare_resumable(&[("starts".into(), component)]);
    assert_eq!(outcomes[0].end, "ok");
    assert_eq!(outcomes[0].log.len(), 4);
}

/// A segment that does not fit traps behind what start functions before it have done.
#[test]
fn a_segment_that_does_not_fit_traps_in_its_turn() {
    let component = |segment: &str| {
        command(&format!(
            r#"{LIBC} {HOST}
               (core module $first {IMPORTS}
                 (func $tell (call $number (i32.const 1))) (start $tell))
               (core instance (instantiate $first (with "libc" (instance $libc))
                 (with "host" (instance $host))))
               (core module $main (memory 1) (table 1 funcref) {segment} (func $f)
                 (func (export "run") (result i32) (i32.const 0)))
               (core instance $main (instantiate $main))"#
        ))
    };
    let components = [
        ("data", r#"(data (i32.const 65535) "ab")"#),
        ("elements", "(elem (i32.const 1) func $f)"),
    ];
    let components = components.map(|(name, segment)| (name.to_owned(), component(segment)));
    for outcome in compare(&components) {
        assert!(outcome.end.starts_with("trap: "), "{outcome:?}");
        assert_eq!(outcome.log.len(), 1);
    }
}

/// `realloc` may not call others, and neither may a function behind a call.
#[test]
fn an_instance_that_may_not_leave_traps() {
    let realloc = |reallocate: &str, post_return: &str| {
        let inner = inner("callee");
        composition(&format!(
            r#"{inner}
               (core module $m {IMPORTS}
                 (func (export "realloc") (param i32 i32 i32 i32) (result i32) {reallocate} (i32.const 4096))
                 (func (export "take") (param i32 i32) (call $number (local.get 1)))
                 (func (export "after") {post_return}))
               (core instance $m (instantiate $m (with "libc" (instance $libc)) (with "host" (instance $host))))
               (func (export "take") (param "value" string) (canon lift (core func $m "take")
                 (memory (core memory $libc "memory")) (realloc (core func $m "realloc"))
                 (post-return (core func $m "after")))))
             (instance $callee (instantiate $callee (with "api" (instance $api))))
             (component $main
             (import "take" (func $callee (param "value" string)))
             {LIBC}
             (core func $take (canon lower (func $callee) (memory (core memory $libc "memory"))))
             (core module $main
               (import "callee" "take" (func $take (param i32 i32)))
               (func (export "run") (result i32)
                 (call $take (i32.const 0) (i32.const 3)) (i32.const 0)))
             (core instance $main (instantiate $main
               (with "callee" (instance (export "take" (func $take))))))
             (func (export "run") (result (result)) (canon lift (core func $main "run"))))
             (instance $main (instantiate $main (with "take" (func $callee "take"))))"#
        ))
    };
    let of_the_host = command(&format!(
        r#"{LIBC} {HOST}
           (core module $main {IMPORTS}
             (import "table" "t" (table 1 funcref))
             (import "greet" "greet" (func $greet2 (param i32 i32)))
             (elem (i32.const 0) func $number)
             (func (export "run") (result i32)
               (call $greet2 (i32.const 1) (i32.const 1024)) (i32.const 0)))
           (core module $table (table (export "t") 1 funcref)
             (func (export "realloc") (param i32 i32 i32 i32) (result i32)
               (call_indirect (param i32) (i32.const 8) (i32.const 0)) (i32.const 4096)))
           (core instance $table (instantiate $table))
           (core func $greet2 (canon lower (func $api "greet") (memory (core memory $libc "memory"))
             (realloc (core func $table "realloc"))))
           (core instance $main (instantiate $main (with "libc" (instance $libc)) (with "host" (instance $host))
             (with "table" (instance $table)) (with "greet" (instance (export "greet" (func $greet2))))))"#
    ));
    let outcomes = compare(&[
        ("quiet".into(), realloc("", "")),
        (
            "realloc".into(),
            realloc("(call $number (i32.const 1))", ""),
        ),
        (
            "resource.drop".into(),
            realloc("(call $drop (i32.const 1))", ""),
        ),
        ("for the host".into(), of_the_host),
    ]);
    let ends: Vec<&str> = outcomes
        .iter()
        .map(|outcome| outcome.end.as_str())
        .collect();
    let cannot_leave = "trap: cannot leave component instance";
    assert_eq!(ends, ["ok", cannot_leave, cannot_leave, cannot_leave]);
}

#[test]
fn what_run_answers_is_how_the_program_ends() {
    let component = |answer: &str, after: &str| {
        format!(
            r#"(component
                 (core module $m (global $g (mut i32) (i32.const 7))
                   (func (export "run") (result i32) {answer})
                   (func (export "after") (param i32) {after}))
                 (core instance $m (instantiate $m))
                 (func $run (result (result)) (canon lift (core func $m "run")
                   (post-return (core func $m "after"))))
                 (instance $exported (export "run" (func $run)))
                 (export "wasi:cli/run@0.2.6" (instance $exported)))"#
        )
    };
    let outcomes = compare_resumable(&[
        ("well".into(), component("i32.const 0", "")),
        ("badly".into(), component("i32.const 1", "")),
        ("not at all".into(), component("unreachable", "")),
        ("behind it".into(), component("i32.const 0", "unreachable")),
    ]);
    let ends: Vec<&str> = outcomes
        .iter()
        .map(|outcome| outcome.end.as_str())
        .collect();
    let unreachable = "trap: wasm `unreachable` instruction executed";
    assert_eq!(ends, ["ok", "failed", unreachable, unreachable]);
}

/// The adapters are those of Wasmtime 48, where a component does not call one within it. The other
/// host is newer, and lets it.
#[test]
fn a_component_does_not_call_one_within_it() {
    let component = command(
        r#"(component $inner
             (core module $m (func (export "f")))
             (core instance $m (instantiate $m))
             (func (export "f") (canon lift (core func $m "f"))))
           (instance $inner (instantiate $inner))
           (core func $f (canon lower (func $inner "f")))
           (core module $main (import "inner" "f" (func $f))
             (func (export "run") (result i32) (call $f) (i32.const 0)))
           (core instance $main (instantiate $main
             (with "inner" (instance (export "f" (func $f))))))"#,
    );
    let component = wat::parse_str(component).expect("the text is right");
    let module = dormouse::instrument::flatten(&component).expect("it is valid");
    let outcome = super::host::run(&module);
    assert_eq!(outcome.end, "trap: cannot enter component instance");
}
