//! The flags that say how much a guest may take.

#[cfg(feature = "server")]
use crate::model::Limits;
use crate::model::{OnLimit, Setting, TaskSpec};

/// How much a guest may take.
#[derive(Clone, Debug, Default, clap::Args)]
pub(crate) struct LimitFlags {
    /// Limit what the guest may take: memory, table, stack, suspended-stack, cpu, time, files,
    /// file-size, writes, output, tmpfs, snapshot, module or functions, such as cpu=10m,
    /// memory=512M or files=none; cpu, writes and output also for each period, such as cpu=1h/d.
    #[arg(long = "limit", value_name = "NAME=VALUE")]
    pub limits: Vec<Setting>,
    /// What becomes of a task that reaches a limit: end, or pause (it is suspended, to go on with a
    /// higher one). If left out, a limit with a period pauses the task, and any other ends it.
    #[arg(long, value_name = "end|pause")]
    pub on_limit: Option<OnLimit>,
}

impl LimitFlags {
    pub(crate) fn say(&self, spec: &mut TaskSpec) {
        let Self { limits, on_limit } = self;
        spec.limits = limits.iter().copied().collect();
        spec.on_limit = *on_limit;
    }

    /// The limits by default, with what was given.
    #[cfg(feature = "server")]
    pub(crate) fn limits(&self) -> Limits {
        self.over(Limits::default())
    }

    /// Those of a daemon by default, with what was given.
    #[cfg(feature = "server")]
    pub(crate) fn daemon(&self) -> Limits {
        self.over(Limits::daemon())
    }

    #[cfg(feature = "server")]
    fn over(&self, limits: Limits) -> Limits {
        let mut limits = limits.with(self.limits.iter().copied());
        limits.on_limit = self.on_limit;
        limits
    }
}
