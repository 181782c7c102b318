;; Behaviour: objects that a garbage collector looks after, and typed references, which live between sleeps and over none.
(module
  ;; include prelude.inc
  (type $point (struct (field $x (mut i32)) (field $y (mut i32))))
  (type $list (struct (field $head i32) (field $tail (ref null $list))))
  (type $numbers (array (mut i32)))
  (type $fixed (struct (field i32)))
  (type $op (func (param i32) (result i32)))
  (table $ops 3 (ref null $op))
  (elem (table $ops) (i32.const 1) (ref null $op) (ref.func $double) (ref.func $square))
  (global $seven (ref $fixed) (struct.new $fixed (i32.const 7)))

  (func $double (type $op) (i32.mul (local.get 0) (i32.const 2)))
  (func $square (type $op) (i32.mul (local.get 0) (local.get 0)))

  ;; None of these sleeps.
  (func $list_of (param $n i32) (result (ref null $list))
    (local $l (ref null $list))
    (loop $next
      (local.set $l (struct.new $list (local.get $n) (local.get $l)))
      (local.set $n (i32.sub (local.get $n) (i32.const 1)))
      (br_if $next (local.get $n)))
    (local.get $l))

  (func $map (param $l (ref null $list)) (param $f (ref $op)) (result i32)
    (local $sum i32)
    (block $end
      (loop $next
        (local.set $sum
          (i32.add (local.get $sum)
            (call_ref $op
              (struct.get $list $head (br_on_null $end (local.get $l)))
              (local.get $f))))
        (local.set $l (struct.get $list $tail (local.get $l)))
        (br $next)))
    (local.get $sum))

  (func $maybe (param $i i32) (result (ref null $fixed))
    (if (result (ref null $fixed)) (i32.and (local.get $i) (i32.const 1))
      (then (global.get $seven))
      (else (ref.null $fixed))))

  (func $any (param $i i32) (result anyref)
    (if (result anyref) (i32.and (local.get $i) (i32.const 1))
      (then (struct.new $point (local.get $i) (i32.const 100)))
      (else (ref.i31 (local.get $i)))))

  ;; Reads the object before it sleeps.
  (func $show (param $p (ref null $point))
    (local $x i32)
    (local $y i32)
    (local.set $x (struct.get $point $x (local.get $p)))
    (local.set $y (struct.get $point $y (local.get $p)))
    (call $hex32 (local.get $x))
    (call $nap)
    (call $hex32 (local.get $y)))

  ;; Gives an object after it has slept.
  (func $late (param $i i32) (result (ref null $point))
    (call $nap)
    (struct.new $point (local.get $i) (i32.const 9)))

  (func $describe (param $i i32)
    (local $p (ref null $point))
    (block $none
      (call $hex32 (struct.get $fixed 0 (br_on_null $none (call $maybe (local.get $i)))))
      (call $nap))
    (block $other (result anyref)
      (local.set $p
        (block $is_point (result (ref $point))
          (br $other (br_on_cast $is_point anyref (ref $point) (call $any (local.get $i))))))
      (struct.set $point $y (local.get $p)
        (i32.add (struct.get $point $x (local.get $p)) (i32.const 1)))
      (call $show (local.get $p))
      (call $hex32 (i32.const 0xbeef))
      (ref.null any))
    (drop)
    (call $hex32
      (if (result i32) (ref.is_null (call $maybe (local.get $i)))
        (then (call $nap) (i31.get_u (ref.cast i31ref (call $any (local.get $i)))))
        (else (i32.const 0xdead)))))

  (func (export "_start")
    (local $i i32)
    (local $a (ref null $numbers))
    (local $p (ref null $point))
    (loop $next
      (local.set $a (array.new $numbers (i32.const 3) (i32.const 10)))
      (array.set $numbers (local.get $a) (local.get $i) (i32.const 5))
      (call $hex32 (i32.add (array.get $numbers (local.get $a) (i32.const 0)) (array.len (local.get $a))))
      (call $nap)
      (call $hex32 (call $map (call $list_of (i32.const 4)) (ref.func $square)))
      (call $hex32 (call $map (call $list_of (i32.const 5)) (ref.func $double)))
      (call $hex32 (call_indirect $ops (type $op) (i32.const 6) (i32.add (i32.and (local.get $i) (i32.const 1)) (i32.const 1))))
      (call $show (struct.new $point (local.get $i) (i32.const 8)))
      (local.set $p (call $late (local.get $i)))
      (call $hex32 (i32.add (struct.get $point $x (local.get $p)) (struct.get $point $y (local.get $p))))
      (call $describe (local.get $i))
      (local.set $i (i32.add (local.get $i) (i32.const 1)))
      (br_if $next (i32.lt_u (local.get $i) (i32.const 4))))
    (call $hex32 (struct.get $fixed 0 (global.get $seven)))))
