;; Behaviour: computes and never waits: nested loops, loops that a br_table goes back to, recursion without loops, directly and
;; through a table, several results, vectors, references in a table, values below a loop on the operand stack.
(module
  ;; include prelude.inc
  (type $fn (func (param i64 i64) (result i64)))
  (type $pair (func (param i64) (result i64 i64)))
  (table 4 funcref)
  (elem (i32.const 0) $down $twice $loops)
  (global $count (mut i64) (i64.const 0))

  ;; Through the table into itself and its neighbour: no loop anywhere.
  (func $down (type $fn)
    (global.set $count (i64.add (global.get $count) (i64.const 1)))
    (if (i64.eqz (local.get 0)) (then (return (local.get 1))))
    (call_indirect (type $fn)
      (i64.sub (local.get 0) (i64.const 1))
      (i64.mul (i64.xor (local.get 1) (local.get 0)) (i64.const 0x100000001b3))
      (i32.wrap_i64 (i64.and (local.get 0) (i64.const 1)))))

  (func $twice (type $fn)
    (if (i64.lt_u (local.get 0) (i64.const 2)) (then (return (local.get 1))))
    (i64.add
      (call $twice (i64.shr_u (local.get 0) (i64.const 1)) (i64.add (local.get 1) (local.get 0)))
      (call $down (i64.and (local.get 0) (i64.const 31)) (local.get 1))))

  ;; The head of $outer is reached from both loops, by a br_table, with values below them.
  (func $loops (type $fn)
    (local $inner i64)
    (i64.add
      (i64.mul (local.get 0) (i64.const 3))
      (block $out (result i64)
        (loop $outer
          (local.set 0 (i64.sub (local.get 0) (i64.const 1)))
          (local.set $inner (i64.const 7))
          (drop
            (i64.add
              (local.get 1)
              (loop $again (result i64)
                (local.set 1 (i64.rotl (i64.add (local.get 1) (i64.mul (local.get 0) (local.get $inner))) (i64.const 7)))
                (local.set $inner (i64.sub (local.get $inner) (i64.const 1)))
                (drop (br_if $out (local.get 1) (i64.eqz (local.get 0))))
                (block $end
                  (br_table $outer $again $again $end $again
                    (select
                      (i32.const 0)
                      (i32.wrap_i64 (i64.and (local.get 1) (i64.const 7)))
                      (i64.eqz (local.get $inner)))))
                (local.get $inner))))
          (br $outer))
        (unreachable))))

  (func $pair (type $pair)
    (local $i i64)
    (loop $next
      (local.set $i (i64.add (local.get $i) (i64.const 1)))
      (local.set 0 (i64.xor (i64.mul (local.get 0) (i64.const 6364136223846793005)) (local.get $i)))
      (br_if $next (i64.lt_u (local.get $i) (i64.const 1000))))
    (local.get 0)
    (local.get $i))

  (func $vectors (param $seed i64) (result i64)
    (local $v v128)
    (local $i i32)
    (local $f f64)
    (local.set $v (i64x2.splat (local.get $seed)))
    (loop $next
      (local.set $v
        (v128.xor
          (i32x4.mul (local.get $v) (v128.const i32x4 3 5 7 11))
          (i8x16.shuffle 1 2 3 4 5 6 7 8 9 10 11 12 13 14 15 0 (local.get $v) (local.get $v))))
      (local.set $f (f64.sqrt (f64.add (local.get $f) (f64.convert_i32_u (local.get $i)))))
      (local.set $i (i32.add (local.get $i) (i32.const 1)))
      (br_if $next (i32.lt_u (local.get $i) (i32.const 500))))
    (i64.xor
      (i64.reinterpret_f64 (local.get $f))
      (i64.xor (i64x2.extract_lane 0 (local.get $v)) (i64x2.extract_lane 1 (local.get $v)))))

  (func $round (param $n i64)
    (local $sum i64)
    (local.set $sum (call $down (i64.const 400) (local.get $n)))
    (call $pair (local.get $sum))
    (local.set $sum (i64.xor))
    (local.set $sum (i64.add (local.get $sum) (call $vectors (local.get $sum))))
    (table.set (i32.const 3) (table.get (i32.wrap_i64 (i64.rem_u (local.get $n) (i64.const 3)))))
    (local.set $sum
      (i64.add
        (local.get $sum)
        (call_indirect (type $fn) (i64.const 70) (local.get $sum) (i32.const 3))))
    (call $hex (call $loops (i64.const 200) (local.get $sum)))
    (call $hex (global.get $count)))

  (func (export "_start")
    (local $n i64)
    (loop $next
      (call $round (local.get $n))
      (local.set $n (i64.add (local.get $n) (i64.const 1)))
      (br_if $next (i64.lt_u (local.get $n) (i64.const 400))))))
