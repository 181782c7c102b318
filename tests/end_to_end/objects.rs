//! Guests with objects that a garbage collector looks after: Wasmtime runs them as any other, by the
//! transform that knows objects. WasmEdge says that it does not, also where a snapshot of one is to
//! be resumed.

use std::process::Stdio;
use std::sync::Arc;

use libtest_mimic::{Failed, Trial};

use dormouse_test_support::{check, dormouse, ended, engines, finish, says};

use crate::guests::{Guest, Run, Scratch, chain, guests, rehearsed, uninterrupted, unknown_to};

pub fn trials() -> Vec<Trial> {
    let mut trials = Vec::new();
    for guest in guests("guests").into_iter().filter(|guest| guest.objects) {
        let guest = Arc::new(guest);
        ways(|way: String, run: Run| {
            let guest = guest.clone();
            let name = format!("guest::{}::{way}", guest.name);
            trials.push(Trial::test(name, move || run(&guest).map_err(Failed::from)));
        });
    }
    if engines().contains(&"wasmtime") {
        for transform in ["native", "none"] {
            let name = format!("garbage::wasmtime::{transform}");
            let run = move || garbage_is_given_back(transform).map_err(Failed::from);
            trials.push(Trial::test(name, run));
        }
    }
    trials
}

/// The ways of a guest.
fn ways(mut add: impl FnMut(String, Run)) {
    if engines().contains(&"wasmtime") {
        let options = |more: &[&'static str]| [&["--engine", "wasmtime"], more].concat();
        add(
            "wasmtime::run".into(),
            Box::new(|g| uninterrupted(g, "wasmtime")),
        );
        add(
            "wasmtime::chain".into(),
            Box::new(|g| chain(g, &["wasmtime"], false)),
        );
        for (way, more) in [
            ("auto", &[][..]),
            ("native", &["--transform", "native"]),
            ("none", &["--transform", "none"]),
        ] {
            let options = options(more);
            let run = move |g: &Guest| rehearsed(g, &options, false);
            add(format!("wasmtime::{way}::rehearse"), Box::new(run));
        }
        add(
            "wasmtime::checks::refused".into(),
            Box::new(held_at_a_check),
        );
        add(
            "wasmtime::two-version::refused".into(),
            Box::new(unknown_to_binaryen),
        );
    }
    if engines().contains(&"wasmedge") {
        add(
            "wasmedge::refused".into(),
            Box::new(|g| unknown_to(g, "wasmedge", &[])),
        );
        add(
            "wasmedge::none::refused".into(),
            Box::new(|g| unknown_to(g, "wasmedge", &["--transform", "none"])),
        );
    }
    if engines().len() > 1 {
        add("both::chain::refused".into(), Box::new(not_resumed));
    }
}

/// Makes rings of two objects, 32 bytes each and more, and lets go of all of them but the last.
const GARBAGE: &str = r#"(module
    (type $node (struct (field (mut (ref null $node))) (field (mut i64)) (field (mut i64))))
    (import "wasi_snapshot_preview1" "sched_yield" (func $yield (result i32)))
    (import "wasi_snapshot_preview1" "proc_exit" (func $exit (param i32)))
    (memory (export "memory") 1)
    (func $rings (param $count i32) (result i64) (local $one (ref null $node))
      (loop $more
        (local.set $one (struct.new $node
          (struct.new $node (ref.null $node) (i64.const 1) (i64.const 2))
          (i64.extend_i32_u (local.get $count)) (i64.const 3)))
        (struct.set $node 0 (struct.get $node 0 (local.get $one)) (local.get $one))
        (br_if $more (local.tee $count (i32.sub (local.get $count) (i32.const 1)))))
      (i64.add (struct.get $node 1 (local.get $one))
        (struct.get $node 1 (struct.get $node 0 (local.get $one)))))
    (func (export "_start")
      (drop (call $yield))
      ;; 1 from each of both.
      (if (i64.ne (call $rings (i32.const 2000000)) (i64.const 2))
        (then (call $exit (i32.const 1))))
      (drop (call $yield))
      (if (i64.ne (call $rings (i32.const 2000000)) (i64.const 2))
        (then (call $exit (i32.const 1))))))"#;

/// What a program has let go of is given back while it runs, rings of objects too: all of them
/// together are far larger than its limit.
fn garbage_is_given_back(transform: &str) -> Result<(), String> {
    let scratch = Scratch::new(false);
    let module = scratch.root.path().join("garbage.wasm");
    let wasm = wat::parse_str(GARBAGE).map_err(|error| error.to_string())?;
    std::fs::write(&module, wasm).map_err(|error| error.to_string())?;
    let mut command = dormouse();
    command.args(["run", "--engine", "wasmtime", "--transform", transform]);
    command.args(["--limit", "memory=16M"]);
    if transform != "none" {
        command.arg("--rehearse");
    }
    ended(&finish(command.arg(&module), Stdio::null()), 0)
}

/// Binaryen cannot read it, and the transform that can is named.
fn unknown_to_binaryen(guest: &Guest) -> Result<(), String> {
    let scratch = Scratch::new(false);
    let options = ["--engine", "wasmtime", "--transform", "two-version"];
    let output = finish(&mut guest.run(&scratch, &options), Stdio::null());
    ended(&output, 65)?;
    says(&output, &["cannot be suspended", "Binaryen", "`native`"])?;
    check(output.stdout.is_empty(), || "it printed something".into())
}

/// With checks it may be suspended in a loop that makes a list, which it holds then.
fn held_at_a_check(guest: &Guest) -> Result<(), String> {
    let scratch = Scratch::new(false);
    let options = ["--engine", "wasmtime", "--preempt"];
    let output = finish(&mut guest.run(&scratch, &options), Stdio::null());
    ended(&output, 65)?;
    says(
        &output,
        &[
            "holds a reference of type (ref null 1) in local 1",
            "at byte",
        ],
    )?;
    check(output.stdout.is_empty(), || "it printed something".into())
}

/// WasmEdge says that it cannot resume what Wasmtime has suspended.
fn not_resumed(guest: &Guest) -> Result<(), String> {
    let scratch = Scratch::new(false);
    let snapshot = scratch.root.path().join("snapshot");
    let name = snapshot.display().to_string();
    let options = [
        "--engine",
        "wasmtime",
        "--suspend",
        "always",
        "--snapshot",
        &name,
    ];
    let output = finish(&mut guest.run(&scratch, &options), Stdio::null());
    ended(&output, 75)?;
    let mut command = dormouse();
    command.args(["resume", "--engine", "wasmedge", &name]);
    let output = finish(&mut command, Stdio::null());
    ended(&output, 65)?;
    says(
        &output,
        &["cannot run this module", "wasmedge", "--engine wasmtime"],
    )?;
    check(snapshot.exists(), || "the snapshot is gone".into())
}
