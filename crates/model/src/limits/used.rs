//! How much has been used of what adds up for as long as a task lives.

use std::time::Duration;

use crate::MonotonicTime;

/// What has been used of something, over all suspends, and how much of it before the period under
/// way.
///
/// Periods are counted from the task's start, so that they are the same in every process that it is
/// in.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Used {
    /// In all.
    pub total: u64,
    /// Of it before the period began.
    pub earlier: u64,
    /// When that was, by the task's steady clock.
    since: MonotonicTime,
}

impl Used {
    /// From what was saved at a time.
    pub fn at(
        total: u64,
        earlier: u64,
        period: Option<Duration>,
        started: MonotonicTime,
        now: MonotonicTime,
    ) -> Self {
        let since = period.map(|period| beginning(period, started, now));
        Self {
            total,
            earlier: earlier.min(total),
            since: since.unwrap_or_default(),
        }
    }

    /// How much counts at this time, if it is `total` by now: what was used in the period, or in all
    /// for a limit without a period.
    pub fn counts(
        &mut self,
        total: u64,
        period: Option<Duration>,
        started: MonotonicTime,
        now: MonotonicTime,
    ) -> u64 {
        let Some(period) = period else { return total };
        let since = beginning(period, started, now);
        if since > self.since {
            // What was used since then and before anybody has looked counts for the period before.
            self.since = since;
            self.earlier = self.total;
        }
        total.saturating_sub(self.earlier)
    }
}

/// When the period began in which a time lies.
fn beginning(period: Duration, started: MonotonicTime, now: MonotonicTime) -> MonotonicTime {
    let age = now.saturating_duration_since(started).as_nanos();
    let of_period = age % period.as_nanos().max(1);
    // It is less than the age, which came from as many bits.
    let of_period = u64::try_from(of_period).unwrap_or(u64::MAX);
    now.saturating_sub(Duration::from_nanos(of_period))
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A moment by its nanoseconds.
    fn at(nanoseconds: u64) -> MonotonicTime {
        MonotonicTime::from_nanos(nanoseconds)
    }

    #[test]
    fn a_period_begins_anew_and_a_total_does_not() {
        let (period, started) = (Some(Duration::from_nanos(100)), at(1_000));
        let mut used = Used::at(0, 0, period, started, started);
        assert_eq!(used.counts(30, period, started, at(1_040)), 30);
        used.total = 30;
        assert_eq!(used.counts(50, period, started, at(1_099)), 50);
        used.total = 50;
        assert_eq!(used.counts(55, period, started, at(1_100)), 5);
        used.total = 55;
        assert_eq!(used.counts(60, None, started, at(1_300)), 60);
        // A clock that is set back opens no period again.
        assert_eq!(used.counts(60, period, started, at(1_050)), 10);
        assert_eq!(used.counts(60, period, started, at(1_500)), 5);
    }

    #[test]
    fn what_was_written_down_goes_on_in_its_period() {
        let (period, started) = (Some(Duration::from_nanos(100)), at(1_000));
        let mut used = Used::at(55, 50, period, started, at(1_130));
        assert_eq!(used.counts(60, period, started, at(1_199)), 10);
        let mut later = Used::at(55, 50, period, started, at(1_130));
        assert_eq!(later.counts(60, period, started, at(1_200)), 5);
    }
}
