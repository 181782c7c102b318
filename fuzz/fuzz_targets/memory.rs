//! `fuzz/targets/src/memory.rs` under libFuzzer.

#![no_main]

mod entry;

entry::fuzz!("memory");
