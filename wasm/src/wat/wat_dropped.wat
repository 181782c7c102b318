;; Behaviour: a data segment dropped before a sleep still traps when it is used after it.
(module
  ;; include prelude.inc
  (data $gone "was here\n\00")
  (data (i32.const 256) "now it traps\n\00")
  (data (i32.const 300) "never\n\00")

  (func (export "_start")
    (memory.init $gone (i32.const 1024) (i32.const 0) (i32.const 10))
    (data.drop $gone)
    (call $nap)
    (call $say (i32.const 1024))
    (call $say (i32.const 256))
    (memory.init $gone (i32.const 1024) (i32.const 0) (i32.const 1))
    (call $say (i32.const 300))))
