//! Group commit: changes that many workers send at one time become one transaction, and one flush
//! of the disk.
//!
//! ```text
//!   groups of changes --> [queue] --> the journal's thread --> one commit --> each group's answer
//!                                        ^          | disk full: a task's own state is tried again,
//!                                        `----------' what somebody asks for is refused
//! ```
//!
//! The store may not know whether a commit was done: a server's answer was lost. Then nothing else is
//! stored until that is settled.
//!
//! While nothing has to be stored, the journal gives the disk back the room of removed tasks, in
//! short steps.

pub(crate) mod tenure;

use std::sync::Arc;
use std::sync::mpsc::{Receiver, RecvTimeoutError, Sender, channel};
use std::time::Duration;

use tokio::time::Instant;

use self::tenure::Tenure;
use crate::metrics::Metrics;
use crate::store::{Change, Error, Store, Verdict};
use crate::throttled_log::{note_recovered, warn_throttled};
use crate::time::clocks::Time;

/// The most changes in one transaction.
const MOST_CHANGES_AT_ONCE: usize = 2000;

/// How long after a failure a commit is tried again.
const RETRY_AFTER: Duration = Duration::from_millis(500);

/// How often the lease is renewed at least.
const RENEW_LEASE_EVERY: Duration = Duration::from_secs(3);

/// Without a new change for this long, the journal is idle and cleans up; also the pause between
/// two steps of that.
const CLEANUP_DELAY: Duration = Duration::from_millis(100);

/// The longest time for one incremental vacuum. Commits wait for it.
const VACUUM_STEP: Duration = Duration::from_millis(10);

/// At most this many chunks of removed snapshots are deleted in one step.
const CHUNKS_SWEPT_AT_ONCE: usize = 8;

/// A journal that is never idle does such a step at least this often.
const CLEAN_AT_LEAST_EVERY: Duration = Duration::from_secs(5);

/// Topic of the log: changes cannot be stored.
const STORING_CHANGES: &str = "changes";

/// Called when a group is durable, or cannot be stored.
pub(super) type Answer = Box<dyn FnOnce(Result<Vec<Verdict>, Error>) + Send>;

/// Called once with the reason when a group cannot be stored for now.
type Failing = Box<dyn FnOnce(String) + Send>;

/// Changes that belong together.
pub(super) struct Group {
    changes: Vec<Change>,
    /// The group must not be lost, and is tried until it can be stored.
    lasting: bool,
    failing: Option<Failing>,
    answer: Answer,
}

/// Takes changes. Groups are committed in the order in which they are sent.
#[derive(Clone)]
pub(super) struct Journal {
    groups: Sender<Group>,
}

impl Journal {
    /// A journal, and what writes it, which is done when every clone of the journal has been dropped.
    pub(super) fn new(
        store: Arc<dyn Store>,
        tenure: Arc<Tenure>,
        time: Arc<Time>,
        metrics: Arc<Metrics>,
    ) -> (Self, Writer) {
        let (groups, queue) = channel();
        let now = Instant::now();
        let writer = Writer {
            store,
            tenure,
            time,
            metrics,
            queue,
            waiting: Vec::new(),
            in_doubt: None,
            renewed: now,
            cleaned: now,
        };
        (Self { groups }, writer)
    }

    /// Stores what must not be lost. Where it cannot be stored for now, `failing` is called once
    /// with the reason, and the group is tried until it can be stored.
    pub(super) fn keep(
        &self,
        changes: Vec<Change>,
        failing: impl FnOnce(String) + Send + 'static,
        answer: impl FnOnce(Result<Vec<Verdict>, Error>) + Send + 'static,
    ) {
        self.send(Group {
            changes,
            lasting: true,
            failing: Some(Box::new(failing)),
            answer: Box::new(answer),
        });
    }

    /// Stores what a caller waits for, who is told where it fails.
    pub(super) fn put(
        &self,
        changes: Vec<Change>,
        answer: impl FnOnce(Result<Vec<Verdict>, Error>) + Send + 'static,
    ) {
        self.send(Group {
            changes,
            lasting: false,
            failing: None,
            answer: Box::new(answer),
        });
    }

    fn send(&self, group: Group) {
        if let Err(unsent) = self.groups.send(group) {
            // The thread ends only with the last clone, or by a panic in the store.
            (unsent.0.answer)(Err(Error::Lost));
        }
    }
}

/// What commits the groups.
pub(super) struct Writer {
    store: Arc<dyn Store>,
    tenure: Arc<Tenure>,
    time: Arc<Time>,
    metrics: Arc<Metrics>,
    queue: Receiver<Group>,
    /// Groups that are to be committed, once more or for the first time.
    waiting: Vec<Group>,
    /// Groups of which it is not known whether they are stored.
    in_doubt: Option<Vec<Group>>,
    /// When the lease was renewed last.
    renewed: Instant,
    /// When room was given back last.
    cleaned: Instant,
}

impl Writer {
    /// Starts the journal's thread.
    pub(super) fn start(mut self) -> std::io::Result<()> {
        let run = move || {
            let mut patience = RENEW_LEASE_EVERY;
            loop {
                let first = self.queue.recv_timeout(patience);
                match self.turn(first) {
                    Some(next) => patience = next,
                    None => return,
                }
            }
        };
        let thread = std::thread::Builder::new().name("journal".into());
        thread.spawn(run).map(drop)
    }

    /// The next group, if there is one already.
    #[cfg(test)]
    pub(super) fn next(&self) -> Result<Group, RecvTimeoutError> {
        use std::sync::mpsc::TryRecvError;
        self.queue.try_recv().map_err(|error| match error {
            TryRecvError::Empty => RecvTimeoutError::Timeout,
            TryRecvError::Disconnected => RecvTimeoutError::Disconnected,
        })
    }

    /// Commits what has come, after the first of it or after having waited for it; returns how long to
    /// wait for more, and `None` where nothing comes any more and all is done.
    pub(super) fn turn(&mut self, first: Result<Group, RecvTimeoutError>) -> Option<Duration> {
        let idle = match first {
            Ok(group) => {
                self.waiting.push(group);
                false
            }
            Err(RecvTimeoutError::Timeout) => true,
            Err(RecvTimeoutError::Disconnected)
                if self.waiting.is_empty() && self.in_doubt.is_none() =>
            {
                return None;
            }
            Err(RecvTimeoutError::Disconnected) => {
                std::thread::sleep(RETRY_AFTER);
                false
            }
        };
        let mut size: usize = self.waiting.iter().map(|group| group.changes.len()).sum();
        while size < MOST_CHANGES_AT_ONCE
            && let Ok(group) = self.queue.try_recv()
        {
            size += group.changes.len();
            self.waiting.push(group);
        }
        if let Some(groups) = self.in_doubt.take() {
            match self.settle(groups) {
                Ok(again) => drop(self.waiting.splice(..0, again)),
                Err((groups, error)) => {
                    self.waiting = put_off(std::mem::take(&mut self.waiting), &error);
                    self.in_doubt = Some(groups);
                }
            }
        }
        let renew = self.tenure.renews && self.renewed.elapsed() >= RENEW_LEASE_EVERY;
        if self.in_doubt.is_none() && (renew || !self.waiting.is_empty()) {
            let groups = std::mem::take(&mut self.waiting);
            (self.waiting, self.in_doubt) = self.commit(groups);
            self.renewed = Instant::now();
        }
        Some(match self.waiting.is_empty() && self.in_doubt.is_none() {
            false => RETRY_AFTER,
            true if idle || self.cleaned.elapsed() >= CLEAN_AT_LEAST_EVERY => {
                self.cleaned = Instant::now();
                self.clean()
            }
            true => CLEANUP_DELAY,
        })
    }

    /// Deletes what is not needed, and returns free space to the file system; returns how long to
    /// wait before the next step.
    fn clean(&self) -> Duration {
        let now = self.time.stamp();
        let lease = self.tenure.lease(&now);
        match lease.and_then(|lease| self.store.sweep(&lease, &now, CHUNKS_SWEPT_AT_ONCE)) {
            Ok(true) => return CLEANUP_DELAY,
            Ok(false) => {}
            Err(error) => log::debug!("cannot remove what is not needed: {error}"),
        }
        match self.store.shrink(VACUUM_STEP) {
            Ok(true) => CLEANUP_DELAY,
            Ok(false) => RENEW_LEASE_EVERY,
            Err(error) => {
                // Changes that cannot be stored are reported by themselves.
                log::debug!("cannot give room back: {error}");
                RENEW_LEASE_EVERY
            }
        }
    }

    /// Commits all groups together; returns those that are to be tried again, and those of which it
    /// is not known whether they are stored.
    fn commit(&self, mut groups: Vec<Group>) -> (Vec<Group>, Option<Vec<Group>>) {
        let changes: Vec<Change> = groups
            .iter()
            .flat_map(|group| group.changes.iter().cloned())
            .collect();
        let (started, now) = (Instant::now(), self.time.stamp());
        let lease = self.tenure.lease(&now);
        let result = lease.and_then(|lease| self.store.commit(&lease, &now, &changes));
        self.metrics.committed(changes.len(), started.elapsed());
        let error = match result {
            Ok(verdicts) => {
                note_recovered(STORING_CHANGES, "changes can be stored");
                answer(groups, verdicts);
                return (Vec::new(), None);
            }
            Err(error) => error,
        };
        let reason = error.to_string();
        warn_throttled(STORING_CHANGES, &reason, || {
            format!("changes cannot be stored: {reason}")
        });
        match error {
            Error::InDoubt(reason) => {
                tell_failing(&mut groups, &reason);
                (Vec::new(), Some(groups))
            }
            error if error.passes() => (put_off(groups, &error), None),
            // One group may hold what the store cannot take. Each is tried alone, so that the
            // others are stored.
            Error::Database(_) if groups.len() > 1 => {
                let (mut again, mut in_doubt) = (Vec::new(), None);
                for group in groups {
                    match in_doubt {
                        None => {
                            let (more, doubt) = self.commit(vec![group]);
                            again.extend(more);
                            in_doubt = doubt;
                        }
                        Some(_) => again.push(group),
                    }
                }
                (again, in_doubt)
            }
            error => {
                refuse(groups, &error);
                (Vec::new(), None)
            }
        }
    }

    /// Asks what became of groups that are in doubt; returns those that are to be tried again, or all
    /// of them where nobody knows yet.
    fn settle(&self, groups: Vec<Group>) -> Result<Vec<Group>, (Vec<Group>, Error)> {
        let lease = self.tenure.lease(&self.time.stamp());
        match lease.and_then(|lease| self.store.settle(&lease)) {
            Ok(Some(verdicts)) => {
                note_recovered(STORING_CHANGES, "changes can be stored");
                answer(groups, verdicts);
                Ok(Vec::new())
            }
            Ok(None) => Ok(put_off(
                groups,
                &Error::Unreachable("a change was not stored while it was away".into()),
            )),
            Err(error) if error.passes() => Err((groups, error)),
            Err(error) => {
                refuse(groups, &error);
                Ok(Vec::new())
            }
        }
    }
}

/// Answers groups by what became of their changes.
fn answer(groups: Vec<Group>, verdicts: Vec<Verdict>) {
    let mut verdicts = verdicts.into_iter();
    for group in groups {
        let count = group.changes.len();
        (group.answer)(Ok(verdicts.by_ref().take(count).collect()));
    }
}

/// Refuses what somebody waits for; returns what is tried again.
fn put_off(mut groups: Vec<Group>, error: &Error) -> Vec<Group> {
    tell_failing(&mut groups, &error.to_string());
    let (again, refused) = groups.into_iter().partition(|group| group.lasting);
    refuse(refused, error);
    again
}

fn tell_failing(groups: &mut [Group], reason: &str) {
    for group in groups {
        if let Some(failing) = group.failing.take() {
            failing(reason.to_string());
        }
    }
}

fn refuse(groups: Vec<Group>, error: &Error) {
    for group in groups {
        (group.answer)(Err(error.again()));
    }
}
