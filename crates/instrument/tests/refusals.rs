//! Each reason to refuse a module is an error of its own, with a message that says what is wrong.

#![allow(clippy::expect_used, clippy::panic, reason = "a test may fail")]

use dormouse_instrument::{
    Error, HostFunction, ImportKind, Manifest, Options, Transform, check_resumable, initial_memory,
    instrument,
};
use dormouse_model::error::ErrorKind;
use dormouse_model::shape::Import;
use dormouse_model::{Digest, Shape, ValType};

/// A host that offers `host.wait`, which may suspend.
fn host(module: &str, name: &str, _: &[ValType]) -> Option<HostFunction> {
    ((module, name) == ("host", "wait")).then(|| HostFunction {
        params: vec![ValType::I32],
        results: vec![],
        blocks: true,
    })
}

/// Why a module is refused that is left as it is, which takes no Binaryen.
fn refusal(text: &str) -> Error {
    refusal_of(&wat::parse_str(text).expect("the text is right"))
}

fn refusal_of(wasm: &[u8]) -> Error {
    let options = Options {
        transform: Transform::None,
        ..Options::new(&host)
    };
    match instrument(wasm, &options) {
        Ok(_) => panic!("the module was not refused"),
        Err(error) => error,
    }
}

#[test]
fn what_is_no_module_is_refused() {
    assert!(matches!(refusal_of(b""), Error::NotWasm(_)));
    assert!(matches!(refusal_of(b"#!/bin/sh"), Error::NotWasm(_)));
    let error = refusal_of(b"\0asm\x01\0\0\0\x01\x01");
    assert!(
        matches!(error, Error::Invalid { offset: 9.., .. }),
        "{error}"
    );
}

#[test]
fn an_import_that_the_host_lacks_is_named_with_its_kind() {
    for (item, wanted) in [
        ("func", ImportKind::Function),
        ("memory 1", ImportKind::Memory),
        ("table 1 funcref", ImportKind::Table),
        ("global i32", ImportKind::Global),
        ("tag", ImportKind::Tag),
    ] {
        let error = refusal(&format!(r#"(module (import "a" "b" ({item})))"#));
        let text = error.to_string();
        assert!(text.contains(&format!("{wanted} `a.b`")), "{text}");
        match error {
            Error::UnknownImport { kind, .. } => assert_eq!(kind, wanted),
            other => panic!("{other}"),
        }
    }
}

#[test]
fn an_import_of_another_type_is_refused_with_both_types() {
    let error = refusal(r#"(module (import "host" "wait" (func (param i64) (result f32))))"#);
    assert_eq!(
        error.to_string(),
        "the module imports `host.wait` with the type (i64) -> (f32), which should be (i32) -> ()"
    );
}

#[test]
fn a_module_without_an_entry_is_refused() {
    assert!(matches!(refusal("(module)"), Error::NoEntry));
}

#[test]
fn a_module_that_is_resumable_already_is_refused() {
    let source = wat::parse_str(r#"(module (func (export "_start")))"#).expect("the text is right");
    let options = Options {
        transform: Transform::None,
        ..Options::new(&host)
    };
    let resumable = instrument(&source, &options).expect("it is right").wasm;
    assert!(matches!(refusal_of(&resumable), Error::AlreadyResumable));
}

#[test]
fn a_manifest_is_missing_or_not_readable() {
    let source = wat::parse_str("(module)").expect("the text is right");
    assert!(matches!(Manifest::of(&source), Err(Error::NotResumable)));
    let other = wat::parse_str(r#"(module (@custom "dormouse.manifest" "\c1"))"#)
        .expect("the text is right");
    assert!(matches!(
        Manifest::of(&other),
        Err(Error::UnreadableManifest(_))
    ));
}

#[test]
fn a_manifest_that_lists_other_imports_is_refused() {
    let module = wat::parse_str(r#"(module (import "host" "wait" (func (param i32))))"#)
        .expect("the text is right");
    let import = |params: Vec<ValType>| Import {
        module: "host".into(),
        name: "wait".into(),
        params,
        results: vec![],
        blocks: true,
    };
    let manifest = |imports| Manifest {
        tool: String::new(),
        source: Digest::of(b""),
        transform: Transform::Plain,
        preempt: false,
        component: false,
        shape: Shape {
            imports,
            entries: vec![],
            memories: 0,
            host_memory: None,
            globals: vec![],
            tables: vec![],
            functions: 0,
            redrop: false,
        },
    };
    let right = manifest(vec![import(vec![ValType::I32])]);
    check_resumable(&module, &right).expect("the manifest is right");
    for wrong in [vec![], vec![import(vec![ValType::I64])]] {
        let checked = check_resumable(&module, &manifest(wrong));
        assert!(matches!(checked, Err(Error::OtherImports)));
    }
}

/// The message once said that Binaryen could not read the module.
#[test]
fn a_segment_at_an_imported_offset_is_the_modules_fault() {
    let module = wat::parse_str(
        r#"(module (import "a" "b" (global $at i32)) (memory 1)
             (data (global.get $at) "x"))"#,
    )
    .expect("the text is right");
    let error = initial_memory(&module).expect_err("the offset is not known");
    assert!(matches!(error, Error::Unsupported { .. }), "{error}");
    assert!(error.to_string().contains("data segment 0"), "{error}");
}

/// Why a module is refused that would have to be rewritten, in whole.
fn refusal_to_rewrite(text: &str) -> String {
    let host = |module: &str, name: &str, params: &[ValType]| match (module, name) {
        ("host", "object") => Some(HostFunction {
            params: vec![],
            results: vec![ValType::FuncRef],
            blocks: false,
        }),
        _ => host(module, name, params),
    };
    let options = Options {
        transform: Transform::Native,
        ..Options::new(&host)
    };
    let wasm = wat::parse_str(text).expect("the text is right");
    match instrument(&wasm, &options) {
        Ok(_) => panic!("the module was not refused"),
        Err(error) => error.to_string(),
    }
}

/// A module in which `_start` keeps a reference over a suspend, and with these items.
fn keeps_a_reference(items: &str) -> String {
    format!(
        r#"(module
             (import "host" "wait" (func $wait (param i32)))
             {items}
             (func $start (export "_start") (local $kept funcref)
               (call $wait (i32.const 1))
               (drop (ref.is_null (local.get $kept)))))"#
    )
}

#[test]
fn a_reference_that_cannot_become_a_number_is_refused_with_its_place() {
    let numbers = "a reference held across a suspend has to become a number, and";
    let cases = [
        (
            r#"(import "host" "object" (func (result funcref)))"#.to_owned(),
            "a reference held across a suspend cannot be serialized, which the host may have made \
             here"
                .to_owned(),
        ),
        (
            "(type $reference (func (param funcref)))
             (type $number (func (param i32)))
             (table 1 funcref)
             (elem (i32.const 0) $takes)
             (func $takes (type $reference))
             (func (call_indirect (type $number) (i32.const 1) (i32.const 0)))"
                .to_owned(),
            format!(
                "{numbers} a call through a table would then take functions of another type for \
                 its own"
            ),
        ),
        (
            "(table 1 funcref) (elem (i32.const 1) $f) (func $f)".to_owned(),
            format!("{numbers} an element segment does not fit into its table"),
        ),
        (
            "(table 1 funcref) (func (table.set (i32.const 0) (ref.null func)))".to_owned(),
            format!("{numbers} the module has no memory"),
        ),
    ];
    for (items, why) in cases {
        let text = keeps_a_reference(&items);
        let message = refusal_to_rewrite(&text);
        let (what, found) = message
            .split_once(" cannot be suspended: ")
            .expect("a reason");
        assert_eq!(found, why);
        let place = what.strip_prefix("`start`, with a local of type funcref at byte ");
        let place = place.and_then(|place| place.strip_suffix(','));
        assert!(
            place.is_some_and(|place| place.parse::<u32>().is_ok()),
            "{what}"
        );
    }
}

/// A module with a type of objects, `$object`, whose `_start` does this; it may call `$wait`.
fn with_objects(items: &str, start: &str) -> String {
    format!(
        r#"(module
             (type $object (struct (field (mut i32))))
             (type $fn (func (param i32)))
             (import "host" "wait" (func $wait (param i32)))
             (memory 1)
             {items}
             (func $start (export "_start") {start}))"#
    )
}

#[test]
fn an_object_that_is_held_is_refused_with_its_place() {
    let held = "a reference held across a suspend cannot be serialized";
    let lasting = "an object that outlives a suspend cannot be serialized";
    let cases = [
        (
            "",
            "(local i32 (ref null $object))
             (local.set 1 (struct.new_default $object))
             (call $wait (i32.const 1))
             (local.set 0 (struct.get $object 0 (local.get 1)))",
            "`start`, which holds a reference of type (ref null 0) in local 1 during the \
             call at byte ",
            held,
        ),
        (
            "",
            "(struct.new_default $object) (call $wait (i32.const 1)) (drop)",
            "`start`, which holds a reference during the call at byte ",
            held,
        ),
        (
            "(func $takes (param (ref $object)) (call $wait (i32.const 1)))",
            "(call $takes (struct.new_default $object))",
            "`takes`, with a parameter of type (ref 0),",
            "on the way back it would be null, since references cannot be serialized",
        ),
        (
            "(elem declare func $wait)",
            "(call_ref $fn (i32.const 1) (ref.func $wait))",
            "`start`, which calls by a reference at byte ",
            "the call is made again at a resume, and a reference cannot be serialized by then; \
             call through a table",
        ),
        (
            "(global (mut (ref null $object)) (ref.null $object))",
            "",
            "global 0, which holds references to objects,",
            lasting,
        ),
        (
            "(global (ref $object) (struct.new_default $object))",
            "",
            "global 0, which holds references to objects,",
            lasting,
        ),
        (
            "(table 1 (ref null $object))
             (func (table.set (i32.const 0) (struct.new_default $object)))",
            "",
            "table 0, which holds references to objects,",
            lasting,
        ),
        (
            "(elem (ref $object) (struct.new_default $object))",
            "",
            "element segment 0, which holds references to objects,",
            lasting,
        ),
    ];
    for (items, start, what, why) in cases {
        let message = refusal_to_rewrite(&with_objects(items, start));
        assert!(message.starts_with(what), "{message}");
        assert!(
            message.ends_with(&format!(" cannot be suspended: {why}")),
            "{message}"
        );
    }
}

#[test]
fn exceptions_beside_objects_are_refused_with_the_function() {
    let items = "(tag $thrown)
                 (func $throws (throw $thrown))";
    let message = refusal_to_rewrite(&with_objects(items, ""));
    assert_eq!(
        message,
        "`throws`, which has exceptions, cannot be suspended: exceptions cannot be rewritten in a \
         module with objects or typed references; build it without exceptions"
    );
}

/// What no call that may suspend lies between may be held, and a constant is made again.
#[test]
fn an_object_that_is_not_held_is_not_refused() {
    let text = with_objects(
        "(type $constant (struct (field i32)))
         (global (ref $constant) (struct.new $constant (i32.const 7)))
         (func $takes (param (ref null $object)) (result (ref null $object))
           (local (ref null $object) i32)
           (local.set 2 (struct.get $object 0 (local.get 0)))
           (call $wait (local.get 2))
           (local.tee 1 (struct.new_default $object)))",
        "(drop (call $takes (struct.new_default $object)))
         (call $wait (struct.get $constant 0 (global.get 0)))",
    );
    let wasm = wat::parse_str(text).expect("the text is right");
    let made = instrument(&wasm, &Options::new(&host)).expect("it can be made resumable");
    assert_eq!(made.manifest.transform, Transform::Native);
    check_resumable(&made.wasm, &made.manifest).expect("it is valid");
}

#[test]
fn the_kind_of_an_error_says_whose_fault_it_is() {
    let kind = |error: Error| dormouse_model::error::Error::from(error).kind();
    assert_eq!(kind(Error::NoEntry), ErrorKind::Module);
    assert_eq!(kind(Error::Internal("")), ErrorKind::Internal);
}

#[test]
fn a_transform_is_found_by_its_name() {
    for transform in [
        Transform::Auto,
        Transform::TwoVersion,
        Transform::Plain,
        Transform::Native,
        Transform::None,
    ] {
        assert_eq!(transform.to_string().parse(), Ok(transform));
    }
    let error = "fast".parse::<Transform>().expect_err("there is none");
    assert!(error.to_string().contains("\"fast\""), "{error}");
}
