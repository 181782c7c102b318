//! The same source and settings give the same resumable module.

use dormouse::task::quiet;
use dormouse::{Digest, Runtime};

use dormouse_test_support::checkout;

/// What a module becomes, or nothing where it is refused.
fn rewrite(source: &[u8], preempt: bool) -> Option<Digest> {
    let cache = tempfile::tempdir().expect("a scratch directory");
    let runtime = Runtime::builder()
        .cache(cache.path().to_owned())
        .preempt(preempt);
    let runtime = runtime.build().expect("the cache can be used");
    let made = runtime.instrument(source, &quiet).ok();
    made.map(|(program, _)| program.digest())
}

/// With checks, a walk through the call graph went through the functions that an indirect call may
/// reach in the order of a hash table, whose seed is another one each time.
#[test]
fn modules_are_the_same_bytes_each_time() {
    let guests = std::fs::read_dir(checkout("wasm/bin")).expect("the guests are there");
    let mut made = 0;
    for entry in guests {
        let path = entry.expect("it can be read").path();
        let source = std::fs::read(&path).expect("it can be read");
        // Go's programs take the same way as all others, and half a minute each.
        if source.len() > 1 << 20 {
            continue;
        }
        for preempt in [false, true] {
            let first = rewrite(&source, preempt);
            let second = rewrite(&source, preempt);
            assert_eq!(first, second, "{}, checks: {preempt}", path.display());
            made += usize::from(first.is_some());
        }
    }
    assert!(made > 100, "only {made} were made");
}
