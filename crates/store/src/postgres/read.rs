//! What reads the database.

use std::time::Duration;

use tokio_postgres::Row;
use tokio_postgres::types::ToSql;

use super::database::Postgres;
use crate::class::ClassId;
use crate::error::Error;
use crate::model::clock::Mark;
use crate::model::{Digest, MonotonicTime, MoveId, TaskId, TaskState, TenantId, Timestamp};
use crate::moves::{MovePhase, MoveRecord};
use crate::numbers::{
    known_phase, known_state, known_stream, phase_number, signed, state_number, time_number,
    time_of, unsigned,
};
use crate::store::{Due, Filter, Stamp};
use crate::task::{OutputPiece, StoredPiece, StoredSnapshot, TaskRow};

/// The columns of one task's row.
pub(super) const COLUMNS: &str =
    "t.id, t.version, t.state, t.due, t.name, t.module, t.spec, t.status,
    t.log_bytes,
    coalesce(octet_length(t.snapshot), 0) + CASE WHEN t.pack IS NULL THEN 0 ELSE
      (SELECT coalesce(sum(octet_length(c.bytes)), 0) FROM chunks c WHERE c.pack = t.pack) END +
    CASE WHEN t.base IS NULL THEN 0 ELSE
      coalesce((SELECT b.size + (SELECT coalesce(sum(octet_length(c.bytes)), 0) FROM chunks c
         WHERE c.pack = b.pack)
       FROM blobs b WHERE b.digest = t.base AND b.pack IS NOT NULL), 0) END AS snapshot_bytes,
    t.tenant, t.class";

/// The state of a task whose column names none: a later build may have stored it.
const UNKNOWN_STATE: TaskState = TaskState::Paused;

/// The parameters of a query.
type Parameters<'a> = &'a [&'a (dyn ToSql + Sync)];

/// A digest that a column has.
fn digest_of(bytes: &[u8]) -> Option<Digest> {
    bytes.try_into().ok().map(Digest::from_bytes)
}

/// A number of pieces or rows as the database's.
fn count(number: usize) -> i64 {
    signed(number as u64)
}

/// The class that a column has.
pub(super) fn class_of(number: i32) -> ClassId {
    ClassId(number.cast_unsigned())
}

pub(super) fn task_row(row: &Row) -> TaskRow {
    let number: i16 = row.get(2);
    let (state, mut damage) = match known_state(i64::from(number)) {
        Some(state) => (state, None),
        None => (
            UNKNOWN_STATE,
            Some(format!("its state is {number}, which is none")),
        ),
    };
    let module = digest_of(row.get(5)).unwrap_or_else(|| {
        damage.get_or_insert_with(|| "the digest of its module cannot be read".to_string());
        Digest::from_bytes([0; 32])
    });
    let bytes: i64 = row.get(9);
    TaskRow {
        id: TaskId(unsigned(row.get(0))),
        version: unsigned(row.get(1)),
        state,
        due: row.get::<_, Option<i64>>(3).map(time_of),
        name: row.get(4),
        module,
        spec: row.get(6),
        status: row.get(7),
        log_bytes: unsigned(row.get(8)),
        snapshot_bytes: unsigned(bytes),
        tenant: TenantId(unsigned(row.get(10))),
        class: class_of(row.get(11)),
        damage,
    }
}

/// A row with the snapshot in the three columns after it.
pub(super) fn loaded(row: &Row) -> (TaskRow, Option<StoredSnapshot>) {
    let bytes: Option<Vec<u8>> = row.get(12);
    let base: Option<&[u8]> = row.get(13);
    let snapshot = bytes.map(|bytes| StoredSnapshot {
        base: base.and_then(digest_of),
        bytes,
        pack: row.get::<_, Option<i64>>(14).map(unsigned),
    });
    (task_row(row), snapshot)
}

fn move_of(row: &Row) -> Result<MoveRecord, Error> {
    let damaged = || Error::Database("what is remembered of a move cannot be read".into());
    let phase: i16 = row.get(2);
    Ok(MoveRecord {
        id: MoveId(row.get::<_, &[u8]>(0).try_into().map_err(|_| damaged())?),
        task: TaskId(unsigned(row.get(1))),
        phase: known_phase(i64::from(phase)).ok_or_else(damaged)?,
        peer: digest_of(row.get(3)).ok_or_else(damaged)?,
        details: row.get(4),
    })
}

const MOVES: &str = "SELECT id, task, phase, peer, details FROM moves";

impl Postgres {
    pub(super) async fn rows(
        &self,
        query: &str,
        parameters: Parameters<'_>,
    ) -> Result<Vec<Row>, Error> {
        let client = self.connection().await?;
        let statement = client.prepare_cached(query).await?;
        client.answer(client.query(&statement, parameters).await?)
    }

    pub(super) async fn row(
        &self,
        query: &str,
        parameters: Parameters<'_>,
    ) -> Result<Option<Row>, Error> {
        Ok(self.rows(query, parameters).await?.pop())
    }

    /// A number that a query gives.
    pub(super) async fn number_of(
        &self,
        query: &str,
        parameters: Parameters<'_>,
    ) -> Result<i64, Error> {
        let row = self.row(query, parameters).await?;
        Ok(row.map_or(0, |row| row.get(0)))
    }

    pub(super) async fn find_task(&self, id: TaskId) -> Result<Option<TaskRow>, Error> {
        let query = format!("SELECT {COLUMNS} FROM tasks t WHERE t.id = $1");
        let row = self.row(&query, &[&signed(id.0)]).await?;
        Ok(row.as_ref().map(task_row))
    }

    pub(super) async fn load_task(
        &self,
        id: TaskId,
    ) -> Result<Option<(TaskRow, Option<StoredSnapshot>)>, Error> {
        let query =
            format!("SELECT {COLUMNS}, t.snapshot, t.base, t.pack FROM tasks t WHERE t.id = $1");
        let row = self.row(&query, &[&signed(id.0)]).await?;
        Ok(row.as_ref().map(loaded))
    }

    pub(super) async fn find_name(
        &self,
        tenant: TenantId,
        name: &str,
    ) -> Result<Option<TaskId>, Error> {
        let query = "SELECT id FROM tasks WHERE name = $1 AND tenant = $2";
        let row = self.row(query, &[&name, &signed(tenant.0)]).await?;
        Ok(row.map(|row| TaskId(unsigned(row.get(0)))))
    }

    pub(super) async fn list_tasks(&self, filter: &Filter) -> Result<Vec<TaskRow>, Error> {
        let before = filter.before.map_or(i64::MAX, |id| signed(id.0));
        let number = |state: &TaskState| state_number(*state) as i16;
        let states: Vec<i16> = filter.states.iter().map(number).collect();
        // A column that names no state is read as this one.
        let unknown = filter.states.contains(&UNKNOWN_STATE);
        let known = TaskState::ALL.len() as i16;
        let pattern = filter.name.as_deref().map(like);
        let bytes = filter
            .spec_bytes
            .map_or(i64::MAX, |most| count(most.max(1)));
        let of_tenant = of_tenant(filter.tenant);
        // The specs before a row are summed up; the row that reaches the bound is the last.
        let query = format!(
            "SELECT {COLUMNS} FROM (
               SELECT *, sum(octet_length(spec)) OVER (ORDER BY id DESC) - octet_length(spec) AS earlier
               FROM (SELECT * FROM tasks WHERE id < $1
                 AND (cardinality($2::smallint[]) = 0 OR state = ANY($2) OR ($3 AND state >= $4))
                 AND ($5::text IS NULL OR name LIKE $5) {of_tenant}
                 ORDER BY id DESC LIMIT $6) page) t
             WHERE earlier < $7 ORDER BY id DESC"
        );
        let limit = count(filter.limit);
        let parameters: Parameters<'_> =
            &[&before, &states, &unknown, &known, &pattern, &limit, &bytes];
        let rows = self.rows(&query, parameters).await?;
        Ok(rows.iter().map(task_row).collect())
    }

    pub(super) async fn find_due(
        &self,
        after: Option<Due>,
        until: MonotonicTime,
        limit: usize,
    ) -> Result<Vec<Due>, Error> {
        let (at, id) = after.map_or((-1, -1), |due| (time_number(due.at), signed(due.id.0)));
        let query = "SELECT t.due, t.id FROM classes c CROSS JOIN LATERAL (
               SELECT i.due, i.id FROM tasks i
               WHERE i.class = c.id AND i.owner = 0 AND i.due IS NOT NULL
                 AND (i.due, i.id) > ($1, $2) AND i.due <= $3
               ORDER BY i.due, i.id LIMIT $4) t
             ORDER BY t.due, t.id LIMIT $4";
        let parameters: Parameters<'_> = &[&at, &id, &time_number(until), &count(limit)];
        let rows = self.rows(query, parameters).await?.into_iter();
        let due = |row: Row| Due {
            at: time_of(row.get(0)),
            id: TaskId(unsigned(row.get(1))),
        };
        Ok(rows.map(due).collect())
    }

    pub(super) async fn find_walled(
        &self,
        after: TaskId,
        limit: usize,
    ) -> Result<Vec<TaskId>, Error> {
        let query = "SELECT id FROM tasks WHERE wall IS NOT NULL AND id > $1 ORDER BY id LIMIT $2";
        let rows = self.rows(query, &[&signed(after.0), &count(limit)]).await?;
        Ok(rows
            .iter()
            .map(|row| TaskId(unsigned(row.get(0))))
            .collect())
    }

    pub(super) async fn count_dues(
        &self,
        tenant: Option<TenantId>,
        from: MonotonicTime,
        span: Duration,
        spans: usize,
    ) -> Result<Vec<u64>, Error> {
        let mut counts = Vec::with_capacity(spans);
        let mut end = from;
        for _ in 0..spans {
            let start = end;
            end = start.saturating_add(span);
            let query = "SELECT count(*) FROM classes c JOIN tasks t ON t.class = c.id
                 WHERE t.owner = 0 AND t.due IS NOT NULL AND t.due >= $1 AND t.due < $2
                 AND ($3::bigint IS NULL OR t.tenant = $3)";
            let tenant = tenant.map(|tenant| signed(tenant.0));
            let parameters: Parameters<'_> = &[&time_number(start), &time_number(end), &tenant];
            counts.push(unsigned(self.number_of(query, parameters).await?));
        }
        Ok(counts)
    }

    pub(super) async fn count_states(
        &self,
        tenant: Option<TenantId>,
    ) -> Result<Vec<(TaskState, u64)>, Error> {
        let of_tenant = of_tenant(tenant);
        let query =
            format!("SELECT state, count(*) FROM tasks WHERE true {of_tenant} GROUP BY state");
        let rows = self.rows(&query, &[]).await?;
        let count = |row: &Row| {
            let state = known_state(i64::from(row.get::<_, i16>(0)));
            (state.unwrap_or(UNKNOWN_STATE), unsigned(row.get(1)))
        };
        Ok(rows.iter().map(count).collect())
    }

    pub(super) async fn last_stamp(&self) -> Result<Option<Stamp>, Error> {
        let query = "SELECT now, ahead, realtime, boot, booted FROM commits
             ORDER BY node DESC, number DESC LIMIT 1";
        let row = self.row(query, &[]).await?;
        Ok(row.map(|row| {
            let boot: Option<i64> = row.get(3);
            let booted: Option<i64> = row.get(4);
            let machine = boot.zip(booted).map(|(boot, at)| Mark {
                of: boot.cast_unsigned(),
                at: time_of(at),
            });
            Stamp {
                now: time_of(row.get(0)),
                ahead: row.get(1),
                realtime: Timestamp::from_nanos(unsigned(row.get(2))),
                machine,
            }
        }))
    }

    pub(super) async fn read_blob(&self, digest: &Digest) -> Result<Option<Vec<u8>>, Error> {
        let digest = &digest.as_bytes()[..];
        let query = "SELECT size FROM blobs WHERE digest = $1";
        let Some(row) = self.row(query, &[&digest]).await? else {
            return Ok(None);
        };
        let size = unsigned(row.get(0));
        let mut bytes = Vec::with_capacity(usize::try_from(size).unwrap_or(0));
        for number in 0i32.. {
            let query = "SELECT bytes FROM blob_parts WHERE digest = $1 AND number = $2";
            match self.row(query, &[&digest, &number]).await? {
                Some(row) => bytes.extend_from_slice(row.get(0)),
                None => break,
            }
            if bytes.len() as u64 >= size {
                break;
            }
        }
        // It may have been removed meanwhile.
        Ok((bytes.len() as u64 == size).then_some(bytes))
    }

    pub(super) async fn find_blob(&self, digest: &Digest) -> Result<bool, Error> {
        let query = "SELECT 1 FROM blobs WHERE digest = $1";
        let row = self.row(query, &[&&digest.as_bytes()[..]]).await?;
        Ok(row.is_some())
    }

    pub(super) async fn read_chunk(
        &self,
        pack: u64,
        number: u32,
    ) -> Result<Option<Vec<u8>>, Error> {
        let query = "SELECT bytes FROM chunks WHERE pack = $1 AND number = $2";
        let Ok(number) = i32::try_from(number) else {
            return Ok(None);
        };
        let row = self.row(query, &[&signed(pack), &number]).await?;
        Ok(row.map(|row| row.get(0)))
    }

    pub(super) async fn find_finished(
        &self,
        before: MonotonicTime,
        limit: usize,
    ) -> Result<Vec<(TaskId, u64)>, Error> {
        let query = "SELECT id, version FROM tasks WHERE ended IS NOT NULL AND ended < $1
             ORDER BY ended, id LIMIT $2";
        let rows = self
            .rows(query, &[&time_number(before), &count(limit)])
            .await?;
        let finished = |row: &Row| (TaskId(unsigned(row.get(0))), unsigned(row.get(1)));
        Ok(rows.iter().map(finished).collect())
    }

    pub(super) async fn read_output(
        &self,
        id: TaskId,
        first_piece: u64,
        max_bytes: u64,
    ) -> Result<Vec<StoredPiece>, Error> {
        // The first piece always, and those up to which the sum is not larger.
        let query = "SELECT sequence, stream, time, bytes FROM (
               SELECT *, row_number() OVER pieces AS place, sum(octet_length(bytes)) OVER pieces AS size
               FROM output WHERE task = $1 AND sequence >= $2
               WINDOW pieces AS (ORDER BY sequence)) page
             WHERE place = 1 OR size <= $3 ORDER BY sequence";
        let parameters: Parameters<'_> = &[&signed(id.0), &signed(first_piece), &signed(max_bytes)];
        let rows = self.rows(query, parameters).await?;
        let piece = |row: &Row| {
            let stream: i16 = row.get(1);
            let stream = known_stream(i64::from(stream))
                .ok_or_else(|| Error::Database(format!("output has no stream {stream}")))?;
            Ok(StoredPiece {
                sequence: unsigned(row.get(0)),
                piece: OutputPiece {
                    stream,
                    time: Timestamp::from_nanos(unsigned(row.get(2))),
                    bytes: row.get(3),
                },
            })
        };
        rows.iter().map(piece).collect()
    }

    pub(super) async fn read_move(&self, id: MoveId) -> Result<Option<MoveRecord>, Error> {
        let query = format!("{MOVES} WHERE id = $1");
        let row = self.row(&query, &[&&id.0[..]]).await?;
        row.as_ref().map(move_of).transpose()
    }

    /// Moves after which the task is not ours, of one task or of all.
    pub(super) async fn read_open_moves(
        &self,
        task: Option<TaskId>,
    ) -> Result<Vec<MoveRecord>, Error> {
        let query =
            format!("{MOVES} WHERE phase <> $1 AND ($2::bigint IS NULL OR task = $2) ORDER BY id");
        let accepted = phase_number(MovePhase::Accepted) as i16;
        let task = task.map(|task| signed(task.0));
        let rows = self.rows(&query, &[&accepted, &task]).await?;
        rows.iter().map(move_of).collect()
    }
}

/// A condition that tasks of a tenant meet. Without its second part, the index of tenants is not used.
fn of_tenant(tenant: Option<TenantId>) -> String {
    match tenant {
        Some(TenantId::DEFAULT) => "AND tenant = 0".into(),
        Some(tenant) => format!("AND tenant = {} AND tenant <> 0", signed(tenant.0)),
        None => String::new(),
    }
}

/// A pattern of ours as one of SQL's.
fn like(pattern: &str) -> String {
    let mut like = String::new();
    for c in pattern.chars() {
        match c {
            '*' => like.push('%'),
            '?' => like.push('_'),
            '%' | '_' | '\\' => like.extend(['\\', c]),
            c => like.push(c),
        }
    }
    like
}
