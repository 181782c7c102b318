//! Which transform `Transform::Auto` takes.
#![cfg(feature = "binaryen")]
#![allow(clippy::expect_used, reason = "a test may fail")]

use dormouse_instrument::{HostFunction, Instrumented, Manifest, Options, Transform, instrument};
use dormouse_model::ValType;

/// A host that offers `host.wait`, which may suspend.
fn host(module: &str, name: &str, _: &[ValType]) -> Option<HostFunction> {
    ((module, name) == ("host", "wait")).then(|| HostFunction {
        params: vec![],
        results: vec![],
        blocks: true,
    })
}

fn made(source: &[u8], transform: Transform) -> Instrumented {
    let options = Options {
        transform,
        ..Options::new(&host)
    };
    instrument(source, &options).expect("it can be made resumable")
}

/// A module with one function of about so many bytes, which calls `$called`.
fn with_code(bytes: usize, called: &str) -> Vec<u8> {
    // Three bytes each.
    let body = "(drop (i32.const 7))".repeat(bytes / 3);
    let text = format!(
        r#"(module
             (import "host" "wait" (func $wait))
             (func $nothing)
             (func $wait_once (export "_start") (call $wait))
             (func (export "big") (call {called}) {body}))"#
    );
    wat::parse_str(text).expect("the text is right")
}

const MUCH: usize = (512 << 10) + 4096;
const LITTLE: usize = (512 << 10) - 4096;

/// More than 512 KiB of code that may be on the stack at a suspend, and the native one is taken.
#[test]
fn the_native_transform_is_taken_for_much_code() {
    let source = with_code(MUCH, "$wait");
    let auto = made(&source, Transform::Auto);
    assert_eq!(auto.manifest.transform, Transform::Native);
    let manifest = Manifest::of(&auto.wasm).expect("it is resumable");
    assert_eq!(manifest, auto.manifest);
    let native = made(&source, Transform::Native);
    assert!(
        auto.wasm == native.wasm,
        "it is the same as what is asked for by name"
    );
}

/// What Binaryen does fast it does. Code that is never on the stack at a suspend does not count.
#[test]
fn binaryen_is_taken_for_little_code() {
    for source in [with_code(LITTLE, "$wait"), with_code(MUCH, "$nothing")] {
        let auto = made(&source, Transform::Auto);
        assert_eq!(auto.manifest.transform, Transform::TwoVersion);
    }
}
