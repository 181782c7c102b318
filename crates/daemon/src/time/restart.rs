//! Whether a task that has ended is started anew.

use std::fmt;
use std::str::FromStr;
use std::time::Duration;

use serde::{Deserialize, Serialize};

use super::backoff::Backoff;

/// How long a restart waits.
const WAIT: Backoff = Backoff {
    first: Duration::from_secs(1),
    longest: Duration::from_secs(300),
};

/// After a run that lasted so long, in nanoseconds, the next restart waits as the first one.
pub(crate) const SETTLED_RUN_NANOS: u64 = 600_000_000_000;

/// When a task that has ended is started anew, from its beginning.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Restart {
    /// Not at all.
    #[default]
    Never,
    /// Where it has trapped, reached a limit, or ended with another code than 0.
    OnFailure,
    /// Whenever it has ended, unless it was killed.
    Always,
}

impl Restart {
    /// Whether a task is started anew that has failed, or has not.
    pub(crate) fn applies(self, failed: bool) -> bool {
        match self {
            Self::Never => false,
            Self::OnFailure => failed,
            Self::Always => true,
        }
    }

    /// How long the restart after so many in a row waits.
    pub(crate) fn wait(restarts: u32) -> Duration {
        WAIT.after(restarts)
    }
}

impl FromStr for Restart {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        match text {
            "never" => Ok(Self::Never),
            "on-failure" => Ok(Self::OnFailure),
            "always" => Ok(Self::Always),
            _ => Err(format!("{text:?} is none of never, on-failure, always")),
        }
    }
}

impl fmt::Display for Restart {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Never => "never",
            Self::OnFailure => "on-failure",
            Self::Always => "always",
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn waits_double_up_to_five_minutes() {
        let waits: Vec<u64> = (0..11).map(|n| Restart::wait(n).as_secs()).collect();
        assert_eq!(waits, [1, 2, 4, 8, 16, 32, 64, 128, 256, 300, 300]);
        assert_eq!(Restart::wait(u32::MAX), WAIT.longest);
    }

    #[test]
    fn names_read_back() {
        for restart in [Restart::Never, Restart::OnFailure, Restart::Always] {
            assert_eq!(restart.to_string().parse(), Ok(restart));
        }
    }
}
