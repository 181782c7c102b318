;; Behaviour: a mutable global that holds a function reference, changed before a sleep and used after it.
(module
  ;; include prelude.inc
  (type $fn (func (result i32)))
  (global $which (mut funcref) (ref.func $one))
  (global $none (mut funcref) (ref.func $one))
  (table $t 1 funcref)
  (func $one (type $fn) (i32.const 1))
  (func $two (type $fn) (i32.const 2))
  (elem declare func $two)

  (func $call (result i32)
    (table.set $t (i32.const 0) (global.get $which))
    (call_indirect $t (type $fn) (i32.const 0)))

  (func (export "_start")
    (call $hex32 (call $call))
    (global.set $which (ref.func $two))
    (global.set $none (ref.null func))
    (call $nap)
    (call $hex32 (call $call))
    (call $hex32 (ref.is_null (global.get $none)))))
