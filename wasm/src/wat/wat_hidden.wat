;; Behaviour: a function with a block with parameters, which is kept from Binaryen, puts a function that sleeps into a table
;; that nothing else changes; it is called through the table before and after.
(module
  ;; include prelude.inc
  (type $fn (func (param i32) (result i32)))
  (table $t 1 funcref)
  (elem (table $t) (i32.const 0) func $quick)
  (elem declare func $sleeper)
  (func $quick (type $fn) (i32.add (local.get 0) (i32.const 1)))
  (func $sleeper (type $fn) (call $nap) (i32.add (local.get 0) (i32.const 100)))
  (func $install (i32.const 0) (block (param i32) (ref.func $sleeper) (table.set $t)))
  (func (export "_start")
    (call $hex32 (call_indirect $t (type $fn) (i32.const 1) (i32.const 0)))
    (call $install)
    (call $hex32 (call_indirect $t (type $fn) (i32.const 2) (i32.const 0)))
    (call $nap)
    (call $hex32 (i32.const 3))))
