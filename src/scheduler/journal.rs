//! Group commit: what many workers have to store at one time becomes one transaction, and one flush of
//! the disk.
//!
//! ```text
//!   groups of changes --> [queue] --> the journal's thread --> one commit --> each group's answer
//!                                        ^          | disk full: a task's own state is tried again,
//!                                        `----------' new tasks are refused
//! ```

use std::sync::Arc;
use std::sync::mpsc::{Receiver, RecvTimeoutError, Sender, channel};
use std::time::{Duration, Instant};

use super::metrics::Metrics;
use super::time::Time;
use crate::store::{Change, Error, Lease, Store, Verdict};

/// A transaction takes at most so many changes.
const BATCH: usize = 2000;

/// After a commit has failed, it is tried again so much later.
const RETRY: Duration = Duration::from_millis(500);

/// The lease is renewed at least so often.
const HEARTBEAT: Duration = Duration::from_secs(3);

/// What is told when a group is durable, or cannot become so.
pub(super) type Answer = Box<dyn FnOnce(Result<Vec<Verdict>, Error>) + Send>;

/// Changes that belong together.
struct Group {
    changes: Vec<Change>,
    /// It must not be lost, so that it is tried until there is room.
    lasting: bool,
    answer: Answer,
}

/// Where to send changes to. Groups are committed in the order in which they are sent.
#[derive(Clone)]
pub(super) struct Journal {
    groups: Sender<Group>,
}

impl Journal {
    /// Starts the journal's thread, which ends when every sender has gone.
    pub(super) fn start(
        store: Arc<dyn Store>,
        lease: Lease,
        time: Arc<Time>,
        metrics: Arc<Metrics>,
    ) -> std::io::Result<(Self, std::thread::JoinHandle<()>)> {
        let (groups, queue) = channel();
        let writer = Writer {
            store,
            lease,
            time,
            metrics,
        };
        let thread = std::thread::Builder::new()
            .name("journal".into())
            .spawn(move || writer.run(&queue))?;
        Ok((Self { groups }, thread))
    }

    /// Stores what must not be lost: where the disk is full, it is tried until it is not.
    pub(super) fn keep(
        &self,
        changes: Vec<Change>,
        answer: impl FnOnce(Result<Vec<Verdict>, Error>) + Send + 'static,
    ) {
        self.send(changes, true, Box::new(answer));
    }

    /// Stores what somebody waits for, who can be told that it failed.
    pub(super) fn put(
        &self,
        changes: Vec<Change>,
        answer: impl FnOnce(Result<Vec<Verdict>, Error>) + Send + 'static,
    ) {
        self.send(changes, false, Box::new(answer));
    }

    fn send(&self, changes: Vec<Change>, lasting: bool, answer: Answer) {
        let group = Group {
            changes,
            lasting,
            answer,
        };
        if let Err(unsent) = self.groups.send(group) {
            // The thread ends only with the last sender, or by a panic of a store's.
            (unsent.0.answer)(Err(Error::Lost));
        }
    }
}

struct Writer {
    store: Arc<dyn Store>,
    lease: Lease,
    time: Arc<Time>,
    metrics: Arc<Metrics>,
}

impl Writer {
    fn run(&self, queue: &Receiver<Group>) {
        let mut waiting: Vec<Group> = Vec::new();
        let mut patience = HEARTBEAT;
        loop {
            match queue.recv_timeout(patience) {
                Ok(group) => waiting.push(group),
                Err(RecvTimeoutError::Timeout) => {}
                Err(RecvTimeoutError::Disconnected) if waiting.is_empty() => return,
                Err(RecvTimeoutError::Disconnected) => std::thread::sleep(RETRY),
            }
            let mut size: usize = waiting.iter().map(|group| group.changes.len()).sum();
            while size < BATCH
                && let Ok(group) = queue.try_recv()
            {
                size += group.changes.len();
                waiting.push(group);
            }
            waiting = self.commit(waiting);
            patience = match waiting.is_empty() {
                true => HEARTBEAT,
                false => RETRY,
            };
        }
    }

    /// Commits all groups together, and gives those that are to be tried again.
    fn commit(&self, groups: Vec<Group>) -> Vec<Group> {
        let changes: Vec<Change> = groups
            .iter()
            .flat_map(|group| group.changes.iter().cloned())
            .collect();
        let started = Instant::now();
        let result = self.store.commit(&self.lease, &self.time.stamp(), &changes);
        self.metrics.committed(changes.len(), started.elapsed());
        let error = match result {
            Ok(verdicts) => {
                let mut verdicts = verdicts.into_iter();
                for group in groups {
                    let count = group.changes.len();
                    (group.answer)(Ok(verdicts.by_ref().take(count).collect()));
                }
                return Vec::new();
            }
            Err(error) => error,
        };
        log::error!("cannot store {} changes: {error}", changes.len());
        match error {
            Error::Full(_) => {
                let (again, refused) = groups.into_iter().partition(|group| group.lasting);
                refuse(refused, || Error::Full(error.to_string()));
                again
            }
            Error::Lost => {
                refuse(groups, || Error::Lost);
                Vec::new()
            }
            // One group may be what the store cannot take: the others must not suffer.
            error if groups.len() == 1 => {
                refuse(groups, || Error::Database(error.to_string()));
                Vec::new()
            }
            _ => groups
                .into_iter()
                .flat_map(|group| self.commit(vec![group]))
                .collect(),
        }
    }
}

fn refuse(groups: Vec<Group>, error: impl Fn() -> Error) {
    for group in groups {
        (group.answer)(Err(error()));
    }
}
