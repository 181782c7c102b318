;; Behaviour: tail calls, direct and indirect, between and around sleeps; in a function that never sleeps far more of them
;; than a stack would hold.
(module
  ;; include prelude.inc
  (type $fn (func (param i32 i64) (result i64)))
  (table funcref (elem $a $b))

  (func $a (type $fn)
    (if (i32.eqz (local.get 0)) (then (return (local.get 1))))
    (if (i32.eqz (i32.rem_u (local.get 0) (i32.const 100))) (then (call $nap)))
    (return_call $b
      (i32.sub (local.get 0) (i32.const 1))
      (i64.add (local.get 1) (i64.extend_i32_u (local.get 0)))))

  (func $b (type $fn)
    (return_call_indirect (type $fn)
      (local.get 0)
      (i64.xor (local.get 1) (i64.const 0x55))
      (i32.const 0)))

  (func $count (param $n i32) (param $sum i64) (result i64)
    (if (i32.eqz (local.get $n)) (then (return (local.get $sum))))
    (return_call $count
      (i32.sub (local.get $n) (i32.const 1))
      (i64.add (local.get $sum) (i64.extend_i32_u (local.get $n)))))

  ;; Ends in a call that sleeps, so the frame is gone while it does.
  (func $last
    (call $hex32 (i32.const 1))
    (return_call $nap))

  (func (export "_start")
    (call $hex (call $a (i32.const 500) (i64.const 3)))
    (call $last)
    (call $hex (call $count (i32.const 10000000) (i64.const 0)))
    (call $hex32 (i32.const 2))))
