;; Rounds of a line on stdout, the same line in a file of the host's, and a sleep. How many rounds there
;; are, and how long the sleeps last, follows from the number of arguments.
(module
  (import "wasi_snapshot_preview1" "args_sizes_get"
    (func $args_sizes_get (param i32 i32) (result i32)))
  (import "wasi_snapshot_preview1" "path_open"
    (func $path_open (param i32 i32 i32 i32 i32 i64 i64 i32 i32) (result i32)))
  (import "wasi_snapshot_preview1" "fd_write"
    (func $fd_write (param i32 i32 i32 i32) (result i32)))
  (import "wasi_snapshot_preview1" "fd_close" (func $fd_close (param i32) (result i32)))
  (import "wasi_snapshot_preview1" "poll_oneoff"
    (func $poll_oneoff (param i32 i32 i32 i32) (result i32)))
  (memory (export "memory") 1)
  ;; Sleeps in milliseconds.
  (data (i32.const 0) "\05\00\00\00\c8\00\00\00\e8\03\00\00\dc\05\00\00")
  (data (i32.const 16) "\b8\0b\00\00\28\23\00\00\e0\2e\00\00\98\3a\00\00")
  ;; The line "00\n", its vector, and the name of the file.
  (data (i32.const 64) "00\0a")
  (data (i32.const 72) "\40\00\00\00\03\00\00\00")
  (data (i32.const 80) "log")
  (func $write (param $descriptor i32)
    (if (call $fd_write (local.get $descriptor) (i32.const 72) (i32.const 1) (i32.const 96))
      (then unreachable)))
  (func (export "_start")
    (local $count i32) (local $round i32)
    (drop (call $args_sizes_get (i32.const 100) (i32.const 104)))
    (local.set $count (i32.load (i32.const 100)))
    (loop $next
      (i32.store8 (i32.const 64)
        (i32.add (i32.const 48) (i32.div_u (local.get $round) (i32.const 10))))
      (i32.store8 (i32.const 65)
        (i32.add (i32.const 48) (i32.rem_u (local.get $round) (i32.const 10))))
      (call $write (i32.const 1))
      ;; The directory is descriptor 3. Create, append, with the right to write.
      (if (call $path_open (i32.const 3) (i32.const 0) (i32.const 80) (i32.const 3) (i32.const 1)
            (i64.const 64) (i64.const 64) (i32.const 1) (i32.const 108))
        (then unreachable))
      (call $write (i32.load (i32.const 108)))
      (drop (call $fd_close (i32.load (i32.const 108))))
      ;; A subscription to the monotonic clock.
      (i32.store (i32.const 136) (i32.const 0))
      (i32.store (i32.const 144) (i32.const 1))
      (i64.store (i32.const 152)
        (i64.mul (i64.const 1000000)
          (i64.load32_u
            (i32.shl
              (i32.and
                (i32.add
                  (i32.mul (local.get $count) (i32.const 5))
                  (i32.mul (local.get $round) (i32.const 3)))
                (i32.const 7))
              (i32.const 2)))))
      (if (call $poll_oneoff (i32.const 128) (i32.const 192) (i32.const 1) (i32.const 224))
        (then unreachable))
      (local.set $round (i32.add (local.get $round) (i32.const 1)))
      (br_if $next
        (i32.lt_u (local.get $round)
          (i32.add (i32.const 4) (i32.rem_u (local.get $count) (i32.const 5))))))))
