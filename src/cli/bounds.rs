//! The flags that say how much a guest may take.

use super::exit::Failure;
use crate::error::Error;
use crate::model::{Limits, OnLimit, Reached, Setting};

/// How much a guest may take.
#[derive(Clone, Debug, Default, clap::Args)]
pub(super) struct Bounds {
    /// Limit what the guest may take: memory, table, stack, suspended-stack, cpu, time, files, file-size,
    /// writes, output, tmpfs, snapshot, module or functions, such as cpu=10m, memory=512M or files=none; cpu, writes
    /// and output also for each period, such as cpu=1h/d.
    #[arg(long = "limit", value_name = "NAME=VALUE")]
    pub limits: Vec<Setting>,
    /// What becomes of a task that reaches a limit: end, or pause (it is suspended, to go on with a higher
    /// one). If left out, one with a period pauses it, and any other ends it.
    #[arg(long, value_name = "end|pause")]
    pub on_limit: Option<OnLimit>,
}

impl Bounds {
    /// The limits by default, with what was given.
    pub(super) fn limits(&self) -> Limits {
        self.over(Limits::default())
    }

    /// Those of a daemon by default, with what was given.
    #[cfg(feature = "server")]
    pub(super) fn daemon(&self) -> Limits {
        self.over(Limits::daemon())
    }

    fn over(&self, limits: Limits) -> Limits {
        let mut limits = limits.with(self.limits.iter().copied());
        limits.on_limit = self.on_limit;
        limits
    }
}

/// A limit that was reached, as the command line says it.
pub(super) fn failure(reached: Reached) -> Failure {
    Failure::new(
        super::exit::LIMIT,
        Error::new(crate::error::ErrorKind::Limit, reached).to_string(),
    )
}

/// The memory of a daemon.
#[cfg(feature = "server")]
pub(super) fn memory(text: &str) -> Result<Size, String> {
    let size: Size = text.parse()?;
    match size.0 < 64 << 20 {
        true => Err("a daemon needs 64M at least".into()),
        false => Ok(size),
    }
}

/// A number of bytes: with K, M or G, of 1024 each.
#[cfg(feature = "server")]
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Size(pub u64);

#[cfg(feature = "server")]
impl std::str::FromStr for Size {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        crate::model::limits::parse_bytes(text)
            .map(Self)
            .ok_or_else(|| format!("{text:?} is no size; write 512K, 256M or 1G"))
    }
}
