//! A target and its mutator, as libFuzzer wants them.

macro_rules! fuzz {
    ($name:literal) => {
        libfuzzer_sys::fuzz_target!(|data: &[u8]| {
            (dormouse_fuzz_targets::target($name).run)(data);
        });

        libfuzzer_sys::fuzz_mutator!(|data: &mut [u8], size: usize, max_size: usize, seed: u32| {
            crate::entry::mutate($name, data, size, max_size, seed)
        });
    };
}
pub(crate) use fuzz;

use std::sync::Once;
use std::sync::atomic::Ordering;

use dormouse_fuzz_targets::CATCHES;

/// libFuzzer's hook takes every panic for a finding: those that are caught are kept from it.
fn spare_what_is_caught() {
    static DONE: Once = Once::new();
    DONE.call_once(|| {
        let hook = std::panic::take_hook();
        std::panic::set_hook(Box::new(move |info| {
            if !CATCHES.load(Ordering::Relaxed) {
                hook(info);
            }
        }));
    });
}

/// Half of all mutations are the target's own.
pub fn mutate(name: &str, data: &mut [u8], size: usize, most: usize, seed: u32) -> usize {
    let mut random = fastrand::Rng::with_seed(u64::from(seed));
    if random.bool() {
        return libfuzzer_sys::fuzzer_mutate(data, size, most);
    }
    let mut base = |bytes: &mut Vec<u8>, most: usize| {
        let size = bytes.len();
        let most = most.max(size).max(1);
        bytes.resize(most, 0);
        let size = libfuzzer_sys::fuzzer_mutate(bytes, size, most);
        bytes.truncate(size);
    };
    let target = dormouse_fuzz_targets::target(name);
    spare_what_is_caught();
    let mutated = (target.mutate)(data[..size].to_vec(), most, &mut random, &mut base);
    let size = mutated.len().min(most);
    data[..size].copy_from_slice(&mutated[..size]);
    size
}
