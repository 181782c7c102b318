//! The threads that guests run on.
//!
//! There are as many as there are cores, and more while all of them compute: a guest that does not
//! block for a while is not waited for. A further thread takes the next job then, and the system
//! shares the cores among them. So no guest delays another's wake-up by more than [`RELIEF`], while
//! fewer compute than there may be threads.
//!
//! Beyond that, turns are ended: of as many guests as there are jobs that wait, those that have been
//! running longest suspend at their next check, if they have any, and go to the end of the queue.

use std::collections::{HashMap, VecDeque};
use std::sync::atomic::Ordering;
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use super::complaints::complain;
use super::guest::Worker;
use super::job::{Job, Report};
use crate::model::TaskId;
use crate::task::{STACK, TaskHandle};

/// A job that has waited so long gets a thread of its own, if all are busy.
pub(super) const RELIEF: Duration = Duration::from_millis(10);

/// A turn lasts at least so long. One that ends costs what its frames cost from then on, which run slow.
const TURN: Duration = Duration::from_millis(100);

/// A thread that is one too many waits so long for another job.
const LINGER: Duration = Duration::from_millis(100);

/// The threads and their jobs.
pub(super) struct Pool {
    shared: Arc<Shared>,
}

struct Shared {
    worker: Worker,
    report: Box<dyn Fn(Report) + Send + Sync>,
    state: Mutex<State>,
    changed: Condvar,
    regular: usize,
    most: usize,
}

#[derive(Default)]
struct State {
    jobs: VecDeque<(Job, Instant)>,
    threads: usize,
    idle: usize,
    closed: bool,
    running: HashMap<TaskId, Turn>,
}

/// A guest on a thread.
struct Turn {
    since: Instant,
    handle: TaskHandle,
}

impl Pool {
    /// Starts `regular` threads; there may be `most`.
    pub(super) fn start(
        regular: usize,
        most: usize,
        worker: Worker,
        report: impl Fn(Report) + Send + Sync + 'static,
    ) -> std::io::Result<Self> {
        let shared = Arc::new(Shared {
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
    pub(super) fn send(&self, job: Job) {
        let mut state = self.shared.state();
        state.jobs.push_back((job, Instant::now()));
        self.shared.worker.waiting.fetch_add(1, Ordering::Relaxed);
        drop(state);
        self.shared.changed.notify_one();
    }

    /// Whether a thread would be free for another job soon.
    pub(super) fn has_room(&self) -> bool {
        self.shared.state().jobs.len() < 2 * self.shared.regular
    }

    /// Starts another thread where a job has waited for long; where there may be no more, ends the turns
    /// that have lasted longest. Says whether any job waits at all.
    pub(super) fn relieve(&self) -> bool {
        let state = self.shared.state();
        let Some((_, since)) = state.jobs.front() else {
            return false;
        };
        if state.idle > 0 || since.elapsed() < RELIEF {
            return true;
        }
        // A thread whose guest waits for memory does nothing, and others may free some.
        if state.threads < self.shared.most + self.shared.worker.budget.standing() {
            drop(state);
            if let Err(error) = self.shared.spawn() {
                complain("threads", &error.to_string(), || {
                    format!("cannot start another thread for guests: {error}")
                });
            }
            return true;
        }
        let turns = state.running.values();
        let mut long: Vec<&Turn> = turns.filter(|turn| turn.since.elapsed() >= TURN).collect();
        long.sort_unstable_by_key(|turn| turn.since);
        for turn in long.into_iter().take(state.jobs.len()) {
            turn.handle.preempt();
        }
        true
    }

    /// Whether any guest runs.
    pub(super) fn is_busy(&self) -> bool {
        !self.shared.state().running.is_empty()
    }

    /// Ends the turns that have lasted so long, though nobody waits for them, so that the guests can be
    /// written down. Says when the next one will have.
    pub(super) fn interrupt(&self, after: Duration) -> Option<Duration> {
        let mut state = self.shared.state();
        for turn in state.running.values_mut() {
            if turn.since.elapsed() >= after {
                turn.handle.preempt();
                // One without checks is not asked all the time.
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

impl Shared {
    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
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
            // A bug of ours costs one task its run, not the daemon.
            (self.report)(done.unwrap_or_else(|_| Report::Lost { id }));
        }
    }

    /// The next job, or `None` where this thread is one too many or the pool has closed.
    fn next(&self) -> Option<Job> {
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
            let timed_out;
            (state, timed_out) = match extra {
                true => {
                    let waited = self.changed.wait_timeout(state, LINGER);
                    let (state, result) = waited.unwrap_or_else(PoisonError::into_inner);
                    (state, result.timed_out())
                }
                false => {
                    let waited = self.changed.wait(state);
                    (waited.unwrap_or_else(PoisonError::into_inner), false)
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
