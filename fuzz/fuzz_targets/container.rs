//! `fuzz/targets/src/container.rs` under libFuzzer.

#![no_main]

mod entry;

entry::fuzz!("container");
