//! How much has been used of what adds up for as long as a task lives.

/// What has been used of something, over all suspends, and how much of it before the period under way.
///
/// Periods are counted from the task's start, so that they are the same in every process that it is in.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Used {
    /// In all.
    pub total: u64,
    /// Of it before the period began.
    pub earlier: u64,
    /// When that was, in nanoseconds since the Unix epoch.
    since: u64,
}

impl Used {
    /// From what was saved at a time.
    pub fn at(total: u64, earlier: u64, period: Option<u64>, started: u64, now: u64) -> Self {
        Self {
            total,
            earlier: earlier.min(total),
            since: period.map_or(0, |period| beginning(period, started, now)),
        }
    }

    /// How much counts at this time, if it is `total` by now: in the period, or in all where there is none.
    pub fn counts(&mut self, total: u64, period: Option<u64>, started: u64, now: u64) -> u64 {
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
fn beginning(period: u64, started: u64, now: u64) -> u64 {
    let age = now.saturating_sub(started);
    now.saturating_sub(age % period.max(1))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_period_begins_anew_and_a_total_does_not() {
        let (period, started) = (Some(100), 1_000);
        let mut used = Used::at(0, 0, period, started, started);
        assert_eq!(used.counts(30, period, started, 1_040), 30);
        used.total = 30;
        assert_eq!(used.counts(50, period, started, 1_099), 50);
        used.total = 50;
        assert_eq!(used.counts(55, period, started, 1_100), 5);
        used.total = 55;
        assert_eq!(used.counts(60, None, started, 1_300), 60);
        // A clock that is set back opens no period again.
        assert_eq!(used.counts(60, period, started, 1_050), 10);
        assert_eq!(used.counts(60, period, started, 1_500), 5);
    }

    #[test]
    fn what_was_written_down_goes_on_in_its_period() {
        let (period, started) = (Some(100), 1_000);
        let mut used = Used::at(55, 50, period, started, 1_130);
        assert_eq!(used.counts(60, period, started, 1_199), 10);
        let mut later = Used::at(55, 50, period, started, 1_130);
        assert_eq!(later.counts(60, period, started, 1_200), 5);
    }
}
