//! A module from a stranger: refused, or made into one that is valid. Binaryen ends the process at what it
//! cannot do, so that what should have been refused shows.

use std::sync::OnceLock;
use std::sync::atomic::Ordering;

use dormouse::{Runtime, Transform, fuzzing};

use dormouse_test_support::checkout;

use super::{Base, CATCHES};

struct Runtimes {
    _folder: tempfile::TempDir,
    two_version: Runtime,
    plain: Runtime,
    native: Runtime,
}

/// Both ways through Binaryen, and the one without.
pub fn rewrite(wasm: &[u8]) {
    static RUNTIMES: OnceLock<Runtimes> = OnceLock::new();
    let runtimes = RUNTIMES.get_or_init(|| {
        let folder = tempfile::tempdir().expect("a folder");
        let runtime = |transform| {
            let runtime = Runtime::builder()
                .cache(folder.path().to_path_buf())
                .transform(transform);
            runtime.build().expect("a cache")
        };
        Runtimes {
            two_version: runtime(Transform::TwoVersion),
            plain: runtime(Transform::Plain),
            native: runtime(Transform::Native),
            _folder: folder,
        }
    });
    let first = fuzzing::rewrite(&runtimes.two_version, wasm);
    if let Ok(resumable) = &first {
        fuzzing::check_resumable(resumable).expect("what was written is valid");
        let again = fuzzing::rewrite(&runtimes.two_version, resumable);
        assert!(again.is_err(), "a resumable module was rewritten again");
    }
    // The way of rewriting does not decide what is refused.
    let same = |runtime| {
        let made = fuzzing::rewrite(runtime, wasm);
        assert_eq!(made.is_ok(), first.is_ok(), "{:?}", first.as_ref().err());
        if let Ok(resumable) = made {
            fuzzing::check_resumable(&resumable).expect("what was written is valid");
        }
    };
    same(&runtimes.native);
    if wasm.len().is_multiple_of(8) {
        same(&runtimes.plain);
    }
}

pub fn run(data: &[u8]) {
    rewrite(data);
    // As it comes in a snapshot.
    let _ = fuzzing::check_resumable(data);
}

/// Mostly into another valid module.
pub fn mutate(
    mut data: Vec<u8>,
    most: usize,
    random: &mut fastrand::Rng,
    base: Base<'_>,
) -> Vec<u8> {
    // wasm-mutate panics at modules that are not valid, which ends libFuzzer.
    if random.u8(..4) > 0 && wasmparser::validate(&data).is_ok() {
        let mut mutator = wasm_mutate::WasmMutate::default();
        mutator.seed(random.u64(..)).fuel(1000);
        // It expects modules of toolchains, and panics at some others.
        CATCHES.store(true, Ordering::Relaxed);
        let mutated = std::panic::catch_unwind(std::panic::AssertUnwindSafe(|| {
            let mut mutants = mutator.run(&data).ok()?;
            mutants.next()?.ok()
        }));
        CATCHES.store(false, Ordering::Relaxed);
        if let Ok(Some(mutant)) = mutated
            && mutant.len() <= most
        {
            return mutant;
        }
    }
    base(&mut data, most);
    data
}

pub fn seeds() -> Vec<Vec<u8>> {
    let mut names: Vec<_> = std::fs::read_dir(checkout("wasm/bin"))
        .into_iter()
        .flatten()
        .flatten()
        .map(|entry| entry.path())
        .collect();
    names.sort();
    let files = names.iter().filter_map(|name| std::fs::read(name).ok());
    files.filter(|file| file.len() < 520).collect()
}
