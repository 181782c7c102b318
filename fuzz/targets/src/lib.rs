//! What the fuzzers run: `fuzz/fuzz_targets` under libFuzzer, this crate's test with plain cargo.
//!
//! A target takes any bytes, and panics where a promise is broken. Its mutator changes an input so that it
//! still gets past the first checks: lengths and digests are put right, modules stay valid.

#![allow(
    clippy::expect_used,
    clippy::panic,
    clippy::unreachable,
    clippy::unwrap_used,
    reason = "a panic is what a fuzzer finds"
)]

mod api;
mod component;
mod container;
mod envelope;
mod memory;
mod module;
mod mutate;
mod smith;
mod thaw;
mod wasi;

use std::sync::atomic::AtomicBool;

use dormouse_test_support::checkout;
pub use mutate::Base;

/// A mutator's library is at work, whose panics are caught.
pub static CATCHES: AtomicBool = AtomicBool::new(false);

/// Something to fuzz.
pub struct Target {
    /// As the corpus and libFuzzer's program are called.
    pub name: &'static str,
    /// Panics where a promise is broken.
    pub run: fn(&[u8]),
    /// Changes an input by the seed; the result has at most so many bytes.
    pub mutate: fn(Vec<u8>, usize, &mut fastrand::Rng, Base<'_>) -> Vec<u8>,
    /// What a corpus starts from, where files in the repository are that.
    pub seeds: fn() -> Vec<Vec<u8>>,
}

/// All of them.
pub const TARGETS: &[Target] = &[
    Target {
        name: "container",
        run: container::run,
        mutate: container::mutate,
        seeds: golden,
    },
    Target {
        name: "envelope",
        run: envelope::run,
        mutate: plain,
        seeds: envelope::seeds,
    },
    Target {
        name: "memory",
        run: memory::run,
        mutate: plain,
        seeds: memory::seeds,
    },
    Target {
        name: "wasi",
        run: wasi::run,
        mutate: wasi::mutate,
        seeds: wasi::seeds,
    },
    Target {
        name: "thaw",
        run: thaw::run,
        mutate: thaw::mutate,
        seeds: golden,
    },
    Target {
        name: "module",
        run: module::run,
        mutate: module::mutate,
        seeds: module::seeds,
    },
    Target {
        name: "smith",
        run: smith::run,
        mutate: plain,
        seeds: smith::seeds,
    },
    Target {
        name: "component",
        run: component::run,
        mutate: plain,
        seeds: component::seeds,
    },
    Target {
        name: "api",
        run: api::run,
        mutate: api::mutate,
        seeds: api::seeds,
    },
];

/// The target of this name.
pub fn target(name: &str) -> &'static Target {
    let found = TARGETS.iter().find(|target| target.name == name);
    found.expect("a target of this name")
}

fn plain(mut data: Vec<u8>, most: usize, _: &mut fastrand::Rng, base: Base<'_>) -> Vec<u8> {
    base(&mut data, most);
    data
}

/// The smallest snapshots of each released format.
fn golden() -> Vec<Vec<u8>> {
    let folder = checkout("snapshots/golden/v1");
    let mut names: Vec<_> = std::fs::read_dir(folder)
        .into_iter()
        .flatten()
        .flatten()
        .map(|entry| entry.path())
        .filter(|path| path.to_string_lossy().ends_with(".wasmtime.snapshot"))
        .collect();
    names.sort();
    let files = names.iter().filter_map(|name| std::fs::read(name).ok());
    files.filter(|file| file.len() < 5000).collect()
}
