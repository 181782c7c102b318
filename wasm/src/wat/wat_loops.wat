;; Behaviour: polls without waiting, now and then in loops of all kinds: three deep, in both branches of an `if`, with a result, behind
;; one another, left for the head of any loop around by br_if and br_table, left by return, with locals of all types.
(module
  ;; include prelude.inc
  (global $turns (mut i64) (i64.const 0))

  ;; Mixes; in one of eight cases it asks whether no time has passed.
  (func $mix (param $sum i64) (param $with i32) (result i64)
    (global.set $turns (i64.add (global.get $turns) (i64.const 1)))
    (local.set $sum
      (i64.mul
        (i64.xor (i64.rotl (local.get $sum) (i64.const 23)) (i64.extend_i32_u (local.get $with)))
        (i64.const 0x9e3779b97f4a7c15)))
    (if (i64.eqz (i64.and (i64.shr_u (local.get $sum) (i64.const 40)) (i64.const 7)))
      (then
        (call $prepare)
        (i64.store (i32.const 24) (i64.const 0))
        (if (call $poll_oneoff (i32.const 0) (i32.const 48) (i32.const 1) (i32.const 80))
          (then (unreachable)))))
    (local.get $sum))

  ;; Which way: 0 to 3.
  (func $way (param $sum i64) (result i32)
    (i32.and (i32.wrap_i64 (i64.shr_u (local.get $sum) (i64.const 50))) (i32.const 3)))

  (func $nest (param $n i64) (result i64)
    (local $a i32) (local $b i32) (local $c i32)
    (local $sum i64)
    (local $low f32) (local $high f64) (local $both v128)
    (local.set $sum (local.get $n))
    (if (i64.eqz (i64.and (local.get $n) (i64.const 1)))
      (then
        (local.set $a (i32.const 4))
        (block $out
          (loop $one
            (local.set $b (i32.const 4))
            (local.set $high (f64.add (local.get $high) (f64.const 0.125)))
            (if (i32.eq (call $way (local.get $sum)) (i32.const 3))
              (then (local.set $both (i64x2.add (local.get $both) (i64x2.splat (local.get $sum)))))
              (else
                (loop $two
                  (local.set $c (i32.const 5))
                  (local.set $low (f32.add (local.get $low) (f32.const 0.5)))
                  (block $next
                    (loop $three
                      (local.set $sum
                        (call $mix (local.get $sum)
                          (i32.add (i32.mul (local.get $a) (i32.const 100))
                            (i32.add (i32.mul (local.get $b) (i32.const 10)) (local.get $c)))))
                      (local.set $c (i32.sub (local.get $c) (i32.const 1)))
                      (br_if $next (i32.eqz (local.get $c)))
                      (block $middle
                        (block $outer
                          (br_table $three $middle $outer $three (call $way (local.get $sum))))
                        ;; From the innermost loop to the head of the outermost.
                        (local.set $a (i32.sub (local.get $a) (i32.const 1)))
                        (br_if $one (local.get $a))
                        (br $out))
                      (local.set $b (i32.sub (local.get $b) (i32.const 1)))
                      (br_if $two (local.get $b))))
                  (local.set $sum (i64.add (local.get $sum) (i64.extend_i32_u (local.get $b))))
                  (local.set $b (i32.sub (local.get $b) (i32.const 1)))
                  (br_if $two (i32.gt_s (local.get $b) (i32.const 0))))))
            (local.set $a (i32.sub (local.get $a) (i32.const 1)))
            (br_if $one (i32.gt_s (local.get $a) (i32.const 0)))))
        ;; A loop behind the others.
        (loop $last
          (local.set $sum (call $mix (local.get $sum) (local.get $a)))
          (local.set $a (i32.add (local.get $a) (i32.const 1)))
          (br_if $last (i32.lt_s (local.get $a) (i32.const 3)))))
      (else
        (local.set $a (i32.const 6))
        (local.set $sum
          (i64.add
            (local.get $n)
            (loop $value (result i64)
              (local.set $sum (call $mix (local.get $sum) (local.get $a)))
              (local.set $a (i32.sub (local.get $a) (i32.const 1)))
              (loop $inner
                (local.set $high (f64.add (local.get $high) (f64.const 1)))
                (local.set $sum (call $mix (local.get $sum) (i32.const 77)))
                (if (i64.eqz (i64.and (local.get $sum) (i64.const 63)))
                  (then (return (local.get $sum))))
                (br_if $inner (i32.eq (call $way (local.get $sum)) (i32.const 2))))
              (br_if $value (i32.gt_s (local.get $a) (i32.const 0)))
              (local.get $sum))))))
    (i64.xor
      (i64.xor (local.get $sum) (i64.reinterpret_f64 (local.get $high)))
      (i64.xor
        (i64x2.extract_lane 1 (local.get $both))
        (i64.extend_i32_u (i32.reinterpret_f32 (local.get $low))))))

  (func (export "_start")
    (local $n i64)
    (local $sum i64)
    (loop $next
      (local.set $sum (i64.add (i64.rotl (local.get $sum) (i64.const 1)) (call $nest (local.get $n))))
      (if (i64.eqz (i64.and (local.get $n) (i64.const 7)))
        (then (call $hex (local.get $sum))))
      (local.set $n (i64.add (local.get $n) (i64.const 1)))
      (br_if $next (i64.lt_u (local.get $n) (i64.const 64))))
    (call $hex (local.get $sum))
    (call $hex (global.get $turns))))
