//! SQLite has one daemon, and so one node. Which tasks that has need not be stored: nobody else asks,
//! and after its death all are nobody's.

use std::ops::Range;
use std::time::Duration;

use super::{Sqlite, lease, read};
use crate::class::ClassId;
use crate::error::Error;
use crate::model::TaskId;
use crate::nodes::{Claimed, NodeRow, Nodes, Wish};
use crate::store::{Due, Lease, Stamp, Store};

/// How many entries of the index of due times are read at once, at least.
const DUES_AT_ONCE: usize = 256;

impl Sqlite {
    /// Refuses whoever has the lease no more.
    fn check_lease(&self, node: &Lease) -> Result<(), Error> {
        match self.read(read::epoch)? == node.epoch {
            true => Ok(()),
            false => Err(Error::Lost),
        }
    }
}

impl Nodes for Sqlite {
    /// Takes the store over: there is one node.
    fn join(&self, name: &str, now: &Stamp, lasts: Duration) -> Result<Lease, Error> {
        self.claim(name, now, lasts)
    }

    fn beat(&self, node: &Lease, details: &str) -> Result<Vec<NodeRow>, Error> {
        self.check_lease(node)?;
        Ok(vec![NodeRow {
            number: node.epoch,
            name: self.read(read::holder)?,
            details: details.into(),
            alive: true,
        }])
    }

    /// The earlier node was fenced, and has lost its tasks, when this one joined.
    fn succeed(&self, node: &Lease, _earlier: u64) -> Result<u64, Error> {
        self.check_lease(node).map(|()| 0)
    }

    fn leave(&self, node: &Lease) -> Result<(), Error> {
        if self.change(|writer| lease::leave(writer, node))? {
            self.held.lock().clear();
        }
        Ok(())
    }

    fn claim_due(&self, node: &Lease, wish: &Wish) -> Result<Vec<Claimed>, Error> {
        self.check_lease(node)?;
        if !wish.classes.contains(&ClassId::ANY) {
            return Ok(Vec::new());
        }
        let mut held = self.held.lock();
        let (mut claimed, mut after): (Vec<Claimed>, Option<Due>) = (Vec::new(), None);
        while claimed.len() < wish.limit {
            let most = wish.limit.max(DUES_AT_ONCE);
            let page = self.due(after, wish.own_until, most)?;
            for due in &page {
                if claimed.len() < wish.limit
                    && !held.contains(due.id)
                    && let Some((row, snapshot)) = self.load(due.id)?
                {
                    claimed.push(Claimed { row, snapshot });
                }
            }
            match page.last() {
                Some(last) if page.len() == most => after = Some(*last),
                _ => break,
            }
        }
        held.extend(claimed.iter().map(|claimed| claimed.row.id));
        Ok(claimed)
    }

    fn class(&self, node: &Lease, _needs: &str) -> Result<ClassId, Error> {
        self.check_lease(node).map(|()| ClassId::ANY)
    }

    fn classes(&self) -> Result<Vec<(ClassId, String)>, Error> {
        Ok(Vec::new())
    }

    fn give_back(&self, node: &Lease, ids: &[TaskId]) -> Result<u64, Error> {
        self.check_lease(node)?;
        let mut held = self.held.lock();
        let freed = ids.iter().filter(|id| held.remove(**id)).count();
        Ok(freed as u64)
    }

    fn owners(&self, ids: &[TaskId]) -> Result<Vec<(TaskId, u64)>, Error> {
        let node = self.read(read::epoch)?;
        let held = self.held.lock();
        let mut owned: Vec<TaskId> = ids
            .iter()
            .copied()
            .filter(|id| held.contains(*id))
            .collect();
        owned.sort_unstable();
        owned.dedup();
        Ok(owned.into_iter().map(|id| (id, node)).collect())
    }

    fn owned(&self, node: &Lease) -> Result<Vec<TaskId>, Error> {
        match self.check_lease(node) {
            Ok(()) => Ok(self.held.lock().all()),
            Err(Error::Lost) => Ok(Vec::new()),
            Err(error) => Err(error),
        }
    }

    fn free_dead(&self, node: &Lease) -> Result<u64, Error> {
        self.check_lease(node).map(|()| 0)
    }

    fn take_ids(&self, node: &Lease, count: u64) -> Result<Range<u64>, Error> {
        let end = self.change(|writer| lease::take_ids(writer, node, count))? + 1;
        Ok(end - count..end)
    }
}
