//! Values of types that are made up, between two instances, from memory that is made up too: they
//! arrive as they do under the other host, or trap as they do there.

use super::text::{IMPORTS, TELL, composition, escaped, inner};
use super::{compare, compare_resumable};

/// How many components are made.
const COMPONENTS: u64 = 200;

/// Where the arguments lie.
const ARGUMENTS: usize = 1024;
/// How many bytes there are of them, with what they point to.
const ARGUMENT_BYTES: usize = 1024;

/// A type without a name: those that have one would have to be exported.
fn ty(rng: &mut fastrand::Rng, depth: u32) -> String {
    const SIMPLE: [&str; 13] = [
        "bool", "u8", "s8", "u16", "s16", "u32", "s32", "u64", "s64", "f32", "f64", "char",
        "string",
    ];
    if depth == 0 || rng.u8(..4) == 0 {
        return SIMPLE[rng.usize(..SIMPLE.len())].to_owned();
    }
    let depth = depth - 1;
    match rng.u8(..5) {
        0 | 1 => format!("(list {})", ty(rng, depth)),
        2 => {
            let parts: Vec<String> = (0..rng.usize(1..5)).map(|_| ty(rng, depth)).collect();
            format!("(tuple {})", parts.join(" "))
        }
        3 => format!("(option {})", ty(rng, depth)),
        _ => format!("(result {} (error {}))", ty(rng, depth), ty(rng, depth)),
    }
}

/// Words that are small numbers, of which many are right as discriminants, lengths, characters or
/// addresses.
fn memory(rng: &mut fastrand::Rng) -> Vec<u8> {
    let mut bytes = Vec::new();
    while bytes.len() < ARGUMENT_BYTES {
        let word = match rng.u8(..10) {
            0..=4 => rng.u32(..2),
            5 | 6 => rng.u32(..6),
            7 | 8 => (ARGUMENTS as u32 + rng.u32(..ARGUMENT_BYTES as u32)) & !7,
            _ => rng.u32(..),
        };
        bytes.extend(word.to_le_bytes());
    }
    bytes
}

/// One component calls another with an argument, and gets a result; both lie in memory, since
/// there are more than sixteen numbers of each.
fn exchanged(rng: &mut fastrand::Rng, depth: u32) -> String {
    let encodings = ["utf8", "utf16", "latin1+utf16"];
    let mut encoding = || encodings[rng.usize(..encodings.len())];
    let (from, to) = (encoding(), encoding());
    let more = "u64 ".repeat(17);
    let argument = format!("(tuple {} {more})", ty(rng, depth));
    let result = format!("(tuple {} {more})", ty(rng, depth));
    let (sent, answered) = (escaped(&memory(rng)), escaped(&memory(rng)));
    let (callee, caller) = (inner("callee"), inner("main"));
    let end = ARGUMENTS + ARGUMENT_BYTES;
    composition(&format!(
        r#"{callee}
             (core module $m {IMPORTS} {TELL}
               (data (i32.const {ARGUMENTS}) "{answered}")
               (func (export "f") (param i32) (result i32)
                 (call $number (local.get 0)) (call $tell_memory) (i32.const {ARGUMENTS}))
               (func (export "after") (param i32) (call $number (local.get 0))))
             (core instance $m (instantiate $m (with "libc" (instance $libc)) (with "host" (instance $host))))
             (func (export "f") (param "argument" {argument}) (result {result})
               (canon lift (core func $m "f") (memory (core memory $libc "memory"))
                 (realloc (core func $libc "realloc")) (post-return (core func $m "after"))
                 string-encoding={to})))
           (instance $callee (instantiate $callee (with "api" (instance $api))))
           {caller}
             (import "f" (func $f (param "argument" {argument}) (result {result})))
             (core func $f (canon lower (func $f) (memory (core memory $libc "memory"))
               (realloc (core func $libc "realloc")) string-encoding={from}))
             (core module $m {IMPORTS}
               (import "callee" "f" (func $f (param i32 i32)))
               {TELL}
               (data (i32.const {ARGUMENTS}) "{sent}")
               (func (export "run") (result i32)
                 (call $f (i32.const {ARGUMENTS}) (i32.const {end}))
                 (call $bytes (i32.const {end}) (i32.const 256))
                 (call $tell_memory)
                 (i32.const 0)))
             (core instance $m (instantiate $m (with "libc" (instance $libc)) (with "host" (instance $host))
               (with "callee" (instance (export "f" (func $f))))))
             (func (export "run") (result (result)) (canon lift (core func $m "run"))))
           (instance $main (instantiate $main (with "api" (instance $api))
             (with "f" (func $callee "f"))))"#
    ))
}

#[test]
fn values_arrive_or_trap_as_under_the_other_host() {
    let component = |seed: u64| {
        let depth = 1 + (seed % 4) as u32;
        let text = exchanged(&mut fastrand::Rng::with_seed(seed), depth);
        (format!("seed {seed}"), text)
    };
    let components: Vec<_> = (0..COMPONENTS).map(component).collect();
    let outcomes = compare(&components);
    let well = outcomes
        .iter()
        .filter(|outcome| outcome.end == "ok")
        .count() as u64;
    assert!(
        (COMPONENTS / 10..=COMPONENTS * 9 / 10).contains(&well),
        "{well} of {COMPONENTS} ended well"
    );
}

/// Types so large that adapters are split into functions, which give many values at once.
#[test]
fn large_types_are_made_resumable() {
    let mut components = Vec::new();
    for seed in 0.. {
        let text = exchanged(&mut fastrand::Rng::with_seed(1000 + seed), 6);
        if text.len() > 12_000 {
            components.push((format!("seed {seed}"), text));
        }
        if components.len() == 4 {
            break;
        }
    }
    compare_resumable(&components);
}
