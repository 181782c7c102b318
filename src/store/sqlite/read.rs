//! What reads the database.

use rusqlite::{Connection, OptionalExtension, Row as SqlRow, params, types::Value};

use super::super::{
    Due, Entry, Filter, Frozen, Logged, Row, Stamp, Stream, Transfer, TransferStep,
};
use super::{chunk_id, signed, state_number, state_of, unsigned};
use crate::clock::Mark;
use crate::model::{Digest, TaskId, TaskState, TransferId};

const COLUMNS: &str = "t.id, t.version, t.state, t.due, t.name,
    (SELECT digest FROM blobs WHERE id = t.module), t.spec, t.status, t.log_bytes,
    coalesce(length(t.snapshot), 0) + CASE WHEN t.pack IS NULL THEN 0 ELSE
      (SELECT coalesce(sum(length(bytes)), 0) FROM chunks
       WHERE id >= t.pack << 20 AND id < (t.pack + 1) << 20) END";

fn row(sql: &SqlRow<'_>) -> rusqlite::Result<Row> {
    Ok(Row {
        id: TaskId(unsigned(sql.get(0)?)),
        version: unsigned(sql.get(1)?),
        state: state_of(sql.get(2)?)?,
        due: sql.get::<_, Option<i64>>(3)?.map(unsigned),
        name: sql.get(4)?,
        module: Digest::from_bytes(sql.get(5)?),
        spec: sql.get(6)?,
        status: sql.get(7)?,
        log_bytes: unsigned(sql.get(8)?),
        snapshot_bytes: unsigned(sql.get(9)?),
    })
}

pub(super) fn task(reader: &Connection, id: TaskId) -> rusqlite::Result<Option<Row>> {
    reader
        .prepare_cached(&format!("SELECT {COLUMNS} FROM tasks t WHERE t.id = ?1"))?
        .query_row([signed(id.0)], row)
        .optional()
}

pub(super) fn load(
    reader: &Connection,
    id: TaskId,
) -> rusqlite::Result<Option<(Row, Option<Frozen>)>> {
    reader
        .prepare_cached(&format!(
            "SELECT {COLUMNS}, t.snapshot, (SELECT digest FROM blobs WHERE id = t.base), t.pack
             FROM tasks t WHERE t.id = ?1"
        ))?
        .query_row([signed(id.0)], |sql| {
            let bytes: Option<Vec<u8>> = sql.get(10)?;
            let base: Option<[u8; 32]> = sql.get(11)?;
            let base = base.map(Digest::from_bytes);
            let pack = sql.get::<_, Option<i64>>(12)?.map(unsigned);
            let frozen = bytes.map(|bytes| Frozen { base, bytes, pack });
            Ok((row(sql)?, frozen))
        })
        .optional()
}

pub(super) fn named(reader: &Connection, name: &str) -> rusqlite::Result<Option<TaskId>> {
    reader
        .prepare_cached("SELECT id FROM tasks WHERE name = ?1")?
        .query_row([name], |sql| Ok(TaskId(unsigned(sql.get(0)?))))
        .optional()
}

pub(super) fn list(reader: &Connection, filter: &Filter) -> rusqlite::Result<Vec<Row>> {
    let before = filter.before.map_or(i64::MAX, |id| signed(id.0));
    let states = match filter.states.is_empty() {
        true => TaskState::ALL.to_vec(),
        false => filter.states.clone(),
    };
    let places = vec!["?"; states.len()].join(", ");
    let mut values = vec![Value::from(before)];
    values.extend(states.iter().map(|state| Value::from(state_number(*state))));
    // Names hold nothing else that GLOB takes for special.
    let named = match &filter.name {
        Some(pattern) => {
            values.push(Value::from(pattern.clone()));
            "AND t.name GLOB ?"
        }
        None => "",
    };
    values.push(Value::from(filter.limit as i64));
    reader
        .prepare_cached(&format!(
            "SELECT {COLUMNS} FROM tasks t WHERE t.id < ? AND t.state IN ({places}) {named}
             ORDER BY t.id DESC LIMIT ?"
        ))?
        .query_map(rusqlite::params_from_iter(values), row)?
        .collect()
}

pub(super) fn due(
    reader: &Connection,
    after: Option<Due>,
    until: u64,
    limit: usize,
) -> rusqlite::Result<Vec<Due>> {
    let (at, id) = after.map_or((-1, -1), |due| (signed(due.at), signed(due.id.0)));
    reader
        .prepare_cached(
            "SELECT due, id FROM tasks WHERE due IS NOT NULL AND (due, id) > (?1, ?2) AND due <= ?3
             ORDER BY due, id LIMIT ?4",
        )?
        .query_map(params![at, id, signed(until), limit as i64], |sql| {
            Ok(Due {
                at: unsigned(sql.get(0)?),
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
                at: unsigned(at),
            });
            Ok(Some(Stamp {
                now: unsigned(sql.get(0)?),
                ahead: sql.get(1)?,
                realtime: unsigned(realtime),
                machine,
            }))
        })
}

pub(super) fn due_counts(
    reader: &Connection,
    from: u64,
    step: u64,
    count: usize,
) -> rusqlite::Result<Vec<u64>> {
    let mut statement = reader.prepare_cached(
        "SELECT count(*) FROM tasks WHERE due IS NOT NULL AND due >= ?1 AND due < ?2",
    )?;
    (0..count as u64)
        .map(|number| {
            let start = from.saturating_add(step.saturating_mul(number));
            let end = start.saturating_add(step);
            statement.query_row([signed(start), signed(end)], |sql| {
                Ok(unsigned(sql.get(0)?))
            })
        })
        .collect()
}

pub(super) fn counts(reader: &Connection) -> rusqlite::Result<Vec<(TaskState, u64)>> {
    reader
        .prepare_cached("SELECT state, count(*) FROM tasks GROUP BY state")?
        .query_map([], |sql| {
            Ok((state_of(sql.get(0)?)?, unsigned(sql.get(1)?)))
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
    before: u64,
    limit: usize,
) -> rusqlite::Result<Vec<(TaskId, u64)>> {
    reader
        .prepare_cached(
            "SELECT id, version FROM tasks WHERE state >= 5 AND state NOT IN (7, 8) AND changed < ?1
             ORDER BY changed LIMIT ?2",
        )?
        .query_map([signed(before), limit as i64], |sql| {
            Ok((TaskId(unsigned(sql.get(0)?)), unsigned(sql.get(1)?)))
        })?
        .collect()
}

pub(super) fn output(
    reader: &Connection,
    id: TaskId,
    from: u64,
    limit: u64,
) -> rusqlite::Result<Vec<Logged>> {
    let mut statement = reader.prepare_cached(
        "SELECT place, stream, time, bytes FROM output WHERE task = ?1 AND place >= ?2 ORDER BY place",
    )?;
    let mut rows = statement.query([signed(id.0), signed(from)])?;
    let mut found = Vec::new();
    let mut size = 0;
    while let Some(sql) = rows.next()? {
        let bytes: Vec<u8> = sql.get(3)?;
        size += bytes.len() as u64;
        if size > limit && !found.is_empty() {
            break;
        }
        found.push(Logged {
            place: unsigned(sql.get(0)?),
            entry: Entry {
                stream: match sql.get::<_, i64>(1)? {
                    1 => Stream::Stdout,
                    _ => Stream::Stderr,
                },
                time: unsigned(sql.get(2)?),
                bytes,
            },
        });
    }
    Ok(found)
}

const TRANSFER: &str = "SELECT id, task, step, peer, note FROM transfers";

fn one_transfer(sql: &SqlRow<'_>) -> rusqlite::Result<Transfer> {
    let number: i64 = sql.get(2)?;
    let step = usize::try_from(number).ok();
    Ok(Transfer {
        id: TransferId(sql.get(0)?),
        task: TaskId(unsigned(sql.get(1)?)),
        step: step
            .and_then(|step| TransferStep::ALL.get(step).copied())
            .ok_or(rusqlite::Error::IntegralValueOutOfRange(2, number))?,
        peer: Digest::from_bytes(sql.get(3)?),
        note: sql.get(4)?,
    })
}

pub(super) fn transfer(reader: &Connection, id: TransferId) -> rusqlite::Result<Option<Transfer>> {
    reader
        .prepare_cached(&format!("{TRANSFER} WHERE id = ?1"))?
        .query_row([id.0], one_transfer)
        .optional()
}

pub(super) fn open_transfers(reader: &Connection) -> rusqlite::Result<Vec<Transfer>> {
    reader
        .prepare_cached(&format!("{TRANSFER} WHERE step <> 4 ORDER BY id"))?
        .query_map([], one_transfer)?
        .collect()
}
