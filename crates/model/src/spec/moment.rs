//! When a daemon starts a task.

use std::fmt;
use std::str::FromStr;
use std::time::Duration;

use jiff::Timestamp as Calendar;
use jiff::civil::DateTime;
use jiff::tz::TimeZone;
use serde::{Deserialize, Deserializer, Serialize, Serializer};

use super::cron::CronExpression;
use crate::Timestamp;
use crate::limits::parse_span;

/// A start is said to be at most this much later than now.
const LONGEST: Duration = Duration::from_secs(100 * 365 * 86_400);

/// When a task starts.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
#[serde(default, deny_unknown_fields)]
pub struct Schedule {
    /// When to start: RFC 3339, such as `2030-01-31T12:00:00Z`, or `+10m` from now; left out, now,
    /// or by `every`.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[cfg_attr(feature = "openapi", schema(value_type = Option<String>))]
    pub at: Option<Moment>,
    /// Start again and again, by an expression of crontab(5) in the daemon's local time.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[cfg_attr(feature = "openapi", schema(value_type = Option<String>))]
    pub every: Option<CronExpression>,
}

impl Schedule {
    /// This one with another laid over it.
    pub(super) fn overlaid(self, over: Self) -> Self {
        let Self { at, every } = over;
        Self {
            at: at.or(self.at),
            every: every.or(self.every),
        }
    }

    pub(super) fn is_default(&self) -> bool {
        *self == Self::default()
    }
}

/// A moment of the wall clock.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Moment {
    /// This one. A store holds 63 bits of its nanoseconds.
    At(Timestamp),
    /// So much later than when somebody looks at the clock.
    In(Duration),
}

impl Moment {
    /// Which one it is, where it is `now`.
    pub fn resolve(self, now: Timestamp) -> Timestamp {
        match self {
            Self::At(at) => at,
            Self::In(later) => {
                let at = now.saturating_add(later).as_nanos();
                Timestamp::from_nanos(at.min(i64::MAX as u64))
            }
        }
    }
}

impl fmt::Display for Moment {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::At(at) => {
                let at = i128::from(at.as_nanos());
                Calendar::from_nanosecond(at)
                    .unwrap_or(Calendar::MAX)
                    .fmt(f)
            }
            Self::In(later) => {
                let text = humantime::format_duration(*later).to_string();
                write!(f, "+{text}")
            }
        }
    }
}

impl FromStr for Moment {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let wrong = || {
            let start: String = text.chars().take(60).collect();
            format!(
                "{start:?} is no time; write 2030-01-31T12:00:00Z (UTC), or +10m from now, up to the year \
                 2262"
            )
        };
        if let Some(later) = text.strip_prefix('+') {
            let later = parse_span(later).ok_or_else(wrong)?;
            return match later <= LONGEST {
                true => Ok(Self::In(later)),
                false => Err(wrong()),
            };
        }
        // Without an offset it is UTC.
        let utc = |text: &str| {
            let time: DateTime = text.parse().ok()?;
            TimeZone::UTC.to_timestamp(time).ok()
        };
        let time = text.parse::<Calendar>().ok().or_else(|| utc(text));
        let at = time.and_then(|time| i64::try_from(time.as_nanosecond()).ok());
        let at = at.and_then(|at| u64::try_from(at).ok());
        at.map(|at| Self::At(Timestamp::from_nanos(at)))
            .ok_or_else(wrong)
    }
}

// Its message cuts what is long, and so no bound is needed.
impl Serialize for Moment {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(self)
    }
}

impl<'de> Deserialize<'de> for Moment {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let text = String::deserialize(deserializer)?;
        text.parse().map_err(serde::de::Error::custom)
    }
}
