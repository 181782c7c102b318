//! `fuzz/targets/src/thaw.rs` under libFuzzer.

#![no_main]

mod entry;

entry::fuzz!("thaw");
