//! What the driver has stored, and what follows when it is durable.

use super::super::commands::{Ask, Command};
use super::super::guest::Guest;
use super::super::moving::{Move, Step};
use super::{Answered, Driver, Message, Want};
use crate::model::{Event, TaskId, TaskState, When};
use crate::store::{Change, Error as StoreError, Update, Verdict};

impl Driver {
    pub(super) fn store(&mut self, update: Update, keeps: Option<Box<Guest>>) {
        let id = update.id;
        if let Some(live) = self.live.get_mut(&id) {
            live.busy = true;
        }
        let (state, due) = (update.state, update.due);
        let given = match state == TaskState::Moving {
            true => self.asked_move(id),
            false => None,
        };
        let change = match given {
            None => Change::Update(update),
            Some(given) => match given.given(update) {
                Ok(change) => change,
                Err(error) => {
                    log::error!("task {id}: cannot be moved: {error}");
                    return self.later(id);
                }
            },
        };
        self.send_change(id, change, Some(state), due, keeps);
    }

    /// The move for which a task was stopped.
    fn asked_move(&self, id: TaskId) -> Option<&Move> {
        let asked = &self.live.get(&id)?.asked;
        asked.iter().find_map(|command| match &command.ask {
            Ask::Move(given) if given.step == Step::Give => Some(&**given),
            _ => None,
        })
    }

    pub(super) fn send_change(
        &mut self,
        id: TaskId,
        change: Change,
        state: Option<TaskState>,
        due: When,
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

    pub(super) fn answered(&mut self, answered: Answered) {
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
                self.shared.sockets.drop_kept(id);
                return self.release(id, When::NEVER);
            }
            Err(StoreError::Lost) => {
                self.shared.lost();
                return self.release(id, When::NEVER);
            }
            Err(error) => {
                log::error!("task {id}: cannot be stored, goes on from its last snapshot: {error}");
                return self.later(id);
            }
        }
        // What was asked while something else was on its way to the disk is asked again.
        let (done, again): (Vec<_>, Vec<_>) = std::mem::take(&mut live.asked)
            .into_iter()
            .partition(|command| command.is_done(state));
        live.waiting.splice(..0, again);
        done.into_iter().for_each(Command::done);
        if let Some(mut guest) = keeps {
            guest.version += 1;
            guest.tail.stored();
            live.want = Want::Nothing;
            let waiting = std::mem::take(&mut live.waiting);
            self.park(guest);
            return waiting
                .into_iter()
                .for_each(|command| self.command(command));
        }
        match state {
            Some(state) => {
                let arrives = self.arrives(id);
                self.arrive(id, state);
                self.release(id, due);
                if arrives || self.shared.time.is_unsettled() {
                    self.judge_again(id, due);
                }
            }
            // Removed.
            None => self.forget(id),
        }
    }

    /// Whether a task comes from another daemon, which may be in another time zone.
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
            // Over, and armed anew by its schedule; or asleep.
            (_, TaskState::Hibernated) => &[Event::Hibernate],
            (_, TaskState::Paused) => &[Event::Pause],
            (_, TaskState::Exited) => &[Event::Exit],
            (_, TaskState::Failed) => &[Event::Fail],
            (_, TaskState::Moving) => &[Event::Give],
            (_, TaskState::Moved) => &[Event::Given],
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

    /// Nothing is being done with the task any more: what is stored is all there is.
    pub(super) fn release(&mut self, id: TaskId, due: When) {
        let Some(live) = self.live.remove(&id) else {
            return;
        };
        self.shared.warm(-(live.memory as i64));
        self.loaded -= usize::from(live.loaded);
        let stored = match live.state {
            TaskState::Ready | TaskState::Running | TaskState::Parked => TaskState::Hibernated,
            state => state,
        };
        self.shared.moved(id, live.state, stored);
        self.shared.leave(id);
        self.knocked.remove(&id);
        if stored != TaskState::Hibernated {
            self.watched.remove(&id);
        } else if !self.watched.contains_key(&id) {
            self.watch(id);
        }
        // In the store one that is watched is due; this daemon hears who knocks.
        match self.watched.get(&id) {
            Some(wakes) => self.sleep(id, *wakes),
            None => self.sleep(id, due),
        }
        for command in live.asked.into_iter().chain(live.waiting) {
            self.command(command);
        }
    }

    pub(super) fn forget(&mut self, id: TaskId) {
        if let Some(live) = self.live.remove(&id) {
            self.loaded -= usize::from(live.loaded);
            self.shared.gone(id, live.state);
            for command in live.waiting {
                self.command(command);
            }
        }
    }
}
