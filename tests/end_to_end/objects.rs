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
