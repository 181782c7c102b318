//! Small modules before and after.

use wasmparser::{Operator, Validator};

use super::lower;
use crate::analyze::scan::Scan;
use crate::module::bodies::{bodies, range};

/// A table that instructions change, one that they read, and one that they only call through.
const SOURCE: &str = r#"(module
  (type $fn (func (param i32) (result i32)))
  (memory 1)
  (data $bytes "hello")
  (table $changed 2 4 funcref)
  (table $read 3 funcref)
  (table $called 1 funcref)
  (elem (table $changed) (i32.const 1) func $f)
  (elem (table $read) (i32.const 1) func $g)
  (elem (table $called) (i32.const 0) func $h)
  (global $which (mut funcref) (ref.func $g))
  (func $f (type $fn) (local.get 0))
  (func $g (type $fn) (i32.const 1))
  (func $h (type $fn) (call_indirect $called (type $fn) (local.get 0) (i32.const 0)))
  (func $copies (memory.init $bytes (i32.const 0) (i32.const 0) (i32.const 5)))
  (func $takes (param funcref) (result funcref)
    (global.set $which (local.get 0))
    (select (result funcref) (table.get $read (i32.const 1)) (ref.func $f) (i32.const 0)))
  (func $uses (local funcref)
    (local.set 0 (call $takes (ref.null func)))
    (table.set $changed (i32.const 0) (local.get 0))
    (drop (call_indirect $changed (type $fn) (i32.const 3) (i32.const 0)))))"#;

#[test]
fn no_value_is_a_reference_then_and_other_bodies_stay() {
    let source = wat::parse_str(SOURCE).expect("the text is right");
    let scan = Scan::of(&source).expect("it is a module");
    let made = lower(&source, &scan).expect("it can be lowered");
    Validator::new().validate_all(&made).expect("it is valid");

    let after = Scan::of(&made).expect("it is a module");
    assert!(after.changed_tables().is_empty());
    let is_reference = |ty: &wasmparser::ValType| matches!(ty, wasmparser::ValType::Ref(_));
    assert!(
        !after
            .globals
            .iter()
            .any(|global| is_reference(&global.content_type))
    );
    for ty in after.types.iter().flatten() {
        let mut types = ty.params().iter().chain(ty.results());
        assert!(!types.any(is_reference), "{ty:?}");
    }
    let (before, after) = (
        bodies(&source).expect("bodies"),
        bodies(&made).expect("bodies"),
    );
    for (function, (own, new)) in before.iter().zip(&after).enumerate() {
        // Those of `$takes` and `$uses` alone have to do with references.
        let is_same = source[range(own)] == made[range(new)];
        assert_eq!(is_same, function < 4, "function {function}");
        let mut operators = new.get_operators_reader().expect("instructions");
        while !operators.eof() {
            let operator = operators.read().expect("an instruction");
            assert!(!matches!(
                operator,
                Operator::RefNull { .. } | Operator::RefFunc { .. } | Operator::TableGet { .. }
            ));
        }
    }
}
