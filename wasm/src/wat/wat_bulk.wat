;; Behaviour: passive data segments: used before and after a sleep; one that was dropped stays empty; fill and copy.
(module
  ;; include prelude.inc
  (data $kept "kept segment\n\00")
  (data $dropped "dropped segment\n\00")
  (data (i32.const 256) "active\n\00")

  (func $sum (param $at i32) (param $n i32) (result i32)
    (local $s i32)
    (local.set $s (i32.const 1))
    (loop $next
      (local.set $s (i32.add (i32.mul (local.get $s) (i32.const 31)) (i32.load8_u (local.get $at))))
      (local.set $at (i32.add (local.get $at) (i32.const 1)))
      (local.set $n (i32.sub (local.get $n) (i32.const 1)))
      (br_if $next (local.get $n)))
    (local.get $s))

  (func (export "_start")
    (memory.init $kept (i32.const 1024) (i32.const 0) (i32.const 4))
    (memory.init $dropped (i32.const 2048) (i32.const 0) (i32.const 17))
    (data.drop $dropped)
    ;; The active segment's place is used for something else: a resume must not bring it back.
    (memory.init $kept (i32.const 256) (i32.const 5) (i32.const 9))
    (memory.fill (i32.const 70000) (i32.const 0xab) (i32.const 5000))
    (memory.copy (i32.const 70001) (i32.const 70000) (i32.const 4000))
    (memory.copy (i32.const 72000) (i32.const 1024) (i32.const 1100))
    (call $nap)
    (call $say (i32.const 256))
    (call $say (i32.const 2048))
    (call $hex32 (call $sum (i32.const 70000) (i32.const 5000)))

    (memory.init $kept (i32.const 1028) (i32.const 4) (i32.const 10))
    (call $say (i32.const 1024))
    ;; Nothing may be taken from a dropped segment, and nothing is.
    (memory.init $dropped (i32.const 2048) (i32.const 0) (i32.const 0))
    (data.drop $kept)
    (data.drop $kept)
    (call $nap)
    (memory.init $kept (i32.const 1024) (i32.const 0) (i32.const 0))
    (call $say (i32.const 1024))
    (call $hex32 (call $sum (i32.const 72000) (i32.const 1100)))))
