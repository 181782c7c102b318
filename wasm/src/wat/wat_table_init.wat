;; Behaviour: a passive element segment, used before and after a sleep and then dropped.
(module
  ;; include prelude.inc
  (type $fn (func (param i32) (result i32)))
  (table $t 6 funcref)
  (elem $passive func $plus $times $sleeper)

  (func $plus (type $fn) (i32.add (local.get 0) (i32.const 5)))
  (func $times (type $fn) (i32.mul (local.get 0) (i32.const 3)))
  (func $sleeper (type $fn)
    (call $nap)
    (i32.xor (local.get 0) (i32.const 0xff)))

  ;; Calls the slots from $from up to $to, each with the result of the one before.
  (func $run (param $acc i32) (param $from i32) (param $to i32) (result i32)
    (loop $next
      (local.set $acc (call_indirect $t (type $fn) (local.get $acc) (local.get $from)))
      (local.set $from (i32.add (local.get $from) (i32.const 1)))
      (br_if $next (i32.lt_u (local.get $from) (local.get $to))))
    (call $hex32 (local.get $acc))
    (local.get $acc))

  (func (export "_start")
    (local $acc i32)
    (table.init $t $passive (i32.const 0) (i32.const 0) (i32.const 3))
    (local.set $acc (call $run (i32.const 1) (i32.const 0) (i32.const 3)))
    (call $nap)
    (table.init $t $passive (i32.const 3) (i32.const 1) (i32.const 2))
    (table.init $t $passive (i32.const 5) (i32.const 0) (i32.const 1))
    (elem.drop $passive)
    (call $nap)
    ;; Nothing may be taken from a dropped segment, and nothing is.
    (table.init $t $passive (i32.const 0) (i32.const 0) (i32.const 0))
    (drop (call $run (local.get $acc) (i32.const 0) (i32.const 6)))))
