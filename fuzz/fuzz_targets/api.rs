//! `fuzz/targets/src/api.rs` under libFuzzer.

#![no_main]

mod entry;

entry::fuzz!("api");
