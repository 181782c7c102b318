//! Warnings about what fails again and again: the first is logged at once, the next ones ever more
//! seldom, with how often it has failed. One more line is logged when it works again.

use std::num::NonZeroUsize;
use std::sync::LazyLock;
use std::time::{Duration, Instant};

use lru::LruCache;
use parking_lot::Mutex;

/// The same warning is logged again after the first silence, and then after twice as long each
/// time, up to the longest.
const FIRST_SILENCE: Duration = Duration::from_secs(10);
const LONGEST_SILENCE: Duration = Duration::from_secs(3600);

/// At most this many different warnings are remembered; the one that was least recently repeated is
/// forgotten first.
const KEPT_WARNINGS: NonZeroUsize = NonZeroUsize::new(256).expect("it is not zero");

/// The topic of a warning, and the error.
type Key = (&'static str, String);

/// The process has one log, and so one memory of it.
static THROTTLED_LOG: LazyLock<Mutex<ThrottledLog>> = LazyLock::new(Mutex::default);

struct ThrottledLog(LruCache<Key, Repeated>);

struct Repeated {
    since: Instant,
    /// When it last failed.
    last: Instant,
    times: u64,
    /// When the warning is to be logged again, and how long the next silence is.
    next: Instant,
    distance: Duration,
}

impl Default for ThrottledLog {
    fn default() -> Self {
        Self(LruCache::new(KEPT_WARNINGS))
    }
}

/// Logs a failure, unless the same was logged lately. `what` is the topic, `error` is the reason,
/// and `text` makes the whole line.
pub(super) fn warn_throttled(what: &'static str, error: &str, text: impl FnOnce() -> String) {
    let said = {
        let mut log = THROTTLED_LOG.lock();
        log.happened(what, error, Instant::now())
    };
    match said {
        None => {}
        Some((1, _)) => log::warn!("{}", text()),
        Some((times, since)) => {
            let since = since.as_secs();
            log::warn!("{} ({times} times in the last {since} s)", text());
        }
    }
}

/// Logs that a topic works again, if a failure of it was logged. `text` begins the line.
pub(super) fn note_recovered(what: &'static str, text: &str) {
    let over = {
        let mut log = THROTTLED_LOG.lock();
        log.over(what, Instant::now())
    };
    if let Some((times, since)) = over {
        let since = since.as_secs();
        log::warn!("{text} again; it had failed {times} times in {since} s");
    }
}

impl ThrottledLog {
    /// How often it has failed and for how long, where that is to be logged.
    fn happened(
        &mut self,
        what: &'static str,
        error: &str,
        now: Instant,
    ) -> Option<(u64, Duration)> {
        let key = (what, error.to_string());
        let new = || Repeated {
            since: now,
            last: now,
            times: 0,
            next: now,
            distance: FIRST_SILENCE,
        };
        // A failure that has not occurred for long counts as a new one.
        if self
            .0
            .peek(&key)
            .is_some_and(|said| now - said.last > LONGEST_SILENCE)
        {
            self.0.pop(&key);
        }
        let said = self.0.get_or_insert_mut(key, new);
        said.last = now;
        said.times += 1;
        if now < said.next {
            return None;
        }
        said.next = now + said.distance;
        said.distance = (2 * said.distance).min(LONGEST_SILENCE);
        Some((said.times, now - said.since))
    }

    /// Forgets the failures of a topic; returns how many there were, and for how long.
    fn over(&mut self, what: &'static str, now: Instant) -> Option<(u64, Duration)> {
        let of = |key: &Key| key.0 == what;
        let those = self.0.iter().filter(|(key, _)| of(key));
        let keys: Vec<Key> = those.map(|(key, _)| key.clone()).collect();
        let said: Vec<Repeated> = keys.iter().filter_map(|key| self.0.pop(key)).collect();
        let since = said.iter().map(|said| said.since).min()?;
        Some((said.iter().map(|said| said.times).sum(), now - since))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_same_is_said_ever_more_seldom_and_a_change_at_once() {
        let mut log = ThrottledLog::default();
        let start = Instant::now();
        let mut said = Vec::new();
        for tick in 0..2 * 3600 {
            let now = start + Duration::from_millis(500 * tick);
            if let Some((times, since)) = log.happened("disk", "full", now) {
                said.push((times, since.as_secs()));
            }
        }
        let expected = [0, 10, 30, 70, 150, 310, 630, 1270, 2550].map(|s| (2 * s + 1, s));
        assert_eq!(said, expected, "an hour of failures each half second");
        let now = start + Duration::from_secs(3600);
        assert!(log.happened("disk", "failing", now).is_some());
        assert!(log.happened("disk", "full", now).is_none());
        assert!(log.happened("cache", "full", now).is_some());
        let (times, since) = log.over("disk", now).expect("it was said");
        assert_eq!((times, since.as_secs()), (7202, 3600));
        assert!(log.over("disk", now).is_none());
        assert!(log.happened("disk", "full", now).is_some(), "it is new");
    }

    #[test]
    fn what_is_remembered_is_bounded() {
        let mut log = ThrottledLog::default();
        for number in 0..10_000 {
            log.happened("files", &number.to_string(), Instant::now());
        }
        assert_eq!(log.0.len(), KEPT_WARNINGS.get());
    }
}
