;; Behaviour: a start section that prints and changes state; it must not run again when the program is resumed.
(module
  ;; include prelude.inc
  (global $started (mut i32) (i32.const 0))
  (table $t 2 2 funcref)
  (elem declare func $seven $eight)
  (data (i32.const 256) "start section\n\00")
  (data (i32.const 300) "_start\n\00")

  (func $seven (result i32) (i32.const 7))
  (func $eight (result i32) (i32.const 8))

  (func $begin
    (call $say (i32.const 256))
    (global.set $started (i32.add (global.get $started) (i32.const 1)))
    (i32.store (i32.const 400) (i32.add (i32.load (i32.const 400)) (i32.const 0x11)))
    (table.set $t (i32.const 0) (ref.func $seven))
    (drop (memory.grow (i32.const 1))))
  (start $begin)

  (func $show
    (call $hex32 (global.get $started))
    (call $hex32 (i32.load (i32.const 400)))
    (call $hex32 (call_indirect $t (result i32) (i32.const 0)))
    (call $hex32 (memory.size)))

  (func (export "_start")
    (call $say (i32.const 300))
    (call $nap)
    (call $show)
    (global.set $started (i32.add (global.get $started) (i32.const 16)))
    (i32.store (i32.const 400) (i32.add (i32.load (i32.const 400)) (i32.const 0x1100)))
    (table.set $t (i32.const 0) (ref.func $eight))
    (call $nap)
    (call $show)))
