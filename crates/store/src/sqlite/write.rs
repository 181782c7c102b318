//! What changes the database. Each function is one transaction.

use std::collections::HashMap;

use rusqlite::{Connection, OptionalExtension, ToSql, Transaction, params};

use super::encoding::chunk_id;
use super::lease::begin;
use crate::change::{Change, Insert, MoveChange, SnapshotChange, Update, Verdict};
use crate::error::Error;
use crate::model::{Digest, MonotonicTime, TaskId, TaskState, When};
use crate::moves::RecordChange;
use crate::numbers::{phase_number, signed, state_number, stream_number, time_number, unsigned};
use crate::store::{Lease, Stamp};
use crate::task::{OutputPiece, StoredSnapshot};

/// Row numbers of blobs, by digest.
type Blobs = HashMap<Digest, i64>;

pub(super) fn commit(
    connection: &mut Connection,
    blobs: &mut Blobs,
    lease: &Lease,
    now: &Stamp,
    changes: &[Change],
) -> Result<Vec<Verdict>, Error> {
    let transaction = begin(connection, lease, now)?;
    // What a transaction that is rolled back has put must not be remembered.
    let mut new = Blobs::new();
    let mut verdicts = Vec::with_capacity(changes.len());
    let mut last: u64 = 0;
    for change in changes {
        let mut writer = Writer {
            transaction: &transaction,
            blobs,
            new: &mut new,
            now: *now,
            last: &mut last,
        };
        verdicts.push(writer.change(change)?);
    }
    if last > 0 {
        transaction
            .prepare_cached("UPDATE lease SET last_task = max(last_task, ?1)")?
            .execute([signed(last)])?;
    }
    transaction.commit()?;
    blobs.extend(new);
    Ok(verdicts)
}

pub(super) fn prune(
    connection: &mut Connection,
    lease: &Lease,
    now: &Stamp,
    before: MonotonicTime,
) -> Result<u64, Error> {
    let transaction = begin(connection, lease, now)?;
    let removed = transaction.execute(
        "DELETE FROM blobs WHERE put < ?1 AND id NOT IN
           (SELECT module FROM tasks UNION SELECT base FROM tasks WHERE base IS NOT NULL)",
        [time_number(before)],
    )?;
    transaction.commit()?;
    Ok(removed as u64)
}

fn pack_of(snapshot: Option<&StoredSnapshot>) -> Option<i64> {
    snapshot.and_then(|snapshot| snapshot.pack).map(signed)
}

struct Writer<'a> {
    transaction: &'a Transaction<'a>,
    blobs: &'a Blobs,
    new: &'a mut Blobs,
    now: Stamp,
    /// The highest ID of a task that was inserted.
    last: &'a mut u64,
}

impl Writer<'_> {
    fn change(&mut self, change: &Change) -> Result<Verdict, Error> {
        match change {
            Change::Insert(insert) => {
                *self.last = (*self.last).max(insert.id.0);
                self.insert(insert)
            }
            Change::Update(update) => self.update(update),
            Change::Remove { id, expected } => self.remove(*id, *expected),
            Change::Blob {
                digest,
                bytes,
                pack,
            } => {
                self.put(digest, bytes, *pack)?;
                Ok(Verdict::Done)
            }
            Change::Chunk {
                pack,
                number,
                bytes,
            } => {
                self.transaction
                    .prepare_cached("INSERT OR REPLACE INTO chunks VALUES (?1, ?2)")?
                    .execute(params![chunk_id(*pack, *number), &bytes[..]])?;
                Ok(Verdict::Done)
            }
            Change::DropPack { pack } => {
                self.transaction
                    .prepare_cached("INSERT OR IGNORE INTO dead VALUES (?1)")?
                    .execute([signed(*pack)])?;
                Ok(Verdict::Done)
            }
            Change::Move(step) => self.move_step(step),
            Change::Shift => self.shift(),
        }
    }

    fn shift(&self) -> Result<Verdict, Error> {
        // SQLite would make a real number of a sum that does not fit.
        self.transaction
            .prepare_cached(
                "UPDATE tasks SET due = (
                   SELECT min(coalesce(steady, ?2), CASE
                     WHEN ?1 < 0 AND wall > ?2 + ?1 THEN ?2
                     ELSE max(0, wall - ?1) END)
                   FROM walls WHERE task = tasks.id)
                 WHERE id IN (SELECT task FROM walls)",
            )?
            .execute(params![self.now.ahead, i64::MAX])?;
        Ok(Verdict::Done)
    }

    fn move_step(&mut self, step: &MoveChange) -> Result<Verdict, Error> {
        if let Some(change) = &step.change {
            match self.change(change)? {
                Verdict::Done => {}
                refused => return Ok(refused),
            }
        }
        let task = match step.change.as_deref() {
            Some(Change::Insert(insert)) => Some(insert.id),
            Some(Change::Update(update)) => Some(update.id),
            _ => None,
        };
        if let Some(id) = task.map(|id| signed(id.0)) {
            self.move_output(id, step)?;
        }
        match &step.record {
            RecordChange::Put(record) => {
                self.transaction
                    .prepare_cached("INSERT OR REPLACE INTO moves VALUES (?1, ?2, ?3, ?4, ?5)")?
                    .execute(params![
                        record.id.0,
                        signed(record.task.0),
                        phase_number(record.phase),
                        record.peer.as_bytes(),
                        record.details
                    ])?;
            }
            RecordChange::Forget(id) => {
                self.transaction
                    .prepare_cached("DELETE FROM moves WHERE id = ?1")?
                    .execute([id.0])?;
            }
        }
        Ok(Verdict::Done)
    }

    /// Removes the output of a task that has moved away, or stores that of one that has come.
    fn move_output(&self, id: i64, step: &MoveChange) -> Result<(), Error> {
        if step.clear_output {
            self.transaction
                .prepare_cached("DELETE FROM output WHERE task = ?1")?
                .execute([id])?;
            self.transaction
                .prepare_cached("UPDATE tasks SET log_bytes = 0 WHERE id = ?1")?
                .execute([id])?;
        }
        if !step.output.is_empty() {
            self.append(id, 0, &step.output)?;
            let sizes = step.output.iter().map(|piece| piece.bytes.len() as u64);
            self.transaction
                .prepare_cached("UPDATE tasks SET log_next = ?2, log_bytes = ?3 WHERE id = ?1")?
                .execute(params![id, step.output.len() as i64, signed(sizes.sum())])?;
        }
        Ok(())
    }

    /// Since when a task of this state is over, as the column `ended` has it.
    fn ended(&self, state: TaskState) -> Option<i64> {
        state.is_final().then(|| time_number(self.now.now))
    }

    fn insert(&mut self, insert: &Insert) -> Result<Verdict, Error> {
        let Some(module) = self.blob(&insert.module)? else {
            return Ok(Verdict::Conflict);
        };
        let base = self.base(insert.snapshot.as_ref())?;
        let add = || -> Result<bool, Error> {
            let added = self
                .transaction
                .prepare_cached(
                    "INSERT INTO tasks
                     VALUES (?1, 1, ?2, ?3, ?4, ?5, ?6, 0, 0, ?7, ?8, ?9, ?10, ?11, ?12)
                     ON CONFLICT DO NOTHING",
                )?
                .execute(params![
                    signed(insert.id.0),
                    state_number(insert.state),
                    insert.due.at(self.now.ahead).map(time_number),
                    module,
                    base,
                    insert.name,
                    self.ended(insert.state),
                    insert.spec,
                    insert.status,
                    insert.snapshot.as_ref().map(|snapshot| &snapshot.bytes),
                    pack_of(insert.snapshot.as_ref()),
                    signed(insert.tenant.0),
                ])?;
            Ok(added > 0)
        };
        let mut added = add()?;
        if !added && let Some(name) = &insert.name {
            added = self.take_name_of_moved(name, insert)? && add()?;
        }
        if !added {
            return Ok(Verdict::NameTaken);
        }
        self.note_wall(signed(insert.id.0), &insert.due)?;
        Ok(Verdict::Done)
    }

    /// A task that has moved away loses its name to a new one, whose ID is free; says whether there
    /// was such a task.
    fn take_name_of_moved(&self, name: &str, new: &Insert) -> Result<bool, Error> {
        let taken = self
            .transaction
            .prepare_cached(
                "UPDATE tasks SET name = NULL WHERE tenant = ?4 AND name = ?1 AND state = ?2
                 AND NOT EXISTS (SELECT 1 FROM tasks WHERE id = ?3)",
            )?
            .execute(params![
                name,
                state_number(TaskState::Moved),
                signed(new.id.0),
                signed(new.tenant.0)
            ])?;
        Ok(taken > 0)
    }

    /// Remembers what the due time of a task is computed from, where that is the wall clock.
    fn note_wall(&self, id: i64, due: &When) -> Result<(), Error> {
        match due.wall {
            Some(wall) => self
                .transaction
                .prepare_cached("INSERT OR REPLACE INTO walls VALUES (?1, ?2, ?3)")?
                .execute(params![
                    id,
                    due.steady.map(time_number),
                    signed(wall.as_nanos())
                ])?,
            None => self
                .transaction
                .prepare_cached("DELETE FROM walls WHERE task = ?1")?
                .execute([id])?,
        };
        Ok(())
    }

    fn update(&mut self, update: &Update) -> Result<Verdict, Error> {
        const SET: &str =
            "UPDATE tasks SET version = version + 1, state = ?3, due = ?4, status = ?5,
             log_next = log_next + ?6, log_bytes = log_bytes + ?7, ended = ?8";
        const WHERE: &str = " WHERE id = ?1 AND version = ?2 RETURNING log_next, log_bytes";
        let id = signed(update.id.0);
        let log_bytes = update.output.iter().map(|piece| piece.bytes.len() as u64);
        let fixed: [&dyn ToSql; 8] = [
            &id,
            &signed(update.expected),
            &state_number(update.state),
            &update.due.at(self.now.ahead).map(time_number),
            &update.status,
            &(update.output.len() as i64),
            &signed(log_bytes.sum()),
            &self.ended(update.state),
        ];
        let base = match &update.snapshot {
            SnapshotChange::Set(snapshot) => self.base(Some(snapshot))?,
            SnapshotChange::Keep | SnapshotChange::Clear => None,
        };
        let pack;
        let mut values = fixed.to_vec();
        let set = match &update.snapshot {
            SnapshotChange::Keep => "",
            SnapshotChange::Clear => ", snapshot = NULL, base = NULL, pack = NULL",
            SnapshotChange::Set(snapshot) => {
                pack = pack_of(Some(snapshot));
                values.extend([&snapshot.bytes as &dyn ToSql, &base, &pack]);
                ", snapshot = ?9, base = ?10, pack = ?11"
            }
        };
        let changed = self
            .transaction
            .prepare_cached(&format!("{SET}{set}{WHERE}"))?
            .query_row(values.as_slice(), |row| {
                Ok((row.get::<_, i64>(0)?, row.get::<_, i64>(1)?))
            });
        let Some((next, bytes)) = changed.optional()? else {
            return Ok(Verdict::Conflict);
        };
        self.note_wall(id, &update.due)?;
        if let Some(spec) = &update.spec {
            self.transaction
                .prepare_cached("UPDATE tasks SET spec = ?2 WHERE id = ?1")?
                .execute(params![id, spec])?;
        }
        if !update.output.is_empty() {
            self.append(id, next - update.output.len() as i64, &update.output)?;
            let excess = unsigned(bytes).saturating_sub(update.output_limit);
            if excess > 0 {
                self.rotate(id, excess)?;
            }
        }
        Ok(Verdict::Done)
    }

    fn append(&self, id: i64, first: i64, output: &[OutputPiece]) -> Result<(), Error> {
        let mut statement = self
            .transaction
            .prepare_cached("INSERT INTO output VALUES (?1, ?2, ?3, ?4, ?5)")?;
        for (sequence, piece) in (first..).zip(output) {
            statement.execute(params![
                id,
                sequence,
                stream_number(piece.stream),
                signed(piece.time.as_nanos()),
                piece.bytes
            ])?;
        }
        Ok(())
    }

    /// Drops the oldest pieces of output, at least `excess` bytes of them.
    fn rotate(&self, id: i64, excess: u64) -> Result<(), Error> {
        let mut dropped = 0;
        let mut last = None;
        {
            let mut statement = self.transaction.prepare_cached(
                "SELECT sequence, length(bytes) FROM output WHERE task = ?1 ORDER BY sequence",
            )?;
            let mut rows = statement.query([id])?;
            while dropped < excess
                && let Some(row) = rows.next()?
            {
                last = Some(row.get::<_, i64>(0)?);
                dropped += unsigned(row.get(1)?);
            }
        }
        if let Some(last) = last {
            self.transaction
                .prepare_cached("DELETE FROM output WHERE task = ?1 AND sequence <= ?2")?
                .execute([id, last])?;
            self.transaction
                .prepare_cached("UPDATE tasks SET log_bytes = log_bytes - ?2 WHERE id = ?1")?
                .execute([id, signed(dropped)])?;
        }
        Ok(())
    }

    fn remove(&self, id: TaskId, expected: u64) -> Result<Verdict, Error> {
        let removed = self
            .transaction
            .prepare_cached(
                "DELETE FROM tasks WHERE id = ?1 AND coalesce(CAST(version AS INTEGER), 0) = ?2",
            )?
            .execute([signed(id.0), signed(expected)])?;
        if removed == 0 {
            return Ok(Verdict::Conflict);
        }
        self.transaction
            .prepare_cached("DELETE FROM output WHERE task = ?1")?
            .execute([signed(id.0)])?;
        self.note_wall(signed(id.0), &When::NEVER)?;
        Ok(Verdict::Done)
    }

    fn put(&mut self, digest: &Digest, bytes: &[u8], pack: Option<u64>) -> Result<(), Error> {
        // A blob that is there already counts as new, so that it is not pruned before a task refers
        // to it.
        let id = self
            .transaction
            .prepare_cached(
                "INSERT INTO blobs (digest, put, bytes, pack) VALUES (?1, ?2, ?3, ?4)
                 ON CONFLICT (digest) DO UPDATE SET put = excluded.put RETURNING id",
            )?
            .query_row(
                params![
                    digest.as_bytes(),
                    time_number(self.now.now),
                    bytes,
                    pack.map(signed)
                ],
                |row| row.get(0),
            )?;
        self.new.insert(*digest, id);
        Ok(())
    }

    fn base(&mut self, snapshot: Option<&StoredSnapshot>) -> Result<Option<i64>, Error> {
        let Some(digest) = snapshot.and_then(|snapshot| snapshot.base) else {
            return Ok(None);
        };
        match self.blob(&digest)? {
            Some(id) => Ok(Some(id)),
            None => Err(Error::Database(format!(
                "a snapshot refers to blob {}, which is not there",
                digest.short()
            ))),
        }
    }

    fn blob(&mut self, digest: &Digest) -> Result<Option<i64>, Error> {
        if let Some(id) = self.new.get(digest).or_else(|| self.blobs.get(digest)) {
            return Ok(Some(*id));
        }
        let id: Option<i64> = self
            .transaction
            .prepare_cached("SELECT id FROM blobs WHERE digest = ?1")?
            .query_row([digest.as_bytes()], |row| row.get(0))
            .optional()?;
        if let Some(id) = id {
            self.new.insert(*digest, id);
        }
        Ok(id)
    }
}
