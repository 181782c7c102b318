;; Behaviour: blocks, loops and ifs that take values from the operand stack as parameters, with sleeps inside.
(module
  ;; include prelude.inc
  (func $swap (param i32 i32) (result i32 i32)
    (local.get 1)
    (local.get 0))

  (func (export "_start")
    (local $n i32)
    ;; A block whose parameters were made before a sleep and whose results are used after another.
    (i32.const 100)
    (i32.const 3)
    (block $b (param i32 i32) (result i32 i32 i32)
      (call $nap)
      (call $swap)
      (i32.const 77)
      (call $nap)
      (br $b))
    (call $hex32)
    (call $hex32)
    (call $hex32)

    ;; A loop that hands its state on as parameters.
    (local.set $n (i32.const 5))
    (i64.const 1)
    (i64.const 1)
    (loop $l (param i64 i64) (result i64 i64)
      (call $step)
      (call $nap)
      (local.tee $n (i32.sub (local.get $n) (i32.const 1)))
      (br_if $l))
    (call $hex)
    (call $hex)

    ;; An if that takes two values and gives two others.
    (i32.const 9)
    (f32.const 1.5)
    (i32.eqz (local.get $n))
    (if (param i32 f32) (result f32 i32)
      (then
        (call $nap)
        (i32.trunc_f32_s)
        (i32.add)
        (local.set $n)
        (call $nap)
        (f32.const -2.25)
        (local.get $n))
      (else
        (drop)
        (drop)
        (f32.const 0)
        (i32.const 0)))
    (call $hex32)
    (call $hex32 (i32.reinterpret_f32)))

  (func $step (param i64 i64) (result i64 i64)
    (local.get 1)
    (i64.add (local.get 0) (local.get 1))))
