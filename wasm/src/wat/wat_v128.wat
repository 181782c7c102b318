;; Behaviour: 128-bit vectors in locals, parameters, results, a mutable global and memory, across sleeps.
(module
  ;; include prelude.inc
  (global $g (mut v128) (v128.const i64x2 0x0123456789abcdef 0xfedcba9876543210))
  (global $h (export "h") (mut v128) (v128.const f32x4 1.5 -0 nan:0x200001 inf))

  (func $show (param v128)
    (call $hex (i64x2.extract_lane 1 (local.get 0)))
    (call $hex (i64x2.extract_lane 0 (local.get 0))))

  (func $mix (param $a v128) (param $b v128) (param $n i32) (result v128)
    (local $c v128)
    (local.set $c (i32x4.add (local.get $a) (i32x4.splat (local.get $n))))
    (call $nap)
    (if (result v128) (i32.eqz (local.get $n))
      (then (v128.xor (local.get $c) (local.get $b)))
      (else
        ;; A vector waits on the operand stack for the result of the recursion.
        (i8x16.add
          (local.get $c)
          (call $mix
            (local.get $b)
            (i16x8.sub (local.get $c) (local.get $b))
            (i32.sub (local.get $n) (i32.const 1)))))))

  (func (export "_start")
    (local $v v128)
    (local $f v128)
    (local.set $v (v128.const i32x4 1 2 3 0xdeadbeef))
    (local.set $f (f64x2.splat (f64.const 0.1)))
    (v128.store (i32.const 1024) (i8x16.splat (i32.const 0x5a)))
    (global.set $g (i64x2.add (global.get $g) (local.get $v)))
    (call $nap)
    (call $show (local.get $v))
    (call $show (local.get $f))
    (call $show (global.get $g))
    (call $show (global.get $h))
    (call $show (v128.load (i32.const 1024)))
    (global.set $h (call $mix (local.get $v) (global.get $g) (i32.const 6)))
    (call $nap)
    (call $show (global.get $h))
    (call $show (f64x2.mul (local.get $f) (f64x2.convert_low_i32x4_s (local.get $v))))))
