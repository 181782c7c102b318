//! `fuzz/targets/wasi.rs` under libFuzzer.

#![no_main]

#[path = "../targets/mod.rs"]
mod targets;
mod entry;

entry::fuzz!("wasi");
