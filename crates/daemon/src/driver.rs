//! The one owner of all transitions. It runs as one tokio task and never blocks: guests run on the
//! workers, changes are stored by the journal, waits are tokio's.
//!
//! ```text
//!    commands --.                      .--> workers --reports--.
//!    window ----+--> inbox --> driver -+--> journal --answers--+--> inbox
//!    waits -----'                      '--> waits              '
//! ```
//!
//! Only tasks on which something is being done are in `live`. All others stand in the store, and
//! nowhere in memory.

mod asking;
mod clock;
mod memory;
mod reports;
mod storing;

use std::collections::HashMap;
use std::collections::hash_map::Entry;
use std::sync::Arc;
use std::time::{Duration, Instant};

use tokio::sync::mpsc::{UnboundedReceiver, UnboundedSender};
use tokio::sync::oneshot;

use self::memory::WEIGH;
use super::commands::Command;
use super::complaints::{complain, works};
use super::ending::NotStored;
use super::guest::Guest;
use super::job::{Job, Report};
use super::queue::Queue;
use super::shared::Shared;
use super::workers::{Pool, RELIEF};
use crate::model::{Event, TaskId, TaskState, When};
use crate::store::{Due, Error as StoreError, Row, Verdict};
use crate::task::TaskHandle;

/// How far ahead the store's index is read.
const HORIZON: u64 = 20_000_000_000;

/// How many entries of it are read at once; more are read when half of them are left.
const WINDOW: usize = 20_000;

/// So many tasks may be ready in memory; the others wait in the store.
const READY: usize = 4_000;

/// So many changes may be on their way to the disk before guests have to wait.
const STORING: usize = 4_000;

/// So many instances may be there at once; half of what their engine has places for, since one that is let
/// go of leaves its place a little later.
pub(super) const INSTANCES: usize = 1_000;

/// Messages that are taken before anything else is looked at.
const DRAIN: usize = 512;

/// After the store's index could not be read, it is tried again so much later, in nanoseconds.
const READ_AGAIN: u64 = 1_000_000_000;

/// What the log says about the index.
const DUE: &str = "due";

/// What the driver is told.
pub(super) enum Message {
    Added(Vec<(TaskId, When)>),
    Command(Command),
    /// There may be room for those who wait for it.
    Room,
    Report(Report),
    WaitOver(Box<Guest>),
    /// A socket of a task that is asleep is ready.
    Knock(TaskId),
    Answered(Box<Answered>),
    /// A change is tried again and again, since it cannot be stored for now.
    Unstored {
        id: TaskId,
        error: String,
    },
    Loaded {
        id: TaskId,
        row: Result<Option<Row>, StoreError>,
    },
    Window {
        /// How often the clock had been set when it was asked for.
        steps: u64,
        found: Result<Vec<Due>, String>,
    },
    /// What the store has of due times fits the wall clock again.
    Shifted,
    /// Which tasks are not stored so far that are being put to sleep.
    Left(oneshot::Sender<Vec<NotStored>>),
    Close(oneshot::Sender<Vec<NotStored>>),
}

/// What became of a change of a task.
pub(super) struct Answered {
    id: TaskId,
    result: Result<Verdict, StoreError>,
    state: Option<TaskState>,
    due: When,
    /// Where the task stood in the store: when it was due there.
    was: Option<When>,
    keeps: Option<Box<Guest>>,
}

/// What somebody wants of a task that is doing something.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Want {
    Nothing,
    /// Its state stored, and then go on.
    Settle,
    Pause,
    Kill,
    /// To be stopped, and moved to another daemon.
    Give,
}

/// A task on which something is being done.
struct Live {
    state: TaskState,
    handle: TaskHandle,
    /// While it is ready for another turn.
    guest: Option<Box<Guest>>,
    want: Want,
    /// What has been asked and is under way.
    asked: Vec<Command>,
    /// Commands that wait until what is being stored or read is there.
    waiting: Vec<Command>,
    /// Something is being stored or read.
    busy: bool,
    /// What is being stored cannot be for now, and why.
    unstored: Option<String>,
    /// It was woken, and no worker has said yet whether it is due at all.
    loading: bool,
    memory: u64,
    /// When a socket that it waits for became ready, while it has not been loaded yet.
    knocked: Option<u64>,
    /// It has an instance, or is about to.
    loaded: bool,
    /// It waits in the store until there is memory for it.
    crowded: bool,
    /// It could not be written down, so that there is no use in asking it again and again.
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
    shared: Arc<Shared>,
    pool: Pool,
    inbox: UnboundedReceiver<Message>,
    outbox: UnboundedSender<Message>,
    queue: Queue,
    live: HashMap<TaskId, Live>,
    /// Tasks that are asleep while their sockets are watched, with the time at which they wake by
    /// themselves. In the store they are due at once, so that the next daemon looks at them.
    watched: HashMap<TaskId, When>,
    /// Those of them that somebody has knocked at, and when.
    knocked: HashMap<TaskId, u64>,
    /// The last entry of the index that was read.
    cursor: Option<Due>,
    reading: bool,
    /// How often the wall clock has been set.
    steps: u64,
    /// The store is being told of it.
    shifting: bool,
    /// The index could not be read, and is not to be read before this, by the steady clock.
    read_again: u64,
    storing: usize,
    /// How many tasks are loaded.
    loaded: usize,
    /// When it was last looked how much memory the process has.
    weighed: Instant,
    /// Instances have gone that had much memory, since the allocator was last told to give some back.
    freed: bool,
    trimmed: Instant,
    /// How much memory the process had then.
    trimmed_to: u64,
    closing: Option<oneshot::Sender<Vec<NotStored>>>,
    /// Tasks that could not be written down at the end, and why.
    unwritten: Vec<NotStored>,
}

impl Driver {
    pub(super) fn new(
        shared: Arc<Shared>,
        pool: Pool,
        inbox: UnboundedReceiver<Message>,
        outbox: UnboundedSender<Message>,
    ) -> Self {
        Self {
            shared,
            pool,
            inbox,
            outbox,
            queue: Queue::default(),
            live: HashMap::new(),
            watched: HashMap::new(),
            knocked: HashMap::new(),
            cursor: None,
            reading: false,
            steps: 0,
            shifting: false,
            read_again: 0,
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

    /// Works until it is told to close and everything that can be stored is.
    pub(super) async fn run(mut self) {
        // What another process has handed over.
        for id in self.shared.sockets.all_watched() {
            self.watch(id);
        }
        // It may have been set while no daemon ran, or the time zone may be another one.
        self.judge_schedules();
        loop {
            self.look_at_clock();
            self.read_window();
            self.wake();
            self.dispatch();
            self.relieve_memory();
            self.make_room();
            if self.closing.is_some() && self.is_settled() {
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
            for _ in 0..DRAIN {
                match self.inbox.try_recv() {
                    Ok(message) => self.take(message),
                    Err(_) => break,
                }
            }
        }
        if let Some(closed) = self.closing.take() {
            // Whoever waited has gone.
            let _ = closed.send(self.unwritten);
        }
    }

    /// How long there is nothing to do without a message.
    fn patience(&self) -> Duration {
        let now = self.shared.time.now();
        let mut longest = Duration::from_secs(1);
        if let Some(left) = self.pool.interrupt(self.shared.options.checkpoint) {
            longest = longest.min(left.max(RELIEF));
        }
        if self.pool.relieve() {
            longest = RELIEF / 2;
        }
        if self.pool.is_busy() {
            longest = longest.min(WEIGH);
        }
        if self.can_wake()
            && let Some(due) = self.queue.next_due()
        {
            longest = longest.min(Duration::from_nanos(due.saturating_sub(now)));
        }
        longest
    }

    fn take(&mut self, message: Message) {
        match message {
            Message::Added(added) => {
                let unsettled = self.shared.time.is_unsettled();
                for (id, due) in added {
                    self.sleep(id, due);
                    if unsettled {
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
            Message::Shifted => self.shifting = false,
            Message::Left(reply) => {
                // Whoever asked has gone.
                let _ = reply.send(self.not_stored());
            }
            Message::Close(closed) => self.close(closed),
        }
    }

    // Who is due.

    /// Reads more of the store's index, where the queue does not reach far enough.
    fn read_window(&mut self) {
        let now = self.shared.time.now();
        let far = self.queue.horizon() > now + HORIZON / 2;
        let early = now < self.read_again;
        if self.reading
            || self.shifting
            || early
            || far
            || self.queue.soon() > WINDOW / 2
            || self.closing.is_some()
        {
            return;
        }
        self.reading = true;
        let until = now + HORIZON;
        self.queue.extend(until);
        let (shared, outbox, cursor) = (self.shared.clone(), self.outbox.clone(), self.cursor);
        let steps = self.steps;
        tokio::task::spawn_blocking(move || {
            let found = shared.store.due(cursor, until, WINDOW);
            let found = found.map_err(|error| error.to_string());
            // The driver has gone.
            let _ = outbox.send(Message::Window { steps, found });
        });
    }

    fn window(&mut self, steps: u64, found: Result<Vec<Due>, String>) {
        self.reading = false;
        if steps != self.steps {
            return;
        }
        match found {
            Ok(found) => {
                works(DUE, "which tasks are due can be read");
                if let Some(last) = found.last() {
                    if found.len() == WINDOW {
                        self.queue.shrink(last.at);
                    }
                    self.cursor = Some(*last);
                }
                for due in found {
                    self.queue.sleep(due);
                }
            }
            Err(error) => {
                complain(DUE, &error, || {
                    format!("cannot read which tasks are due: {error}")
                });
                self.read_again = self.shared.time.now() + READ_AGAIN;
                self.queue.shrink(self.cursor.map_or(0, |cursor| cursor.at));
            }
        }
    }

    fn can_wake(&self) -> bool {
        self.queue.len() < READY && self.closing.is_none()
    }

    fn wake(&mut self) {
        let now = self.shared.time.now();
        while self.can_wake()
            && let Some(due) = self.queue.wake(now)
        {
            // One whose sockets are watched is due for another daemon, which does not watch them.
            let later = |when: &When| self.shared.time.due(*when).is_none_or(|at| at > now);
            if self.watched.get(&due.id).is_some_and(later) {
                continue;
            }
            // One that is live is told of its own time when it has been stored.
            if let Entry::Vacant(place) = self.live.entry(due.id) {
                let mut live = Live::new(TaskState::Hibernated);
                live.loading = true;
                live.knocked = self.knocked.remove(&due.id);
                self.watched.remove(&due.id);
                place.insert(live);
                self.shared.enter(due.id, TaskState::Hibernated);
                self.step(due.id, Event::Wake);
                self.queue.push(due.id);
            }
        }
    }

    fn dispatch(&mut self) {
        while self.storing < STORING && self.closing.is_none() && self.pool.has_room() {
            let Some(id) = self.queue.pop() else { return };
            let Some(live) = self.live.get_mut(&id) else {
                continue;
            };
            if live.state != TaskState::Ready || live.busy {
                continue;
            }
            let job = match live.guest.take() {
                Some(guest) => Job::Step(guest),
                // There is no place for another instance: one has to go first.
                None if self.loaded >= INSTANCES => {
                    self.queue.push(id);
                    return;
                }
                None => {
                    live.loaded = true;
                    self.loaded += 1;
                    Job::Load {
                        id,
                        handle: live.handle.clone(),
                        knocked: live.knocked.take(),
                    }
                }
            };
            self.step(id, Event::Start);
            self.pool.send(job);
        }
    }

    /// Notes when a task is due, unless something is being done with it.
    fn sleep(&mut self, id: TaskId, due: When) {
        if let Some(at) = self.shared.time.due(due)
            && !self.live.contains_key(&id)
        {
            self.queue.sleep(Due { at, id });
        }
    }

    /// Watches the sockets of a task that sleeps.
    fn watch(&mut self, id: TaskId) {
        let Some(wakes) = self.shared.sockets.watched(id) else {
            return;
        };
        self.watched.insert(id, wakes);
        let (outbox, sockets) = (self.outbox.clone(), self.shared.sockets.clone());
        tokio::spawn(async move {
            sockets.knock(id).await;
            // The driver has gone.
            let _ = outbox.send(Message::Knock(id));
        });
    }

    /// A socket that a task waits for is ready, or is not kept any more.
    fn knock(&mut self, id: TaskId) {
        if self.watched.remove(&id).is_some() {
            let at = self.shared.time.now();
            self.knocked.insert(id, at);
            self.queue.insist(Due { at, id });
        }
    }
}
