;; Behaviour: exceptions thrown and caught in functions that are never on the stack at a sleep, before and after sleeps; some
;; pass through frames that can sleep, and end the program there or are caught above.
(module
  ;; include prelude.inc
  (tag $number (param i32))
  (tag $nothing)
  (type $fn (func (param i32) (result i32)))
  (table funcref (elem $risky))
  (global $caught (mut i32) (i32.const 0))

  (func $risky (type $fn)
    (if (i32.and (local.get 0) (i32.const 1))
      (then (throw $number (i32.mul (local.get 0) (i32.const 10)))))
    (if (i32.eq (local.get 0) (i32.const 4)) (then (throw $nothing)))
    (i32.add (local.get 0) (i32.const 1000)))

  (func $guarded (type $fn)
    (block $none
      (block $some (result i32)
        (try_table (result i32) (catch $number $some) (catch_all $none)
          (call_indirect (type $fn) (local.get 0) (i32.const 0)))
        (return))
      (global.set $caught (i32.add (global.get $caught) (i32.const 1)))
      (return (i32.add (i32.const 1))))
    (i32.const -1))

  (func (export "_start")
    (local $i i32)
    (loop $next
      (call $hex32 (call $guarded (local.get $i)))
      (call $nap)
      (local.set $i (i32.add (local.get $i) (i32.const 1)))
      (br_if $next (i32.lt_u (local.get $i) (i32.const 6))))
    (call $hex32 (global.get $caught))))
