//! When a wait becomes a suspend.

use std::str::FromStr;
use std::time::Duration;

use super::task::Task;
use crate::model::Wait;

/// When a wait becomes a suspend.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Policy {
    /// Wait in the process.
    #[default]
    Never,
    /// Suspend a wait that is known to last longer than this, and any other once it has.
    After(Duration),
    /// Suspend at every wait.
    Always,
}

impl Policy {
    /// Whether the wait that begins now should not even begin.
    pub(super) fn suspends_at_once(self, task: &Task) -> bool {
        // An asynchronous host function and a turn given up are no waits of the guest's.
        if matches!(task.wait(), None | Some(Wait::Host { .. } | Wait::Yield)) {
            return false;
        }
        match self {
            Self::Never => false,
            Self::Always => true,
            Self::After(limit) => task.remaining().is_some_and(|left| left > limit),
        }
    }

    /// Completes when a wait of unknown length has lasted too long.
    pub(super) async fn patience_ends(self, wait: Option<Wait>) {
        match (self, wait) {
            (Self::After(limit), Some(Wait::Poll { .. })) => tokio::time::sleep(limit).await,
            _ => std::future::pending().await,
        }
    }
}

impl FromStr for Policy {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        match text {
            "never" => return Ok(Self::Never),
            "always" => return Ok(Self::Always),
            _ => {}
        }
        let duration = text
            .strip_prefix("after=")
            .ok_or_else(|| format!("{text:?} is none of never, after=DURATION, always"))?;
        parse_duration(duration)
            .map(Self::After)
            .ok_or_else(|| format!("{duration:?} is no duration; write 500ms, 10s, 5m, 2h or 1d"))
    }
}

/// A number with a unit.
fn parse_duration(text: &str) -> Option<Duration> {
    let split = text.find(|c: char| !c.is_ascii_digit() && c != '.')?;
    let (number, unit) = text.split_at(split);
    crate::model::duration(number, unit)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn policies_read_as_documented() {
        assert_eq!("never".parse(), Ok(Policy::Never));
        assert_eq!("always".parse(), Ok(Policy::Always));
        let seconds = |s| Ok(Policy::After(Duration::from_secs(s)));
        assert_eq!("after=90s".parse(), seconds(90));
        assert_eq!("after=1.5m".parse(), seconds(90));
        assert_eq!("after=1d".parse(), seconds(86400));
        for wrong in [
            "",
            "after",
            "after=",
            "after=5",
            "after=s",
            "after=-1s",
            "sometimes",
        ] {
            assert!(wrong.parse::<Policy>().is_err(), "{wrong}");
        }
    }
}
