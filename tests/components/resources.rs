//! Handles: of the host's resources and of the guests', owned and borrowed, within an instance and
//! across.

use super::text::{IMPORTS, composition, inner};
use super::{compare, compare_resumable};

/// The type of an interface with a resource of a guest's.
const COUNTERS: &str = r#"
    (export "counter" (type $counter (sub resource)))
    (export "make" (func (param "rep" u32) (result (own $counter))))
    (export "rep" (func (param "self" (borrow $counter)) (result u32)))
    (export "eat" (func (param "counter" (own $counter))))
    (export "both" (func (param "a" (borrow $counter)) (param "b" (own $counter)) (result u32)))"#;

/// A component that defines the resource, with a destructor that tells the host.
fn owner() -> String {
    let inner = inner("owner");
    format!(
        r#"{inner}
          (core module $d {IMPORTS}
            (func (export "dtor") (param i32)
              (call $number (i32.const 666)) (call $number (local.get 0))))
          (core instance $d (instantiate $d (with "libc" (instance $libc)) (with "host" (instance $host))))
          (type $counter' (resource (rep i32) (dtor (core func $d "dtor"))))
          (export $counter "counter" (type $counter'))
          (core func $new (canon resource.new $counter'))
          (core func $rep (canon resource.rep $counter'))
          (core func $free (canon resource.drop $counter'))
          (core module $m {IMPORTS}
            (import "own" "new" (func $new (param i32) (result i32)))
            (import "own" "rep" (func $rep (param i32) (result i32)))
            (import "own" "free" (func $free (param i32)))
            (func (export "make") (param i32) (result i32) (local $handle i32)
              (local.set $handle (call $new (local.get 0)))
              (call $number (local.get $handle))
              (call $number (call $rep (local.get $handle)))
              (local.get $handle))
            ;; A borrowed handle of one's own resource is its representation.
            (func (export "rep") (param i32) (result i32) (local.get 0))
            (func (export "eat") (param i32)
              (call $number (call $rep (local.get 0)))
              (call $free (local.get 0)))
            (func (export "both") (param i32 i32) (result i32)
              (call $number (local.get 0))
              (call $number (call $rep (local.get 1)))
              (call $free (local.get 1))
              (i32.const 5)))
          (core instance $m (instantiate $m (with "libc" (instance $libc)) (with "host" (instance $host))
            (with "own" (instance (export "new" (func $new)) (export "rep" (func $rep))
              (export "free" (func $free))))))
          (func (export "make") (param "rep" u32) (result (own $counter)) (canon lift (core func $m "make")))
          (func (export "rep") (param "self" (borrow $counter)) (result u32) (canon lift (core func $m "rep")))
          (func (export "eat") (param "counter" (own $counter)) (canon lift (core func $m "eat")))
          (func (export "both") (param "a" (borrow $counter)) (param "b" (own $counter)) (result u32)
            (canon lift (core func $m "both"))))
        (instance $owner (instantiate $owner (with "api" (instance $api))))"#
    )
}

/// Lowers the interface of [`owner`] for the component that follows, as the core instance
/// `$counters`.
const LOWERED: &str = r#"
    (alias export $owner "counter" (type $counter))
    (core func $make_counter (canon lower (func $owner "make")))
    (core func $rep (canon lower (func $owner "rep")))
    (core func $eat (canon lower (func $owner "eat")))
    (core func $both (canon lower (func $owner "both")))
    (core func $free (canon resource.drop $counter))
    (core instance $counters (export "make" (func $make_counter)) (export "rep" (func $rep))
      (export "eat" (func $eat)) (export "both" (func $both)) (export "free" (func $free)))"#;

const COUNTER_IMPORTS: &str = r#"
    (import "counters" "make" (func $make_counter (param i32) (result i32)))
    (import "counters" "rep" (func $rep (param i32) (result i32)))
    (import "counters" "eat" (func $eat (param i32)))
    (import "counters" "both" (func $both (param i32 i32) (result i32)))
    (import "counters" "free" (func $free (param i32)))"#;

/// The start of a component that uses the resource of another one, the instance `$owner`.
fn with_counters(name: &str) -> String {
    inner(name).replace(
        "(import \"api\"",
        &format!("(import \"counters\" (instance $owner {COUNTERS})) (import \"api\""),
    )
}

/// A program that uses the resource of another component.
fn user(body: &str) -> String {
    let (owner, inner) = (owner(), with_counters("main"));
    composition(&format!(
        r#"{owner} {inner} {LOWERED}
           (core module $main {IMPORTS} {COUNTER_IMPORTS}
             (func (export "run") (result i32) (local $a i32) (local $b i32) {body} (i32.const 0)))
           (core instance $main (instantiate $main (with "libc" (instance $libc))
             (with "host" (instance $host)) (with "counters" (instance $counters))))
           (func (export "run") (result (result)) (canon lift (core func $main "run"))))
           (instance $main (instantiate $main (with "api" (instance $api))
             (with "counters" (instance $owner))))"#
    ))
}

#[test]
fn a_guests_resource_is_owned_borrowed_and_destroyed() {
    let outcomes = compare_resumable(&[
        (
            "made, lent and dropped".into(),
            user(
                r#"(local.set $a (call $make_counter (i32.const 70)))
                   (local.set $b (call $make_counter (i32.const 80)))
                   (call $number (local.get $a)) (call $number (local.get $b))
                   (call $number (call $rep (local.get $a)))
                   (call $free (local.get $a))
                   (call $number (call $make_counter (i32.const 90)))
                   (call $number (call $rep (local.get $b)))
                   (call $eat (local.get $b))"#,
            ),
        ),
        (
            "two at once".into(),
            user(
                r#"(local.set $a (call $make_counter (i32.const 1)))
                   (local.set $b (call $make_counter (i32.const 2)))
                   (call $number (call $both (local.get $a) (local.get $b)))
                   (call $number (call $rep (local.get $a)))"#,
            ),
        ),
    ]);
    assert!(
        outcomes.iter().all(|outcome| outcome.end == "ok"),
        "{outcomes:?}"
    );
}

#[test]
fn handles_that_are_used_wrongly_trap() {
    let cases = [
        ("never made", "(call $free (i32.const 1))"),
        ("the number that is none", "(call $free (i32.const 0))"),
        ("far off", "(drop (call $rep (i32.const -1)))"),
        (
            "dropped twice",
            "(local.set $a (call $make_counter (i32.const 7))) (call $free (local.get $a)) (call $free (local.get $a))",
        ),
        (
            "given away",
            "(local.set $a (call $make_counter (i32.const 7))) (call $eat (local.get $a)) (drop (call $rep (local.get $a)))",
        ),
        (
            "lent and given away at once",
            "(local.set $a (call $make_counter (i32.const 7))) (drop (call $both (local.get $a) (local.get $a)))",
        ),
        (
            "of another type",
            "(call $look (call $make_counter (i32.const 7)))",
        ),
        (
            "of the host, as the guest's",
            "(drop (call $rep (call $make (i32.const 7))))",
        ),
        (
            "of the host, dropped as the guest's",
            "(call $free (call $make (i32.const 7)))",
        ),
    ];
    let components: Vec<(String, String)> = cases
        .map(|(name, body)| (name.to_owned(), user(body)))
        .into();
    for (outcome, (name, _)) in compare(&components).iter().zip(&components) {
        assert!(outcome.end.starts_with("trap: "), "{name}: {outcome:?}");
    }
}

#[test]
fn the_hosts_resources_are_handles_of_each_instance() {
    let outcomes = compare_resumable(&[(
        "of the host".into(),
        user(
            r#"(local.set $a (call $make (i32.const 11)))
               (local.set $b (call $make (i32.const 12)))
               (call $number (local.get $a)) (call $number (local.get $b))
               (call $look (local.get $a))
               (call $drop (local.get $a))
               (call $number (call $make_counter (i32.const 13)))
               (call $take (local.get $b))
               (call $number (call $make (i32.const 14)))"#,
        ),
    )]);
    assert_eq!(outcomes[0].end, "ok");
}

/// A component in the middle gets borrowed handles of a resource that is neither its own nor the
/// caller's, and passes them on.
fn through_the_middle(middle: &str) -> String {
    let (owner, inner, main) = (owner(), with_counters("middle"), with_counters("main"));
    let main = main.replace(
        "(import \"api\"",
        r#"(alias export $owner "counter" (type $counter'))
           (import "use" (func $middle (param "counter" (borrow $counter')) (result u32)))
           (import "api""#,
    );
    composition(&format!(
        r#"{owner}
           {inner} {LOWERED}
             (core module $m {IMPORTS} {COUNTER_IMPORTS}
               (func (export "use") (param $handle i32) (result i32) {middle} (i32.const 3)))
             (core instance $m (instantiate $m (with "libc" (instance $libc)) (with "host" (instance $host))
               (with "counters" (instance $counters))))
             (func (export "use") (param "counter" (borrow $counter)) (result u32)
               (canon lift (core func $m "use"))))
           (instance $middle (instantiate $middle (with "api" (instance $api))
             (with "counters" (instance $owner))))
           {main} {LOWERED}
           (core func $use (canon lower (func $middle)))
           (core module $main {IMPORTS} {COUNTER_IMPORTS}
             (import "middle" "use" (func $use (param i32) (result i32)))
             (func (export "run") (result i32) (local $a i32)
               (local.set $a (call $make_counter (i32.const 40)))
               (call $number (call $use (local.get $a)))
               (call $number (call $use (local.get $a)))
               (call $free (local.get $a))
               (i32.const 0)))
           (core instance $main (instantiate $main (with "libc" (instance $libc)) (with "host" (instance $host))
             (with "counters" (instance $counters)) (with "middle" (instance (export "use" (func $use))))))
           (func (export "run") (result (result)) (canon lift (core func $main "run"))))
           (instance $main (instantiate $main (with "api" (instance $api))
             (with "counters" (instance $owner)) (with "use" (func $middle "use"))))"#
    ))
}

#[test]
fn borrowed_handles_end_with_their_call() {
    let outcomes = compare_resumable(&[(
        "passed on and dropped".into(),
        through_the_middle(
            "(call $number (local.get $handle)) (call $number (call $rep (local.get $handle))) (call $free (local.get $handle))",
        ),
    )]);
    assert_eq!(outcomes[0].end, "ok");
    let cases = [
        ("kept", "(call $number (call $rep (local.get $handle)))"),
        ("given away", "(call $eat (local.get $handle))"),
        (
            "dropped twice",
            "(call $free (local.get $handle)) (call $free (local.get $handle))",
        ),
    ];
    let components: Vec<(String, String)> = cases
        .map(|(name, middle)| (name.to_owned(), through_the_middle(middle)))
        .into();
    for (outcome, (name, _)) in compare(&components).iter().zip(&components) {
        assert!(outcome.end.starts_with("trap: "), "{name}: {outcome:?}");
    }
}
