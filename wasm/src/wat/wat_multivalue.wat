;; Behaviour: functions, blocks, loops and ifs with several results, alive across sleeps.
(module
  ;; include prelude.inc
  (type $three (func (param i32 i64) (result i32 i64 f64)))
  (table funcref (elem $work $other))

  (func $work (type $three)
    (call $nap)
    (i32.add (local.get 0) (i32.const 1))
    (i64.mul (local.get 1) (i64.const 3))
    (f64.convert_i32_s (local.get 0)))

  ;; Sleeps while values wait on the operand stack to be returned.
  (func $other (type $three)
    (i32.mul (local.get 0) (i32.const 7))
    (call $nap)
    (i64.sub (local.get 1) (i64.const 9))
    (call $nap)
    (f64.div (f64.convert_i64_s (local.get 1)) (f64.const 8)))

  (func $show (param i32 i64 f64)
    (call $hex32 (local.get 0))
    (call $hex (local.get 1))
    (call $hex (i64.reinterpret_f64 (local.get 2))))

  (func $swap (param i32 i32) (result i32 i32)
    (local.get 1)
    (local.get 0))

  (func (export "_start")
    (local $n i32)
    (local $a i64)
    (local $b i64)
    (local.set $a (i64.const 1))
    (local.set $b (i64.const 1))
    (call $show (call $work (i32.const 41) (i64.const 0x123456789ab)))
    (call $show (call_indirect (type $three) (i32.const 6) (i64.const -5) (i32.const 1)))

    ;; A block whose results are made before one sleep and used after another.
    (block $b (result i32 i32 i32)
      (call $nap)
      (call $swap (i32.const 100) (i32.const 3))
      (i32.const 77)
      (call $nap)
      (br $b))
    (call $hex32)
    (call $hex32)
    (call $hex32)

    ;; A loop that leaves two values, and an outer block that one branch leaves with others.
    (local.set $n (i32.const 5))
    (block $out (result i64 i64)
      (loop $l (result i64 i64)
        (call $step (local.get $a) (local.get $b))
        (call $nap)
        (local.set $b)
        (local.set $a)
        (local.get $a)
        (local.get $b)
        (br_if $out (i32.eqz (local.tee $n (i32.sub (local.get $n) (i32.const 1)))))
        (drop)
        (drop)
        (br $l)))
    (call $hex)
    (call $hex)

    (if (result f32 i32) (i32.eqz (local.get $n))
      (then
        (f32.const -2.25)
        (call $nap)
        (i32.const 10))
      (else
        (f32.const 0)
        (i32.const 0)))
    (call $hex32)
    (call $hex32 (i32.reinterpret_f32)))

  (func $step (param i64 i64) (result i64 i64)
    (local.get 1)
    (i64.add (local.get 0) (local.get 1))))
