//! How a slow version comes back to fast code.

use super::{assert_body, printed, rewritten_with_checks};

/// In a slow version, at the heads of both loops.
const GOING_ON: [&str; 2] = [
    "loop ;; label = @2
    local.get 2
    i32.const 0
    i32.lt_s
    if ;; label = @3
      local.get 0
      local.get 1
      return_call 11
    end",
    "loop ;; label = @4
    local.get 2
    i32.const 0
    i32.lt_s
    if ;; label = @5
      local.get 0
      local.get 1
      return_call 12
    end",
];

/// What begins at the inner loop. A branch to the outer loop's head leaves a block, behind which it
/// goes on to what begins at the outer loop.
const AT_INNER_LOOP: &str = "(local i32)
    block (result i32) ;; label = @1
      block ;; label = @2
        block ;; label = @3
          block ;; label = @4
            loop ;; label = @5
              i32.const 0
              i32.atomic.load8_u 1
              if ;; label = @6
                i32.const 1
                global.set 0
                i32.const 1
                br 5 (;@1;)
              end
              local.get 0
              br_if 0 (;@5;)
              local.get 1
              br_if 2 (;@3;)
            end
          end
          br 1 (;@2;)
        end
        local.get 0
        local.get 1
        call 11
        return
      end
      return
    end
    global.get 1
    i32.load 1 align=1
    local.set 2
    local.get 2
    local.get 0
    i32.store 1 align=1
    local.get 2
    local.get 1
    i32.store 1 offset=4 align=1
    i32.const 8
    call 8";

/// A slow version leaves its loops for fast versions that begin there.
#[test]
fn a_slow_version_goes_on_at_loops() {
    let (_, made) = rewritten_with_checks(
        r"(func (param i32) (local i32)
            (loop $outer
              (local.set 1 (call $wait))
              (block
                (loop $inner
                  (call $check)
                  (br_if $inner (local.get 0))
                  (br_if $outer (local.get 1))))))",
    );
    let text = printed(&made);
    let lines: Vec<&str> = text.lines().map(str::trim).collect();
    for expected in GOING_ON {
        let expected: Vec<&str> = expected.lines().map(str::trim).collect();
        let mut windows = lines.windows(expected.len());
        assert!(windows.any(|lines| lines == expected), "{text}");
    }
    assert_body(&made, 12, AT_INNER_LOOP);
}
