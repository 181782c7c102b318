;; Behaviour: an element beyond a table's end is set while a reference is kept over a sleep, which traps.
(module
  ;; include prelude.inc
  (type $fn (func (param i32) (result i32)))
  (table $slots 2 funcref)
  (elem declare func $plus)
  (func $plus (type $fn) (i32.add (local.get 0) (i32.const 5)))

  (func (export "_start")
    (local $f funcref)
    (local $i i32)
    (local.set $f (ref.func $plus))
    (loop $next
      (table.set $slots (local.get $i) (local.get $f))
      (call $nap)
      (call $hex32 (call_indirect $slots (type $fn) (i32.const 1) (local.get $i)))
      (local.set $i (i32.add (local.get $i) (i32.const 1)))
      (br $next))))
