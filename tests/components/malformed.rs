//! Components that are no good, by the command: each is refused clearly, in bounded time and memory.

use std::fmt::Write as _;
use std::fs;
use std::path::Path;
use std::process::{Command, Output, Stdio};
use std::time::{Duration, Instant};

use dormouse_test_support::{component, dormouse, ended, guest, said};

/// The time that any of them may take on a machine that is loaded.
const MOST: Duration = Duration::from_secs(100);
/// The address space that the command may have, in KiB. What the engines reserve is in it.
const ADDRESS_SPACE: u32 = 6 << 20;

/// Runs a component in bounded memory.
fn run(path: &Path) -> Output {
    let binary = dormouse();
    let mut shell = Command::new("sh");
    shell
        .arg("-c")
        .arg(format!(
            "ulimit -v {ADDRESS_SPACE} && exec \"$0\" run \"$1\""
        ))
        .arg(binary.get_program())
        .arg(path)
        .envs(
            binary
                .get_envs()
                .filter_map(|(name, value)| Some((name, value?))),
        )
        .stdin(Stdio::null());
    shell.output().expect("it starts")
}

fn refuses(what: &str, bytes: &[u8], words: &[&str]) {
    let folder = tempfile::tempdir().expect("a folder");
    let path = folder.path().join("app.wasm");
    fs::write(&path, bytes).expect("a file");
    let began = Instant::now();
    let output = run(&path);
    assert!(began.elapsed() < MOST, "{what} takes {:?}", began.elapsed());
    ended(&output, 65).unwrap_or_else(|error| panic!("{what}: {error}"));
    let text = said(&output);
    for word in words {
        assert!(
            text.contains(word),
            "{what}: {word:?} is missing in: {text}"
        );
    }
    // One message, and nothing of how it was found out.
    assert!(text.len() < 2000, "{what}: {text}");
}

#[test]
fn components_that_are_cut_off_are_refused() {
    let hello = fs::read(guest("c_hello_sleep")).expect("a guest");
    let whole = component(&hello).expect("it can be wrapped");
    for part in 1..16 {
        let what = format!("{part} sixteenths");
        refuses(
            &what,
            &whole[..whole.len() * part / 16],
            &["app.wasm", "not valid"],
        );
    }
    refuses(
        "more bytes behind it",
        &[&whole[..], b"x"].concat(),
        &["app.wasm"],
    );
}

/// A component within a component, and so on.
fn nested(depth: usize) -> Vec<u8> {
    let mut inner = b"\0asm\x0d\0\x01\0".to_vec();
    for _ in 0..depth {
        let mut outer = b"\0asm\x0d\0\x01\0\x04".to_vec();
        let mut length = inner.len();
        while length >= 0x80 {
            outer.push(length as u8 | 0x80);
            length >>= 7;
        }
        outer.push(length as u8);
        outer.extend(inner);
        inner = outer;
    }
    inner
}

/// A component of which each part has two instances of the next one, so that there are very many.
fn doubled(depth: usize) -> String {
    let mut text =
        "(component $c0 (core module $m (memory 1)) (core instance (instantiate $m)))".into();
    for level in 1..depth {
        let below = level - 1;
        text = format!(
            "(component $c{level} {text} (instance (instantiate $c{below})) (instance (instantiate $c{below})))"
        );
    }
    runnable(&format!("{text} (instance (instantiate $c{}))", depth - 1))
}

/// A component with a type that has very many values in it.
fn wide(levels: usize) -> String {
    let mut types = "(type $t0 (tuple u32 u32))".to_owned();
    for level in 1..levels {
        let below = level - 1;
        let _ = write!(
            types,
            "(type $t{level} (tuple $t{below} $t{below} $t{below} $t{below} $t{below} $t{below} $t{below} $t{below}))"
        );
    }
    let last = levels - 1;
    runnable(&format!(
        "{types} (import \"wide\" (func (param \"all\" $t{last})))"
    ))
}

/// A component with the entry of a program, and more.
fn runnable(more: &str) -> String {
    format!(
        r#"(component {more}
             (core module $run (func (export "run") (result i32) (i32.const 0)))
             (core instance $run (instantiate $run))
             (func $run (result (result)) (canon lift (core func $run "run")))
             (component $entry (import "run" (func $f (result (result)))) (export "run" (func $f)))
             (instance $entry (instantiate $entry (with "run" (func $run))))
             (export "wasi:cli/run@0.2.6" (instance $entry)))"#
    )
}

#[test]
fn components_that_grow_beyond_measure_are_refused() {
    refuses("nested a thousand deep", &nested(1000), &["app.wasm"]);
    for (what, text) in [
        ("a million instances", doubled(20)),
        ("a thousand million instances", doubled(30)),
        ("a type of very many values", wide(12)),
    ] {
        let bytes = wat::parse_str(&text).unwrap_or_else(|error| panic!("{what}: {error}"));
        refuses(what, &bytes, &["app.wasm"]);
    }
}
