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

use std::collections::HashMap;
use std::sync::Arc;
use std::time::Duration;

use tokio::sync::mpsc::{UnboundedReceiver, UnboundedSender};
use tokio::sync::oneshot;

use super::Error as Refused;
use super::commands::{Command, Reply};
use super::guest::{Guest, Job, Report};
use super::output::Tail;
use super::queue::Queue;
use super::shared::Shared;
use super::workers::{Pool, RELIEF};
use crate::model::{Event, TaskId, TaskState};
use crate::store::{Change, Due, Error as StoreError, Row, Update, Verdict};
use crate::task::TaskHandle;

/// How far ahead the store's index is read.
const HORIZON: u64 = 20_000_000_000;

/// How many entries of it are read at once; more are read when half of them are left.
const WINDOW: usize = 20_000;

/// So many tasks may be ready in memory; the others wait in the store.
const READY: usize = 4_000;

/// So many changes may be on their way to the disk before guests have to wait.
const STORING: usize = 4_000;

/// Messages that are taken before anything else is looked at.
const DRAIN: usize = 512;

/// After a failure that may pass, a task is tried again so much later, in nanoseconds.
const AGAIN: u64 = 10_000_000_000;

/// What the driver is told.
pub(super) enum Message {
    Added(Vec<(TaskId, Option<u64>)>),
    Command(Command),
    Report(Report),
    WaitOver(Box<Guest>),
    Answered(Box<Answered>),
    Loaded {
        id: TaskId,
        row: Result<Option<Row>, String>,
    },
    Window(Result<Vec<Due>, String>),
    Close(oneshot::Sender<()>),
}

/// What became of a change of a task.
pub(super) struct Answered {
    id: TaskId,
    result: Result<Verdict, StoreError>,
    state: Option<TaskState>,
    due: Option<u64>,
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
}

/// A task on which something is being done.
struct Live {
    state: TaskState,
    handle: TaskHandle,
    tail: Option<Tail>,
    /// While it is ready for another turn.
    guest: Option<Box<Guest>>,
    want: Want,
    replies: Vec<Reply>,
    /// Commands that wait until what is being stored or read is there.
    waiting: Vec<Command>,
    /// Something is being stored or read.
    busy: bool,
    /// When it is due, as far as this is known.
    due: Option<u64>,
    memory: u64,
    /// It could not be written down, so that there is no use in asking it again and again.
    stubborn: bool,
}

impl Live {
    fn new(state: TaskState) -> Self {
        Self {
            state,
            handle: TaskHandle::default(),
            tail: None,
            guest: None,
            want: Want::Nothing,
            replies: Vec::new(),
            waiting: Vec::new(),
            busy: false,
            due: None,
            memory: 0,
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
    /// The last entry of the index that was read.
    cursor: Option<Due>,
    reading: bool,
    storing: usize,
    closing: Option<oneshot::Sender<()>>,
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
            cursor: None,
            reading: false,
            storing: 0,
            closing: None,
        }
    }

    /// Works until it is told to close and everything that can be stored is.
    pub(super) async fn run(mut self) {
        loop {
            self.read_window();
            self.wake();
            self.dispatch();
            self.relieve_memory();
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
            let _ = closed.send(());
        }
    }

    /// How long there is nothing to do without a message.
    fn patience(&self) -> Duration {
        let now = self.shared.clock.realtime();
        let mut longest = Duration::from_secs(1);
        if self.pool.relieve() {
            longest = RELIEF / 2;
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
                for (id, due) in added {
                    self.sleep(id, due);
                }
            }
            Message::Command(command) => self.command(command),
            Message::Report(report) => self.report(report),
            Message::WaitOver(guest) => self.wait_over(guest),
            Message::Answered(answered) => self.answered(*answered),
            Message::Loaded { id, row } => self.loaded(id, row),
            Message::Window(found) => self.window(found),
            Message::Close(closed) => self.close(closed),
        }
    }

    // Who is due.

    /// Reads more of the store's index, where the queue does not reach far enough.
    fn read_window(&mut self) {
        let now = self.shared.clock.realtime();
        let far = self.queue.horizon() > now + HORIZON / 2;
        if self.reading || far || self.queue.soon() > WINDOW / 2 || self.closing.is_some() {
            return;
        }
        self.reading = true;
        let until = now + HORIZON;
        self.queue.extend(until);
        let (shared, outbox, cursor) = (self.shared.clone(), self.outbox.clone(), self.cursor);
        tokio::task::spawn_blocking(move || {
            let found = shared.store.due(cursor, until, WINDOW);
            let found = found.map_err(|error| error.to_string());
            // The driver has gone.
            let _ = outbox.send(Message::Window(found));
        });
    }

    fn window(&mut self, found: Result<Vec<Due>, String>) {
        self.reading = false;
        match found {
            Ok(found) => {
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
                log::error!("cannot read which tasks are due: {error}");
                self.queue.shrink(self.cursor.map_or(0, |cursor| cursor.at));
            }
        }
    }

    fn can_wake(&self) -> bool {
        self.queue.len() < READY && self.closing.is_none()
    }

    fn wake(&mut self) {
        let now = self.shared.clock.realtime();
        while self.can_wake()
            && let Some(due) = self.queue.wake(now)
        {
            // One that is live is told of its own time when it has been stored.
            if !self.live.contains_key(&due.id) {
                let mut live = Live::new(TaskState::Hibernated);
                live.due = Some(due.at);
                self.live.insert(due.id, live);
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
                None => Job::Load {
                    id,
                    handle: live.handle.clone(),
                },
            };
            self.step(id, Event::Start);
            self.pool.send(job);
        }
    }

    /// Notes when a task is due, unless something is being done with it.
    fn sleep(&mut self, id: TaskId, due: Option<u64>) {
        if let Some(at) = due
            && !self.live.contains_key(&id)
        {
            self.queue.sleep(Due { at, id });
        }
    }

    // What workers report.

    fn report(&mut self, report: Report) {
        match report {
            Report::Started { id, tail } => {
                if let Some(live) = self.live.get_mut(&id) {
                    live.tail = Some(tail.clone());
                }
                self.shared.set_tail(id, tail);
            }
            Report::Stale { id, due } => self.release(id, due),
            Report::Parked(guest) => self.park(guest),
            Report::Preempted(guest) => self.preempted(guest),
            Report::Asked(guest) => self.asked(guest),
            Report::Store { update, keeps } => {
                let id = update.id;
                if let Some(guest) = &keeps {
                    self.remember(id, guest.memory);
                }
                self.store(*update, keeps);
            }
            Report::Unable { guest, error } => self.unable(guest, &error),
            Report::Trouble { id, error } => {
                log::error!("task {id}: cannot be loaded, tried again soon: {error}");
                self.later(id);
            }
            Report::Lost { id } => {
                log::error!("task {id}: its worker failed; it goes on from its last snapshot soon");
                self.later(id);
            }
        }
    }

    fn later(&mut self, id: TaskId) {
        let at = self.shared.clock.realtime() + AGAIN;
        self.release(id, None);
        self.queue.insist(Due { at, id });
    }

    fn remember(&mut self, id: TaskId, memory: u64) {
        if let Some(live) = self.live.get_mut(&id) {
            self.shared.warm(memory as i64 - live.memory as i64);
            live.memory = memory;
        }
    }

    /// Waits with the instance in memory.
    fn park(&mut self, guest: Box<Guest>) {
        let id = guest.id;
        self.remember(id, guest.memory);
        let Some(live) = self.live.get(&id) else {
            return;
        };
        if live.want != Want::Nothing || self.closing.is_some() {
            return self.asked(guest);
        }
        if live.state == TaskState::Running {
            self.step(id, Event::Park);
        }
        let outbox = self.outbox.clone();
        tokio::spawn(async move {
            let mut guest = guest;
            let handle = guest.task.handle();
            tokio::select! {
                () = handle.asked() => {}
                ready = super::wait(&mut guest.task) => {
                    if let Err(error) = ready {
                        log::warn!("task {}: {error}", guest.id);
                    }
                }
            }
            // The driver has gone.
            let _ = outbox.send(Message::WaitOver(guest));
        });
    }

    fn wait_over(&mut self, guest: Box<Guest>) {
        let id = guest.id;
        if guest.task.handle().is_asked() {
            return self.asked(guest);
        }
        self.step(id, Event::Wake);
        if let Some(live) = self.live.get_mut(&id) {
            live.guest = Some(guest);
            self.queue.push(id);
        }
    }

    fn preempted(&mut self, guest: Box<Guest>) {
        let id = guest.id;
        self.remember(id, guest.memory);
        let wanted = self
            .live
            .get(&id)
            .is_some_and(|live| live.want != Want::Nothing);
        if wanted || self.closing.is_some() {
            return self.asked(guest);
        }
        self.step(id, Event::Preempt);
        if let Some(live) = self.live.get_mut(&id) {
            live.guest = Some(guest);
            self.queue.push(id);
        }
    }

    /// The guest stands where it can be written down.
    fn asked(&mut self, guest: Box<Guest>) {
        let state = match self.live.get(&guest.id).map(|live| live.want) {
            None => return,
            Some(Want::Pause) => TaskState::Paused,
            // A killed guest is stepped once more, which fails at once and says so.
            Some(Want::Kill) => return self.pool.send(Job::Step(guest)),
            Some(Want::Settle | Want::Nothing) => TaskState::Hibernated,
        };
        self.pool.send(Job::Freeze(guest, state));
    }

    /// Nothing is lost: the guest goes on in memory, and is tried again at its next wait.
    fn unable(&mut self, guest: Box<Guest>, error: &str) {
        let id = guest.id;
        log::warn!("task {id}: cannot be suspended, and stays in memory: {error}");
        guest.task.handle().clear();
        let Some(live) = self.live.get_mut(&id) else {
            return;
        };
        live.want = Want::Nothing;
        live.stubborn = true;
        for reply in live.replies.drain(..) {
            let refused = Refused::Request(format!("task {id} cannot be suspended now: {error}"));
            // Whoever asked has gone.
            let _ = reply.send(Err(refused.into()));
        }
        if self.closing.is_some() {
            self.release(id, None);
        } else {
            self.park(guest);
        }
    }

    // Storing.

    fn store(&mut self, update: Update, keeps: Option<Box<Guest>>) {
        let id = update.id;
        if let Some(live) = self.live.get_mut(&id) {
            live.busy = true;
        }
        let (state, due) = (update.state, update.due);
        self.send_change(id, Change::Update(update), Some(state), due, keeps);
    }

    fn send_change(
        &mut self,
        id: TaskId,
        change: Change,
        state: Option<TaskState>,
        due: Option<u64>,
        keeps: Option<Box<Guest>>,
    ) {
        self.storing += 1;
        let outbox = self.outbox.clone();
        self.shared.journal.keep(vec![change], move |result| {
            let result =
                result.map(|verdicts| verdicts.first().copied().unwrap_or(Verdict::Conflict));
            let answered = Answered {
                id,
                result,
                state,
                due,
                keeps,
            };
            // The driver has gone.
            let _ = outbox.send(Message::Answered(Box::new(answered)));
        });
    }

    fn answered(&mut self, answered: Answered) {
        self.storing -= 1;
        let Answered {
            id,
            result,
            state,
            due,
            keeps,
        } = answered;
        let Some(live) = self.live.get_mut(&id) else {
            return;
        };
        live.busy = false;
        match result {
            Ok(Verdict::Done) => {}
            Ok(_) => {
                log::error!("task {id}: was changed by somebody else; this copy is given up");
                return self.release(id, None);
            }
            Err(StoreError::Lost) => {
                self.shared.lost();
                return self.release(id, None);
            }
            Err(error) => {
                log::error!("task {id}: cannot be stored, goes on from its last snapshot: {error}");
                return self.later(id);
            }
        }
        for reply in std::mem::take(&mut live.replies) {
            // Whoever asked has gone.
            let _ = reply.send(Ok(()));
        }
        if let Some(mut guest) = keeps {
            guest.version += 1;
            guest.tail.stored();
            return self.park(guest);
        }
        match state {
            Some(state) => {
                self.arrive(id, state);
                self.release(id, due);
            }
            // Removed.
            None => self.forget(id),
        }
    }

    /// Follows the transitions that lead to a stored state.
    fn arrive(&mut self, id: TaskId, to: TaskState) {
        let Some(from) = self.live.get(&id).map(|live| live.state) else {
            return;
        };
        let events: &[Event] = match (from, to) {
            (from, to) if from == to => &[],
            (TaskState::Paused, TaskState::Hibernated) => &[Event::Resume],
            // Over, and armed anew by its schedule; or asleep.
            (_, TaskState::Hibernated) => &[Event::Hibernate],
            (_, TaskState::Paused) => &[Event::Pause],
            (_, TaskState::Exited) => &[Event::Exit],
            (_, TaskState::Failed) => &[Event::Fail],
            _ => &[],
        };
        for event in events {
            self.step(id, *event);
        }
    }

    /// One transition.
    fn step(&mut self, id: TaskId, event: Event) {
        let Some(live) = self.live.get_mut(&id) else {
            return;
        };
        match live.state.after(event) {
            Some(next) => {
                self.shared.moved(id, live.state, next);
                live.state = next;
            }
            None => log::error!(
                "task {id}: {event:?} cannot happen to one that is {}",
                live.state
            ),
        }
    }

    /// Nothing is being done with the task any more: what is stored is all there is.
    fn release(&mut self, id: TaskId, due: Option<u64>) {
        let Some(live) = self.live.remove(&id) else {
            return;
        };
        self.shared.warm(-(live.memory as i64));
        let stored = match live.state {
            TaskState::Ready | TaskState::Running | TaskState::Parked => TaskState::Hibernated,
            state => state,
        };
        self.shared.moved(id, live.state, stored);
        self.shared.leave(id);
        for reply in live.replies {
            // Whoever asked has gone.
            let _ = reply.send(Err(Refused::Closing.into()));
        }
        self.sleep(id, due);
        for command in live.waiting {
            self.command(command);
        }
    }

    fn forget(&mut self, id: TaskId) {
        if let Some(live) = self.live.remove(&id) {
            self.shared.gone(id, live.state);
            for command in live.waiting {
                self.command(command);
            }
        }
    }

    // What users ask for.

    fn command(&mut self, command: Command) {
        let id = command.id;
        if self.closing.is_some() {
            return command.refuse(Refused::Closing);
        }
        let Some(live) = self.live.get_mut(&id) else {
            // It stands in the store: read it, then decide.
            let mut live = Live::new(TaskState::Hibernated);
            live.busy = true;
            live.waiting.push(command);
            self.live.insert(id, live);
            return self.load(id);
        };
        if live.busy {
            return live.waiting.push(command);
        }
        let want = match command.want(live.state) {
            Ok(want) => want,
            Err(refused) => return command.refuse(refused),
        };
        live.replies.push(command.reply);
        live.want = want;
        match want {
            Want::Kill => live.handle.kill(),
            _ => live.handle.suspend(),
        }
        // One that is in the queue has its turn at once, to be written down.
        if let Some(guest) = live.guest.take() {
            self.step(id, Event::Start);
            self.asked(guest);
        }
    }

    fn load(&self, id: TaskId) {
        let (shared, outbox) = (self.shared.clone(), self.outbox.clone());
        tokio::task::spawn_blocking(move || {
            let row = shared.store.task(id).map_err(|error| error.to_string());
            // The driver has gone.
            let _ = outbox.send(Message::Loaded { id, row });
        });
    }

    /// A stored task, for the commands that wait for it.
    fn loaded(&mut self, id: TaskId, row: Result<Option<Row>, String>) {
        let Some(live) = self.live.get_mut(&id) else {
            return;
        };
        live.busy = false;
        let mut waiting = std::mem::take(&mut live.waiting).into_iter();
        let Some(command) = waiting.next() else {
            return;
        };
        live.waiting.extend(waiting);
        let row = match row {
            Ok(Some(row)) => row,
            Ok(None) | Err(_) => {
                let error = row.err().map(Refused::Damaged);
                let rest: Vec<_> = std::mem::take(&mut live.waiting);
                self.live.remove(&id);
                command.refuse(error.unwrap_or_else(|| Refused::NoTask(id.to_string())));
                return rest.into_iter().for_each(|command| self.command(command));
            }
        };
        live.state = row.state;
        live.due = row.due;
        self.shared.enter(id, row.state);
        match command.change(&row, self.shared.clock.realtime()) {
            Ok(Some((change, state, due))) => {
                let live = self.live.get_mut(&id).map(|live| {
                    live.replies.push(command.reply);
                    live.busy = true;
                });
                if live.is_some() {
                    self.send_change(id, change, state, due, None);
                }
            }
            // It is as it should be.
            Ok(None) => {
                // Whoever asked has gone.
                let _ = command.reply.send(Ok(()));
                self.release(id, row.due);
            }
            Err(refused) => {
                // Whoever asked has gone.
                let _ = command.reply.send(Err(refused));
                self.release(id, row.due);
            }
        }
    }

    // Memory, and the end.

    /// Where instances that wait take too much memory, as many as needed are put to sleep.
    fn relieve_memory(&mut self) {
        let limit = self.shared.options.max_warm_memory;
        let used = self.shared.metrics.warm_bytes();
        if used <= limit {
            return;
        }
        let parked = self.live.values().filter(|live| {
            let idle = live.state == TaskState::Parked && !live.busy && !live.stubborn;
            idle && !live.handle.is_asked()
        });
        let mut excess = used - limit;
        for live in parked {
            if excess == 0 {
                break;
            }
            excess = excess.saturating_sub(live.memory);
            live.handle.suspend();
        }
    }

    fn close(&mut self, closed: oneshot::Sender<()>) {
        self.closing = Some(closed);
        let ready: Vec<TaskId> = self.live.keys().copied().collect();
        for id in ready {
            let Some(live) = self.live.get_mut(&id) else {
                continue;
            };
            live.handle.suspend();
            match live.guest.take() {
                Some(guest) => {
                    self.step(id, Event::Start);
                    self.asked(guest);
                }
                None if live.state == TaskState::Ready && !live.busy => self.release(id, None),
                None => {}
            }
        }
    }

    fn is_settled(&self) -> bool {
        self.storing == 0 && self.live.is_empty()
    }
}

impl Command {
    /// What it means for a task that is doing something.
    fn want(&self, state: TaskState) -> Result<Want, Refused> {
        use super::commands::Ask;
        match self.ask {
            Ask::Pause => Ok(Want::Pause),
            Ask::Kill => Ok(Want::Kill),
            Ask::Settle => Ok(Want::Settle),
            Ask::Resume => Err(self.not_while(state)),
            Ask::Remove => Err(self.not_while(state)),
        }
    }
}
