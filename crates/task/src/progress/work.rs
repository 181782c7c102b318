//! Work on a module, and how long it takes.

use std::fmt;
use std::time::Duration;

use serde::{Deserialize, Serialize};

use crate::engine::EngineKind;
use crate::instrument::Transform;

/// Work on a module that is done once, and kept in the cache.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum Work {
    /// It is made resumable.
    Rewriting,
    /// The resumable module becomes machine code.
    Compiling(EngineKind),
}

/// How many times as fast as Binaryen the native transform is, as measured with SQLite and with
/// programs in Go.
const NATIVE_IS_FASTER: u32 = 40;

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

    /// About how long it takes to rewrite this many bytes of code by a transform, where nobody else
    /// needs the processor.
    pub(super) fn about_rewriting(bytes: u64, transform: Transform) -> Duration {
        let by_binaryen = Self::Rewriting.about(bytes);
        match transform {
            Transform::Native => by_binaryen / NATIVE_IS_FASTER,
            _ => by_binaryen,
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
    /// What is being done, for `VERB NAME FORM`: see [`begins`](super::begins) and
    /// [`ended`](super::ended).
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Rewriting => f.write_str("resumable"),
            Self::Compiling(engine) => write!(f, "ready for {engine}"),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const SECOND: Duration = Duration::from_secs(1);

    #[test]
    fn more_code_takes_longer() {
        let small = Work::Rewriting.about(1000);
        let large = Work::Rewriting.about(10 << 20);
        assert!(small < SECOND && large > SECOND, "{small:?} {large:?}");
        // No overflow, whatever a module's size.
        assert!(Work::Rewriting.about(u64::MAX) > large);
    }
}
