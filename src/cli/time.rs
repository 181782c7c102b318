//! Times and spans of time on the command line.

use std::fmt;
use std::str::FromStr;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

/// No span is longer: with it, any sum of times that is made here can be written down.
const LONGEST: Duration = Duration::from_secs(100 * 365 * 86_400);

/// The longest that another daemon is asked to wait; so the API has it too.
#[cfg(feature = "server")]
const MOST_PATIENCE: Duration = Duration::from_secs(1_000_000);

/// A span of time: `500ms`, `10s`, `1h 30m`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Span(pub(super) Duration);

impl FromStr for Span {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let span = humantime::parse_duration(text.trim())
            .map_err(|error| format!("{error}; write 500ms, 10s, 5m, 2h or 1d"))?;
        match span <= LONGEST {
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

/// A span after which something is done again and again.
pub(super) fn period(text: &str) -> Result<Span, String> {
    match text.parse()? {
        Span(Duration::ZERO) => {
            Err("something that is done every 0 s leaves no time for the guest".into())
        }
        span => Ok(span),
    }
}

/// How long to wait for a guest of a daemon's.
#[cfg(feature = "server")]
pub(super) fn patience(text: &str) -> Result<Span, String> {
    match text.parse()? {
        Span(span) if span > MOST_PATIENCE => Err("at most 1000000s can be said".into()),
        span => Ok(span),
    }
}

/// A moment: RFC 3339, or so much later than now.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct At(pub(super) SystemTime);

impl FromStr for At {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let wrong = || "write 2030-01-31T12:00:00Z (UTC), or +10m from now".to_string();
        let time = match text.strip_prefix('+') {
            Some(later) => later
                .parse()
                .ok()
                .and_then(|Span(later)| SystemTime::now().checked_add(later)),
            None => humantime::parse_rfc3339_weak(text).ok(),
        };
        let time = time.ok_or_else(wrong)?;
        match is_stored(time) {
            true => Ok(Self(time)),
            false => Err(format!("{}; up to the year 2262", wrong())),
        }
    }
}

/// Whether a store can hold it: nanoseconds since 1970 in 63 bits.
fn is_stored(time: SystemTime) -> bool {
    let since = time.duration_since(UNIX_EPOCH);
    since.is_ok_and(|since| i64::try_from(since.as_nanos()).is_ok())
}

impl fmt::Display for At {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        humantime::format_rfc3339_millis(self.0).fmt(f)
    }
}

/// A moment in the past: RFC 3339, or so long ago.
#[cfg(feature = "server")]
pub(super) fn since(text: &str) -> Result<At, String> {
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
