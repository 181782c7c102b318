;; Behaviour: a function keeps a reference to another in a local while it sleeps.
(module
  ;; include prelude.inc
  (elem declare func $answer)
  (func $answer (result i32)
    (i32.const 42))

  (func (export "_start")
    (local $kept funcref)
    (local.set $kept (ref.func $answer))
    (call $nap)
    (call $hex32 (ref.is_null (local.get $kept)))))
