//! The differential fuzzer: resumed equals uninterrupted, on programs that nobody wrote.
//!
//! ```text
//!   seed -> program --as it is, on plain Wasmtime----------------------> output, ending   (oracle)
//!              `-----rewritten, suspended at random calls through the
//!                    bytes of snapshots, engines in turn---------------> output, ending   (subject)
//! ```
//!
//! A program prints numbers on its way and, at its end, a hash of its memory and its globals. Two
//! sources of programs: `generate` makes structured ones around blocking calls, `smith` lets
//! wasm-smith make any valid module and puts blocking calls at random places.
//!
//! `DORMOUSE_FUZZ_PROGRAMS` says how many programs, `DORMOUSE_FUZZ_SEED` which is the first, and
//! `DORMOUSE_FUZZ_TRANSFORM` how all of them are rewritten. With `DORMOUSE_FUZZ_OBJECTS=1` programs
//! without objects are left out.

#![allow(
    clippy::expect_used,
    clippy::panic,
    clippy::too_many_lines,
    clippy::unreachable,
    clippy::unwrap_used,
    reason = "a test may fail"
)]

mod generate;
mod harness;
mod older;
mod oracle;
mod smith;
mod subject;

use std::collections::BTreeMap;
use std::fmt::{self, Write};
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Mutex, PoisonError};

use dormouse::{EngineKind, Transform};
use libtest_mimic::{Arguments, Failed, Trial};

/// Programs in the short run, and in one trial.
const SHORT: u64 = 240;
const AT_A_TIME: u64 = 20;
/// WasmEdge takes part in one program of so many: its compiler is slow.
const WASMEDGE: u64 = 8;
/// Of so many programs, this is how each is rewritten: all transforms have the same oracle, and so
/// are each other's.
const TRANSFORMS: [Transform; 5] = [
    Transform::Plain,
    Transform::Native,
    Transform::TwoVersion,
    Transform::Native,
    Transform::TwoVersion,
];
/// One program of so many has checks, and is suspended at some of those too.
const CHECKED: u64 = 2;

/// What one run of a program came to.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Outcome {
    /// What it wrote to standard output.
    pub output: Vec<u8>,
    /// How it ended.
    pub ending: Ending,
}

impl fmt::Display for Outcome {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for number in self.output.chunks(8) {
            let digits = number.iter().rev().map(|byte| format!("{byte:02x}"));
            write!(f, "{} ", digits.collect::<String>())?;
        }
        write!(f, "{:?}", self.ending)
    }
}

/// How a program ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Ending {
    /// With this exit code.
    Exited(u32),
    /// By a trap.
    Trapped,
}

#[derive(Default)]
struct Counts {
    programs: AtomicUsize,
    suspends: AtomicUsize,
    snapshots: AtomicUsize,
    traps: AtomicUsize,
    checked: AtomicUsize,
    objects: AtomicUsize,
    refused: Mutex<BTreeMap<String, usize>>,
}

static COUNTS: Counts = Counts {
    programs: AtomicUsize::new(0),
    suspends: AtomicUsize::new(0),
    snapshots: AtomicUsize::new(0),
    traps: AtomicUsize::new(0),
    checked: AtomicUsize::new(0),
    objects: AtomicUsize::new(0),
    refused: Mutex::new(BTreeMap::new()),
};

fn main() {
    let arguments = Arguments::from_args();
    let first = number("DORMOUSE_FUZZ_SEED").unwrap_or(1);
    let last = first + number("DORMOUSE_FUZZ_PROGRAMS").unwrap_or(SHORT);
    let starts = (first..last).step_by(AT_A_TIME as usize);
    let trials = starts.map(|start| {
        let seeds = start..last.min(start + AT_A_TIME);
        let name = format!("programs {}..{}", seeds.start, seeds.end);
        Trial::test(name, move || seeds.clone().try_for_each(check))
    });
    let conclusion = libtest_mimic::run(&arguments, trials.collect());
    let refused = COUNTS
        .refused
        .lock()
        .unwrap_or_else(PoisonError::into_inner);
    let count = |counter: &AtomicUsize| counter.load(Ordering::Relaxed);
    let (programs, all) = (count(&COUNTS.programs), refused.values().sum::<usize>());
    println!(
        "{programs} programs, {} of them with checks, {} with objects that were taken, {} suspends, {} of them through a \
         snapshot, {} traps, {all} refused: {refused:?}\n",
        count(&COUNTS.checked),
        count(&COUNTS.objects),
        count(&COUNTS.suspends),
        count(&COUNTS.snapshots),
        count(&COUNTS.traps),
    );
    // A fuzzer that tests refusals only tests nothing.
    assert!(
        programs < 40 || count(&COUNTS.checked) * 6 > programs,
        "hardly any had checks"
    );
    // Of those with objects more are: wasm-smith likes to keep them.
    let part = if only_objects() { 2 } else { 5 };
    assert!(all * part <= programs, "one in {part} was refused, or more");
    conclusion.exit();
}

/// Whether programs without objects are left out.
fn only_objects() -> bool {
    number("DORMOUSE_FUZZ_OBJECTS").is_some_and(|only| only > 0)
}

fn number(variable: &str) -> Option<u64> {
    let text = std::env::var(variable).ok()?;
    Some(text.parse().expect("a number"))
}

/// One program: as it is, and suspended.
fn check(seed: u64) -> Result<(), Failed> {
    let mut random = fastrand::Rng::with_seed(seed);
    let (wasm, older, objects) = match seed % 3 {
        0 => match smith::program(&mut random) {
            Some((wasm, objects)) => (wasm, None, objects),
            None => return Ok(()),
        },
        _ => {
            let made = generate::program(&mut random);
            (made.wasm, made.older, made.objects)
        }
    };
    if only_objects() && !objects {
        return Ok(());
    }
    let input: Vec<u8> = (0..64).map(|_| random.u8(..)).collect();
    let expected = oracle::run(&wasm, &input);
    let transform = match std::env::var("DORMOUSE_FUZZ_TRANSFORM") {
        Ok(name) => name.parse()?,
        // Neither Binaryen nor WasmEdge know them.
        Err(_) if objects => Transform::Native,
        Err(_) => TRANSFORMS[seed as usize % TRANSFORMS.len()],
    };
    let takes_part = seed.is_multiple_of(WASMEDGE) && !objects;
    let engines = match EngineKind::WasmEdge.is_available() && takes_part {
        true => [EngineKind::Wasmtime, EngineKind::WasmEdge],
        false => [EngineKind::Wasmtime; 2],
    };
    COUNTS.programs.fetch_add(1, Ordering::Relaxed);
    // The oracle does not know the older form of exceptions, but the same program in the final one.
    let wasm = older.unwrap_or(wasm);
    // By threes, so that it goes with each kind of program, each transform and each engine.
    let mut preempt = (seed / 3).is_multiple_of(CHECKED);
    let mut run = |preempt| subject::run(&wasm, &input, transform, preempt, engines, &mut random);
    let mut found = run(preempt);
    if preempt && matches!(found, Err(subject::Failure::Refused(_))) {
        // More functions may be on the stack with checks, and so more is refused.
        preempt = false;
        found = run(preempt);
    }
    if preempt {
        COUNTS.checked.fetch_add(1, Ordering::Relaxed);
    }
    let report = match found {
        Ok(run) => {
            COUNTS.suspends.fetch_add(run.suspends, Ordering::Relaxed);
            COUNTS.snapshots.fetch_add(run.snapshots, Ordering::Relaxed);
            COUNTS
                .objects
                .fetch_add(usize::from(objects), Ordering::Relaxed);
            if run.outcome.ending == Ending::Trapped {
                COUNTS.traps.fetch_add(1, Ordering::Relaxed);
            }
            match run.outcome == expected {
                true => return Ok(()),
                false => format!("as it is:  {expected}\nsuspended: {}", run.outcome),
            }
        }
        Err(subject::Failure::Refused(reason)) => {
            let mut refused = COUNTS
                .refused
                .lock()
                .unwrap_or_else(PoisonError::into_inner);
            *refused.entry(reason).or_default() += 1;
            return Ok(());
        }
        Err(subject::Failure::Broken(error)) => error,
    };
    let file = std::env::temp_dir().join(format!("dormouse-fuzz-{seed}.wasm"));
    let mut message =
        format!("seed {seed} ({transform:?}, checks {preempt}, {engines:?}): {report}");
    match std::fs::write(&file, &wasm) {
        Ok(()) => _ = write!(message, "\nthe program is in {}", file.display()),
        Err(error) => _ = write!(message, "\nthe program could not be written: {error}"),
    }
    _ = write!(
        message,
        "\nagain: DORMOUSE_FUZZ_SEED={seed} DORMOUSE_FUZZ_PROGRAMS=1 cargo test --test differential"
    );
    Err(message.into())
}
