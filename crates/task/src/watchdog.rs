//! One thread that looks at guests with limits of time while they run, because a guest that
//! computes makes no host call.

use std::collections::BTreeMap;
use std::path::PathBuf;
use std::sync::{Arc, OnceLock, Weak};
use std::time::{Duration, Instant};

use parking_lot::{Condvar, Mutex, MutexGuard};
use rustix::time::{ClockId, clock_gettime};

/// What counts a guest's time.
pub(super) trait Timed: Send + Sync {
    /// Checks the limits when the guest's thread has used this much CPU time. Returns how long it
    /// is until a limit can be reached.
    fn check_at(&self, thread_nanoseconds: u64) -> Option<Duration>;
}

/// The turns that are watched.
#[derive(Default)]
struct Watchdog {
    turns: Mutex<Turns>,
    changed: Condvar,
}

#[derive(Default)]
struct Turns {
    next: u64,
    watched: BTreeMap<u64, Entry>,
    /// Whether the thread has been started.
    watching: bool,
    /// When the thread looks next by itself.
    looks_at: Option<Instant>,
}

struct Entry {
    at: Instant,
    timed: Weak<dyn Timed>,
    /// The file in which the system tells the CPU time of the guest's thread.
    thread: Option<Arc<PathBuf>>,
}

thread_local! {
    /// The file in which the system tells this thread's CPU time; looked for once.
    static SCHEDSTAT: Option<Arc<PathBuf>> = {
        let thread = std::fs::read_link("/proc/thread-self").ok();
        thread.map(|thread| Arc::new(PathBuf::from("/proc").join(thread).join("schedstat")))
    };
}

static WATCHDOG: OnceLock<Watchdog> = OnceLock::new();

/// A turn is looked at until this is dropped.
pub(super) struct WatchedTurn(u64);

impl WatchedTurn {
    /// Looks at the guest on this thread after `first`.
    pub(super) fn new(timed: Arc<dyn Timed>, first: Duration) -> Self {
        let watchdog = WATCHDOG.get_or_init(Watchdog::default);
        let mut turns = watchdog.turns();
        let number = turns.next;
        turns.next += 1;
        let at = Instant::now() + first.min(MAX_CHECK_INTERVAL);
        let entry = Entry {
            at,
            timed: Arc::downgrade(&timed),
            thread: SCHEDSTAT.with(Clone::clone),
        };
        let soonest = turns.looks_at.is_some_and(|next| at < next);
        turns.watched.insert(number, entry);
        if !turns.watching {
            let spawned = std::thread::Builder::new()
                .name("limits".into())
                .spawn(|| watchdog.run());
            match spawned {
                Ok(_) => turns.watching = true,
                Err(error) => log::warn!("limits of time hold at host calls only: {error}"),
            }
        } else if soonest {
            watchdog.changed.notify_one();
        }
        Self(number)
    }
}

impl Drop for WatchedTurn {
    fn drop(&mut self) {
        if let Some(watchdog) = WATCHDOG.get() {
            watchdog.turns().watched.remove(&self.0);
        }
    }
}

/// The longest time between two checks of a running guest. A deadline that is years away cannot be
/// represented as an [`Instant`], and the clock by which the `time` limit counts may jump.
const MAX_CHECK_INTERVAL: Duration = Duration::from_secs(3600);

impl Watchdog {
    fn turns(&self) -> MutexGuard<'_, Turns> {
        self.turns.lock()
    }

    fn run(&self) {
        let mut turns = self.turns();
        loop {
            let now = Instant::now();
            let due = |entry: &&mut Entry| entry.at <= now;
            for entry in turns.watched.values_mut().filter(due) {
                // The list stays locked while the guest's limits are checked, so that its turn
                // cannot end.
                let again = entry.timed.upgrade().and_then(|timed| {
                    let time = entry.thread.as_ref().and_then(|path| time_of(path));
                    timed.check_at(time.unwrap_or(0))
                });
                entry.at = now + again.unwrap_or(MAX_CHECK_INTERVAL).min(MAX_CHECK_INTERVAL);
            }
            let next = turns.watched.values().map(|entry| entry.at).min();
            let sleep = next.map_or(MAX_CHECK_INTERVAL, |next| {
                next.saturating_duration_since(now)
            });
            turns.looks_at = Some(now + sleep);
            self.changed.wait_for(&mut turns, sleep);
        }
    }
}

/// CPU time of a thread in nanoseconds: the first number of its `schedstat`.
fn time_of(schedstat: &std::path::Path) -> Option<u64> {
    let text = std::fs::read_to_string(schedstat).ok()?;
    text.split_whitespace().next()?.parse().ok()
}

/// CPU time of this thread in nanoseconds.
pub(super) fn thread_time() -> u64 {
    let time = clock_gettime(ClockId::ThreadCPUTime);
    let seconds = u64::try_from(time.tv_sec).unwrap_or(0);
    let nanoseconds = u64::try_from(time.tv_nsec).unwrap_or(0);
    seconds
        .saturating_mul(1_000_000_000)
        .saturating_add(nanoseconds)
}
