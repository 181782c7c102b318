//! Times and spans of time on the command line.

use std::fmt;
use std::str::FromStr;
use std::time::Duration;
#[cfg(feature = "server")]
use std::time::{SystemTime, UNIX_EPOCH};

use crate::model::limits::parse_span;

/// The longest span that is taken: sums of such spans and of times of day cannot overflow.
const LONGEST_SPAN: Duration = Duration::from_secs(100 * 365 * 86_400);

/// The longest that a daemon waits for a guest that is to move. The API has the same limit.
#[cfg(feature = "server")]
const LONGEST_WAIT_TO_MOVE: Duration = Duration::from_secs(1_000_000);

/// A span of time: `500ms`, `10s`, `1h 30m`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Span(pub(crate) Duration);

impl FromStr for Span {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let wrong = || format!("{text:?} is no duration; write 500ms, 10s, 5m, 2h or 1d");
        let span = parse_span(text).ok_or_else(wrong)?;
        match span <= LONGEST_SPAN {
            true => Ok(Self(span)),
            false => Err("at most 100 years (36500d) can be said".into()),
        }
    }
}

impl fmt::Display for Span {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        humantime::format_duration(self.0).fmt(f)
    }
}

/// A period: the time from one repetition to the next.
pub(crate) fn period(text: &str) -> Result<Span, String> {
    match text.parse()? {
        Span(Duration::ZERO) => {
            Err("something that is done every 0 s leaves no time for the guest".into())
        }
        span => Ok(span),
    }
}

/// How long to wait for a guest that is to move and computes.
#[cfg(feature = "server")]
pub(crate) fn wait_to_move(text: &str) -> Result<Span, String> {
    match text.parse()? {
        Span(span) if span > LONGEST_WAIT_TO_MOVE => Err("at most 1000000s can be said".into()),
        span => Ok(span),
    }
}

/// A point in time.
#[cfg(feature = "server")]
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct At(pub(crate) SystemTime);

/// Whether a store can hold a time: nanoseconds since 1970 in 63 bits.
#[cfg(feature = "server")]
fn is_stored(time: SystemTime) -> bool {
    let since = time.duration_since(UNIX_EPOCH);
    since.is_ok_and(|since| i64::try_from(since.as_nanos()).is_ok())
}

#[cfg(feature = "server")]
impl fmt::Display for At {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        humantime::format_rfc3339_millis(self.0).fmt(f)
    }
}

/// A point in time that has passed: RFC 3339, or `10m` for ten minutes ago.
#[cfg(feature = "server")]
pub(crate) fn since(text: &str) -> Result<At, String> {
    let long_ago = text.parse().map(|Span(ago)| {
        // Nothing was written before 1970.
        At(SystemTime::now()
            .checked_sub(ago)
            .map_or(UNIX_EPOCH, |time| time.max(UNIX_EPOCH)))
    });
    long_ago.or_else(|_| {
        let time = humantime::parse_rfc3339_weak(text)
            .ok()
            .filter(|time| is_stored(*time));
        time.map(At).ok_or_else(|| {
            "write 2030-01-31T12:00:00Z (UTC), or 10m for ten minutes ago".to_string()
        })
    })
}
