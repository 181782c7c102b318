;; Behaviour: a null reference that is kept over a sleep, and then called, traps.
(module
  ;; include prelude.inc
  (type $fn (func (param i32) (result i32)))
  (table $slot 1 funcref)
  (elem declare func $plus)
  (func $plus (type $fn) (i32.add (local.get 0) (i32.const 5)))

  (func $apply (param $f funcref)
    (call $nap)
    (table.set $slot (i32.const 0) (local.get $f))
    (call $hex32 (call_indirect $slot (type $fn) (i32.const 1) (i32.const 0))))

  (func (export "_start")
    (call $apply (ref.func $plus))
    (call $apply (ref.null func))))
