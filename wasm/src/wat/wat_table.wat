;; Behaviour: funcref tables changed by set, grow, fill and copy before sleeps, and called after them.
(module
  ;; include prelude.inc
  (type $fn (func (param i32) (result i32)))
  (table $t 4 64 funcref)
  (table $u 3 funcref)
  (elem (table $t) (i32.const 0) func $plus $times)
  (elem (table $u) (i32.const 0) func $minus $plus $sleeper)
  (data (i32.const 256) "calls\n\00")
  (data (i32.const 272) "sizes\n\00")

  (func $plus (type $fn) (i32.add (local.get 0) (i32.const 5)))
  (func $times (type $fn) (i32.mul (local.get 0) (i32.const 3)))
  (func $minus (type $fn) (i32.sub (local.get 0) (i32.const 2)))
  (func $sleeper (type $fn)
    (call $nap)
    (i32.xor (local.get 0) (i32.const 0xff)))

  ;; Calls whatever is in $t, slot by slot, each with the result of the one before; an empty slot counts too.
  (func $run (param $acc i32) (result i32)
    (local $i i32)
    (call $say (i32.const 256))
    (loop $next
      (if (ref.is_null (table.get $t (local.get $i)))
        (then (local.set $acc (i32.add (local.get $acc) (i32.const 0x10000))))
        (else (local.set $acc (call_indirect $t (type $fn) (local.get $acc) (local.get $i)))))
      (local.set $i (i32.add (local.get $i) (i32.const 1)))
      (br_if $next (i32.lt_u (local.get $i) (table.size $t))))
    (call $hex32 (local.get $acc))
    (local.get $acc))

  (func (export "_start")
    (local $acc i32)
    (local.set $acc (call $run (i32.const 1)))

    (table.set $t (i32.const 1) (ref.func $minus))
    (table.set $t (i32.const 0) (ref.null func))
    (call $hex32 (table.grow $t (ref.func $plus) (i32.const 6)))
    (call $nap)
    (local.set $acc (call $run (local.get $acc)))

    (table.fill $t (i32.const 2) (ref.func $sleeper) (i32.const 3))
    (table.set $t (i32.const 6) (table.get $u (i32.const 0)))
    (call $nap)
    (local.set $acc (call $run (local.get $acc)))

    (table.copy $t $u (i32.const 7) (i32.const 0) (i32.const 3))
    (table.fill $u (i32.const 0) (ref.null func) (i32.const 1))
    (call $nap)
    (local.set $acc (call $run (local.get $acc)))
    (call $hex32 (ref.is_null (table.get $u (i32.const 0))))
    (call $hex32 (call_indirect $u (type $fn) (i32.const 100) (i32.const 1)))
    (call $hex32 (call_indirect $u (type $fn) (i32.const 100) (i32.const 2)))

    ;; The first table is at its limit, the second has none.
    (call $say (i32.const 272))
    (call $hex32 (table.grow $t (ref.null func) (i32.const 60)))
    (call $hex32 (table.grow $u (ref.func $minus) (i32.const 500)))
    (call $nap)
    (call $hex32 (table.size $t))
    (call $hex32 (table.size $u))
    (call $hex32 (call_indirect $u (type $fn) (i32.const 100) (i32.const 502)))))
