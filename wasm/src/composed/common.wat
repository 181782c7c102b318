  ;; What each component of the composition has: the host's interfaces, a memory, and functions to
  ;; sleep and to print.
  (import "wasi:io/poll@0.2.6" (instance $poll
    (export "pollable" (type $pollable (sub resource)))
    (export "[method]pollable.block" (func (param "self" (borrow $pollable))))))
  (alias export $poll "pollable" (type $pollable))
  (import "wasi:clocks/monotonic-clock@0.2.6" (instance $clock
    (alias outer 1 $pollable (type $pollable'))
    (export "pollable" (type $pollable (eq $pollable')))
    (export "subscribe-duration" (func (param "when" u64) (result (own $pollable))))))
  (import "wasi:io/error@0.2.6" (instance $errors (export "error" (type (sub resource)))))
  (alias export $errors "error" (type $error))
  (import "wasi:io/streams@0.2.6" (instance $streams
    (export "output-stream" (type $output (sub resource)))
    (alias outer 1 $error (type $error'))
    (export "error" (type $error (eq $error')))
    (type $stream-error' (variant (case "last-operation-failed" (own $error)) (case "closed")))
    (export "stream-error" (type $stream-error (eq $stream-error')))
    (export "[method]output-stream.blocking-write-and-flush"
      (func (param "self" (borrow $output)) (param "contents" (list u8))
        (result (result (error $stream-error)))))))
  (alias export $streams "output-stream" (type $output))
  (import "wasi:cli/stdout@0.2.6" (instance $stdout
    (alias outer 1 $output (type $output'))
    (export "output-stream" (type $output (eq $output')))
    (export "get-stdout" (func (result (own $output))))))

  (core module $libc
    (memory (export "memory") 1)
    (global $next (mut i32) (i32.const 4096))
    (func (export "realloc") (param $old i32) (param $was i32) (param $align i32) (param $size i32)
        (result i32)
      (local $at i32)
      (local.set $at (i32.and
        (i32.add (global.get $next) (i32.sub (local.get $align) (i32.const 1)))
        (i32.sub (i32.const 0) (local.get $align))))
      (global.set $next (i32.add (local.get $at) (local.get $size)))
      (local.get $at)))
  (core instance $libc (instantiate $libc))
  (alias core export $libc "memory" (core memory $memory))
  (alias core export $libc "realloc" (core func $realloc))
  (core func $subscribe (canon lower (func $clock "subscribe-duration")))
  (core func $block (canon lower (func $poll "[method]pollable.block")))
  (core func $drop-pollable (canon resource.drop $pollable))
  (core func $get-stdout (canon lower (func $stdout "get-stdout")))
  (core func $write (canon lower
    (func $streams "[method]output-stream.blocking-write-and-flush") (memory $memory)))
  (core func $drop-output (canon resource.drop $output))
  (core module $sys
    (import "libc" "memory" (memory 1))
    (import "host" "subscribe" (func $subscribe (param i64) (result i32)))
    (import "host" "block" (func $block (param i32)))
    (import "host" "drop-pollable" (func $drop-pollable (param i32)))
    (import "host" "get-stdout" (func $get-stdout (result i32)))
    (import "host" "write" (func $write (param i32 i32 i32 i32)))
    (import "host" "drop-output" (func $drop-output (param i32)))
    (func $print (export "print") (param $at i32) (param $length i32)
      (local $stream i32)
      (local.set $stream (call $get-stdout))
      (call $write (local.get $stream) (local.get $at) (local.get $length) (i32.const 64))
      (call $drop-output (local.get $stream)))
    ;; A line: a letter and a number.
    (func (export "say") (param $letter i32) (param $number i32)
      (local $at i32)
      (local.set $at (i32.const 63))
      (i32.store8 (local.get $at) (i32.const 10))
      (loop $digits
        (local.set $at (i32.sub (local.get $at) (i32.const 1)))
        (i32.store8 (local.get $at)
          (i32.add (i32.const 48) (i32.rem_u (local.get $number) (i32.const 10))))
        (br_if $digits
          (local.tee $number (i32.div_u (local.get $number) (i32.const 10)))))
      (i32.store8 (i32.sub (local.get $at) (i32.const 1)) (i32.const 32))
      (i32.store8 (i32.sub (local.get $at) (i32.const 2)) (local.get $letter))
      (call $print (i32.sub (local.get $at) (i32.const 2))
        (i32.sub (i32.const 66) (local.get $at))))
    (func (export "sleep") (param $milliseconds i32)
      (local $pollable i32)
      (local.set $pollable (call $subscribe
        (i64.mul (i64.extend_i32_u (local.get $milliseconds)) (i64.const 1000000))))
      (call $block (local.get $pollable))
      (call $drop-pollable (local.get $pollable))))
  (core instance $sys (instantiate $sys
    (with "libc" (instance $libc))
    (with "host" (instance
      (export "subscribe" (func $subscribe)) (export "block" (func $block))
      (export "drop-pollable" (func $drop-pollable)) (export "get-stdout" (func $get-stdout))
      (export "write" (func $write)) (export "drop-output" (func $drop-output))))))
