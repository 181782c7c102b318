//! Components become core modules; each reason to refuse one is an error of its own.
#![cfg(feature = "components")]
#![allow(clippy::expect_used, clippy::panic, reason = "a test may fail")]

use dormouse_instrument::{
    ComponentError, Error, HostFunction, Manifest, Options, Transform, flatten, instrument,
};
use dormouse_model::ValType;
use dormouse_model::lowered::LoweredImport;

/// A component that exports `run`, with further items in front of it. The core function that is
/// lifted is `$run` of the core instance `$main`.
fn command(items: &str) -> String {
    format!(
        r#"(component
          {items}
          (func $run (result (result)) (canon lift (core func $main "run")))
          (instance $exported (export "run" (func $run)))
          (export "wasi:cli/run@0.2.6" (instance $exported)))"#
    )
}

fn flattened(text: &str) -> String {
    let component = wat::parse_str(text).expect("the text is right");
    let module = flatten(&component).unwrap_or_else(|error| panic!("{error}\n{text}"));
    assert_eq!(
        module,
        flatten(&component).expect("it was before"),
        "it is deterministic"
    );
    plain(&wasmprinter::print_bytes(&module).expect("it is a module"))
}

/// The text without numbers and labels in comments, and with single spaces.
fn plain(text: &str) -> String {
    let lines = text
        .lines()
        .map(|line| line.split(";; label").next().unwrap_or_default());
    let mut plain = String::new();
    for word in lines.flat_map(str::split_whitespace) {
        let word = word.strip_prefix("(;").map_or(word, |word| {
            word.split_once(";)").map_or("", |(_, rest)| rest)
        });
        if !word.is_empty() {
            let is_end = word.starts_with(')');
            let space = if plain.is_empty() || is_end { "" } else { " " };
            plain += space;
            plain += word;
        }
    }
    plain
}

fn refused(text: &str) -> Error {
    let component = wat::parse_str(text).expect("the text is right");
    match flatten(&component) {
        Ok(_) => panic!("it was not refused: {text}"),
        Err(error) => error,
    }
}

fn contains(module: &str, parts: &[&str]) {
    for part in parts {
        assert!(module.contains(part), "{part} is not in {module}");
    }
}

#[test]
fn run_becomes_the_entry() {
    let module = flattened(&command(
        r#"(core module $m (func (export "run") (result i32) i32.const 0))
           (core instance $main (instantiate $m))"#,
    ));
    contains(
        &module,
        &[
            r#"(import "dormouse:component" "exit" (func (type 2) (param i32)))"#,
            r#"(export "_start" (func $_start))"#,
            "call 1 if",
            "i32.const 1 call 0 unreachable",
        ],
    );
}

/// A host's function whose result needs memory, with all canonical options.
#[test]
fn a_lowered_function_says_its_options() {
    let module = flattened(&command(
        r#"(import "test:host/api@0.2.1" (instance $api
             (export "name" (func (param "of" string) (result string)))
             (export "wait" (func (param "for" u64)))))
           (core module $libc
             (memory (export "unused") 1) (memory (export "memory") 1)
             (func (export "realloc") (param i32 i32 i32 i32) (result i32) i32.const 16))
           (core instance $libc (instantiate $libc))
           (core func $name (canon lower (func $api "name") (memory (core memory $libc "memory"))
             (realloc (core func $libc "realloc")) string-encoding=utf16))
           (core func $wait (canon lower (func $api "wait")))
           (core module $m
             (import "api" "name" (func $name (param i32 i32 i32)))
             (import "api" "wait" (func $wait (param i64)))
             (func (export "run") (result i32)
               (call $name (i32.const 0) (i32.const 0) (i32.const 8))
               (call $wait (i64.const 5))
               i32.const 0))
           (core instance $main (instantiate $m (with "api" (instance
             (export "name" (func $name)) (export "wait" (func $wait))))))"#,
    ));
    contains(
        &module,
        &[
            r#"(import "test:host/api@0.2.1" "name instance=0 memory=1 encoding=utf16""#,
            r#"(import "test:host/api@0.2.1" "wait instance=0""#,
            r#"(import "dormouse:component" "result.next memory=1""#,
            r#"(import "dormouse:component" "trap cannot-leave""#,
            r#"(export "dormouse:component/memory.1" (memory 1))"#,
        ],
    );
}

/// Calls through a shim's table become plain calls, and the table is gone.
#[test]
fn shims_are_resolved() {
    let shim = |start: &str| {
        command(&format!(
            r#"(core module $shim
                 (type $f (func (param i32)))
                 (table (export "$imports") 1 1 funcref)
                 (func (export "0") (param i32)
                   local.get 0 i32.const 0 call_indirect (type $f)))
               (core instance $shim (instantiate $shim))
               (core module $m
                 (import "env" "f" (func $f (param i32)))
                 {start}
                 (func (export "g") (param i32))
                 (func (export "run") (result i32) (call $f (i32.const 7)) i32.const 0))
               (core instance $main (instantiate $m (with "env" (instance
                 (export "f" (func $shim "0"))))))
               (core module $fixup
                 (import "" "$imports" (table 1 1 funcref))
                 (import "" "0" (func (param i32)))
                 (elem (i32.const 0) func 0))
               (core instance (instantiate $fixup (with "" (instance
                 (export "$imports" (table $shim "$imports"))
                 (export "0" (func $main "g"))))))"#
        ))
    };
    let module = flattened(&shim(""));
    assert!(
        !module.contains("table") && !module.contains("call_indirect"),
        "{module}"
    );
    // A start function that meets an empty slot traps, as it did.
    let module = flattened(&shim("(func $s (call $f (i32.const 1))) (start $s)"));
    assert!(!module.contains("call_indirect"), "{module}");
    contains(
        &module,
        &["global.get 0 i32.eqz if unreachable", "global.set 0"],
    );
}

/// Modules that share a memory are at home at addresses which others give them.
#[test]
fn constant_expressions_are_folded() {
    let module = flattened(&command(
        r#"(core module $env
             (memory (export "memory") 1)
             (table (export "table") 8 funcref)
             (global (export "memory_base") i32 i32.const 1024)
             (global (export "table_base") i32 i32.const 3))
           (core instance $env (instantiate $env))
           (core module $m
             (import "env" "memory" (memory 1))
             (import "env" "table" (table 8 funcref))
             (import "env" "memory_base" (global $memory_base i32))
             (import "env" "table_base" (global $table_base i32))
             (global $second i32 (i32.add (global.get $memory_base) (i32.const 16)))
             (global $mutable (mut i32) (global.get $memory_base))
             (data (global.get $memory_base) "first")
             (elem (global.get $table_base) func $f)
             (func $f)
             (func (export "run") (result i32)
               (i32.sub (i32.add (global.get $second) (global.get $mutable)) (i32.const 2064))))
           (core instance $main (instantiate $m (with "env" (instance $env))))"#,
    ));
    contains(
        &module,
        &[
            r#"(data (i32.const 1024) "first")"#,
            "(elem (i32.const 3) func",
            "i32 i32.const 1040)",
            "(mut i32) i32.const 1024)",
        ],
    );
}

/// What a start function has seen is not changed before it runs.
#[test]
fn segments_behind_a_start_function_are_written_in_their_turn() {
    let component = |memory: &str| {
        command(&format!(
            r#"(core module $a (memory (export "memory") 1) (func $s) (start $s))
               (core instance $a (instantiate $a))
               (core module $m
                 {memory}
                 (data (i32.const 8) "late")
                 (func $s) (start $s)
                 (func (export "run") (result i32) (i32.load8_u (i32.const 0))))
               (core instance $main (instantiate $m (with "a" (instance $a))))"#
        ))
    };
    let module = flattened(&component(r#"(import "a" "memory" (memory 1))"#));
    contains(
        &module,
        &["memory.init 0", "data.drop 0", r#"(data "late")"#],
    );
    // Nobody has seen a memory of its own, unless the segment may trap.
    let module = flattened(&component("(memory 1)"));
    contains(
        &module,
        &[r#"(data (memory 1) (i32.const 8) "late")"#, "call $s call"],
    );
    let module = flattened(&component("(memory 0)"));
    contains(&module, &["memory.init 1 0"]);
}

#[test]
fn what_has_nothing_to_run_is_refused_by_what_it_exports() {
    let error = refused("(component)").to_string();
    assert!(error.contains("it exports nothing"), "{error}");
    let empty =
        r#"(component (instance $i) (export "wasi:http/incoming-handler@0.2.0" (instance $i)))"#;
    assert!(matches!(
        refused(empty),
        Error::Component(ComponentError::NoRun { .. })
    ));
    let other = r#"(component (instance $i) (export "a:b/c@1.0.0" (instance $i)))"#;
    let error = refused(other).to_string();
    assert!(error.contains("`a:b/c@1.0.0`"), "{error}");
}

/// A component that handles requests, by a function of these parameters.
fn handler(params: &str, more: &str) -> String {
    format!(
        r#"(component
          (import "wasi:http/types@0.2.3" (instance $types
            (export "incoming-request" (type (sub resource)))
            (export "response-outparam" (type (sub resource)))))
          (alias export $types "incoming-request" (type $request))
          (alias export $types "response-outparam" (type $response))
          (core module $m
            (func (export "handle") (param i32 i32))
            (func (export "post"))
            (func (export "run") (result i32) i32.const 0))
          (core instance $main (instantiate $m))
          (func $handle {params}
            (canon lift (core func $main "handle") (post-return (core func $main "post"))))
          (instance $handler (export "handle" (func $handle)))
          (export "wasi:http/incoming-handler@0.2.3" (instance $handler))
          {more})"#
    )
}

const REQUEST_AND_RESPONSE: &str =
    r#"(param "request" (own $request)) (param "out" (own $response))"#;

#[test]
fn handling_requests_becomes_the_entry() {
    let module = flattened(&handler(REQUEST_AND_RESPONSE, ""));
    contains(
        &module,
        &[
            r#"(import "dormouse:component" "http.next-request instance=0" (func"#,
            r#"(export "_start" (func $_start))"#,
            "i64.const -1 i64.eq br_if 1",
            "i32.wrap_i64 call 1 i32.const 0 global.set 0 call 2 i32.const 1 global.set 0 br 0",
        ],
    );
    assert!(!module.contains("is-serving"), "{module}");
    assert!(!module.contains(r#""exit""#), "{module}");
}

#[test]
fn a_component_that_runs_and_handles_requests_asks_which() {
    let run = r#"(func $run (result (result)) (canon lift (core func $main "run")))
                 (instance $command (export "run" (func $run)))
                 (export "wasi:cli/run@0.2.3" (instance $command))"#;
    let module = flattened(&handler(REQUEST_AND_RESPONSE, run));
    contains(
        &module,
        &[
            r#"(import "dormouse:component" "http.is-serving" (func"#,
            r#"(import "dormouse:component" "http.next-request instance=0" (func"#,
            r#"(import "dormouse:component" "exit" (func"#,
        ],
    );
}

#[test]
fn a_handler_of_another_type_is_refused() {
    let params = r#"(param "request" (own $response)) (param "out" (own $request))"#;
    let error = refused(&handler(params, "")).to_string();
    assert!(error.contains("its `handle` is not of the type"), "{error}");
}

#[test]
fn a_core_module_as_an_import_is_refused_by_its_name() {
    let error = refused(&command(
        r#"(import "plugin" (core module $m (export "run" (func (result i32)))))
           (core instance $main (instantiate $m))"#,
    ));
    assert!(
        error.to_string().contains("core module `plugin`"),
        "{error}"
    );
}

#[test]
fn proposals_are_refused_by_their_names() {
    for (text, wanted) in [
        (
            r#"(component (core module $m (func (export "f") (result i32) unreachable) (func (export "c") (param i32 i32 i32) (result i32) unreachable))
                 (core instance $i (instantiate $m))
                 (func (export "f") async (canon lift (core func $i "f") async (callback (core func $i "c")))))"#,
            "asynchronous functions",
        ),
        (
            "(component (core module (memory i64 1)))",
            "64-bit addresses",
        ),
        (
            "(component (core module (type (struct))))",
            "garbage collector",
        ),
    ] {
        let error = refused(text);
        assert!(
            matches!(error, Error::Component(ComponentError::Proposal { .. })),
            "{error}"
        );
        assert!(error.to_string().contains(wanted), "{error}");
    }
}

#[test]
fn damaged_components_are_refused_with_the_place() {
    let component = wat::parse_str(command(
        r#"(core module $m (func (export "run") (result i32) i32.const 0))
           (core instance $main (instantiate $m))"#,
    ))
    .expect("the text is right");
    for length in 0..component.len() {
        let cut = &component[..length];
        let Err(error) = flatten(cut) else {
            // Sections with names may be missing.
            assert!(
                wasmparser::validate(cut).is_ok(),
                "{length} bytes are taken"
            );
            continue;
        };
        let is_known = matches!(
            error,
            Error::NotWasm(_)
                | Error::Invalid { .. }
                | Error::Component(ComponentError::NoRun { .. })
        );
        assert!(is_known, "{length} bytes: {error}");
    }
    // A body of another type than its function's.
    let position = component
        .windows(2)
        .rposition(|bytes| bytes == [0x41, 0x00]);
    let mut wrong = component.clone();
    wrong[position.expect("it has a constant")] = 0x42;
    let error = flatten(&wrong).expect_err("it is not valid");
    assert!(
        matches!(error, Error::Invalid { offset: 8.., .. }),
        "{error}"
    );
}

/// One instance too many, a thousand times over, in a few hundred bytes.
#[test]
fn a_component_that_stands_for_millions_of_instances_ends_in_bounds() {
    let mut text =
        r#"(component $c0 (core module $m (memory 1)) (core instance (instantiate $m)))"#
            .to_string();
    for level in 1..7 {
        let inner = format!("(instance (instantiate $c{}))", level - 1).repeat(40);
        text = format!("(component $c{level} {text} {inner})");
    }
    let began = std::time::Instant::now();
    let error = refused(&text);
    assert!(
        matches!(
            error,
            Error::Component(
                ComponentError::OutOfMemory { .. }
                    | ComponentError::OutOfTime { .. }
                    | ComponentError::TooLarge { .. }
            )
        ),
        "{error} after {:?}",
        began.elapsed()
    );
}

fn host(module: &str, name: &str, params: &[ValType]) -> Option<HostFunction> {
    let import = LoweredImport::parse(module, name)?;
    if import.module() == "test:other/api" {
        return None;
    }
    Some(HostFunction {
        params: params.to_vec(),
        results: match name.starts_with("result.next") {
            true => vec![ValType::I64],
            false => vec![],
        },
        blocks: name.starts_with("wait"),
    })
}

/// A component goes through the whole rewriting, and its memories keep their numbers.
#[test]
fn a_component_is_made_resumable() {
    let component = wat::parse_str(command(
        r#"(import "test:host/api" (instance $api (export "wait" (func (param "for" string)))))
           (core module $libc (memory (export "unused") 1) (memory (export "memory") 1)
             (func (export "realloc") (param i32 i32 i32 i32) (result i32) i32.const 16))
           (core instance $libc (instantiate $libc))
           (core func $wait (canon lower (func $api "wait") (memory (core memory $libc "memory"))))
           (core module $m
             (import "api" "wait" (func $wait (param i32 i32)))
             (func (export "run") (result i32)
               (call $wait (i32.const 0) (i32.const 5)) i32.const 0))
           (core instance $main (instantiate $m (with "api" (instance
             (export "wait" (func $wait))))))"#,
    ))
    .expect("the text is right");
    for transform in [Transform::TwoVersion, Transform::Plain, Transform::None] {
        let options = Options {
            transform,
            ..Options::new(&host)
        };
        let done = instrument(&component, &options).expect("it is right");
        let manifest = Manifest::of(&done.wasm).expect("it has one");
        assert!(manifest.component);
        assert_eq!(manifest.shape.memories, 2, "{transform}");
        let imports: Vec<String> = manifest
            .shape
            .imports
            .into_iter()
            .map(|import| import.name)
            .collect();
        assert!(
            imports.contains(&"wait instance=0 memory=1".to_string()),
            "{imports:?}"
        );
        assert!(matches!(Manifest::of(&component), Err(Error::NotResumable)));
    }
}

#[test]
fn an_interface_that_is_not_offered_is_named_with_those_that_are() {
    let component = wat::parse_str(command(
        r#"(import "test:other/api" (instance $api (export "f" (func))))
           (core func $f (canon lower (func $api "f")))
           (core module $m (import "api" "f" (func $f))
             (func (export "run") (result i32) call $f i32.const 0))
           (core instance $main (instantiate $m (with "api" (instance (export "f" (func $f))))))"#,
    ))
    .expect("the text is right");
    let options = Options {
        interfaces: &["wasi:cli/environment", "wasi:io/poll"],
        ..Options::new(&host)
    };
    let error = instrument(&component, &options).expect_err("it is not offered");
    assert_eq!(
        error.to_string(),
        "the component imports `f` of `test:other/api`, which dormouse does not provide; it \
         provides `wasi:cli/environment`, `wasi:io/poll`"
    );
}
