//! `fuzz/targets/src/module.rs` under libFuzzer.

#![no_main]

mod entry;

entry::fuzz!("module");
