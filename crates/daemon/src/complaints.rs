//! What goes wrong again and again, in the log: at once, then ever more seldom, with how often it has
//! happened; and once more when it is over.

use std::num::NonZeroUsize;
use std::sync::{LazyLock, Mutex, PoisonError};
use std::time::{Duration, Instant};

use lru::LruCache;

/// The same is said again after so long, then after twice as long each time, up to the longest.
const FIRST: Duration = Duration::from_secs(10);
const LONGEST: Duration = Duration::from_secs(3600);

/// So many different complaints are remembered; the one that came last least often goes first.
#[expect(clippy::expect_used, reason = "the compiler evaluates it")]
const KEPT: NonZeroUsize = NonZeroUsize::new(256).expect("it is not zero");

/// What it is about, and what is wrong.
type Key = (&'static str, String);

/// The process has one log, and so one of these.
static COMPLAINTS: LazyLock<Mutex<Complaints>> = LazyLock::new(Mutex::default);

struct Complaints(LruCache<Key, Said>);

struct Said {
    since: Instant,
    /// When it happened last.
    last: Instant,
    times: u64,
    /// When it is to be said again, and how long after that then.
    next: Instant,
    distance: Duration,
}

impl Default for Complaints {
    fn default() -> Self {
        Self(LruCache::new(KEPT))
    }
}

/// Something went wrong: says so, unless the same was said lately. `what` is what it is about in general,
/// `error` is why, and `text` the whole line.
pub(super) fn complain(what: &'static str, error: &str, text: impl FnOnce() -> String) {
    let said = {
        let mut complaints = COMPLAINTS.lock().unwrap_or_else(PoisonError::into_inner);
        complaints.happened(what, error, Instant::now())
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

/// What went wrong works: says so, if anything had been said. `text` begins the line.
pub(super) fn works(what: &'static str, text: &str) {
    let over = {
        let mut complaints = COMPLAINTS.lock().unwrap_or_else(PoisonError::into_inner);
        complaints.over(what, Instant::now())
    };
    if let Some((times, since)) = over {
        let since = since.as_secs();
        log::warn!("{text} again; it had failed {times} times in {since} s");
    }
}

impl Complaints {
    /// How often it has happened and since when, where it is to be said.
    fn happened(
        &mut self,
        what: &'static str,
        error: &str,
        now: Instant,
    ) -> Option<(u64, Duration)> {
        let key = (what, error.to_string());
        let new = || Said {
            since: now,
            last: now,
            times: 0,
            next: now,
            distance: FIRST,
        };
        // What has not happened for long is another matter.
        if self
            .0
            .peek(&key)
            .is_some_and(|said| now - said.last > LONGEST)
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
        said.distance = (2 * said.distance).min(LONGEST);
        Some((said.times, now - said.since))
    }

    /// Forgets what is about this; gives how often it has happened, and since when.
    fn over(&mut self, what: &'static str, now: Instant) -> Option<(u64, Duration)> {
        let of = |key: &Key| key.0 == what;
        let those = self.0.iter().filter(|(key, _)| of(key));
        let keys: Vec<Key> = those.map(|(key, _)| key.clone()).collect();
        let said: Vec<Said> = keys.iter().filter_map(|key| self.0.pop(key)).collect();
        let since = said.iter().map(|said| said.since).min()?;
        Some((said.iter().map(|said| said.times).sum(), now - since))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_same_is_said_ever_more_seldom_and_a_change_at_once() {
        let mut complaints = Complaints::default();
        let start = Instant::now();
        let mut said = Vec::new();
        for tick in 0..2 * 3600 {
            let now = start + Duration::from_millis(500 * tick);
            if let Some((times, since)) = complaints.happened("disk", "full", now) {
                said.push((times, since.as_secs()));
            }
        }
        let expected = [0, 10, 30, 70, 150, 310, 630, 1270, 2550].map(|s| (2 * s + 1, s));
        assert_eq!(said, expected, "an hour of failures each half second");
        let now = start + Duration::from_secs(3600);
        assert!(complaints.happened("disk", "failing", now).is_some());
        assert!(complaints.happened("disk", "full", now).is_none());
        assert!(complaints.happened("cache", "full", now).is_some());
        let (times, since) = complaints.over("disk", now).expect("it was said");
        assert_eq!((times, since.as_secs()), (7202, 3600));
        assert!(complaints.over("disk", now).is_none());
        assert!(
            complaints.happened("disk", "full", now).is_some(),
            "it is new"
        );
    }

    #[test]
    fn what_is_remembered_is_bounded() {
        let mut complaints = Complaints::default();
        for number in 0..10_000 {
            complaints.happened("files", &number.to_string(), Instant::now());
        }
        assert_eq!(complaints.0.len(), KEPT.get());
    }
}
