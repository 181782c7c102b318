//! One thread that looks at guests with limits of time while they run: they may make no host call.

use std::collections::BTreeMap;
use std::path::PathBuf;
use std::sync::{Arc, Condvar, Mutex, MutexGuard, OnceLock, PoisonError, Weak};
use std::time::{Duration, Instant};

use rustix::time::{ClockId, clock_gettime};

use super::meter::Meter;

/// What is watched, and when it is looked at next.
#[derive(Default)]
struct Watch {
    turns: Mutex<Turns>,
    changed: Condvar,
}

#[derive(Default)]
struct Turns {
    next: u64,
    watched: BTreeMap<u64, Entry>,
    /// The thread is there.
    watching: bool,
    /// When it looks next by itself.
    looks_at: Option<Instant>,
}

struct Entry {
    at: Instant,
    meter: Weak<Meter>,
    /// Where the system tells the CPU time of the guest's thread.
    thread: Option<Arc<PathBuf>>,
}

thread_local! {
    /// Where the system tells this thread's CPU time; asked for once.
    static SCHEDSTAT: Option<Arc<PathBuf>> = {
        let thread = std::fs::read_link("/proc/thread-self").ok();
        thread.map(|thread| Arc::new(PathBuf::from("/proc").join(thread).join("schedstat")))
    };
}

static WATCH: OnceLock<Watch> = OnceLock::new();

/// A turn is looked at until this is dropped.
pub(super) struct Watched(u64);

impl Watched {
    /// Looks at the guest on this thread after `first`.
    pub(super) fn new(meter: &Arc<Meter>, first: Duration) -> Self {
        let watch = WATCH.get_or_init(Watch::default);
        let mut turns = watch.turns();
        let number = turns.next;
        turns.next += 1;
        let at = Instant::now() + first.min(LONGEST);
        let entry = Entry {
            at,
            meter: Arc::downgrade(meter),
            thread: SCHEDSTAT.with(Clone::clone),
        };
        let soonest = turns.looks_at.is_some_and(|next| at < next);
        turns.watched.insert(number, entry);
        if !turns.watching {
            let spawned = std::thread::Builder::new()
                .name("limits".into())
                .spawn(|| watch.run());
            match spawned {
                Ok(_) => turns.watching = true,
                Err(error) => log::warn!("limits of time hold at host calls only: {error}"),
            }
        } else if soonest {
            watch.changed.notify_one();
        }
        Self(number)
    }
}

impl Drop for Watched {
    fn drop(&mut self) {
        if let Some(watch) = WATCH.get() {
            watch.turns().watched.remove(&self.0);
        }
    }
}

/// A clock may be set, and a sum of years is no `Instant`.
const LONGEST: Duration = Duration::from_secs(3600);

impl Watch {
    fn turns(&self) -> MutexGuard<'_, Turns> {
        self.turns.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn run(&self) {
        let mut turns = self.turns();
        loop {
            let now = Instant::now();
            let due = |entry: &&mut Entry| entry.at <= now;
            for entry in turns.watched.values_mut().filter(due) {
                // It is locked while it looks, so that the turn cannot end meanwhile.
                let again = entry.meter.upgrade().and_then(|meter| {
                    let time = entry.thread.as_ref().and_then(|path| time_of(path));
                    meter.look_at(time.unwrap_or(0))
                });
                entry.at = now + again.unwrap_or(LONGEST).min(LONGEST);
            }
            let next = turns.watched.values().map(|entry| entry.at).min();
            let patience = next.map_or(LONGEST, |next| next.saturating_duration_since(now));
            turns.looks_at = Some(now + patience);
            let waited = self.changed.wait_timeout(turns, patience);
            turns = waited.unwrap_or_else(PoisonError::into_inner).0;
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
