;; Behaviour: values on the operand stack below a call that sleeps. Each choice is between something computed and a
;; local, by what the call returns, and goes into the local again.
(module
  ;; include prelude.inc
  (func $nap_then (param $result i32) (result i32)
    (call $nap)
    (local.get $result))

  (func $choose (param $way i32) (param $n i64) (result i64)
    (local $kept i64)
    (local $vector v128)
    (local.set $kept (i64.mul (local.get $n) (i64.const 3)))
    (local.set $vector (i64x2.splat (local.get $n)))
    (if (local.get $way)
      (then (call $nap))
      (else
        (local.set $vector
          (select (i32x4.splat (i32.const -78)) (local.get $vector) (call $nap_then (i32.const 1))))
        (local.set $kept
          (select (i64.add (local.get $n) (i64.const 5)) (local.get $kept) (call $nap_then (local.get $way))))))
    (i64.xor (local.get $kept) (i64x2.extract_lane 0 (local.get $vector))))

  (func (export "_start")
    (call $hex (call $choose (i32.const 0) (i64.const 0x1234)))
    (call $hex (call $choose (i32.const 1) (i64.const 0x5678)))
    (call $hex (i64.add (call $choose (i32.const 0) (i64.const 7)) (call $choose (i32.const 1) (i64.const 9))))))
