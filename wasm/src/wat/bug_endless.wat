;; For tests/regression: calls itself without end, with a wait on the way so that each frame could be suspended.
(module
  ;; include prelude.inc
  (data (i32.const 256) "down\n")

  (func $down (param $depth i64) (result i64)
    ;; Never so: it only has to be possible.
    (if (i64.eq (local.get $depth) (i64.const -1))
      (then (call $nap)))
    (i64.add (call $down (i64.add (local.get $depth) (i64.const 1))) (local.get $depth)))

  (func (export "_start")
    (call $say (i32.const 256))
    (call $hex (call $down (i64.const 0)))))
