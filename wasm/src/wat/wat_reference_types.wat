;; Behaviour: a function keeps a reference to another in a local while it sleeps, and a call through a table tells a reference
;; from a number.
(module
  ;; include prelude.inc
  (type $with_reference (func (param funcref) (result i32)))
  (type $with_number (func (param i32) (result i32)))
  (table 1 funcref)
  (elem (i32.const 0) $answer)
  (func $answer (type $with_reference)
    (i32.const 42))

  (func (export "_start")
    (local $kept funcref)
    (local.set $kept (ref.func $answer))
    (call $nap)
    (call $hex32 (ref.is_null (local.get $kept)))
    (call $hex32 (call_indirect (type $with_number) (i32.const 1) (i32.const 0)))))
