//! What the driver stores, and what follows when that is durable.

use crate::driver::commands::{Ask, Command};
use crate::driver::move_step::{MoveStep, TaskMove};
use crate::driver::planned::PlannedChange;
use crate::driver::{Answered, Driver, Message, Want};
use crate::error::Error as Refused;
use crate::model::{Event, MonotonicTime, TaskId, TaskState, When};
use crate::store::{Change, Due, Error as StoreError, Update, Verdict};
use crate::throttled_log::warn_throttled;
use crate::workers::guest::LoadedTask;

/// Topic of the log: states that could not be stored.
const STORING_STATES: &str = "storing";

/// Whether a command has been carried out, where the task was stored in this state. What was stored by
/// the way, and stays in memory, is not given away.
fn is_answered(command: &Command, state: Option<TaskState>, stays: bool) -> bool {
    command.is_done(state) && !(stays && matches!(command.ask, Ask::Give(_)))
}

/// When a task wakes of which the driver keeps nothing in memory any more.
pub(super) enum WakeUp {
    /// At its due time. A task that waits for sockets wakes when one of them is ready, or when its
    /// own timeout ends.
    Due(When),
    /// At this time of the steady clock and not before, whatever its sockets do.
    NotBefore(MonotonicTime),
}

impl Driver {
    pub(super) fn store(&mut self, mut update: Update, keeps: Option<Box<LoadedTask>>) {
        let id = update.id;
        if keeps.is_none() && matches!(update.state, TaskState::Hibernated | TaskState::Paused) {
            update.target = self.asked_target(id);
        }
        if let Some(live) = self.live.get_mut(&id) {
            live.busy = true;
        }
        let (state, due) = (update.state, update.due);
        let task_move = match state == TaskState::Moving {
            true => self.asked_move(id),
            false => None,
        };
        let change = match task_move {
            None => Change::Update(update),
            Some(task_move) => match task_move.frozen_change(update) {
                Ok(change) => change,
                Err(error) => {
                    let error = format!("it cannot be moved: {error}");
                    log::error!("task {id}: {error}");
                    return self.later(id, &error);
                }
            },
        };
        let state = Some(state);
        let planned = PlannedChange {
            change,
            with: Vec::new(),
            state,
            due,
        };
        self.send_change(id, planned, keeps);
    }

    /// The node to which a task is to be given.
    fn asked_target(&self, id: TaskId) -> Option<u64> {
        let asked = &self.live.get(&id)?.asked;
        asked.iter().find_map(|command| match command.ask {
            Ask::Give(node) => Some(node),
            _ => None,
        })
    }

    /// The move for which a task was stopped.
    fn asked_move(&self, id: TaskId) -> Option<&TaskMove> {
        let asked = &self.live.get(&id)?.asked;
        asked.iter().find_map(|command| match &command.ask {
            Ask::Move(task_move) if task_move.step == MoveStep::Stop => Some(&**task_move),
            _ => None,
        })
    }

    /// Stores a change that must not be lost, however long that takes.
    pub(super) fn send_change(
        &mut self,
        id: TaskId,
        planned: PlannedChange,
        keeps: Option<Box<LoadedTask>>,
    ) {
        let outbox = self.outbox.clone();
        // An error means that the driver has ended.
        let failing = move |error: String| drop(outbox.send(Message::Unstored { id, error }));
        let (state, due) = (planned.state, planned.due);
        let (changes, held) = self.changes(id, planned, keeps.is_some());
        let answer = self.answer(id, (state, due), None, held, keeps);
        self.shared.journal.keep(changes, failing, answer);
    }

    /// Stores the change that a command makes to a task that is only in the store, where the task
    /// is due at `was`. If the change cannot be stored, the task stays as it is and the command is
    /// answered with the reason. Only a step of a move that has begun is tried until it can be
    /// stored.
    pub(super) fn try_change(
        &mut self,
        id: TaskId,
        planned: PlannedChange,
        was: When,
        begun: bool,
    ) {
        let (state, due) = (planned.state, planned.due);
        let (changes, held) = self.changes(id, planned, false);
        let answer = self.answer(id, (state, due), Some(was), held, None);
        match begun {
            true => self.shared.journal.keep(changes, drop, answer),
            false => self.shared.journal.put(changes, answer),
        }
    }

    /// The changes of a plan, each with whose its task is from now on; also whether the task is this
    /// node's.
    fn changes(&self, id: TaskId, planned: PlannedChange, in_memory: bool) -> (Vec<Change>, bool) {
        let PlannedChange {
            mut change,
            mut with,
            state,
            due,
        } = planned;
        let held = match &mut change {
            Change::Update(update) if update.target.is_some() => {
                // The other node has it from now on, if it goes on soon.
                update.held = self.goes_on_soon(state, due);
                false
            }
            change => {
                let held = self.holds(id, state, due, in_memory);
                self.hold(change, held, &mut with);
                held
            }
        };
        if self.ownership.is_some() && !held {
            // Wherever it goes on, its sockets are not there, and its addresses must be free.
            self.shared.sockets.close(id);
        }
        (std::iter::once(change).chain(with).collect(), held)
    }

    fn answer(
        &mut self,
        id: TaskId,
        (state, due): (Option<TaskState>, When),
        was: Option<When>,
        held: bool,
        keeps: Option<Box<LoadedTask>>,
    ) -> impl FnOnce(Result<Vec<Verdict>, StoreError>) + Send + 'static {
        self.storing += 1;
        let outbox = self.outbox.clone();
        move |result| {
            let result =
                result.map(|verdicts| verdicts.first().copied().unwrap_or(Verdict::Conflict));
            let answered = Answered {
                id,
                result,
                state,
                due,
                was,
                held,
                keeps,
            };
            // An error means that the driver has ended.
            let _ = outbox.send(Message::Answered(Box::new(answered)));
        }
    }

    /// What a task has come to cannot be stored for now. Whoever waits for that is told.
    pub(super) fn unstored(&mut self, id: TaskId, error: String) {
        let Some(live) = self.live.get_mut(&id) else {
            return;
        };
        // A move waits: its two sides are agreed on what happens next. So does what connections have
        // come to.
        let waits = |command: &Command| matches!(command.ask, Ask::Move(_) | Ask::Collect);
        let (wait, told): (Vec<_>, Vec<_>) = live.asked.drain(..).partition(waits);
        live.asked = wait;
        for command in told {
            let refused = command.not_stored(&error);
            command.refuse(refused);
        }
        let (wait, told): (Vec<_>, Vec<_>) = live.waiting.drain(..).partition(waits);
        live.waiting = wait;
        for command in told {
            let refused = command.stuck(&error);
            command.refuse(refused);
        }
        live.unstored = Some(error);
    }

    /// Ends what a task in the store has of sockets that it does not keep in this state; without a
    /// state, it was removed.
    fn end_sockets(&self, id: TaskId, state: Option<TaskState>) {
        match state {
            Some(TaskState::Hibernated) => {}
            Some(TaskState::Paused | TaskState::Moving) => self.shared.sockets.pause(id),
            _ => self.shared.sockets.close(id),
        }
    }

    pub(super) fn answered(&mut self, answered: Answered) {
        self.storing -= 1;
        let Answered {
            id,
            result,
            state,
            due,
            was,
            held,
            keeps,
        } = answered;
        self.note_owner(id, &result, held);
        self.connections_answered(id, matches!(result, Ok(Verdict::Done)));
        let Some(live) = self.live.get_mut(&id) else {
            return;
        };
        live.busy = false;
        live.unstored = None;
        match result {
            Ok(Verdict::Done) => {}
            Ok(_) if was.is_some() && self.ownership.is_some() => return self.is_elsewhere(id),
            Ok(_) => {
                log::error!("task {id}: was changed by somebody else; this copy is discarded");
                self.shared.sockets.drop_kept(id);
                return self.release(id, When::NEVER);
            }
            Err(StoreError::Lost) => {
                self.shared.lost();
                return self.release(id, When::NEVER);
            }
            Err(error) if was.is_some() => {
                for command in std::mem::take(&mut live.asked) {
                    // An error means that the caller no longer waits.
                    let _ = command.reply.send(Err(error.again().into()));
                }
                return self.release(id, was.unwrap_or(When::NEVER));
            }
            Err(error) => {
                let error = format!("it could not be stored: {error}");
                warn_throttled(STORING_STATES, &error, || {
                    format!("task {id} goes on from its last snapshot: {error}")
                });
                return self.later(id, &error);
            }
        }
        self.shared.retries.over(id);
        if was.is_some() {
            self.end_sockets(id, state);
        }
        let Some(live) = self.live.get_mut(&id) else {
            return;
        };
        // What was asked while something else was on its way to the disk is asked again.
        let stays = keeps.is_some();
        let (done, again): (Vec<_>, Vec<_>) = std::mem::take(&mut live.asked)
            .into_iter()
            .partition(|command| is_answered(command, state, stays));
        live.waiting.splice(..0, again);
        done.into_iter().for_each(Command::done);
        if let Some(mut guest) = keeps {
            guest.version += 1;
            guest.tail.stored(guest.version);
            live.want = Want::Nothing;
            let waiting = std::mem::take(&mut live.waiting);
            self.park(guest);
            return waiting
                .into_iter()
                .for_each(|command| self.command(command));
        }
        match state {
            Some(state) => self.is_stored(id, state, due),
            // Removed.
            None => self.forget(id),
        }
    }

    /// Another node has claimed a task since its row was read for a command.
    fn is_elsewhere(&mut self, id: TaskId) {
        if let Some(live) = self.live.get_mut(&id) {
            for command in std::mem::take(&mut live.asked) {
                command.refuse(Refused::Elsewhere(id));
            }
        }
        self.release(id, When::NEVER);
    }

    /// Notes whose a task is after a change.
    fn note_owner(&mut self, id: TaskId, result: &Result<Verdict, StoreError>, held: bool) {
        let Some(tasks) = &mut self.ownership else {
            return;
        };
        match result {
            Ok(Verdict::Done) => tasks.note(id, held),
            Ok(_) => {
                tasks.note(id, false);
                tasks.doubt();
            }
            Err(_) => {}
        }
    }

    /// The task is in the store in this state, and nothing is done on it.
    fn is_stored(&mut self, id: TaskId, state: TaskState, due: When) {
        let arrives = self.arrives(id);
        self.arrive(id, state);
        self.release(id, due);
        if arrives || self.shared.time.was_set_lately() {
            self.judge_again(id, due);
        }
    }

    /// Whether a task arrives from another daemon, which may be in another time zone.
    fn arrives(&self, id: TaskId) -> bool {
        let state = self.live.get(&id).map(|live| live.state);
        state == Some(TaskState::Arriving)
    }

    /// Follows the transitions that lead to a stored state.
    pub(super) fn arrive(&mut self, id: TaskId, to: TaskState) {
        let Some(from) = self.live.get(&id).map(|live| live.state) else {
            return;
        };
        let events: &[Event] = match (from, to) {
            (from, to) if from == to => &[],
            (TaskState::Paused, TaskState::Hibernated) => &[Event::Resume],
            (TaskState::Moved, TaskState::Hibernated) => &[Event::Rearm],
            (TaskState::Moved, TaskState::Paused) => &[Event::Rearm, Event::Pause],
            // Asleep, or over and started anew by its schedule.
            (_, TaskState::Hibernated) => &[Event::Hibernate],
            (_, TaskState::Paused) => &[Event::Pause],
            (_, TaskState::Exited) => &[Event::Exit],
            (_, TaskState::Failed) => &[Event::Fail],
            (_, TaskState::Moving) => &[Event::Move],
            (_, TaskState::Moved) => &[Event::CommitMove],
            _ => &[],
        };
        for event in events {
            self.step(id, *event);
        }
    }

    /// One transition.
    pub(super) fn step(&mut self, id: TaskId, event: Event) {
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

    /// Nothing is being done on the task any longer: its row is all there is.
    pub(super) fn release(&mut self, id: TaskId, due: When) {
        self.release_to(id, WakeUp::Due(due));
    }

    pub(super) fn release_to(&mut self, id: TaskId, sleep: WakeUp) {
        let Some(live) = self.live.remove(&id) else {
            return;
        };
        self.shared.add_parked_memory(-(live.memory as i64));
        self.note_freed(live.memory);
        self.shared.budget.forget(id);
        self.loaded -= usize::from(live.loaded);
        let stored = match live.state {
            TaskState::Ready | TaskState::Running | TaskState::Parked => TaskState::Hibernated,
            state => state,
        };
        self.shared.moved(id, live.state, stored);
        self.shared.leave(id);
        self.knocked.remove(&id);
        match sleep {
            WakeUp::NotBefore(at) => {
                self.watched.remove(&id);
                self.shared.sockets.unwatch(id);
                // The task is to go on then, whatever woke it before.
                self.knocked.insert(id, at);
                self.queue.schedule_always(Due { at, id });
            }
            WakeUp::Due(due) => {
                if stored != TaskState::Hibernated {
                    self.watched.remove(&id);
                } else if !self.watched.contains_key(&id) {
                    self.watch(id);
                }
                // In the store a watched task is due at once; this daemon watches its sockets
                // instead.
                match self.watched.get(&id) {
                    Some(wakes) => self.sleep(id, *wakes),
                    None => self.sleep(id, due),
                }
            }
        }
        for command in live.asked.into_iter().chain(live.waiting) {
            self.command(command);
        }
    }

    pub(super) fn forget(&mut self, id: TaskId) {
        if let Some(live) = self.live.remove(&id) {
            self.loaded -= usize::from(live.loaded);
            self.note_freed(live.memory);
            self.shared.budget.forget(id);
            self.shared.gone(id, live.state);
            for command in live.waiting {
                self.command(command);
            }
        }
    }
}
