//! What a daemon asks of the store.

use std::time::Duration;

use super::database::Postgres;
use super::error::unreachable;
use super::steps::stamp_numbers;
use crate::change::{Change, Verdict};
use crate::error::Error;
use crate::model::{Digest, MonotonicTime, MoveId, TaskId, TaskState, TenantId};
use crate::moves::MoveRecord;
use crate::numbers::{signed, unsigned};
use crate::store::{Due, Filter, Lease, Sizes, Stamp, Store};
use crate::task::{StoredPiece, StoredSnapshot, TaskRow};

impl Store for Postgres {
    fn claim(&self, holder: &str, now: &Stamp, lasts: Duration) -> Result<Lease, Error> {
        self.block_on(async {
            self.lock(false).await?;
            let query = "SELECT take_over_1($1, $2, make_interval(secs => $3), $4)";
            self.enter(query, holder, now, lasts).await
        })
    }

    fn number(&self) -> Result<u64, Error> {
        let number = self.block_on(self.number_of("SELECT number FROM meta", &[]))?;
        Ok(number.cast_unsigned())
    }

    fn stamp(&self) -> Result<Option<Stamp>, Error> {
        self.block_on(self.last_stamp())
    }

    fn commit(
        &self,
        lease: &Lease,
        now: &Stamp,
        changes: &[Change],
    ) -> Result<Vec<Verdict>, Error> {
        self.block_on(self.commit_batch(lease, now, changes))
    }

    fn settle(&self, lease: &Lease) -> Result<Option<Vec<Verdict>>, Error> {
        self.block_on(self.settle_doubt(lease))
    }

    fn task(&self, id: TaskId) -> Result<Option<TaskRow>, Error> {
        self.block_on(self.find_task(id))
    }

    fn load(&self, id: TaskId) -> Result<Option<(TaskRow, Option<StoredSnapshot>)>, Error> {
        self.block_on(self.load_task(id))
    }

    fn named(&self, tenant: TenantId, name: &str) -> Result<Option<TaskId>, Error> {
        self.block_on(self.find_name(tenant, name))
    }

    fn list(&self, filter: &Filter) -> Result<Vec<TaskRow>, Error> {
        self.block_on(self.list_tasks(filter))
    }

    fn due(
        &self,
        after: Option<Due>,
        until: MonotonicTime,
        limit: usize,
    ) -> Result<Vec<Due>, Error> {
        self.block_on(self.find_due(after, until, limit))
    }

    fn walled(&self, after: TaskId, limit: usize) -> Result<Vec<TaskId>, Error> {
        self.block_on(self.find_walled(after, limit))
    }

    fn due_counts(
        &self,
        tenant: Option<TenantId>,
        from: MonotonicTime,
        span: Duration,
        count: usize,
    ) -> Result<Vec<u64>, Error> {
        self.block_on(self.count_dues(tenant, from, span, count))
    }

    fn counts(&self, tenant: Option<TenantId>) -> Result<Vec<(TaskState, u64)>, Error> {
        self.block_on(self.count_states(tenant))
    }

    fn last_id(&self) -> Result<TaskId, Error> {
        let last = self.block_on(self.number_of("SELECT last_value FROM task_ids", &[]))?;
        Ok(TaskId(unsigned(last)))
    }

    fn blob(&self, digest: &Digest) -> Result<Option<Vec<u8>>, Error> {
        self.block_on(self.read_blob(digest))
    }

    fn has_blob(&self, digest: &Digest) -> Result<bool, Error> {
        self.block_on(self.find_blob(digest))
    }

    fn prune(&self, lease: &Lease, now: &Stamp, before: MonotonicTime) -> Result<u64, Error> {
        self.block_on(self.prune_blobs(lease, now, before))
    }

    fn chunk(&self, pack: u64, number: u32) -> Result<Option<Vec<u8>>, Error> {
        self.block_on(self.read_chunk(pack, number))
    }

    fn last_pack(&self) -> Result<u64, Error> {
        let query = "SELECT greatest((SELECT max(pack) FROM chunks), (SELECT max(pack) FROM dead),
               (SELECT max(pack) FROM tasks WHERE pack IS NOT NULL), (SELECT max(pack) FROM blobs), 0)";
        Ok(unsigned(self.block_on(self.number_of(query, &[]))?))
    }

    fn sweep(&self, lease: &Lease, now: &Stamp, most: usize) -> Result<bool, Error> {
        let (me, number, stamp) = (signed(lease.epoch), self.next_number(), stamp_numbers(now));
        let query = "SELECT sweep_1($1, $2, $3, $4)";
        let most = signed(most as u64);
        let row = self.block_on(self.row(query, &[&me, &number, &stamp, &most]))?;
        Ok(row.is_some_and(|row| row.get(0)))
    }

    fn finished(&self, before: MonotonicTime, limit: usize) -> Result<Vec<(TaskId, u64)>, Error> {
        self.block_on(self.find_finished(before, limit))
    }

    fn output(
        &self,
        id: TaskId,
        first_piece: u64,
        max_bytes: u64,
    ) -> Result<Vec<StoredPiece>, Error> {
        self.block_on(self.read_output(id, first_piece, max_bytes))
    }

    fn move_record(&self, id: MoveId) -> Result<Option<MoveRecord>, Error> {
        self.block_on(self.read_move(id))
    }

    fn open_moves(&self) -> Result<Vec<MoveRecord>, Error> {
        self.block_on(self.read_open_moves(None))
    }

    fn open_moves_of(&self, task: TaskId) -> Result<Vec<MoveRecord>, Error> {
        self.block_on(self.read_open_moves(Some(task)))
    }

    /// The server's autovacuum does it.
    fn shrink(&self, _patience: Duration) -> Result<bool, Error> {
        Ok(false)
    }

    fn sizes(&self) -> Result<Sizes, Error> {
        let query = "SELECT pg_database_size(current_database()), count(*),
               coalesce(sum(size + (SELECT coalesce(sum(octet_length(c.bytes)), 0) FROM chunks c
                 WHERE c.pack = b.pack)), 0)::bigint FROM blobs b";
        let row = self.block_on(self.row(query, &[]))?;
        let row = row.ok_or_else(|| unreachable("it answered with no row"))?;
        Ok(Sizes {
            disk: unsigned(row.get(0)),
            blobs: unsigned(row.get(1)),
            blob_bytes: unsigned(row.get(2)),
        })
    }
}
