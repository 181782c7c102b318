//! Nodes that share the database.

use std::ops::Range;
use std::time::Duration;

use tokio_postgres::Row;

use super::database::Postgres;
use super::read::{COLUMNS, class_of, loaded};
use crate::class::ClassId;
use crate::error::Error;
use crate::model::{Digest, TaskId};
use crate::nodes::{Claimed, NodeRow, Nodes, Wish};
use crate::numbers::{signed, time_number, unsigned};
use crate::store::{Lease, Stamp};

impl Nodes for Postgres {
    fn join(&self, name: &str, now: &Stamp, lasts: Duration) -> Result<Lease, Error> {
        self.block_on(async {
            self.lock(true).await?;
            self.enter(
                "SELECT join_1($1, $2, make_interval(secs => $3), $4)",
                name,
                now,
                lasts,
            )
            .await
        })
    }

    fn beat(&self, node: &Lease, details: &str) -> Result<Vec<NodeRow>, Error> {
        self.block_on(self.beat_once(node, details))
    }

    fn succeed(&self, node: &Lease, earlier: u64) -> Result<u64, Error> {
        let query = "SELECT succeed_3($1, $2)";
        let parameters = [signed(node.epoch), signed(earlier)];
        let taken = self.block_on(self.number_of(query, &[&parameters[0], &parameters[1]]))?;
        Ok(unsigned(taken))
    }

    fn leave(&self, node: &Lease) -> Result<(), Error> {
        self.block_on(async {
            self.rows("SELECT leave_1($1)", &[&signed(node.epoch)])
                .await?;
            self.unlock().await;
            Ok(())
        })
    }

    fn claim_due(&self, node: &Lease, wish: &Wish) -> Result<Vec<Claimed>, Error> {
        let query = format!(
            "SELECT {COLUMNS}, t.snapshot, t.base, t.pack
             FROM claim_5($1, $2, $3, $4, $5, $6) t ORDER BY t.due, t.id"
        );
        let (me, home) = (signed(node.epoch), self.home());
        let (own, any) = (time_number(wish.own_until), time_number(wish.any_until));
        let room = signed(wish.limit as u64);
        let served = wish.classes.iter().map(|class| class.0.cast_signed());
        let served: Vec<i32> = served.collect();
        let rows = self.block_on(self.rows(&query, &[&me, &home, &served, &own, &any, &room]))?;
        let claimed = rows.iter().map(|row| {
            let (row, snapshot) = loaded(row);
            Claimed { row, snapshot }
        });
        Ok(claimed.collect())
    }

    fn class(&self, node: &Lease, needs: &str) -> Result<ClassId, Error> {
        let query = "SELECT class_4($1, $2, $3)";
        let digest = Digest::of(needs.as_bytes());
        let (me, digest) = (signed(node.epoch), &digest.as_bytes()[..]);
        let row = self.block_on(self.row(query, &[&me, &digest, &needs]))?;
        Ok(row.map_or(ClassId::ANY, |row| class_of(row.get(0))))
    }

    fn classes(&self) -> Result<Vec<(ClassId, String)>, Error> {
        let query = "SELECT id, needs FROM classes WHERE id <> 0 ORDER BY id";
        let rows = self.block_on(self.rows(query, &[]))?;
        let class = |row: &Row| (class_of(row.get(0)), row.get(1));
        Ok(rows.iter().map(class).collect())
    }

    fn give_back(&self, node: &Lease, ids: &[TaskId]) -> Result<u64, Error> {
        let query = "SELECT give_back_4($1, $2)";
        let ids: Vec<i64> = ids.iter().map(|id| signed(id.0)).collect();
        let freed = self.block_on(self.number_of(query, &[&signed(node.epoch), &ids]))?;
        Ok(unsigned(freed))
    }

    fn owned(&self, node: &Lease) -> Result<Vec<TaskId>, Error> {
        let query = "SELECT id FROM tasks WHERE owner = $1 AND owner <> 0 ORDER BY id";
        let rows = self.block_on(self.rows(query, &[&signed(node.epoch)]))?;
        Ok(rows
            .iter()
            .map(|row| TaskId(unsigned(row.get(0))))
            .collect())
    }

    fn owners(&self, ids: &[TaskId]) -> Result<Vec<(TaskId, u64)>, Error> {
        let query = "SELECT id, owner FROM tasks WHERE id = ANY($1) AND owner <> 0 ORDER BY id";
        let ids: Vec<i64> = ids.iter().map(|id| signed(id.0)).collect();
        let rows = self.block_on(self.rows(query, &[&ids]))?;
        let owner = |row: &Row| (TaskId(unsigned(row.get(0))), unsigned(row.get(1)));
        Ok(rows.iter().map(owner).collect())
    }

    fn free_dead(&self, node: &Lease) -> Result<u64, Error> {
        let query = "SELECT free_dead_1($1)";
        let freed = self.block_on(self.number_of(query, &[&signed(node.epoch)]))?;
        Ok(unsigned(freed))
    }

    fn take_ids(&self, node: &Lease, count: u64) -> Result<Range<u64>, Error> {
        let query = "SELECT take_ids_3($1, $2)";
        let parameters = [signed(node.epoch), signed(count)];
        let last = self.block_on(self.number_of(query, &[&parameters[0], &parameters[1]]))?;
        let end = unsigned(last) + 1;
        Ok(end - count..end)
    }
}
