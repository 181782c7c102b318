//! Functions that are never on the stack at a suspend keep their bodies, byte for byte.
#![cfg(feature = "binaryen")]
#![allow(clippy::expect_used, reason = "a test may fail")]

use std::collections::{BTreeMap, HashSet};

use dormouse_instrument::{HostFunction, Options, instrument};
use dormouse_model::ValType;
use wasmparser::{KnownCustom, Name, Parser, Payload, TypeRef};

/// Blocks with parameters and tail calls, which Binaryen cannot read or asyncify cannot rewrite; a
/// call through a table, whose type has an index that Binaryen changes; segments by number.
const SOURCE: &str = r#"(module
  (type $unused (func (param f64 f64 f64)))
  (type $binary (func (param i32 i32) (result i32)))
  (import "m" "wait" (func $wait))
  (memory 1)
  (data $hello "hello")
  (table 2 funcref)
  (elem (i32.const 0) $add $sub)
  (global $count (mut i32) (i32.const 7))
  (func $add (type $binary) (i32.add (local.get 0) (local.get 1)))
  (func $sub (type $binary) (i32.sub (local.get 0) (local.get 1)))
  (func $through (param i32) (result i32)
    (call_indirect (type $binary) (i32.const 5) (global.get $count) (local.get 0)))
  (func $params (result i32)
    (i32.const 1) (i32.const 2)
    (block (param i32 i32) (result i32) (i32.add)))
  (func $tail (param i32) (result i32) (return_call $through (local.get 0)))
  (func $copy (memory.init $hello (i32.const 0) (i32.const 0) (i32.const 5)))
  (func $sleep (call $wait) (call $copy))
  (func (export "_start")
    (call $sleep)
    (global.set $count (i32.add (call $params) (call $tail (i32.const 0))))))"#;

/// The bodies of a module's functions by their names.
fn bodies(wasm: &[u8]) -> BTreeMap<String, Vec<u8>> {
    let (mut names, mut bodies, mut imported) = (BTreeMap::new(), Vec::new(), 0);
    for payload in Parser::new(0).parse_all(wasm) {
        match payload.expect("it is a module") {
            Payload::ImportSection(imports) => {
                let imports = imports
                    .into_imports()
                    .map(|import| import.expect("an import"));
                imported = imports.filter(|i| matches!(i.ty, TypeRef::Func(_))).count() as u32;
            }
            Payload::CodeSectionEntry(body) => {
                let range = body.range();
                bodies.push(wasm[range.start as usize..range.end as usize].to_vec());
            }
            Payload::CustomSection(custom) => {
                if let KnownCustom::Name(parts) = custom.as_known() {
                    for part in parts {
                        let Ok(Name::Function(functions)) = part else {
                            continue;
                        };
                        for name in functions {
                            let name = name.expect("a name");
                            names.insert(name.index, name.name.to_owned());
                        }
                    }
                }
            }
            _ => {}
        }
    }
    (imported..)
        .zip(bodies)
        .filter_map(|(function, body)| Some((names.get(&function)?.clone(), body)))
        .collect()
}

#[test]
fn functions_off_the_stack_keep_their_bytes() {
    let source = wat::parse_str(SOURCE).expect("it is a module");
    let host = |_: &str, _: &str, _: &[ValType]| {
        Some(HostFunction {
            params: vec![],
            results: vec![],
            blocks: true,
        })
    };
    let made = instrument(&source, &Options::new(&host)).expect("it can be made resumable");
    let instrumented = made.report.instrumented.iter().map(|f| f.name.as_str());
    let instrumented: HashSet<&str> = instrumented.collect();
    assert_eq!(instrumented, HashSet::from(["sleep", "_start"]));

    let (before, after) = (bodies(&source), bodies(&made.wasm));
    let untouched: Vec<&String> = before
        .keys()
        .filter(|n| !instrumented.contains(n.as_str()))
        .collect();
    assert_eq!(untouched.len(), 6);
    for name in untouched {
        assert_eq!(after.get(name), before.get(name), "{name}");
    }
    assert_ne!(after["sleep"], before["sleep"]);
}
