;; Behaviour: the imported functions themselves are in a table and exported, and are called through it.
(module
  ;; include prelude.inc
  (type $poll (func (param i32 i32 i32 i32) (result i32)))
  (table (export "table") 3 funcref)
  (elem (i32.const 1) func $poll_oneoff $fd_write)
  (export "sleep" (func $poll_oneoff))
  (data (i32.const 256) "written through the table\n")

  (func (export "_start")
    (local $i i32)
    (loop $next
      (call $prepare)
      ;; Slot 1 blocks, slot 2 does not, and both have the same type.
      (call $hex32
        (call_indirect (type $poll) (i32.const 0) (i32.const 48) (i32.const 1) (i32.const 80) (i32.const 1)))
      (i32.store (i32.const 88) (i32.const 256))
      (i32.store (i32.const 92) (i32.const 26))
      (call $hex32
        (call_indirect (type $poll) (i32.const 1) (i32.const 88) (i32.const 1) (i32.const 96) (i32.const 2)))
      (local.set $i (i32.add (local.get $i) (i32.const 1)))
      (br_if $next (i32.lt_u (local.get $i) (i32.const 3))))
    (call $proc_exit (i32.const 5))))
