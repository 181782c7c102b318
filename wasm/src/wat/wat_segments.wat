;; Behaviour: functions that are kept from the rewriting (blocks with parameters) and copy out of data segments, drop one, and take the
;; reference of a function that nothing else names.
(module
  ;; include prelude.inc
  (data $first "0123456789abcdef")
  (data $second "ponmlkjihgfedcba")
  (func $named (param i32) (result i32) (i32.add (local.get 0) (i32.const 1)))
  (elem declare func $named)

  ;; Copies eight bytes from the middle of one of the two, at most twice from the second.
  (func $fill (param i32) (result i64)
    (local.get 0)
    (block (param i32)
      (if (param) (then
        (memory.init $first (i32.const 600) (i32.const 3) (i32.const 8)))
        (else
          (memory.init $second (i32.const 600) (i32.const 5) (i32.const 8))))
      (if (i32.gt_u (local.get 0) (i32.const 3)) (then (data.drop $second))))
    (i64.load (i32.const 600)))

  (func $isnull (param i32) (result i32)
    (local.get 0)
    (loop (param i32) (result i32)
      (ref.is_null (ref.func $named))
      (i32.add)))

  (func (export "_start")
    (local $i i32)
    (loop $next
      (call $hex (call $fill (i32.and (local.get $i) (i32.const 1))))
      (call $nap)
      (call $hex32 (call $isnull (local.get $i)))
      (local.set $i (i32.add (local.get $i) (i32.const 1)))
      (br_if $next (i32.lt_u (local.get $i) (i32.const 4))))
    (call $hex (call $fill (i32.const 5)))
    (call $nap)
    ;; The second is gone, and stays so.
    (call $hex (call $fill (i32.const 0)))))
