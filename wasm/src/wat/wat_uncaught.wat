;; Behaviour: exceptions with several values of all types, held, thrown once more and nested, with sleeps in between and inside; the last
;; one is caught by nobody.
(module
  ;; include prelude.inc
  (tag $many (param i64 f64 i32 f32 v128))
  (tag $few (param i32))

  (func $throws (param i32)
    (call $nap)
    (if (i32.eq (local.get 0) (i32.const 1))
      (then (throw $many (i64.const 77) (f64.const 2.5) (i32.const -3) (f32.const 0.5) (v128.const i64x2 11 12))))
    (if (i32.eq (local.get 0) (i32.const 2)) (then (throw $few (i32.const 99)))))

  (func $through (param i32) (result i64)
    (local $kept i64)
    (local.set $kept (i64.extend_i32_u (i32.mul (local.get 0) (i32.const 7))))
    (block $done
      (block $few (result i32)
        (try_table (catch $few $few) (call $throws (local.get 0)))
        (br $done))
      (call $nap)
      (local.set $kept (i64.extend_i32_u)))
    (local.get $kept))

  (func $outer (param i32) (result i64)
    (local $x v128) (local $f f32) (local $i i32) (local $d f64)
    (block $many (result i64 f64 i32 f32 v128)
      (try_table (result i64) (catch $many $many) (call $through (local.get 0)))
      (return))
    (local.set $x) (local.set $f) (local.set $i) (local.set $d)
    (call $nap)
    (i64.add (i64.trunc_f64_s (f64.mul (local.get $d) (f64.promote_f32 (local.get $f)))))
    (i64.add (i64.extend_i32_s (local.get $i)))
    (i64.add (i64x2.extract_lane 1 (local.get $x))))

  (func (export "_start")
    (call $hex (call $outer (i32.const 0)))
    (call $hex (call $outer (i32.const 1)))
    (call $hex (call $outer (i32.const 2)))
    (call $throws (i32.const 2))
    (call $hex32 (i32.const 0))))
