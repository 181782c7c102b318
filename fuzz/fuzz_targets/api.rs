//! `fuzz/targets/api.rs` under libFuzzer.

#![no_main]

#[path = "../targets/mod.rs"]
mod targets;
mod entry;

entry::fuzz!("api");
