//! When a guest is suspended.

use std::fmt;
use std::path::PathBuf;
use std::str::FromStr;
use std::time::Duration;

use serde::{Deserialize, Serialize};

use crate::limits::{exact_time, parse_span};
use crate::text::as_text;

/// When and how a guest is suspended.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
#[serde(default, deny_unknown_fields)]
pub struct Suspend {
    /// `never`, `after=DURATION` or `always`.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[cfg_attr(feature = "openapi", schema(value_type = Option<String>))]
    pub policy: Option<Policy>,
    /// Where to write the snapshot.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[cfg_attr(feature = "openapi", schema(value_type = Option<String>))]
    pub snapshot: Option<PathBuf>,
    /// Leave the module out of it.
    #[serde(skip_serializing_if = "std::ops::Not::not")]
    pub slim: bool,
    /// Put a check into loops and calls, so that the guest can be suspended while it computes.
    #[serde(skip_serializing_if = "std::ops::Not::not")]
    pub preempt: bool,
}

impl Suspend {
    /// This one with another laid over it.
    pub(super) fn overlaid(self, over: Self) -> Self {
        let Self {
            policy,
            snapshot,
            slim,
            preempt,
        } = over;
        Self {
            policy: policy.or(self.policy),
            snapshot: snapshot.or(self.snapshot),
            slim: self.slim || slim,
            preempt: self.preempt || preempt,
        }
    }

    pub(super) fn is_default(&self) -> bool {
        *self == Self::default()
    }
}

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

as_text!(Policy);

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
        let span = parse_span(duration);
        span.map(Self::After)
            .ok_or_else(|| format!("{duration:?} is no duration; write 500ms, 10s, 5m, 2h or 1d"))
    }
}

impl fmt::Display for Policy {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Never => f.write_str("never"),
            Self::Always => f.write_str("always"),
            Self::After(span) => {
                write!(f, "after={}", exact_time(*span))
            }
        }
    }
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

    #[test]
    fn policies_read_back() {
        for text in ["never", "always", "after=90s", "after=0s", "after=0.0015s"] {
            let policy: Policy = text.parse().expect(text);
            assert_eq!(policy.to_string().parse(), Ok(policy), "{policy}");
        }
    }
}
