//! What is reported of the work on a module, and how long that will take.

use std::cell::Cell;
use std::fmt;
use std::time::{Duration, Instant};

use crate::engine::EngineKind;
use crate::instrument;

/// The stages of the work on a module: those of the instrumentation, then compiling.
pub(super) const STAGES: usize = instrument::Step::ALL.len() + 1;

/// Work on a module that is done once, and kept in the cache.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Work {
    /// It is made resumable.
    Rewriting,
    /// The resumable module becomes machine code.
    Compiling(EngineKind),
}

impl Work {
    /// Seconds of processor time for each MiB of code: code of the source that is instrumented, and
    /// for engines code of the resumable module. Measured with programs in Go and C++ of 2 to 6 MB,
    /// on a machine of 2026.
    fn seconds_per_mebibyte(self) -> f64 {
        match self {
            Self::Rewriting => 17.5,
            Self::Compiling(EngineKind::Wasmtime) => 1.5,
            Self::Compiling(EngineKind::WasmEdge) => 2.0,
        }
    }

    /// How much of the work is done by one core alone.
    fn serial(self) -> f64 {
        match self {
            Self::Compiling(EngineKind::WasmEdge) => 1.0,
            // On two cores it takes 0.55 of the processor time.
            Self::Rewriting | Self::Compiling(EngineKind::Wasmtime) => 0.1,
        }
    }

    /// About how long it takes for this many bytes of code, where nobody else needs the processor.
    pub(super) fn about(self, bytes: u64) -> Duration {
        // More than some cores do not help.
        let cores = std::thread::available_parallelism()
            .map_or(1, usize::from)
            .min(8) as f64;
        let mebibytes = bytes as f64 / f64::from(1 << 20);
        let processor = mebibytes * self.seconds_per_mebibyte();
        let seconds = processor * (self.serial() + (1.0 - self.serial()) / cores);
        // It is no infinity, whatever the number.
        Duration::try_from_secs_f64(seconds).unwrap_or(Duration::MAX)
    }
}

impl fmt::Display for Work {
    /// What is being done, for `VERB NAME FORM`: see [`begins`] and [`ended`].
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Rewriting => f.write_str("resumable"),
            Self::Compiling(engine) => write!(f, "ready for {engine}"),
        }
    }
}

/// Work that takes less is not spoken of.
const WORTH_TELLING: Duration = Duration::from_secs(1);

/// The line for the beginning of work on a module.
pub fn begins(name: &str, work: Work, about: Duration) -> String {
    let seconds = about.as_secs_f64().ceil().max(1.0);
    format!("making {name} {work}: once, about {seconds:.0} s")
}

/// The line for its end.
pub fn ended(name: &str, work: Work, took: Duration) -> String {
    format!(
        "{name} is {work} now: it took {:.0} s",
        took.as_secs_f64().ceil()
    )
}

/// Gets reports of the work on a module. A function of a stage, its number and the
/// number of stages is one, which hears of nothing else.
pub trait Observer {
    /// A stage of the work begins.
    fn stage(&self, stage: &str, number: usize, stages: usize);

    /// Work begins that is likely to take this long, more than a second.
    fn begins(&self, _work: Work, _about: Duration) {}

    /// That work has been done.
    fn ended(&self, _work: Work, _took: Duration) {}
}

impl<F: Fn(&str, usize, usize)> Observer for F {
    fn stage(&self, stage: &str, number: usize, stages: usize) {
        self(stage, number, stages);
    }
}

/// Told what is being done.
pub type Progress<'a> = &'a dyn Observer;

/// No one wants to know.
pub fn quiet(_: &str, _: usize, _: usize) {}

/// Tells the log. The text is the module's name there.
pub struct LogObserver(pub String);

impl Observer for LogObserver {
    fn stage(&self, stage: &str, _: usize, _: usize) {
        log::debug!("{}: {stage}", self.0);
    }

    fn begins(&self, work: Work, about: Duration) {
        log::info!("{}", begins(&self.0, work, about));
    }

    fn ended(&self, work: Work, took: Duration) {
        log::info!("{}", ended(&self.0, work, took));
    }
}

/// Tells of work that takes long, and of its end.
pub(super) struct Reporter<'a> {
    progress: Progress<'a>,
    work: Work,
    started: Instant,
    told: Cell<bool>,
}

impl<'a> Reporter<'a> {
    pub(super) fn new(progress: Progress<'a>, work: Work) -> Self {
        Self {
            progress,
            work,
            started: Instant::now(),
            told: Cell::new(false),
        }
    }

    /// It is about so much code.
    pub(super) fn begins(&self, bytes: u64) {
        let about = self.work.about(bytes);
        self.told.set(about >= WORTH_TELLING);
        if self.told.get() {
            self.progress.begins(self.work, about);
        }
    }

    /// It has been done.
    pub(super) fn ended(&self) {
        if self.told.get() {
            self.progress.ended(self.work, self.started.elapsed());
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_lines_say_what_and_how_long() {
        let about = Duration::from_millis(1200);
        let wasmtime = Work::Compiling(EngineKind::Wasmtime);
        assert_eq!(
            begins("x.wasm", Work::Rewriting, about),
            "making x.wasm resumable: once, about 2 s"
        );
        assert_eq!(
            begins("x.wasm", wasmtime, about),
            "making x.wasm ready for wasmtime: once, about 2 s"
        );
        assert_eq!(
            ended("x.wasm", Work::Rewriting, about),
            "x.wasm is resumable now: it took 2 s"
        );
    }

    #[test]
    fn more_code_takes_longer() {
        let small = Work::Rewriting.about(1000);
        let large = Work::Rewriting.about(10 << 20);
        assert!(
            small < WORTH_TELLING && large > WORTH_TELLING,
            "{small:?} {large:?}"
        );
        // No overflow, whatever a module's size.
        assert!(Work::Rewriting.about(u64::MAX) > large);
    }
}
