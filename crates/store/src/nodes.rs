//! Several daemons on one store. Each is a node with a lease of its own, and a task belongs to one of
//! them at a time, or to nobody.
//!
//! ```text
//!   asleep (nobody's) --claim_due--> a node's --commit, held--> a node's --commit--> nobody's
//!                                        |
//!                                        |--commit, target--> another node's, told by claim_due
//!                                        `- its node is dead: free_dead ------------> nobody's
//! ```
//!
//! A daemon that has its store for itself uses [`Store`] alone, as the only node: [`Store::claim`]
//! fences all others, and it finds its work by [`Store::due`]. What is here is for daemons that share
//! a store.

use std::ops::Range;
use std::time::Duration;

use crate::class::ClassId;
use crate::error::Error;
use crate::model::{MonotonicTime, TaskId};
use crate::store::{Lease, Stamp, Store};
use crate::task::{StoredSnapshot, TaskRow};

/// Which due tasks a node would like.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Wish {
    /// Tasks that this node had last, and that are due no later than this. Its caches have what they
    /// need.
    pub own_until: MonotonicTime,
    /// Tasks that another node had last, and that are due no later than this.
    pub any_until: MonotonicTime,
    /// At most so many.
    pub limit: usize,
    /// Of these classes, which the node can serve.
    pub classes: Vec<ClassId>,
}

/// A task that a node has now.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Claimed {
    /// Its row.
    pub row: TaskRow,
    /// Its snapshot.
    pub snapshot: Option<StoredSnapshot>,
}

/// A node, as the others see it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct NodeRow {
    /// Its number: the epoch of its lease, which no other node has or had.
    pub number: u64,
    /// Its name.
    pub name: String,
    /// What it said of itself when it last renewed its lease.
    pub details: String,
    /// Whether its lease holds, by the store's clock.
    pub alive: bool,
}

/// A store that several daemons can share.
///
/// A node is fenced once its row is gone: [`Error::Lost`] is the answer to all that it asks then.
/// A commit changes tasks that are this node's or nobody's; a task that another one has is a
/// [`Verdict::Conflict`](crate::Verdict::Conflict).
pub trait Nodes: Store {
    /// Becomes a node beside the others. What a node of this name had last, it takes first.
    ///
    /// # Errors
    /// [`Error::Leased`] if a daemon has the store for itself.
    fn join(&self, name: &str, now: &Stamp, lasts: Duration) -> Result<Lease, Error>;

    /// Renews the lease, which nothing else does, and says what the others may know of the node.
    /// Returns all nodes, those whose leases are over and that nobody has fenced so far as well.
    ///
    /// # Errors
    /// [`Error::Lost`] if the node is fenced.
    fn beat(&self, node: &Lease, details: &str) -> Result<Vec<NodeRow>, Error>;

    /// Fences an earlier node, and takes over its tasks; returns how many. The caller knows that the
    /// process of that node has ended.
    fn succeed(&self, node: &Lease, earlier: u64) -> Result<u64, Error>;

    /// Gives back all tasks of the node, which is none afterwards. One that is fenced has done so.
    fn leave(&self, node: &Lease) -> Result<(), Error>;

    /// The class of tasks that need this of a node, as the daemon writes it down: the same for the same
    /// text at all nodes, and never another one. A store that daemons cannot share has no classes, and
    /// says [`ClassId::ANY`].
    ///
    /// # Errors
    /// [`Error::Lost`] if the node is fenced.
    fn class(&self, node: &Lease, needs: &str) -> Result<ClassId, Error>;

    /// The classes that there are, with what their tasks need, but for [`ClassId::ANY`].
    fn classes(&self) -> Result<Vec<(ClassId, String)>, Error>;

    /// Takes tasks that are due and nobody's, the earliest first. No task is given to two nodes. Tasks
    /// that another node has given to this one are told once, beyond the limit.
    ///
    /// # Errors
    /// [`Error::Unreachable`] if no answer came: tasks may have been taken all the same, which
    /// [`owned`](Self::owned) tells.
    fn claim_due(&self, node: &Lease, wish: &Wish) -> Result<Vec<Claimed>, Error>;

    /// The nodes that have these tasks, by number. Tasks that are nobody's are left out.
    fn owners(&self, ids: &[TaskId]) -> Result<Vec<(TaskId, u64)>, Error>;

    /// Gives back those of these tasks that the node has, as they are stored; returns how many.
    ///
    /// # Errors
    /// [`Error::Lost`] if the node is fenced.
    fn give_back(&self, node: &Lease, ids: &[TaskId]) -> Result<u64, Error>;

    /// The tasks that a node has.
    fn owned(&self, node: &Lease) -> Result<Vec<TaskId>, Error>;

    /// Fences the nodes whose leases are over, and makes their tasks nobody's; returns how many
    /// tasks. A node that has been a node for less than its lease fences nobody, and neither does one
    /// that could not renew its own lease in time: then it was the store that nobody could reach.
    fn free_dead(&self, node: &Lease) -> Result<u64, Error>;

    /// Numbers for new tasks, which no other node gets.
    fn take_ids(&self, node: &Lease, count: u64) -> Result<Range<u64>, Error>;
}
