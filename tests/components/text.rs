//! Parts that components are made of.

/// The type of `test:host/api`.
pub const API: &str = r#"
    (export "number" (func (param "value" u32)))
    (export "text" (func (param "value" string)))
    (export "bytes" (func (param "value" (list u8))))
    (export "greet" (func (param "times" u32) (result (list string))))
    (export "thing" (type $thing (sub resource)))
    (export "[constructor]thing" (func (param "rep" u32) (result (own $thing))))
    (export "[method]thing.look" (func (param "self" (borrow $thing))))
    (export "take" (func (param "thing" (own $thing))))"#;

/// A module with a memory and an allocator, which hands out memory from 4096 on, and notes from
/// 65536 on how it was called: the old size, the alignment and the new size.
pub const LIBC: &str = r#"
  (core module $libc
    (memory (export "memory") 4)
    (global $next (export "next") (mut i32) (i32.const 4096))
    (global $noted (export "noted") (mut i32) (i32.const 65536))
    (func (export "realloc") (param $old i32) (param $old_size i32) (param $align i32) (param $size i32) (result i32)
      (local $block i32)
      (i32.store (global.get $noted) (local.get $old_size))
      (i32.store offset=4 (global.get $noted) (local.get $align))
      (i32.store offset=8 (global.get $noted) (local.get $size))
      (global.set $noted (i32.add (global.get $noted) (i32.const 12)))
      (local.set $block (i32.and
        (i32.add (global.get $next) (i32.sub (local.get $align) (i32.const 1)))
        (i32.sub (i32.const 0) (local.get $align))))
      (global.set $next (i32.add (local.get $block) (local.get $size)))
      (memory.copy (local.get $block) (local.get $old)
        (select (local.get $old_size) (local.get $size) (i32.lt_u (local.get $old_size) (local.get $size))))
      (local.get $block)))
  (core instance $libc (instantiate $libc))"#;

/// The functions of the host's interface `$api`, lowered, as the core instance `$host`. It needs
/// [`LIBC`].
pub const HOST: &str = r#"
  (alias export $api "thing" (type $thing))
  (core func $number (canon lower (func $api "number")))
  (core func $text (canon lower (func $api "text") (memory (core memory $libc "memory"))))
  (core func $bytes (canon lower (func $api "bytes") (memory (core memory $libc "memory"))))
  (core func $greet (canon lower (func $api "greet") (memory (core memory $libc "memory"))
    (realloc (core func $libc "realloc"))))
  (core func $make (canon lower (func $api "[constructor]thing")))
  (core func $look (canon lower (func $api "[method]thing.look")))
  (core func $take (canon lower (func $api "take")))
  (core func $drop (canon resource.drop $thing))
  (core instance $host
    (export "number" (func $number)) (export "text" (func $text)) (export "bytes" (func $bytes))
    (export "greet" (func $greet)) (export "make" (func $make)) (export "look" (func $look))
    (export "take" (func $take)) (export "drop" (func $drop)))"#;

/// What a core module imports to use [`LIBC`] and [`HOST`].
pub const IMPORTS: &str = r#"
    (import "libc" "memory" (memory 4))
    (import "libc" "next" (global $next (mut i32)))
    (import "libc" "noted" (global $noted (mut i32)))
    (import "host" "number" (func $number (param i32)))
    (import "host" "text" (func $text (param i32 i32)))
    (import "host" "bytes" (func $bytes (param i32 i32)))
    (import "host" "greet" (func $greet (param i32 i32)))
    (import "host" "make" (func $make (param i32) (result i32)))
    (import "host" "look" (func $look (param i32)))
    (import "host" "take" (func $take (param i32)))
    (import "host" "drop" (func $drop (param i32)))"#;

/// Functions of such a core module, behind all of its imports.
pub const TELL: &str = r#"
    ;; Tells the host what was allocated, and how.
    (func $tell_memory
      (call $bytes (i32.const 4096) (i32.sub (global.get $next) (i32.const 4096)))
      (call $bytes (i32.const 65536) (i32.sub (global.get $noted) (i32.const 65536))))"#;

/// A component that exports `run`. The items define a core instance `$main` with that function.
/// Such a component does not call those within it: it could be called back while it waits.
pub fn command(items: &str) -> String {
    format!(
        r#"(component
          (import "test:host/api" (instance $api {API}))
          {items}
          (func $run (result (result)) (canon lift (core func $main "run")))
          (instance $exported (export "run" (func $run)))
          (export "wasi:cli/run@0.2.6" (instance $exported)))"#
    )
}

/// A component that exports the `run` of a component within it, the instance `$main`.
pub fn composition(items: &str) -> String {
    format!(
        r#"(component
          (import "test:host/api" (instance $api {API}))
          {items}
          (instance $exported (export "run" (func $main "run")))
          (export "wasi:cli/run@0.2.6" (instance $exported)))"#
    )
}

/// The start of a component within one, which has the host's functions.
pub fn inner(name: &str) -> String {
    format!(
        r#"(component ${name}
          (import "api" (instance $api {API}))
          {LIBC} {HOST}"#
    )
}

/// Bytes as a string in the text format.
pub fn escaped(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| format!("\\{byte:02x}")).collect()
}
