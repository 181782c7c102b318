;; Behaviour: references to exceptions, kept over sleeps, in a loop, chosen between, compared with null, and thrown once more.
(module
  ;; include prelude.inc
  (tag $a (param i32))
  (tag $b)
  (func $odd (param i32)
    (if (i32.and (local.get 0) (i32.const 1)) (then (throw $a (i32.add (local.get 0) (i32.const 40)))))
    (call $nap)
    (if (i32.eq (local.get 0) (i32.const 2)) (then (throw $b))))

  (func $null (param exnref) (result i32) (ref.is_null (local.get 0)))

  ;; Runs something, sleeps, and throws again what it threw.
  (func $finally (param i32)
    (local $held exnref) (local $other exnref)
    (local.set $other (ref.null exn))
    (block $caught (result exnref)
      (try_table (catch_all_ref $caught) (call $odd (local.get 0)))
      (ref.null exn))
    (local.set $held)
    (call $nap)
    (call $hex32 (call $null (local.get $held)))
    (call $hex32 (ref.is_null (local.get $other)))
    (if (ref.is_null (local.get $held)) (then (return)))
    (throw_ref (select (result exnref) (local.get $held) (local.get $other) (i32.const 1))))

  (func $main (param i32) (result i32)
    (block $b
      (block $a (result i32 exnref)
        (try_table (catch_ref $a $a) (catch $b $b) (call $finally (local.get 0)))
        (return (i32.const -1)))
      (call $nap)
      (call $hex32 (ref.is_null))
      (return))
    (i32.const -2))

  (func (export "_start")
    (local $i i32)
    (loop $next
      (call $hex32 (call $main (local.get $i)))
      (local.set $i (i32.add (local.get $i) (i32.const 1)))
      (br_if $next (i32.lt_u (local.get $i) (i32.const 6))))
    ;; Null cannot be thrown.
    (call $nap)
    (throw_ref (ref.null exn))))
