//! The threads that guests run on.
//!
//! There are as many threads as cores, and more while all of them compute. Where no guest blocks
//! for a while, a further thread takes the next job, and the system shares the cores among the
//! threads. So no guest delays another's wake-up by more than [`RELIEVE_AFTER`], as long as fewer
//! guests compute than there may be threads.
//!
//! Beyond that, turns are ended. As many guests as there are waiting jobs, those that have been
//! running longest, suspend at their next check, if they have checks, and go to the end of the
//! queue.

use std::collections::{HashMap, VecDeque};
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::{Duration, Instant};

use parking_lot::{Condvar, Mutex, MutexGuard};

use crate::model::TaskId;
use crate::task::{STACK, TaskHandle};
use crate::throttled_log::warn_throttled;
use crate::workers::messages::{WorkerJob, WorkerReport};
use crate::workers::worker::Worker;

/// A job that has waited this long gets another thread, if all are busy.
pub(crate) const RELIEVE_AFTER: Duration = Duration::from_millis(10);

/// A turn lasts at least this long. Ending one has a price: the frames that were on the stack run
/// slowly from then on.
const SHORTEST_TURN: Duration = Duration::from_millis(100);

/// A thread beyond the regular ones waits this long for another job.
const EXTRA_THREAD_LINGERS: Duration = Duration::from_millis(100);

/// The threads and their jobs.
pub(crate) struct Pool {
    shared: Arc<PoolShared>,
}

struct PoolShared {
    worker: Worker,
    report: Box<dyn Fn(WorkerReport) + Send + Sync>,
    state: Mutex<PoolState>,
    changed: Condvar,
    regular: usize,
    most: usize,
}

#[derive(Default)]
struct PoolState {
    jobs: VecDeque<(WorkerJob, Instant)>,
    threads: usize,
    idle: usize,
    closed: bool,
    running: HashMap<TaskId, Turn>,
}

/// The turn of a guest that is running.
struct Turn {
    since: Instant,
    handle: TaskHandle,
}

impl Pool {
    /// Starts `regular` threads; there are at most `most`.
    pub(crate) fn start(
        regular: usize,
        most: usize,
        worker: Worker,
        report: impl Fn(WorkerReport) + Send + Sync + 'static,
    ) -> std::io::Result<Self> {
        let shared = Arc::new(PoolShared {
            worker,
            report: Box::new(report),
            state: Mutex::default(),
            changed: Condvar::new(),
            regular: regular.max(1),
            most: most.max(regular),
        });
        for _ in 0..shared.regular {
            shared.spawn()?;
        }
        Ok(Self { shared })
    }

    /// Queues a job.
    pub(crate) fn send(&self, job: WorkerJob) {
        let mut state = self.shared.state();
        state.jobs.push_back((job, Instant::now()));
        self.shared.worker.waiting.fetch_add(1, Ordering::Relaxed);
        drop(state);
        self.shared.changed.notify_one();
    }

    /// Whether a thread would be free for another job soon.
    pub(crate) fn has_room(&self) -> bool {
        self.shared.state().jobs.len() < 2 * self.shared.regular
    }

    /// Starts another thread where a job has waited for long. Where there are as many as allowed,
    /// ends the turns that have lasted longest. Returns whether any job waits.
    pub(crate) fn relieve(&self) -> bool {
        let state = self.shared.state();
        let Some((_, since)) = state.jobs.front() else {
            return false;
        };
        if state.idle > 0 || since.elapsed() < RELIEVE_AFTER {
            return true;
        }
        // A thread whose guest waits for memory does nothing; another guest may free some.
        if state.threads < self.shared.most + self.shared.worker.budget.blocked_threads() {
            drop(state);
            if let Err(error) = self.shared.spawn() {
                warn_throttled("threads", &error.to_string(), || {
                    format!("cannot start another thread for guests: {error}")
                });
            }
            return true;
        }
        let turns = state.running.values();
        let mut long: Vec<&Turn> = turns
            .filter(|turn| turn.since.elapsed() >= SHORTEST_TURN)
            .collect();
        long.sort_unstable_by_key(|turn| turn.since);
        for turn in long.into_iter().take(state.jobs.len()) {
            turn.handle.preempt();
        }
        true
    }

    /// Whether any guest runs.
    pub(crate) fn is_busy(&self) -> bool {
        !self.shared.state().running.is_empty()
    }

    /// Ends the turns that have lasted this long, though no job waits, so that the guests can be
    /// frozen. Returns when the next turn will have lasted this long.
    pub(crate) fn interrupt(&self, after: Duration) -> Option<Duration> {
        let mut state = self.shared.state();
        for turn in state.running.values_mut() {
            if turn.since.elapsed() >= after {
                turn.handle.preempt();
                // A guest without checks is not asked all the time.
                turn.since = Instant::now();
            }
        }
        let turns = state.running.values();
        turns
            .map(|turn| after.saturating_sub(turn.since.elapsed()))
            .min()
    }
}

impl Drop for Pool {
    fn drop(&mut self) {
        self.shared.state().closed = true;
        self.shared.changed.notify_all();
    }
}

impl PoolShared {
    fn state(&self) -> MutexGuard<'_, PoolState> {
        self.state.lock()
    }

    fn spawn(self: &Arc<Self>) -> std::io::Result<()> {
        let shared = self.clone();
        self.state().threads += 1;
        let spawned = std::thread::Builder::new()
            .name("guest".into())
            .stack_size(2 * STACK)
            .spawn(move || shared.run());
        if spawned.is_err() {
            self.state().threads -= 1;
        }
        spawned.map(drop)
    }

    fn run(&self) {
        while let Some(job) = self.next() {
            let id = job.id();
            if let Some(handle) = job.handle() {
                let turn = Turn {
                    since: Instant::now(),
                    handle,
                };
                self.state().running.insert(id, turn);
            }
            let mark = self.worker.marks.mark(id);
            let done =
                std::panic::catch_unwind(std::panic::AssertUnwindSafe(|| self.worker.work(job)));
            drop(mark);
            self.state().running.remove(&id);
            // A panic costs one task its run, and not the daemon its life.
            (self.report)(done.unwrap_or_else(|_| WorkerReport::Lost { id }));
        }
    }

    /// The next job; `None` where this thread is not needed any longer or the pool is closed.
    fn next(&self) -> Option<WorkerJob> {
        let mut state = self.state();
        loop {
            if state.closed {
                state.threads -= 1;
                return None;
            }
            if let Some((job, _)) = state.jobs.pop_front() {
                self.worker.waiting.fetch_sub(1, Ordering::Relaxed);
                return Some(job);
            }
            state.idle += 1;
            let extra = state.threads > self.regular;
            let timed_out = match extra {
                true => {
                    let waited = self.changed.wait_for(&mut state, EXTRA_THREAD_LINGERS);
                    waited.timed_out()
                }
                false => {
                    self.changed.wait(&mut state);
                    false
                }
            };
            state.idle -= 1;
            if timed_out && state.jobs.is_empty() && state.threads > self.regular {
                state.threads -= 1;
                return None;
            }
        }
    }
}
