//! A build without Binaryen and without components rewrites modules by the native transform.
//! `cargo test -p dormouse-instrument --no-default-features` runs it.
#![cfg(not(any(feature = "binaryen", feature = "components")))]

use dormouse_instrument::{
    ComponentError, Error, HostFunction, Manifest, Options, Transform, check_resumable,
    initial_memory, instrument,
};
use dormouse_model::ValType;

fn host(_: &str, _: &str, _: &[ValType]) -> Option<HostFunction> {
    None
}

#[test]
fn a_transform_that_needs_binaryen_is_refused() {
    let source = wat::parse_str(r#"(module (func (export "_start")))"#).expect("the text is right");
    for transform in [
        Transform::TwoVersion,
        Transform::Plain,
        Transform::Reference,
    ] {
        let options = Options {
            transform,
            ..Options::new(&host)
        };
        let made = instrument(&source, &options);
        assert!(matches!(made, Err(Error::WithoutBinaryen)), "{transform}");
    }
}

/// So small a module is left to Binaryen where it is there.
#[test]
fn auto_takes_the_native_transform() {
    let source = wat::parse_str(r#"(module (func (export "_start")))"#).expect("the text is right");
    let made = instrument(&source, &Options::new(&host)).expect("it can be made resumable");
    assert_eq!(made.manifest.transform, Transform::Native);
}

#[test]
fn a_component_is_refused_as_what_this_build_cannot_flatten() {
    let source = wat::parse_str("(component)").expect("the text is right");
    let options = Options {
        transform: Transform::None,
        ..Options::new(&host)
    };
    let made = instrument(&source, &options);
    assert!(matches!(
        made,
        Err(Error::Component(ComponentError::LeftOut))
    ));
}

#[test]
fn a_module_that_is_left_as_it_is_needs_no_binaryen() {
    let source = wat::parse_str(
        r#"(module (memory (export "memory") 1) (global $g (mut i64) (i64.const 0))
             (data (i32.const 8) "abc") (func (export "_start") (global.set $g (i64.const 1))))"#,
    )
    .expect("the text is right");
    let options = Options {
        transform: Transform::None,
        ..Options::new(&host)
    };
    let made = instrument(&source, &options).expect("it is right");
    let manifest = Manifest::of(&made.wasm).expect("it is resumable");
    assert_eq!(manifest, made.manifest);
    assert_eq!(manifest.shape.globals, [ValType::I64]);
    check_resumable(&made.wasm, &manifest).expect("it is right");
    let segments = initial_memory(&made.wasm).expect("it is right");
    assert_eq!(
        (segments[0].offset, &segments[0].bytes[..]),
        (8, &b"abc"[..])
    );
}
