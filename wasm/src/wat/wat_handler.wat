;; Behaviour: a function that sleeps inside the body of an exception handler.
(module
  ;; include prelude.inc
  (tag $failed)
  (func $work (call $nap) (throw $failed))
  (func (export "_start")
    (block $caught
      (try_table (catch $failed $caught) (call $work))
      (unreachable))
    (call $hex32 (i32.const 1))))
