//! `fuzz/targets/src/wasi.rs` under libFuzzer.

#![no_main]

mod entry;

entry::fuzz!("wasi");
