//! `fuzz/targets/src/envelope.rs` under libFuzzer.

#![no_main]

mod entry;

entry::fuzz!("envelope");
