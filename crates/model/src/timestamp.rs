//! Moments of the wall clock.

use std::fmt;
use std::time::{Duration, SystemTime};

use serde::{Deserialize, Serialize};

/// A moment of the wall clock, as nanoseconds since the Unix epoch.
///
/// It is serialized as that number alone. A `u64` of nanoseconds reaches from 1970 to 2554; a
/// moment before counts as the epoch.
///
/// ```
/// use std::time::Duration;
/// use dormouse_model::Timestamp;
///
/// let noon = Timestamp::from_nanos(1_700_000_000_000_000_000);
/// let later = noon.checked_add(Duration::from_secs(60)).expect("a minute later is before 2554");
/// assert_eq!(later.duration_since(noon), Some(Duration::from_secs(60)));
/// assert_eq!(noon.duration_since(later), None);
/// ```
#[derive(Clone, Copy, Default, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(transparent)]
pub struct Timestamp(u64);

/// How many nanoseconds a second has.
const NANOS_PER_SECOND: u64 = 1_000_000_000;

impl Timestamp {
    /// The Unix epoch: the first moment of 1970 in UTC.
    pub const EPOCH: Self = Self(0);

    /// The last moment that there is, in the year 2554.
    pub const MAX: Self = Self(u64::MAX);

    /// The moment at this many nanoseconds since the Unix epoch.
    pub const fn from_nanos(nanoseconds: u64) -> Self {
        Self(nanoseconds)
    }

    /// The moment of a C `timespec`. One before 1970 becomes the epoch, one after 2554 the last
    /// moment.
    pub fn from_timespec(seconds: i64, nanoseconds: u32) -> Self {
        let Ok(seconds) = u64::try_from(seconds) else {
            return Self::EPOCH;
        };
        let nanos = seconds.saturating_mul(NANOS_PER_SECOND);
        Self(nanos.saturating_add(nanoseconds.into()))
    }

    /// Nanoseconds since the Unix epoch.
    pub const fn as_nanos(self) -> u64 {
        self.0
    }

    /// Whole seconds since the Unix epoch.
    pub const fn seconds(self) -> u64 {
        self.0 / NANOS_PER_SECOND
    }

    /// The nanoseconds behind the whole seconds.
    pub const fn subsec_nanos(self) -> u32 {
        // The remainder is below 10⁹.
        (self.0 % NANOS_PER_SECOND) as u32
    }

    /// The moment this much later; `None` after 2554.
    pub fn checked_add(self, span: Duration) -> Option<Self> {
        let nanos = u64::try_from(span.as_nanos()).ok()?;
        self.0.checked_add(nanos).map(Self)
    }

    /// The moment this much earlier; `None` before 1970.
    pub fn checked_sub(self, span: Duration) -> Option<Self> {
        let nanos = u64::try_from(span.as_nanos()).ok()?;
        self.0.checked_sub(nanos).map(Self)
    }

    /// The moment this much later, or the last one that there is.
    pub fn saturating_add(self, span: Duration) -> Self {
        self.checked_add(span).unwrap_or(Self::MAX)
    }

    /// How much time lies between an earlier moment and this one; `None` if that one is later.
    pub fn duration_since(self, earlier: Self) -> Option<Duration> {
        self.0.checked_sub(earlier.0).map(Duration::from_nanos)
    }

    /// The same, but no time at all if that one is later.
    pub fn saturating_duration_since(self, earlier: Self) -> Duration {
        self.duration_since(earlier).unwrap_or_default()
    }
}

impl From<SystemTime> for Timestamp {
    fn from(time: SystemTime) -> Self {
        let since = time.duration_since(SystemTime::UNIX_EPOCH);
        since.map_or(Self::EPOCH, |since| Self::EPOCH.saturating_add(since))
    }
}

impl From<Timestamp> for SystemTime {
    fn from(time: Timestamp) -> Self {
        Self::UNIX_EPOCH + Duration::from_nanos(time.0)
    }
}

impl fmt::Debug for Timestamp {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}.{:09}s", self.seconds(), self.subsec_nanos())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const SECOND: Duration = Duration::from_secs(1);

    #[test]
    fn it_is_written_down_as_a_number() {
        let time = Timestamp::from_nanos(1_700_000_000_000_000_001);
        let text = serde_json::to_string(&time).expect("a number");
        assert_eq!(text, "1700000000000000001");
        let read: Timestamp = serde_json::from_str(&text).expect("what was just written");
        assert_eq!(read, time);
        assert!(serde_json::from_str::<Timestamp>("-1").is_err());
    }

    #[test]
    fn arithmetic_ends_at_the_first_and_the_last_moment() {
        let first = Timestamp::EPOCH;
        let last = Timestamp::MAX;
        assert_eq!(
            first.checked_add(SECOND),
            Some(Timestamp::from_nanos(1_000_000_000))
        );
        assert_eq!(last.checked_add(Duration::from_nanos(1)), None);
        assert_eq!(first.checked_add(Duration::MAX), None);
        assert_eq!(last.saturating_add(SECOND), last);
        assert_eq!(first.checked_sub(Duration::from_nanos(1)), None);
        assert_eq!(
            last.checked_sub(Duration::from_nanos(u64::MAX)),
            Some(first)
        );
        assert_eq!(
            last.duration_since(first),
            Some(Duration::from_nanos(u64::MAX))
        );
        assert_eq!(first.duration_since(last), None);
        assert_eq!(first.saturating_duration_since(last), Duration::ZERO);
    }

    #[test]
    fn a_timespec_outside_of_the_range_becomes_its_end() {
        let time = Timestamp::from_timespec(1_700_000_000, 7);
        assert_eq!((time.seconds(), time.subsec_nanos()), (1_700_000_000, 7));
        assert_eq!(Timestamp::from_timespec(-1, 999_999_999), Timestamp::EPOCH);
        assert_eq!(Timestamp::from_timespec(i64::MAX, 0), Timestamp::MAX);
    }

    #[test]
    fn the_systems_time_comes_back() {
        let time = SystemTime::UNIX_EPOCH + Duration::new(5, 7);
        assert_eq!(SystemTime::from(Timestamp::from(time)), time);
        let before = SystemTime::UNIX_EPOCH - SECOND;
        assert_eq!(Timestamp::from(before), Timestamp::EPOCH);
        assert_eq!(format!("{:?}", Timestamp::from(time)), "5.000000007s");
    }
}
