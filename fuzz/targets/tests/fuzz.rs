//! The fuzzers' targets with plain cargo: every input in `fuzz/corpus`, then fresh mutations of them for some
//! seconds. `make fuzz-hour` runs them under libFuzzer.
//!
//! `DORMOUSE_FUZZ_SECONDS` says how long the mutations of each target take, 2 if left out. A failure prints
//! the input's place, and writes it to a file in the temporary directory.

#![allow(
    clippy::expect_used,
    clippy::panic,
    clippy::unreachable,
    clippy::unwrap_used,
    reason = "a test may fail"
)]

use std::sync::{Mutex, PoisonError};
use std::time::{Duration, Instant};

use dormouse_fuzz_targets as targets;
use dormouse_test_support::checkout;

/// Targets look at the descriptors of their process, so that one runs at a time.
static ALONE: Mutex<()> = Mutex::new(());

/// Nothing longer is made.
const MOST: usize = 64 << 10;

fn corpus(name: &str) -> Vec<Vec<u8>> {
    let folder = checkout("fuzz/corpus").join(name);
    let mut paths: Vec<_> = std::fs::read_dir(&folder)
        .unwrap_or_else(|error| panic!("{}: {error}", folder.display()))
        .map(|entry| entry.expect("an entry").path())
        .collect();
    paths.sort();
    let read = |path| std::fs::read(path).expect("an input can be read");
    paths.into_iter().map(read).collect()
}

/// Written out where the target panics, or ends the process.
struct Input {
    path: std::path::PathBuf,
}

impl Input {
    fn new(name: &str) -> Self {
        let path =
            std::env::temp_dir().join(format!("dormouse-fuzz-{name}-{}", std::process::id()));
        Self { path }
    }

    fn run(&self, target: &targets::Target, data: &[u8]) {
        std::fs::write(&self.path, data).expect("an input can be written");
        let run = std::panic::AssertUnwindSafe(|| (target.run)(data));
        if let Err(panic) = std::panic::catch_unwind(run) {
            eprintln!("the input is in {}", self.path.display());
            std::panic::resume_unwind(panic);
        }
    }

    fn done(&self) {
        std::fs::remove_file(&self.path).expect("it was written");
    }
}

fn fuzz(name: &str) {
    let _alone = ALONE.lock().unwrap_or_else(PoisonError::into_inner);
    let target = targets::TARGETS.iter().find(|target| target.name == name);
    let target = target.expect("a target of this name");
    let input = Input::new(name);
    let pool = corpus(name);
    assert!(!pool.is_empty(), "the corpus is empty");
    for data in &pool {
        input.run(target, data);
    }
    let seconds = match std::env::var("DORMOUSE_FUZZ_SECONDS") {
        Ok(seconds) => seconds.parse().expect("DORMOUSE_FUZZ_SECONDS is a number"),
        Err(_) => 2.0,
    };
    let seed = fastrand::u64(..);
    let mut random = fastrand::Rng::with_seed(seed);
    let started = Instant::now();
    let mut runs = 0;
    while started.elapsed() < Duration::from_secs_f64(seconds) {
        let mut data = pool[random.usize(..pool.len())].clone();
        for _ in 0..=random.u8(..3) {
            let mut bytes = random.fork();
            let mut base = |data: &mut Vec<u8>, most| change(data, most, &mut bytes);
            data = (target.mutate)(data, MOST, &mut random, &mut base);
        }
        input.run(target, &data);
        runs += 1;
    }
    println!(
        "{name}: {} inputs, {runs} mutations, seed {seed}",
        pool.len()
    );
    input.done();
}

/// Changes bytes at random.
fn change(data: &mut Vec<u8>, most: usize, random: &mut fastrand::Rng) {
    for _ in 0..=random.u8(..4) {
        let at = random.usize(..=data.len());
        match random.u8(..6) {
            0 => data.insert(at, random.u8(..)),
            1 => data.truncate(at),
            2 => {
                let end = (at + random.usize(..16)).min(data.len());
                let part = data[at..end].to_vec();
                data.splice(at..at, part);
            }
            3 => {
                let end = (at + random.usize(..8)).min(data.len());
                data.drain(at..end);
            }
            _ => {
                if let Some(byte) = data.get_mut(at) {
                    *byte = match random.u8(..4) {
                        0 => 0xff,
                        1 => 0,
                        2 => *byte ^ (1 << random.u8(..8)),
                        _ => random.u8(..),
                    }
                }
            }
        }
    }
    data.truncate(most);
}

macro_rules! tests {
    ($($name:ident)*) => {$(
        #[test]
        fn $name() {
            fuzz(stringify!($name));
        }
    )*

        /// A target that nothing ran would find nothing.
        #[test]
        fn every_target_is_run() {
            let known: Vec<&str> = targets::TARGETS.iter().map(|target| target.name).collect();
            assert_eq!(known, [$(stringify!($name)),*]);
        }

        /// Writes what each corpus starts from; for `make fuzz-hour`.
        #[test]
        #[ignore = "writes to fuzz/corpus"]
        fn record_seeds() {
            for target in targets::TARGETS {
                let folder = checkout("fuzz/corpus").join(target.name);
                std::fs::create_dir_all(&folder).expect("a folder");
                for seed in (target.seeds)() {
                    let name = blake3::hash(&seed).to_hex();
                    std::fs::write(folder.join(&name[..16]), seed).expect("it can be written");
                }
            }
        }
    };
}

tests! { container envelope memory wasi thaw module smith component api }
