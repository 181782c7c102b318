//! What reads the database.

use std::time::Duration;

use rusqlite::types::{FromSql, Value};
use rusqlite::{Connection, OptionalExtension, Row, params};

use super::encoding::{chunk_id, indexed, phase_of, stream_of};
use crate::class::ClassId;
use crate::model::clock::Mark;
use crate::model::{Digest, MonotonicTime, MoveId, TaskId, TaskState, TenantId, Timestamp};
use crate::moves::{MovePhase, MoveRecord};
use crate::numbers::{
    known_state, phase_number, signed, state_number, time_number, time_of, unsigned,
};
use crate::store::{Due, Filter, Stamp};
use crate::task::{OutputPiece, StoredPiece, StoredSnapshot, TaskRow};

// Whatever a version is, it is read as a number: a damaged task is removed by its version, too.
const COLUMNS: &str = "t.id, coalesce(CAST(t.version AS INTEGER), 0), t.state, t.due, t.name,
    (SELECT digest FROM blobs WHERE id = t.module), t.spec, t.status, t.log_bytes,
    coalesce(length(t.snapshot), 0) + CASE WHEN t.pack IS NULL THEN 0 ELSE
      (SELECT coalesce(sum(length(bytes)), 0) FROM chunks
       WHERE id >= t.pack << 20 AND id < (t.pack + 1) << 20) END +
    coalesce((SELECT length(b.bytes) + (SELECT coalesce(sum(length(bytes)), 0) FROM chunks
       WHERE id >= b.pack << 20 AND id < (b.pack + 1) << 20)
     FROM blobs b WHERE b.id = t.base AND b.pack IS NOT NULL), 0), t.tenant";

/// The state of a task whose column names none.
const UNKNOWN_STATE: TaskState = TaskState::Paused;

/// The columns of one task's row. A column with an unexpected value is read as a default, and
/// `damage` says what the first of them was: one damaged task must not make a whole list fail.
struct Columns<'a> {
    sql: &'a Row<'a>,
    damage: Option<String>,
}

impl Columns<'_> {
    fn get<T: FromSql + Default>(&mut self, index: usize, what: &str) -> T {
        let value = self.sql.get(index);
        value.unwrap_or_else(|error| self.damaged(format!("{what} cannot be read: {error}")))
    }

    fn damaged<T: Default>(&mut self, reason: String) -> T {
        self.damage.get_or_insert(reason);
        T::default()
    }

    fn state(&mut self) -> TaskState {
        let number: i64 = self.get(2, "its state");
        known_state(number).unwrap_or_else(|| {
            self.damaged::<()>(format!("its state is {number}, which is none"));
            UNKNOWN_STATE
        })
    }

    fn module(&mut self) -> Digest {
        let digest: Option<[u8; 32]> = self.get(5, "the digest of its module");
        match digest {
            Some(digest) => Digest::from_bytes(digest),
            None => Digest::from_bytes(self.damaged("its module is not in the store".into())),
        }
    }
}

fn row(sql: &Row<'_>) -> rusqlite::Result<TaskRow> {
    read_row(sql, None)
}

fn read_row(sql: &Row<'_>, damage: Option<String>) -> rusqlite::Result<TaskRow> {
    let mut columns = Columns { sql, damage };
    Ok(TaskRow {
        id: TaskId(unsigned(sql.get(0)?)),
        version: unsigned(sql.get(1)?),
        state: columns.state(),
        due: columns.get::<Option<i64>>(3, "when it is due").map(time_of),
        name: columns.get(4, "its name"),
        module: columns.module(),
        spec: columns.get(6, "what it was submitted with"),
        status: columns.get(7, "its status"),
        log_bytes: unsigned(columns.get(8, "the size of its output")),
        snapshot_bytes: unsigned(columns.get(9, "the size of its snapshot")),
        tenant: TenantId(unsigned(columns.get(10, "its tenant"))),
        class: ClassId::ANY,
        damage: columns.damage,
    })
}

pub(super) fn task(reader: &Connection, id: TaskId) -> rusqlite::Result<Option<TaskRow>> {
    reader
        .prepare_cached(&format!("SELECT {COLUMNS} FROM tasks t WHERE t.id = ?1"))?
        .query_row([signed(id.0)], row)
        .optional()
}

pub(super) fn load(
    reader: &Connection,
    id: TaskId,
) -> rusqlite::Result<Option<(TaskRow, Option<StoredSnapshot>)>> {
    reader
        .prepare_cached(&format!(
            "SELECT {COLUMNS}, t.snapshot, (SELECT digest FROM blobs WHERE id = t.base), t.pack
             FROM tasks t WHERE t.id = ?1"
        ))?
        .query_row([signed(id.0)], |sql| {
            let mut columns = Columns { sql, damage: None };
            let bytes: Option<Vec<u8>> = columns.get(11, "its snapshot");
            let base: Option<[u8; 32]> = columns.get(12, "the base of its snapshot");
            let base = base.map(Digest::from_bytes);
            let pack: Option<i64> = columns.get(13, "where its snapshot lies");
            let pack = pack.map(unsigned);
            let snapshot = bytes.map(|bytes| StoredSnapshot { base, bytes, pack });
            Ok((read_row(sql, columns.damage)?, snapshot))
        })
        .optional()
}

pub(super) fn named(
    reader: &Connection,
    tenant: TenantId,
    name: &str,
) -> rusqlite::Result<Option<TaskId>> {
    reader
        .prepare_cached("SELECT id FROM tasks WHERE tenant = ?1 AND name = ?2")?
        .query_row(params![signed(tenant.0), name], |sql| {
            Ok(TaskId(unsigned(sql.get(0)?)))
        })
        .optional()
}

pub(super) fn list(reader: &Connection, filter: &Filter) -> rusqlite::Result<Vec<TaskRow>> {
    let before = filter.before.map_or(i64::MAX, |id| signed(id.0));
    let states = &filter.states;
    let places = vec!["?"; states.len()].join(", ");
    let mut values = vec![Value::from(before)];
    values.extend(states.iter().map(|state| Value::from(state_number(*state))));
    // A column that names no state is read as this one.
    let (wanted, all) = match (states.is_empty(), states.contains(&UNKNOWN_STATE)) {
        (true, _) => (String::new(), 0),
        (false, false) => (format!("AND t.state IN ({places})"), 0),
        (false, true) => {
            let known = vec!["?"; TaskState::ALL.len()].join(", ");
            let wanted = format!("AND (t.state IN ({places}) OR t.state NOT IN ({known}))");
            (wanted, TaskState::ALL.len())
        }
    };
    let known = TaskState::ALL.iter().take(all);
    values.extend(known.map(|state| Value::from(state_number(*state))));
    // Names hold nothing else that GLOB takes for special.
    let named = match &filter.name {
        Some(pattern) => {
            values.push(Value::from(pattern.clone()));
            "AND t.name GLOB ?"
        }
        None => "",
    };
    let of_tenant = match filter.tenant {
        Some(tenant) => {
            values.push(Value::from(signed(tenant.0)));
            format!(
                "AND t.tenant = ?{}",
                indexed(tenant).replace("tenant", "t.tenant")
            )
        }
        None => String::new(),
    };
    values.push(Value::from(filter.limit as i64));
    let mut statement = reader.prepare_cached(&format!(
        "SELECT {COLUMNS} FROM tasks t WHERE t.id < ? {wanted} {named} {of_tenant}
         ORDER BY t.id DESC LIMIT ?"
    ))?;
    let (mut found, mut spec_bytes) = (Vec::new(), 0);
    for row in statement.query_map(rusqlite::params_from_iter(values), row)? {
        let row = row?;
        spec_bytes += row.spec.len();
        found.push(row);
        if filter.spec_bytes.is_some_and(|most| spec_bytes >= most) {
            break;
        }
    }
    Ok(found)
}

pub(super) fn due(
    reader: &Connection,
    after: Option<Due>,
    until: MonotonicTime,
    limit: usize,
) -> rusqlite::Result<Vec<Due>> {
    let (at, id) = after.map_or((-1, -1), |due| (time_number(due.at), signed(due.id.0)));
    reader
        .prepare_cached(
            // A damaged due time that is no number is larger than all numbers, but for a fraction.
            "SELECT CAST(due AS INTEGER), id FROM tasks
             WHERE due IS NOT NULL AND (due, id) > (?1, ?2) AND due <= ?3
             ORDER BY due, id LIMIT ?4",
        )?
        .query_map(params![at, id, time_number(until), limit as i64], |sql| {
            Ok(Due {
                at: time_of(sql.get(0)?),
                id: TaskId(unsigned(sql.get(1)?)),
            })
        })?
        .collect()
}

pub(super) fn walled(
    reader: &Connection,
    after: TaskId,
    limit: usize,
) -> rusqlite::Result<Vec<TaskId>> {
    reader
        .prepare_cached("SELECT task FROM walls WHERE task > ?1 ORDER BY task LIMIT ?2")?
        .query_map([signed(after.0), limit as i64], |sql| {
            Ok(TaskId(unsigned(sql.get(0)?)))
        })?
        .collect()
}

pub(super) fn number(reader: &Connection) -> rusqlite::Result<u64> {
    reader
        .prepare_cached("SELECT number FROM lease")?
        .query_row([], |sql| Ok(sql.get::<_, i64>(0)?.cast_unsigned()))
}

pub(super) fn epoch(reader: &Connection) -> rusqlite::Result<u64> {
    reader
        .prepare_cached("SELECT epoch FROM lease")?
        .query_row([], |sql| Ok(unsigned(sql.get(0)?)))
}

/// Who has the lease.
pub(super) fn holder(reader: &Connection) -> rusqlite::Result<String> {
    reader
        .prepare_cached("SELECT holder FROM lease")?
        .query_row([], |sql| sql.get(0))
}

pub(super) fn stamp(reader: &Connection) -> rusqlite::Result<Option<Stamp>> {
    reader
        .prepare_cached("SELECT now, ahead, realtime, boot, booted FROM lease")?
        .query_row([], |sql| {
            let Some(realtime) = sql.get::<_, Option<i64>>(2)? else {
                return Ok(None);
            };
            let boot: Option<i64> = sql.get(3)?;
            let booted: Option<i64> = sql.get(4)?;
            let machine = boot.zip(booted).map(|(boot, at)| Mark {
                of: boot.cast_unsigned(),
                at: time_of(at),
            });
            Ok(Some(Stamp {
                now: time_of(sql.get(0)?),
                ahead: sql.get(1)?,
                realtime: Timestamp::from_nanos(unsigned(realtime)),
                machine,
            }))
        })
}

pub(super) fn due_counts(
    reader: &Connection,
    tenant: Option<TenantId>,
    from: MonotonicTime,
    span: Duration,
    count: usize,
) -> rusqlite::Result<Vec<u64>> {
    let of_tenant = match tenant {
        Some(_) => " AND tenant = ?3",
        None => "",
    };
    let mut statement = reader.prepare_cached(&format!(
        "SELECT count(*) FROM tasks WHERE due IS NOT NULL AND due >= ?1 AND due < ?2{of_tenant}"
    ))?;
    let mut end = from;
    (0..count)
        .map(|_| {
            let start = end;
            end = start.saturating_add(span);
            let tenant = tenant.map(|tenant| signed(tenant.0));
            let times = [time_number(start), time_number(end)].into_iter();
            let values = rusqlite::params_from_iter(times.chain(tenant));
            statement.query_row(values, |sql| Ok(unsigned(sql.get(0)?)))
        })
        .collect()
}

pub(super) fn counts(
    reader: &Connection,
    tenant: Option<TenantId>,
) -> rusqlite::Result<Vec<(TaskState, u64)>> {
    let of_tenant = match tenant {
        Some(tenant) => format!("WHERE tenant = ?1{}", indexed(tenant)),
        None => String::new(),
    };
    let tenant = tenant.map(|tenant| signed(tenant.0));
    reader
        .prepare_cached(&format!(
            "SELECT state, count(*) FROM tasks {of_tenant} GROUP BY state"
        ))?
        .query_map(rusqlite::params_from_iter(tenant), |sql| {
            let state = sql.get(0).ok().and_then(known_state);
            Ok((state.unwrap_or(UNKNOWN_STATE), unsigned(sql.get(1)?)))
        })?
        .collect()
}

pub(super) fn last_id(reader: &Connection) -> rusqlite::Result<TaskId> {
    reader
        .prepare_cached("SELECT last_task FROM lease")?
        .query_row([], |sql| Ok(TaskId(unsigned(sql.get(0)?))))
}

pub(super) fn blob(reader: &Connection, digest: &Digest) -> rusqlite::Result<Option<Vec<u8>>> {
    reader
        .prepare_cached("SELECT bytes FROM blobs WHERE digest = ?1")?
        .query_row([digest.as_bytes()], |sql| sql.get(0))
        .optional()
}

pub(super) fn has_blob(reader: &Connection, digest: &Digest) -> rusqlite::Result<bool> {
    reader
        .prepare_cached("SELECT 1 FROM blobs WHERE digest = ?1")?
        .exists([digest.as_bytes()])
}

pub(super) fn chunk(
    reader: &Connection,
    pack: u64,
    number: u32,
) -> rusqlite::Result<Option<Vec<u8>>> {
    reader
        .prepare_cached("SELECT bytes FROM chunks WHERE id = ?1")?
        .query_row([chunk_id(pack, number)], |sql| sql.get(0))
        .optional()
}

pub(super) fn last_pack(reader: &Connection) -> rusqlite::Result<u64> {
    reader
        .prepare_cached(
            "SELECT max(coalesce((SELECT max(id) >> 20 FROM chunks), 0),
                        coalesce((SELECT max(pack) FROM dead), 0),
                        coalesce((SELECT max(pack) FROM tasks WHERE pack IS NOT NULL), 0),
                        coalesce((SELECT max(pack) FROM blobs), 0))",
        )?
        .query_row([], |sql| Ok(unsigned(sql.get(0)?)))
}

pub(super) fn blob_sizes(reader: &Connection) -> rusqlite::Result<(u64, u64)> {
    reader
        .prepare_cached(
            "SELECT count(*), coalesce(sum(length(bytes) + CASE WHEN pack IS NULL THEN 0 ELSE
               (SELECT coalesce(sum(length(c.bytes)), 0) FROM chunks c
                WHERE c.id >= pack << 20 AND c.id < (pack + 1) << 20) END), 0) FROM blobs",
        )?
        .query_row([], |sql| Ok((unsigned(sql.get(0)?), unsigned(sql.get(1)?))))
}

pub(super) fn finished(
    reader: &Connection,
    before: MonotonicTime,
    limit: usize,
) -> rusqlite::Result<Vec<(TaskId, u64)>> {
    reader
        .prepare_cached(
            "SELECT id, coalesce(CAST(version AS INTEGER), 0) FROM tasks
             WHERE ended IS NOT NULL AND ended < ?1
             ORDER BY ended LIMIT ?2",
        )?
        .query_map([time_number(before), limit as i64], |sql| {
            Ok((TaskId(unsigned(sql.get(0)?)), unsigned(sql.get(1)?)))
        })?
        .collect()
}

pub(super) fn output(
    reader: &Connection,
    id: TaskId,
    first_piece: u64,
    max_bytes: u64,
) -> rusqlite::Result<Vec<StoredPiece>> {
    let mut statement = reader.prepare_cached(
        "SELECT sequence, stream, time, bytes FROM output
         WHERE task = ?1 AND sequence >= ?2 ORDER BY sequence",
    )?;
    let mut rows = statement.query([signed(id.0), signed(first_piece)])?;
    let mut found = Vec::new();
    let mut size = 0;
    while let Some(sql) = rows.next()? {
        let bytes: Vec<u8> = sql.get(3)?;
        size += bytes.len() as u64;
        if size > max_bytes && !found.is_empty() {
            break;
        }
        found.push(StoredPiece {
            sequence: unsigned(sql.get(0)?),
            piece: OutputPiece {
                stream: stream_of(1, sql.get(1)?)?,
                time: Timestamp::from_nanos(unsigned(sql.get(2)?)),
                bytes,
            },
        });
    }
    Ok(found)
}

const MOVES: &str = "SELECT id, task, phase, peer, details FROM moves";

fn one_move(sql: &Row<'_>) -> rusqlite::Result<MoveRecord> {
    Ok(MoveRecord {
        id: MoveId(sql.get(0)?),
        task: TaskId(unsigned(sql.get(1)?)),
        phase: phase_of(2, sql.get(2)?)?,
        peer: Digest::from_bytes(sql.get(3)?),
        details: sql.get(4)?,
    })
}

pub(super) fn move_record(reader: &Connection, id: MoveId) -> rusqlite::Result<Option<MoveRecord>> {
    reader
        .prepare_cached(&format!("{MOVES} WHERE id = ?1"))?
        .query_row([id.0], one_move)
        .optional()
}

pub(super) fn open_moves(reader: &Connection) -> rusqlite::Result<Vec<MoveRecord>> {
    reader
        .prepare_cached(&format!("{MOVES} WHERE phase <> ?1 ORDER BY id"))?
        .query_map([phase_number(MovePhase::Accepted)], one_move)?
        .collect()
}

pub(super) fn open_moves_of(
    reader: &Connection,
    task: TaskId,
) -> rusqlite::Result<Vec<MoveRecord>> {
    reader
        .prepare_cached(&format!(
            "{MOVES} WHERE task = ?1 AND phase <> ?2 ORDER BY id"
        ))?
        .query_map(
            (signed(task.0), phase_number(MovePhase::Accepted)),
            one_move,
        )?
        .collect()
}
