//! A node's line to the store, which may be cut, and which may lose answers.

use std::ops::Range;
use std::sync::Arc;
use std::time::Duration;

use parking_lot::Mutex;

use super::Chance;
use crate::model::{Digest, MonotonicTime, MoveId, TaskId, TaskState, TenantId};
use crate::store::{
    AccountChange, Accounts, Change, Claimed, ClassId, Due, Error, Filter, Lease, MoveRecord,
    NodeRow, Nodes, Reference, Sizes, Stamp, Store, StoredPiece, StoredSnapshot, TaskRow,
    TenantRow, TokenDigest, TokenRow, Usage, Verdict, Wish,
};

/// What is wrong with the line.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) enum Fault {
    #[default]
    None,
    /// Nothing arrives.
    Cut,
    /// Of a hundred answers, so many are lost.
    Loses(u64),
}

/// A fence that is wrong on purpose, to see that the simulation finds it.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) enum Planted {
    #[default]
    Nothing,
    /// A change is stored whoever has the task, and whatever was stored since.
    LateCommits,
    /// A claim takes tasks that another node has.
    GreedyClaims,
    /// What guests do outside of themselves does not wait for the gate.
    OpenGate,
}

/// A batch of which the node does not know what became.
enum InDoubt {
    Done(Vec<Verdict>),
    Never,
    /// It is on its way still.
    Later(Lease, Stamp, Vec<Change>),
}

/// The line.
pub(super) struct Line {
    store: Reference,
    chance: Chance,
    fault: Mutex<Fault>,
    in_doubt: Mutex<Option<InDoubt>>,
    planted: Planted,
}

impl Line {
    pub(super) fn new(store: Reference, chance: Chance, planted: Planted) -> Arc<Self> {
        Arc::new(Self {
            store,
            chance,
            fault: Mutex::default(),
            in_doubt: Mutex::default(),
            planted,
        })
    }

    pub(super) fn set(&self, fault: Fault) {
        *self.fault.lock() = fault;
    }

    /// The process has ended. What was on its way may arrive all the same.
    pub(super) fn end(&self) {
        if let Some(InDoubt::Later(lease, now, changes)) = self.in_doubt.lock().take()
            && self.chance.of(50)
        {
            // Nobody waits for the answer.
            let _ = self.commit_now(&lease, &now, &changes);
        }
    }

    fn call<T>(&self, work: impl FnOnce(&Reference) -> Result<T, Error>) -> Result<T, Error> {
        let fault = *self.fault.lock();
        let lost = || Error::Unreachable("the simulation has cut the line".into());
        match fault {
            Fault::None => work(&self.store),
            Fault::Cut => Err(lost()),
            Fault::Loses(share) => match self.chance.of(share) {
                // Half of what is lost did not arrive.
                true if self.chance.of(50) => Err(lost()),
                true => work(&self.store).and_then(|_| Err(lost())),
                false => work(&self.store),
            },
        }
    }

    fn commit_now(
        &self,
        lease: &Lease,
        now: &Stamp,
        changes: &[Change],
    ) -> Result<Vec<Verdict>, Error> {
        if self.planted != Planted::LateCommits {
            return self.store.commit(lease, now, changes);
        }
        let anybody = self.store.join("planted", now, lease.lasts)?;
        let mut changes = changes.to_vec();
        for change in &mut changes {
            if let Change::Update(update) = change
                && let Some(row) = self.store.task(update.id)?
            {
                self.store.set_owner(update.id, 0);
                update.expected = row.version;
            }
        }
        let done = self.store.commit(&anybody, now, &changes);
        self.store.leave(&anybody)?;
        done
    }
}

macro_rules! pass {
    ($($name:ident($($argument:ident: $kind:ty),*) -> $answer:ty;)*) => {
        $(fn $name(&self, $($argument: $kind),*) -> Result<$answer, Error> {
            self.call(|store| store.$name($($argument),*))
        })*
    };
}

impl Store for Line {
    pass! {
        claim(holder: &str, now: &Stamp, lasts: Duration) -> Lease;
        number() -> u64;
        stamp() -> Option<Stamp>;
        task(id: TaskId) -> Option<TaskRow>;
        load(id: TaskId) -> Option<(TaskRow, Option<StoredSnapshot>)>;
        named(tenant: TenantId, name: &str) -> Option<TaskId>;
        list(filter: &Filter) -> Vec<TaskRow>;
        due(after: Option<Due>, until: MonotonicTime, limit: usize) -> Vec<Due>;
        walled(after: TaskId, limit: usize) -> Vec<TaskId>;
        due_counts(tenant: Option<TenantId>, from: MonotonicTime, span: Duration, count: usize)
            -> Vec<u64>;
        counts(tenant: Option<TenantId>) -> Vec<(TaskState, u64)>;
        last_id() -> TaskId;
        blob(digest: &Digest) -> Option<Vec<u8>>;
        has_blob(digest: &Digest) -> bool;
        prune(lease: &Lease, now: &Stamp, before: MonotonicTime) -> u64;
        chunk(pack: u64, number: u32) -> Option<Vec<u8>>;
        last_pack() -> u64;
        sweep(lease: &Lease, now: &Stamp, most: usize) -> bool;
        finished(before: MonotonicTime, limit: usize) -> Vec<(TaskId, u64)>;
        output(id: TaskId, first_piece: u64, max_bytes: u64) -> Vec<StoredPiece>;
        move_record(id: MoveId) -> Option<MoveRecord>;
        open_moves() -> Vec<MoveRecord>;
        open_moves_of(task: TaskId) -> Vec<MoveRecord>;
        shrink(patience: Duration) -> bool;
        sizes() -> Sizes;
    }

    fn commit(
        &self,
        lease: &Lease,
        now: &Stamp,
        changes: &[Change],
    ) -> Result<Vec<Verdict>, Error> {
        let fault = *self.fault.lock();
        let lost = match fault {
            Fault::None => false,
            Fault::Cut => return Err(Error::Unreachable("the simulation has cut the line".into())),
            Fault::Loses(share) => self.chance.of(share),
        };
        if !lost {
            return self.commit_now(lease, now, changes);
        }
        let became = match self.chance.below(3) {
            0 => InDoubt::Never,
            1 => InDoubt::Done(self.commit_now(lease, now, changes)?),
            _ => InDoubt::Later(*lease, *now, changes.to_vec()),
        };
        *self.in_doubt.lock() = Some(became);
        Err(Error::InDoubt("the simulation has lost the answer".into()))
    }

    fn settle(&self, lease: &Lease) -> Result<Option<Vec<Verdict>>, Error> {
        if *self.fault.lock() == Fault::Cut {
            return Err(Error::Unreachable("the simulation has cut the line".into()));
        }
        let mut in_doubt = self.in_doubt.lock();
        if let Some(InDoubt::Later(lease, now, changes)) = &*in_doubt {
            let became = match self.chance.of(50) {
                true => InDoubt::Done(self.commit_now(lease, now, changes)?),
                false => InDoubt::Never,
            };
            *in_doubt = Some(became);
        }
        // A node that is fenced has to learn that, whatever became of its batch.
        self.store.take_ids(lease, 0)?;
        Ok(match in_doubt.take() {
            Some(InDoubt::Done(verdicts)) => Some(verdicts),
            _ => None,
        })
    }
}

impl Nodes for Line {
    pass! {
        join(name: &str, now: &Stamp, lasts: Duration) -> Lease;
        beat(node: &Lease, details: &str) -> Vec<NodeRow>;
        succeed(node: &Lease, earlier: u64) -> u64;
        leave(node: &Lease) -> ();
        owners(ids: &[TaskId]) -> Vec<(TaskId, u64)>;
        owned(node: &Lease) -> Vec<TaskId>;
        free_dead(node: &Lease) -> u64;
        class(node: &Lease, text: &str) -> ClassId;
        classes() -> Vec<(ClassId, String)>;
        give_back(node: &Lease, ids: &[TaskId]) -> u64;
        take_ids(node: &Lease, count: u64) -> Range<u64>;
    }

    fn claim_due(&self, node: &Lease, wish: &Wish) -> Result<Vec<Claimed>, Error> {
        self.call(|store| {
            if self.planted == Planted::GreedyClaims {
                for due in store.due(None, wish.any_until, wish.limit)? {
                    store.set_owner(due.id, 0);
                }
            }
            store.claim_due(node, wish)
        })
    }
}

impl Accounts for Line {
    pass! {
        token(digest: &TokenDigest) -> Option<TokenRow>;
        tokens() -> Vec<TokenRow>;
        tenants() -> Vec<TenantRow>;
        usage(tenant: TenantId) -> Usage;
        tenant_tasks() -> Vec<(TaskId, TenantId)>;
        change_account(change: &AccountChange) -> Verdict;
    }
}
