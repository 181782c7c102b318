;; Behaviour: 10,000 indirect calls deep, a sleep at the bottom, and a value of each frame used on the way up.
(module
  ;; include prelude.inc
  (type $fn (func (param i32 i64) (result i64)))
  (table funcref (elem $even $odd))
  (global $below (mut i32) (i32.const 0))

  (func $even (type $fn)
    (if (i32.eqz (local.get 0))
      (then
        (call $nap)
        (call $hex (local.get 1))
        (return (i64.const 1))))
    (i64.add
      (i64.xor (local.get 1) (i64.extend_i32_u (local.get 0)))
      (call_indirect (type $fn)
        (i32.sub (local.get 0) (i32.const 1))
        (i64.mul (local.get 1) (i64.const 6364136223846793005))
        (i32.and (i32.sub (local.get 0) (i32.const 1)) (i32.const 1)))))

  (func $odd (type $fn)
    (local $r i64)
    (local.set $r
      (call_indirect (type $fn)
        (i32.sub (local.get 0) (i32.const 1))
        (i64.add (local.get 1) (i64.const 1442695040888963407))
        (i32.and (i32.sub (local.get 0) (i32.const 1)) (i32.const 1))))
    (global.set $below (i32.add (global.get $below) (i32.const 1)))
    ;; One more sleep half way up.
    (if (i32.eq (local.get 0) (i32.const 5001))
      (then (call $nap)))
    (i64.sub (i64.rotl (local.get $r) (i64.const 7)) (local.get 1)))

  (func (export "_start")
    (call $hex (call_indirect (type $fn) (i32.const 10000) (i64.const 12345) (i32.const 0)))
    (call $hex32 (global.get $below))
    (call $hex (call_indirect (type $fn) (i32.const 333) (i64.const -1) (i32.const 1)))
    (call $hex32 (global.get $below))))
