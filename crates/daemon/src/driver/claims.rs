//! How a node claims due tasks, and finds out which tasks it has, where several share the store.

use std::collections::HashSet;
use std::time::{Duration, SystemTime};

use tokio::time::Instant;

use crate::driver::ownership::{CLAIM_EVERY, set_held};
use crate::driver::{Driver, MOST_CHANGES_UNDER_WAY, MOST_INSTANCES, Message};
use crate::model::{TaskId, TaskState, When};
use crate::store::{Change, Claimed, Due, Error, Wish};
use crate::throttled_log::{note_recovered, warn_throttled};
use crate::workers::messages::ClaimedTask;

/// How long after a failure the store is asked again.
const CLAIM_AGAIN_AFTER: Duration = Duration::from_millis(500);

/// A node claims tasks so long before they are due: those that it had last, whose modules and bases it
/// has in memory, before those that others had. Neither is late by that.
const CLAIM_OWN_AHEAD: Duration = Duration::from_millis(500);
const CLAIM_ANY_AHEAD: Duration = Duration::from_millis(200);

/// At most this many tasks that a node has claimed wait for a thread. Others are left to other nodes.
const MOST_WAITING: usize = 64;

/// The nodes share that number, so that a few tasks spread over them, but each may have so many.
const LEAST_SHARE: usize = 16;

/// Where tasks are claimed that have been due for so long, there are more of them than all nodes
/// together can begin with. Then each node claims as many at once as it may.
const HERD_AFTER: Duration = Duration::from_millis(300);

/// A task that sleeps for no longer stays its node's, which saves a claim.
const KEPT_SLEEP: Duration = Duration::from_secs(10);

/// Topic of the log.
const CLAIMING: &str = "claiming";

impl Driver {
    /// Whether a task is stored as this node's from now on.
    pub(super) fn holds(
        &self,
        id: TaskId,
        state: Option<TaskState>,
        due: When,
        in_memory: bool,
    ) -> bool {
        let has_sockets = || self.shared.sockets.keeps(id);
        let stays = !self.is_draining();
        self.ownership.is_some()
            && match state {
                _ if in_memory => true,
                Some(TaskState::Hibernated | TaskState::Paused) if !stays => false,
                Some(TaskState::Hibernated) => self.is_soon(due) || has_sockets(),
                // Its connections are here.
                Some(TaskState::Paused) => has_sockets(),
                // The other daemon knows this one.
                Some(TaskState::Moving | TaskState::Arriving | TaskState::Moved) => true,
                _ => false,
            }
    }

    /// Says whose a task is from now on, in the change that stores it. New tasks that come with it are
    /// those of connections, which are here.
    pub(super) fn hold(&self, change: &mut Change, held: bool, with: &mut [Change]) {
        set_held(change, held);
        if self.ownership.is_some() {
            with.iter_mut().for_each(|change| set_held(change, true));
        }
    }

    /// Whether a task that is stored in this state goes on soon.
    pub(super) fn goes_on_soon(&self, state: Option<TaskState>, due: When) -> bool {
        state == Some(TaskState::Hibernated) && self.is_soon(due)
    }

    fn is_soon(&self, due: When) -> bool {
        let soon = self.shared.time.now().saturating_add(KEPT_SLEEP);
        self.shared.time.due(due).is_some_and(|at| at <= soon)
    }

    /// Whether a task may be run here.
    pub(super) fn has(&self, id: TaskId) -> bool {
        self.ownership.as_ref().is_none_or(|tasks| tasks.has(id))
    }

    /// Claims tasks that are due, where there is room for them.
    pub(super) fn claim_due(&mut self) {
        self.ask_for_owned();
        if self.is_draining() {
            return self.drain_in_turn();
        }
        let (room, most) = (self.room(), self.most_waiting());
        let until = self.shared.time.now();
        let Some(tasks) = &mut self.ownership else {
            return;
        };
        let now = Instant::now();
        // A few tasks are not worth a claim of their own.
        let few = room < most / 2 && now < tasks.last_claim + CLAIM_EVERY;
        let early = now < tasks.next_claim || few;
        if room == 0 || early || tasks.claiming.is_some() || self.closing.is_some() {
            return;
        }
        tasks.last_claim = now;
        tasks.claiming = Some(HashSet::new());
        tasks.claim_again = false;
        let (member, outbox) = (tasks.member.clone(), self.outbox.clone());
        let wish = Wish {
            own_until: until.saturating_add(CLAIM_OWN_AHEAD),
            any_until: until.saturating_add(CLAIM_ANY_AHEAD),
            limit: room,
            classes: tasks.member.placement.served(),
        };
        self.outside.run(Box::new(move || {
            let asked = SystemTime::now();
            let found = member.claim_due(&wish);
            let full = found.as_ref().is_ok_and(|found| found.len() >= room);
            // An error means that the driver has ended.
            let _ = outbox.send(Message::Claimed { found, asked, full });
        }));
    }

    /// A turn of a node that is being drained, as often as due tasks would be claimed.
    fn drain_in_turn(&mut self) {
        let Some(tasks) = &mut self.ownership else {
            return;
        };
        let now = Instant::now();
        if now >= tasks.next_claim && self.closing.is_none() {
            tasks.next_claim = now + CLAIM_EVERY;
            self.drain();
        }
    }

    /// Tells how many tasks this node has.
    pub(super) fn note_owned(&self) {
        if let Some(tasks) = &self.ownership {
            self.shared.set_owned(tasks.owned.len() + tasks.giving_back);
        }
    }

    /// How many tasks that this node has claimed may wait for a thread.
    fn most_waiting(&self) -> usize {
        match &self.ownership {
            Some(tasks) if !tasks.is_herd => {
                let share = MOST_WAITING / tasks.member.count_takers().max(1);
                share.max(LEAST_SHARE)
            }
            _ => MOST_WAITING,
        }
    }

    /// How many more tasks this node can begin with.
    fn room(&self) -> usize {
        let Some(tasks) = &self.ownership else {
            return 0;
        };
        let waiting = tasks.claimed.len() + self.queue.ready_len();
        let room = self.most_waiting().saturating_sub(waiting);
        let busy = self.storing >= MOST_CHANGES_UNDER_WAY || !self.can_wake();
        match busy || room == 0 || self.shared.budget.used().waiting > 0 {
            true => 0,
            false => room.min(MOST_INSTANCES.saturating_sub(self.loaded)),
        }
    }

    /// Tasks have been claimed, or it is not known which.
    pub(super) fn claimed(
        &mut self,
        found: Result<Vec<Claimed>, Error>,
        asked: SystemTime,
        full: bool,
    ) {
        let Some(tasks) = &mut self.ownership else {
            return;
        };
        let changed = tasks.claiming.take().unwrap_or_default();
        tasks.next_claim = Instant::now();
        if !full && !tasks.claim_again {
            tasks.next_claim += CLAIM_EVERY;
        }
        let found = match found {
            Ok(found) => found,
            Err(error) => {
                tasks.next_claim = Instant::now() + CLAIM_AGAIN_AFTER;
                tasks.in_doubt = true;
                return self.cannot_claim(&error);
            }
        };
        note_recovered(CLAIMING, "due tasks can be claimed");
        let long_ago = self.shared.time.now().saturating_sub(HERD_AFTER);
        let last = found.last().and_then(|claimed| claimed.row.due);
        tasks.is_herd = full && last.is_some_and(|due| due <= long_ago);
        let answered = SystemTime::now();
        for claimed in found {
            let (id, due) = (claimed.row.id, claimed.row.due);
            // What the claim says of it may be older than what is known here.
            if changed.contains(&id) || self.live.contains_key(&id) {
                tasks.in_doubt = true;
                continue;
            }
            self.shared.owners.add(id, claimed.row.tenant);
            tasks.owned.insert(id);
            let claimed = ClaimedTask {
                claimed,
                asked,
                answered,
            };
            tasks.claimed.insert(id, Box::new(claimed));
            let at = due.unwrap_or_default();
            self.queue.schedule_always(Due { at, id });
        }
    }

    fn cannot_claim(&self, error: &Error) {
        if matches!(error, Error::Lost) {
            return self.shared.lost();
        }
        let reason = error.to_string();
        warn_throttled(CLAIMING, &reason, || {
            format!("due tasks cannot be claimed: {reason}")
        });
    }

    /// Gives back tasks that this node has and cannot run. Their sockets are closed.
    pub(super) fn give_back(&mut self, ids: Vec<TaskId>) {
        let Some(tasks) = &mut self.ownership else {
            return;
        };
        for id in &ids {
            tasks.note(*id, false);
        }
        tasks.giving_back += ids.len();
        let (member, outbox) = (tasks.member.clone(), self.outbox.clone());
        for id in &ids {
            self.shared.sockets.close(*id);
            self.watched.remove(id);
            self.release(*id, When::NEVER);
        }
        self.outside.run(Box::new(move || {
            let (count, result) = (ids.len(), member.give_back(&ids).map(drop));
            // An error means that the driver has ended.
            let _ = outbox.send(Message::GivenBack { count, result });
        }));
    }

    /// Tasks have been given back, or are this node's still.
    pub(super) fn given_back(&mut self, count: usize, result: Result<(), Error>) {
        let Some(tasks) = &mut self.ownership else {
            return;
        };
        tasks.giving_back -= count;
        if let Err(error) = result {
            tasks.doubt();
            self.cannot_claim(&error);
        }
    }

    /// Asks the store which tasks are this node's, where that is in doubt.
    fn ask_for_owned(&mut self) {
        let Some(tasks) = &mut self.ownership else {
            return;
        };
        let early = Instant::now() < tasks.next_question;
        if !tasks.in_doubt || early || tasks.asking.is_some() || self.closing.is_some() {
            return;
        }
        tasks.in_doubt = false;
        tasks.asking = Some(HashSet::new());
        let (member, outbox) = (tasks.member.clone(), self.outbox.clone());
        self.outside.run(Box::new(move || {
            // An error means that the driver has ended.
            let _ = outbox.send(Message::Owned(member.owned()));
        }));
    }

    /// The tasks that are this node's. Those that are not known here are looked at as if they were due.
    pub(super) fn adopt(&mut self, found: Result<Vec<TaskId>, Error>) {
        let at = self.shared.time.now();
        let Some(tasks) = &mut self.ownership else {
            return;
        };
        let changed = tasks.asking.take().unwrap_or_default();
        tasks.next_question = Instant::now() + CLAIM_AGAIN_AFTER;
        let found = match found {
            Ok(found) => found,
            Err(error) => {
                tasks.in_doubt = true;
                return self.cannot_claim(&error);
            }
        };
        for id in found {
            if tasks.owned.contains(&id) {
                continue;
            }
            if changed.contains(&id) || self.live.contains_key(&id) {
                tasks.in_doubt = true;
                continue;
            }
            tasks.owned.insert(id);
            self.queue.schedule_always(Due { at, id });
        }
    }
}
