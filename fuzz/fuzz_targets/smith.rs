//! `fuzz/targets/src/smith.rs` under libFuzzer.

#![no_main]

mod entry;

entry::fuzz!("smith");
