//! `fuzz/targets/src/component.rs` under libFuzzer.

#![no_main]

mod entry;

entry::fuzz!("component");
