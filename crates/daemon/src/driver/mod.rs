//! The one owner of all transitions. It runs as one tokio task and never blocks: guests run on the
//! workers, changes are stored by the journal, waits are tokio's.
//!
//! ```text
//!    commands --.                      .--> workers --reports--.
//!    window ----+--> inbox --> driver -+--> journal --answers--+--> inbox
//!    waits -----'                      '--> waits              '
//! ```
//!
//! Only tasks on which something is being done are in `live`. All others are in the store only.

mod asking;
mod claims;
mod clock;
mod collected;
pub(crate) mod commands;
mod connections;
mod draining;
mod due;
mod memory;
pub(crate) mod move_step;
pub(crate) mod not_stored;
pub(crate) mod outside;
pub(crate) mod owners;
mod ownership;
pub(crate) mod planned;
mod queue;
mod reports;
pub(crate) mod retries;
pub(crate) mod state;
mod storing;

use std::collections::HashMap;
use std::sync::Arc;
use std::time::{Duration, SystemTime};

use tokio::sync::mpsc::{UnboundedReceiver, UnboundedSender};
use tokio::sync::oneshot;
use tokio::time::Instant;

use crate::driver::collected::Connections;
use crate::driver::commands::Command;
use crate::driver::not_stored::NotStored;
use crate::driver::outside::Outside;
use crate::driver::ownership::Ownership;
use crate::driver::queue::Queue;
use crate::driver::state::DaemonState;
use crate::model::{MonotonicTime, TaskId, TaskState, When};
use crate::store::{Claimed, Due, Error as StoreError, TaskRow, Verdict};
use crate::task::TaskHandle;
use crate::workers::guest::LoadedTask;
use crate::workers::messages::WorkerReport;
use crate::workers::pool::RELIEVE_AFTER;

/// How far ahead the store's index is read.
const HORIZON: Duration = Duration::from_secs(20);

/// How many entries of that index are read at once; more are read when half of them are left.
const INDEX_ENTRIES_AT_ONCE: usize = 20_000;

/// At most this many tasks are ready in memory; others wait in the store.
const MOST_READY_TASKS: usize = 4_000;

/// At most this many changes are on their way to the disk; then guests wait.
const MOST_CHANGES_UNDER_WAY: usize = 4_000;

/// At most this many instances are there at once: half of the places that their engine has, because
/// a place becomes free a little after its instance is dropped.
pub(super) const MOST_INSTANCES: usize = 1_000;

/// How often the memory of the process is read while guests run.
const WEIGH_EVERY: Duration = Duration::from_millis(50);

/// At most this many messages are handled before anything else is done.
const MESSAGES_AT_ONCE: usize = 512;

/// How long after a failure the store's index is read again.
const INDEX_RETRY: Duration = Duration::from_secs(1);

/// Topic of the log: the index cannot be read.
const READING_INDEX: &str = "due";

/// A message to the driver.
pub(super) enum Message {
    Added(Vec<(TaskId, When)>),
    Command(Command),
    /// There may be room for tasks that wait for memory.
    Room,
    Report(WorkerReport),
    WaitOver(Box<LoadedTask>),
    /// A socket of a sleeping task is ready.
    Knock(TaskId),
    Answered(Box<Answered>),
    /// A change cannot be stored for now, and is tried until it can.
    Unstored {
        id: TaskId,
        error: String,
    },
    Loaded {
        id: TaskId,
        row: Result<Option<TaskRow>, StoreError>,
    },
    Window {
        /// How often the wall clock had been set when the index was read.
        steps: u64,
        found: Result<Vec<Due>, String>,
    },
    /// Tasks that this node has claimed. `full` says that there may be more.
    Claimed {
        found: Result<Vec<Claimed>, StoreError>,
        /// When the store was asked.
        asked: SystemTime,
        full: bool,
    },
    /// All tasks that this node has.
    Owned(Result<Vec<TaskId>, StoreError>),
    /// So many tasks have been given back, or not.
    GivenBack {
        count: usize,
        result: Result<(), StoreError>,
    },
    /// This node is to be drained, or no longer.
    Drain(bool),
    /// The due times in the store fit the wall clock again.
    Shifted,
    /// Which of the tasks that are being put to sleep are not stored so far.
    Left(oneshot::Sender<Vec<NotStored>>),
    Close(oneshot::Sender<Vec<NotStored>>),
}

/// What became of a change of a task.
pub(super) struct Answered {
    id: TaskId,
    result: Result<Verdict, StoreError>,
    state: Option<TaskState>,
    due: When,
    /// When the task was due before, where it was only in the store.
    was: Option<When>,
    /// It was to be stored as this node's.
    held: bool,
    keeps: Option<Box<LoadedTask>>,
}

/// What is wanted of a task that is in memory.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Want {
    Nothing,
    /// Store its state, and let it go on.
    Checkpoint,
    Pause,
    Kill,
    /// Stop it, to move it to another daemon.
    Move,
    /// Put it to sleep, to give it to another node.
    Give,
}

/// A task on which something is being done.
struct Live {
    state: TaskState,
    handle: TaskHandle,
    /// Its guest, while that is ready for another turn.
    guest: Option<Box<LoadedTask>>,
    want: Want,
    /// Commands that are being carried out.
    asked: Vec<Command>,
    /// Commands that wait until the row has been stored or read.
    waiting: Vec<Command>,
    /// Its row is being stored or read.
    busy: bool,
    /// Why its change cannot be stored for now.
    unstored: Option<String>,
    /// It was woken, and no worker has reported yet whether it is due.
    loading: bool,
    memory: u64,
    /// When a socket that it waits for became ready, until it is loaded.
    knocked: Option<MonotonicTime>,
    /// It has an instance, or is about to.
    loaded: bool,
    /// It waits in the store until there is memory for it.
    crowded: bool,
    /// It could not be frozen, so that it is not asked again to make room.
    stubborn: bool,
}

impl Live {
    fn new(state: TaskState) -> Self {
        Self {
            state,
            handle: TaskHandle::default(),
            guest: None,
            want: Want::Nothing,
            asked: Vec::new(),
            waiting: Vec::new(),
            busy: false,
            unstored: None,
            loading: false,
            memory: 0,
            knocked: None,
            loaded: false,
            crowded: false,
            stubborn: false,
        }
    }
}

pub(super) struct Driver {
    shared: Arc<DaemonState>,
    outside: Box<dyn Outside>,
    inbox: UnboundedReceiver<Message>,
    outbox: UnboundedSender<Message>,
    queue: Queue,
    /// The tasks of this node, where several nodes share the store.
    ownership: Option<Ownership>,
    live: HashMap<TaskId, Live>,
    /// Sleeping tasks whose sockets are watched, with the time at which they wake without a socket.
    /// In the store they are due at once, so that the next daemon looks at them.
    watched: HashMap<TaskId, When>,
    /// Tasks of which a socket became ready, and when.
    knocked: HashMap<TaskId, MonotonicTime>,
    connections: Connections,
    /// The last entry of the index that was read.
    cursor: Option<Due>,
    reading: bool,
    /// How often the wall clock has been set.
    steps: u64,
    /// The store's due times are being shifted accordingly.
    shifting: bool,
    /// The index could not be read, and is not read again before this, by the steady clock.
    read_again: MonotonicTime,
    storing: usize,
    /// How many tasks are loaded.
    loaded: usize,
    /// When the memory of the process was last read.
    weighed: Instant,
    /// Instances with much memory were dropped since the allocator last gave memory back.
    freed: bool,
    trimmed: Instant,
    /// How much memory the process had then.
    trimmed_to: u64,
    closing: Option<oneshot::Sender<Vec<NotStored>>>,
    /// Tasks that could not be frozen at the end, and why.
    unwritten: Vec<NotStored>,
}

impl Driver {
    pub(super) fn new(
        shared: Arc<DaemonState>,
        outside: Box<dyn Outside>,
        inbox: UnboundedReceiver<Message>,
        outbox: UnboundedSender<Message>,
    ) -> Self {
        let queue = Queue::new(shared.owners.clone());
        let ownership = shared.member.clone().map(Ownership::new);
        Self {
            shared,
            outside,
            inbox,
            outbox,
            queue,
            ownership,
            live: HashMap::new(),
            watched: HashMap::new(),
            knocked: HashMap::new(),
            connections: Connections::default(),
            cursor: None,
            reading: false,
            steps: 0,
            shifting: false,
            read_again: MonotonicTime::ZERO,
            storing: 0,
            loaded: 0,
            weighed: Instant::now(),
            freed: false,
            trimmed: Instant::now(),
            trimmed_to: 0,
            closing: None,
            unwritten: Vec::new(),
        }
    }

    /// Runs until it is told to close and everything that can be stored is stored.
    pub(super) async fn run(mut self) {
        // Sockets that another process has handed over.
        for id in self.shared.sockets.all_watched() {
            self.watch(id);
        }
        // The wall clock may have been set while no daemon ran, or the time zone may be another
        // one.
        self.judge_schedules();
        loop {
            self.look_at_clock();
            match self.ownership {
                None => self.read_window(),
                Some(_) => self.claim_due(),
            }
            self.wake();
            self.dispatch();
            self.note_owned();
            self.relieve_memory();
            self.make_room();
            if self.closing.is_some() && self.is_idle() {
                break;
            }
            let patience = self.patience();
            let message = tokio::select! {
                biased;
                message = self.inbox.recv() => message,
                () = tokio::time::sleep(patience) => None,
            };
            let Some(message) = message else { continue };
            self.take(message);
            for _ in 0..MESSAGES_AT_ONCE {
                match self.inbox.try_recv() {
                    Ok(message) => self.take(message),
                    Err(_) => break,
                }
            }
        }
        if let Some(closed) = self.closing.take() {
            // An error means that the caller no longer waits.
            let _ = closed.send(self.unwritten);
        }
    }

    /// How long the driver may wait for a message.
    fn patience(&self) -> Duration {
        let now = self.shared.time.now();
        let mut longest = Duration::from_secs(1);
        if let Some(left) = self.outside.interrupt(self.shared.options.checkpoint) {
            longest = longest.min(left.max(RELIEVE_AFTER));
        }
        if self.outside.relieve() {
            longest = RELIEVE_AFTER / 2;
        }
        if self.outside.is_busy() {
            longest = longest.min(WEIGH_EVERY);
        }
        if self.can_wake()
            && let Some(due) = self.queue.next_due()
        {
            longest = longest.min(due.saturating_duration_since(now));
        }
        match &self.ownership {
            Some(tasks) if self.closing.is_none() => longest.min(tasks.patience()),
            _ => longest,
        }
    }

    fn take(&mut self, message: Message) {
        match message {
            Message::Added(added) => {
                let set_lately = self.shared.time.was_set_lately();
                if let Some(tasks) = &mut self.ownership {
                    tasks.claim_soon();
                }
                for (id, due) in added {
                    self.sleep(id, due);
                    if set_lately {
                        self.judge_again(id, due);
                    }
                }
            }
            Message::Command(command) => self.command(command),
            Message::Room => self.admit(),
            Message::Report(report) => self.report(report),
            Message::WaitOver(guest) => self.wait_over(guest),
            Message::Knock(id) => self.knock(id),
            Message::Answered(answered) => self.answered(*answered),
            Message::Unstored { id, error } => self.unstored(id, error),
            Message::Loaded { id, row } => self.loaded(id, row),
            Message::Window { steps, found } => self.window(steps, found),
            Message::Claimed { found, asked, full } => self.claimed(found, asked, full),
            Message::Owned(found) => self.adopt(found),
            Message::GivenBack { count, result } => self.given_back(count, result),
            Message::Drain(draining) => self.set_draining(draining),
            Message::Shifted => self.shifting = false,
            Message::Left(reply) => {
                // An error means that the caller no longer waits.
                let _ = reply.send(self.not_stored());
            }
            Message::Close(closed) => self.close(closed),
        }
    }
}
