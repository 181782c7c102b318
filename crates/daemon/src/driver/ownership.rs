//! Which tasks this node has, where several nodes share the store. A node claims tasks that are due,
//! keeps those that sleep for a moment or with sockets, and lets go of all others.
//!
//! What the store says and what is known here may differ for a while: the answer to a claim is lost, or
//! comes after that to a later change. Then the store is asked for all tasks of this node.

use std::collections::{HashMap, HashSet};
use std::sync::Arc;
use std::time::Duration;

use tokio::time::Instant;

use crate::model::TaskId;
use crate::nodes::member::Member;
use crate::store::Change;
use crate::workers::messages::ClaimedTask;

/// How often due tasks are claimed. After a full batch, the next one is claimed at once.
pub(super) const CLAIM_EVERY: Duration = Duration::from_millis(100);

/// The tasks of this node.
pub(super) struct Ownership {
    pub(super) member: Arc<Member>,
    pub(super) owned: HashSet<TaskId>,
    /// What the store said of claimed tasks that have not been loaded so far.
    pub(super) claimed: HashMap<TaskId, Box<ClaimedTask>>,
    /// A claim is on its way, and these tasks have been changed since.
    pub(super) claiming: Option<HashSet<TaskId>>,
    pub(super) next_claim: Instant,
    pub(super) last_claim: Instant,
    /// The last claim found more tasks than all nodes together can begin with.
    pub(super) is_herd: bool,
    /// How many tasks are being given back, which are this node's in the store still.
    pub(super) giving_back: usize,
    /// This node takes no work, and gives back what it has.
    pub(super) draining: bool,
    /// There are new tasks, of which the claim on its way may know nothing.
    pub(super) claim_again: bool,
    /// The store is to be asked which tasks are this node's.
    pub(super) in_doubt: bool,
    /// It is being asked, and these tasks have been changed since.
    pub(super) asking: Option<HashSet<TaskId>>,
    pub(super) next_question: Instant,
}

impl Ownership {
    /// At its start a node may have tasks already, of the process before it.
    pub(super) fn new(member: Arc<Member>) -> Self {
        let now = Instant::now();
        Self {
            member,
            owned: HashSet::new(),
            claimed: HashMap::new(),
            claiming: None,
            next_claim: now,
            last_claim: now,
            is_herd: false,
            giving_back: 0,
            draining: false,
            claim_again: false,
            in_doubt: true,
            asking: None,
            next_question: now,
        }
    }

    pub(super) fn has(&self, id: TaskId) -> bool {
        self.owned.contains(&id)
    }

    /// All tasks of this node.
    pub(super) fn all(&self) -> Vec<TaskId> {
        self.owned.iter().copied().collect()
    }

    /// What the store said of a task when it was claimed, once.
    pub(super) fn take_claimed(&mut self, id: TaskId) -> Option<Box<ClaimedTask>> {
        self.claimed.remove(&id)
    }

    /// Forgets what the store said of all claimed tasks.
    pub(super) fn forget_claimed(&mut self) {
        self.claimed.clear();
    }

    /// There are new tasks.
    pub(super) fn claim_soon(&mut self) {
        self.next_claim = Instant::now();
        self.claim_again = self.claiming.is_some();
    }

    /// What is known here may not be what the store says.
    pub(super) fn doubt(&mut self) {
        self.in_doubt = true;
    }

    /// A task was stored as this node's or as nobody's.
    pub(super) fn note(&mut self, id: TaskId, held: bool) {
        match held {
            true => self.owned.insert(id),
            false => self.owned.remove(&id),
        };
        self.claimed.remove(&id);
        for changed in [&mut self.claiming, &mut self.asking].into_iter().flatten() {
            changed.insert(id);
        }
    }

    /// How long it is until the store is asked for something.
    pub(super) fn patience(&self) -> Duration {
        let now = Instant::now();
        let times = [self.next_claim, self.next_question].into_iter();
        // What is late already waits for something else than time, and is looked at now and then.
        let later = times.filter(|time| *time > now).min();
        later.map_or(CLAIM_EVERY, |time| time.duration_since(now))
    }
}

/// Says whose a task is from now on, in the change that stores it.
pub(super) fn set_held(change: &mut Change, held: bool) {
    match change {
        Change::Insert(insert) => insert.held = held,
        Change::Update(update) => update.held = held,
        Change::Move(step) => {
            if let Some(change) = step.change.as_deref_mut() {
                set_held(change, held);
            }
        }
        Change::Remove { .. }
        | Change::Blob { .. }
        | Change::Chunk { .. }
        | Change::DropPack { .. }
        | Change::Shift => {}
    }
}
