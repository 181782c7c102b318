;; Behaviour: loops for ever, without a call, a memory access or anything else at which it could be stopped.
(module
  (memory (export "memory") 1)
  (func (export "_start")
    (loop $for_ever
      (br $for_ever))))
