//! The same program under dormouse: unwound at every call that may block, and at some of them
//! taken down to bytes and brought back in a fresh instance. With checks also in between.

use std::fs::File;
use std::io::Write;
use std::sync::{Arc, Mutex, PoisonError};

use dormouse::task::quiet;
use dormouse::wasi::{Bindings, Input, Output};
use dormouse::{EngineKind, Error, ErrorKind, Limits, Runtime, Snapshot, Step, Task, Transform};

use super::{Ending, Outcome};

/// Snapshots of one program at most: each costs an instance.
const SNAPSHOTS: usize = 24;

/// So many suspends, and no more of them at checks: a loop over all memory makes thousands.
const SUSPENDS: usize = 400;

/// A run to the end.
pub struct Run {
    pub outcome: Outcome,
    pub suspends: usize,
    pub snapshots: usize,
}

/// Why there was none.
pub enum Failure {
    /// The module cannot be suspended; what is allowed, if it is not the rule.
    Refused(String),
    Broken(String),
}

impl From<Error> for Failure {
    fn from(error: Error) -> Self {
        Self::Broken(format!("{:?}: {error}", error.kind()))
    }
}

/// Runs a program. `engines` take turns.
pub fn run(
    wasm: &[u8],
    input: &[u8],
    transform: Transform,
    preempt: bool,
    engines: [EngineKind; 2],
    random: &mut fastrand::Rng,
) -> Result<Run, Failure> {
    let broken = |e: std::io::Error| Failure::Broken(e.to_string());
    let folder = tempfile::tempdir().map_err(broken)?;
    let path = folder.path().join("stdin");
    File::create(&path)
        .and_then(|mut file| file.write_all(input))
        .map_err(broken)?;
    let stdin = File::open(&path).map_err(broken)?;
    let output = Arc::new(Mutex::new(Vec::new()));
    let bindings = || -> Result<Bindings, Failure> {
        Ok(Bindings {
            stdin: Input::File(stdin.try_clone().map_err(broken)?),
            stdout: Output::Capture(output.clone()),
            ..Bindings::default()
        })
    };

    let runtime = Runtime::builder()
        .cache(folder.path().join("cache"))
        .transform(transform)
        .preempt(preempt)
        .build()?;
    let program = match runtime.instrument(wasm, &quiet) {
        Ok((program, _)) => program,
        Err(error) if error.kind() == ErrorKind::Module => {
            return Err(Failure::Refused(reason(&error.to_string())));
        }
        Err(error) => return Err(error.into()),
    };
    let new = Task::builder(&runtime, &program)
        .engine(engines[0])
        .bindings(bindings()?);
    let (mut suspends, mut snapshots) = (0, 0);
    let mut task = match new.start() {
        Ok(task) => task,
        // A segment lies outside its memory or table.
        Err(error) if is_trap(&error) => {
            let ending = Ending::Trapped;
            let outcome = Outcome {
                output: Vec::new(),
                ending,
            };
            return Ok(Run {
                outcome,
                suspends,
                snapshots,
            });
        }
        Err(error) => return Err(error.into()),
    };
    task.set_unwind_always(true);
    // All, hardly any, or something between.
    let often = [1.0, 0.5, 0.1, 0.02][random.usize(..4)];
    // The same for checks, but none only where there are none.
    let checked = [1.0, 0.3, 0.03, 0.003][random.usize(..4)];
    let ending = loop {
        if preempt && suspends < SUSPENDS && random.f64() < checked {
            task.preempt_next();
        }
        match task.step() {
            Ok(Step::Exited(code)) => break Ending::Exited(code),
            Ok(Step::Parked(_)) => suspends += 1,
            Err(error) if is_trap(&error) => break Ending::Trapped,
            Err(error) => return Err(error.into()),
        }
        if snapshots < SNAPSHOTS && random.f64() < often {
            let bytes = task.parked().map_err(Error::from)?.freeze()?.encode()?;
            let snapshot = Snapshot::decode(&bytes, &Limits::default())?;
            let program = runtime.load_snapshot(&snapshot)?;
            task = Task::builder(&runtime, &program)
                .engine(engines[(snapshots + 1) % 2])
                .bindings(bindings()?)
                .resume(&snapshot)?;
            task.set_unwind_always(true);
            snapshots += 1;
        }
    };
    drop(task);
    let output = std::mem::take(&mut *output.lock().unwrap_or_else(PoisonError::into_inner));
    Ok(Run {
        outcome: Outcome { output, ending },
        suspends,
        snapshots,
    })
}

/// A refusal without names and numbers.
fn reason(text: &str) -> String {
    let words = text
        .split(' ')
        .filter(|word| !word.contains('`') && !word.chars().any(|letter| letter.is_ascii_digit()));
    words.collect::<Vec<_>>().join(" ")
}

/// A guest that traps after a limit was told to it is said to have met the limit.
fn is_trap(error: &Error) -> bool {
    match error.kind() {
        ErrorKind::Trap => true,
        ErrorKind::Limit => error.to_string().contains("the guest trapped"),
        _ => false,
    }
}
