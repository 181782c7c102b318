//! Moments of clocks that nobody sets.

use std::time::Duration;

use serde::{Deserialize, Serialize};

use crate::Timestamp;

/// A moment of a clock that nobody sets and that never goes back, as the time since its zero.
///
/// There are several such clocks, and moments of two of them cannot be compared: each field says of
/// which clock it is, and that clock says where its zero lies.
///
/// It is serialized as a number of nanoseconds alone, which reaches over 584 years.
///
/// ```
/// use std::time::Duration;
/// use dormouse_model::MonotonicTime;
///
/// let begun = MonotonicTime::from_nanos(70);
/// let ended = begun.saturating_add(Duration::from_secs(1));
/// assert_eq!(ended.saturating_duration_since(begun), Duration::from_secs(1));
/// assert_eq!(begun.saturating_duration_since(ended), Duration::ZERO);
/// ```
#[derive(
    Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize,
)]
#[serde(transparent)]
pub struct MonotonicTime(u64);

impl MonotonicTime {
    /// The clock's zero.
    pub const ZERO: Self = Self(0);

    /// The last moment that there is.
    pub const MAX: Self = Self(u64::MAX);

    /// The moment at so many nanoseconds since the clock's zero.
    pub const fn from_nanos(nanoseconds: u64) -> Self {
        Self(nanoseconds)
    }

    /// What a clock shows at first that begins as the wall clock: its zero is the Unix epoch, as
    /// far as the wall clock was right then.
    pub const fn beginning_as(wall: Timestamp) -> Self {
        Self(wall.as_nanos())
    }

    /// Nanoseconds since the clock's zero.
    pub const fn as_nanos(self) -> u64 {
        self.0
    }

    /// The moment so much later, or the last one that there is.
    pub fn saturating_add(self, span: Duration) -> Self {
        Self(self.0.saturating_add(nanos(span)))
    }

    /// The moment so much earlier, or the clock's zero.
    pub fn saturating_sub(self, span: Duration) -> Self {
        Self(self.0.saturating_sub(nanos(span)))
    }

    /// How much time lies between an earlier moment and this one; none if that one is later.
    pub fn saturating_duration_since(self, earlier: Self) -> Duration {
        Duration::from_nanos(self.0.saturating_sub(earlier.0))
    }
}

/// The nanoseconds of a span, at most as many as fit.
fn nanos(span: Duration) -> u64 {
    u64::try_from(span.as_nanos()).unwrap_or(u64::MAX)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn it_is_written_down_as_a_number() {
        let time = MonotonicTime::from_nanos(5_000_000_007);
        let text = serde_json::to_string(&time).expect("a number");
        assert_eq!(text, "5000000007");
        assert_eq!(
            serde_json::from_str::<MonotonicTime>(&text).expect(&text),
            time
        );
    }

    #[test]
    fn arithmetic_ends_at_the_first_and_the_last_moment() {
        let nanosecond = Duration::from_nanos(1);
        let last = MonotonicTime::MAX;
        assert_eq!(last.saturating_add(nanosecond), last);
        assert_eq!(last.saturating_sub(Duration::MAX), MonotonicTime::ZERO);
        let first = MonotonicTime::ZERO.saturating_add(nanosecond);
        assert_eq!(first.as_nanos(), 1);
        assert_eq!(first.saturating_sub(nanosecond), MonotonicTime::ZERO);
    }
}
