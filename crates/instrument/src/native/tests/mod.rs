//! Small bodies before and after, as text, and what holds for all.

mod at_loops;

use dormouse_model::shape;
use wasmparser::{Validator, WasmFeatures};

use super::rewrite;
use crate::analyze::call_graph::CallGraph;
use crate::analyze::scan::Scan;
use crate::module::bodies::{bodies, range};

/// A module with these functions behind an import that may suspend, `$wait`, and one that may not,
/// `$log`; rewritten.
fn rewritten(functions: &str) -> (Vec<u8>, Vec<u8>) {
    rewritten_with("", functions)
}

/// The same with checks, which call `$check`.
fn rewritten_with_checks(functions: &str) -> (Vec<u8>, Vec<u8>) {
    let (module, name) = shape::PREEMPT;
    let import = format!(r#"(import "{module}" "{name}" (func $check))"#);
    rewritten_with(&import, functions)
}

fn rewritten_with(import: &str, functions: &str) -> (Vec<u8>, Vec<u8>) {
    let text = format!(
        r#"(module
             (import "host" "wait" (func $wait (result i32)))
             (import "host" "log" (func $log (param i32)))
             {import}
             (memory 1)
             {functions})"#
    );
    let source = wat::parse_str(&text).expect("the text is right");
    let scan = Scan::of(&source).expect("it is a module");
    let graph = CallGraph::new(&scan, |function| {
        let import = scan.imports.get(function as usize);
        import.is_some_and(|import| import.name != "log")
    });
    let defined = scan
        .defined()
        .filter(|function| graph.may_suspend(*function));
    let instrumented: Vec<u32> = defined.collect();
    let made = rewrite(&source, &graph, &instrumented).expect("it can be rewritten");
    let valid = Validator::new_with_features(WasmFeatures::all()).validate_all(&made);
    if let Err(error) = valid {
        panic!("{error}\n{}", printed(&made));
    }
    (source, made)
}

fn printed(wasm: &[u8]) -> String {
    let mut text = String::new();
    wasmprinter::Config::new()
        .print(wasm, &mut wasmprinter::PrintFmtWrite(&mut text))
        .expect("it can be printed");
    text
}

/// Compares a function's locals and instructions, as text, with those that are expected.
fn assert_body(wasm: &[u8], function: usize, expected: &str) {
    let text = printed(wasm);
    let start = format!("  (func (;{function};)");
    let lines = text.lines().skip_while(|line| !line.starts_with(&start));
    let body = lines.skip(1).take_while(|line| *line != "  )");
    let found: Vec<&str> = body.map(str::trim).collect();
    let expected: Vec<&str> = expected.lines().map(str::trim).collect();
    assert_eq!(found, expected, "function {function} in\n{text}");
}

/// The fast version.
const FAST: &str = "(local i32 i32)
    i32.const 1
    call $log
    local.get 0
    local.get 0
    i32.mul
    local.set 2
    local.get 2
    call $wait
    global.get 0
    if ;; label = @1
      i32.const 0
      global.get 1
      i32.load 1 align=1
      local.set 3
      local.get 3
      local.get 1
      i64.store 1 align=1
      local.get 3
      local.get 2
      i32.store 1 offset=8 align=1
      i32.const 12
      call 6
      i32.const 0
      return
    end
    i32.add
    local.get 1
    i32.wrap_i64
    i32.add";

/// It starts at the call.
const SLOW: &str = "(local i32 i32)
    call 8
    local.set 3
    call 7
    local.set 2
    local.set 1
    i32.const -1
    local.set 3
    local.get 2
    call $wait
    global.get 0
    if ;; label = @1
      i32.const 0
      local.get 1
      local.get 2
      call 5
      i32.const 0
      call 6
      i32.const 0
      return
    end
    i32.add
    local.get 1
    i32.wrap_i64
    i32.add";

/// The choice between the two.
const ENTER: &str = "global.get 0
    if ;; label = @1
      local.get 0
      local.get 1
      call 3
      return
    end
    local.get 0
    local.get 1
    call 2";

/// The second parameter and the product: 12 bytes.
const SAVE: &str = "(local i32)
    global.get 1
    i32.load 1 align=1
    local.tee 2
    i32.const 12
    i32.add
    global.get 1
    i32.load 1 offset=4 align=1
    i32.gt_u
    if ;; label = @1
      unreachable
    end
    local.get 2
    local.get 0
    i64.store 1 align=1
    local.get 2
    local.get 1
    i32.store 1 offset=8 align=1
    global.get 1
    local.get 2
    i32.const 12
    i32.add
    i32.store 1 align=1";

/// The number of the call, and how many bytes have been stored before it.
const FINISH: &str = "(local i32)
    global.get 1
    i32.load 1 align=1
    local.get 1
    i32.add
    local.tee 2
    i32.const 4
    i32.add
    global.get 1
    i32.load 1 offset=4 align=1
    i32.gt_u
    if ;; label = @1
      unreachable
    end
    local.get 2
    local.get 0
    i32.store 1 align=1
    global.get 1
    local.get 2
    i32.const 4
    i32.add
    i32.store 1 align=1";

/// The product lies below the call, and so goes through a local; the second parameter is read
/// behind it, and the first is not.
#[test]
fn what_is_read_behind_a_call_is_saved() {
    let (_, made) = rewritten(
        r"(func (param i32 i64) (result i32)
            (call $log (i32.const 1))
            (i32.add (i32.mul (local.get 0) (local.get 0)) (call $wait))
            (i32.add (i32.wrap_i64 (local.get 1))))",
    );
    // Function 7 restores what 5 saves, and 8 the number that 6 saves.
    let expected = [(2, FAST), (3, SLOW), (4, ENTER), (5, SAVE), (6, FINISH)];
    for (function, expected) in expected {
        assert_body(&made, function, expected);
    }
}

/// Calls in a row, in a branch of an `if`, and in a loop.
const DISPATCHING: &str = "(local i32)
    call 8
    local.set 1
    call 7
    local.set 0
    block (result i32) ;; label = @1
      block ;; label = @2
        block ;; label = @3
          block ;; label = @4
            block ;; label = @5
              local.get 1
              br_table 1 (;@4;) 2 (;@3;) 3 (;@2;) 0 (;@5;)
            end
            unreachable
          end
          i32.const -1
          local.set 1
          call $wait
          global.get 0
          if ;; label = @4
            i32.const 0
            br 3 (;@1;)
          end
          drop
          local.get 0
          drop
        end
        local.get 0
        i32.const 0
        local.get 1
        i32.const 0
        i32.lt_s
        select
        if ;; label = @3
          i32.const 1
          call $log
        else
          block ;; label = @4
            local.get 1
            i32.const 0
            i32.ge_s
            br_if 0 (;@4;)
          end
          i32.const -1
          local.set 1
          call $wait
          global.get 0
          if ;; label = @4
            i32.const 1
            br 3 (;@1;)
          end
          drop
        end
      end
      loop ;; label = @2
        block ;; label = @3
          local.get 1
          i32.const 0
          i32.ge_s
          br_if 0 (;@3;)
          i32.const 2
          call $log
        end
        i32.const -1
        local.set 1
        call $wait
        global.get 0
        if ;; label = @3
          i32.const 2
          br 2 (;@1;)
        end
        br_if 0 (;@2;)
      end
      return
    end
    local.get 0
    call 5
    i32.const 0
    call 6";

/// The same in the fast version, where the calls set to zero what does not matter behind them.
const SHARED_END: &str = "(local i32)
    block (result i32) ;; label = @1
      call $wait
      global.get 0
      if ;; label = @2
        i32.const 0
        br 1 (;@1;)
      end
      drop
      local.get 0
      if ;; label = @2
        i32.const 1
        call $log
      else
        call $wait
        global.get 0
        if ;; label = @3
          i32.const 0
          local.set 0
          i32.const 1
          br 2 (;@1;)
        end
        drop
      end
      loop ;; label = @2
        i32.const 2
        call $log
        call $wait
        global.get 0
        if ;; label = @3
          i32.const 0
          local.set 0
          i32.const 2
          br 2 (;@1;)
        end
        br_if 0 (;@2;)
      end
      return
    end
    global.get 1
    i32.load 1 align=1
    local.set 1
    local.get 1
    local.get 0
    i32.store 1 align=1
    i32.const 4
    call 6";

/// A slow version goes to a call inside of blocks step by step.
#[test]
fn a_slow_version_dispatches_in_each_block() {
    let (_, made) = rewritten(
        r"(func (param i32)
            (drop (call $wait))
            (if (local.get 0)
              (then (call $log (i32.const 1)))
              (else (drop (call $wait))))
            (loop
              (call $log (i32.const 2))
              (br_if 0 (call $wait))))",
    );
    assert_body(&made, 2, SHARED_END);
    assert_body(&made, 3, DISPATCHING);
}

/// The body lies in a block, so that what leads out of the function goes one label further. It may
/// give several values.
#[test]
fn branches_out_of_the_function_stay_such() {
    let (_, made) = rewritten(
        r"(func (param i32) (result i32 i64)
            (drop (call $wait))
            (br_if 0 (i32.const 1) (i64.const 2) (local.get 0)) drop drop
            (block (result i32 i64)
              (drop (call $wait))
              (br_table 0 1 (i32.const 3) (i64.const 4) (local.get 0)))
            drop drop
            (br 0 (i32.const 5) (i64.const 6)))",
    );
    let text = printed(&made);
    let fast: Vec<&str> = text
        .lines()
        .skip_while(|line| !line.starts_with("  (func (;2;)"))
        .take_while(|line| *line != "  )")
        .map(str::trim)
        .collect();
    for branch in ["br_if 1", "br_table 0 (;@2;) 2", "br 1"] {
        assert!(fast.contains(&branch), "{branch} is not in\n{text}");
    }
}

/// A tail call leaves nothing behind it in which a test could stand.
#[test]
fn a_tail_call_becomes_a_call() {
    let (_, made) = rewritten("(func (result i32) (return_call $wait))");
    assert_body(
        &made,
        2,
        "(local i32)
        call $wait
        global.get 0
        if ;; label = @1
          i32.const 0
          i32.const 0
          call 5
          i32.const 0
          return
        end
        return",
    );
}

/// What control cannot reach has operands of any type, or none.
#[test]
fn unreachable_code_is_left_as_it_is() {
    rewritten(
        r"(func (param i32) (result i32)
            (block (result i32)
              (drop (call $wait))
              (br 0 (i32.const 1))
              (i32.add (call $wait))
              (block (unreachable) (drop (call $wait)) (drop (i64.eqz)))
              (if (result i32) (then (call $wait)) (else (unreachable) (call $wait)))))",
    );
}

/// More values below a call than one helper takes, of all types.
#[test]
fn many_operands_are_saved_in_parts() {
    let operands: String = (0..40)
        .map(|_| {
            "(i32.load (i32.const 0)) (i64.load (i32.const 0)) (f32.load (i32.const 0))
             (f64.load (i32.const 0)) (v128.load (i32.const 0))"
        })
        .collect();
    let drops = "drop ".repeat(201);
    rewritten(&format!("(func {operands} call $wait {drops})"));
}

/// The same bytes, however many threads work on it.
#[test]
fn the_result_does_not_depend_on_threads() {
    let functions: String = (0..200)
        .map(|number| {
            format!(
                "(func (param i64) (result i64) (i64.add (i64.mul (local.get 0) (i64.const {number}))
                   (i64.extend_i32_u (call $wait))))"
            )
        })
        .collect();
    let on = |threads| {
        let pool = rayon::ThreadPoolBuilder::new().num_threads(threads).build();
        pool.expect("threads start")
            .install(|| rewritten(&functions).1)
    };
    let one = on(1);
    assert!(one == on(4));
    assert!(one == on(3));
}

/// Functions that are never on the stack at a suspend keep their bodies.
#[test]
fn what_cannot_suspend_stays_byte_for_byte() {
    let (source, made) = rewritten(
        r"(func (param i32) (local i64 i32)
            (block (br 0)) (call $log (local.get 0)) (unreachable) (drop))
          (func (drop (call $wait)))
          (func (call $log (memory.size)))",
    );
    let body_of = |wasm: &[u8], position: usize| -> Vec<u8> {
        wasm[range(&bodies(wasm).expect("it is a module")[position])].to_vec()
    };
    assert_eq!(body_of(&source, 0), body_of(&made, 0));
    assert_ne!(body_of(&source, 1), body_of(&made, 1));
    assert_eq!(body_of(&source, 2), body_of(&made, 2));
}
