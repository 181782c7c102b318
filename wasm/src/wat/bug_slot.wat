;; A function that is called through a slot of a table puts another one there, then suspends. On the
;; way back the slot led to the wrong function.
(module
  (import "wasi_snapshot_preview1" "sched_yield" (func $yield (result i32)))
  (memory (export "memory") 1)
  (type $function (func (result i32)))
  (table 2 funcref)
  (elem (i32.const 0) $first $second)
  (func $first (type $function)
    (table.set (i32.const 0) (ref.func $second))
    (call $yield))
  (func $second (type $function) (unreachable))
  (func (export "_start")
    (drop (call_indirect (type $function) (i32.const 0)))))
