//! A guest that leaves a trace outside of itself: what a daemon did for it that had lost it would show.

/// It writes so many lines, with a sleep before each.
pub const ROUNDS: usize = 12;

/// A guest that in each round appends a line to a file, sleeps, and writes the line.
pub fn appender(milliseconds: u64) -> Vec<u8> {
    let text = format!(
        r#"(module
             (import "wasi_snapshot_preview1" "path_open"
               (func $open (param i32 i32 i32 i32 i32 i64 i64 i32 i32) (result i32)))
             (import "wasi_snapshot_preview1" "fd_write"
               (func $write (param i32 i32 i32 i32) (result i32)))
             (import "wasi_snapshot_preview1" "fd_close" (func $close (param i32) (result i32)))
             (import "wasi_snapshot_preview1" "poll_oneoff"
               (func $poll (param i32 i32 i32 i32) (result i32)))
             (memory (export "memory") 1)
             (data (i32.const 0) "log")
             (data (i32.const 16) "round 00\n")
             (data (i32.const 32) "\10\00\00\00\09\00\00\00")
             (func $check (param i32) (if (local.get 0) (then unreachable)))
             (func (export "_start") (local $round i32)
               (i32.store (i32.const 80) (i32.const 1))
               (i64.store (i32.const 88) (i64.const {}))
               (loop $next
                 (i32.store8 (i32.const 22)
                   (i32.add (i32.const 48) (i32.div_u (local.get $round) (i32.const 10))))
                 (i32.store8 (i32.const 23)
                   (i32.add (i32.const 48) (i32.rem_u (local.get $round) (i32.const 10))))
                 (call $check (call $open (i32.const 3) (i32.const 0) (i32.const 0) (i32.const 3)
                   (i32.const 1) (i64.const 64) (i64.const 0) (i32.const 1) (i32.const 52)))
                 (call $check (call $write (i32.load (i32.const 52)) (i32.const 32) (i32.const 1)
                   (i32.const 48)))
                 (call $check (call $close (i32.load (i32.const 52))))
                 (call $check (call $poll (i32.const 64) (i32.const 128) (i32.const 1)
                   (i32.const 56)))
                 (call $check (call $write (i32.const 1) (i32.const 32) (i32.const 1)
                   (i32.const 48)))
                 (local.set $round (i32.add (local.get $round) (i32.const 1)))
                 (br_if $next (i32.lt_u (local.get $round) (i32.const {ROUNDS}))))))"#,
        milliseconds * 1_000_000
    );
    wat::parse_str(text).expect("the text is right")
}
