//! Lists, output, events and sizes.

use std::time::Duration;

use tokio::sync::broadcast;

use crate::daemon::info::{Outputs, Piece, TaskInfo};
use crate::daemon::{Daemon, blocking};
use crate::driver::state::{DaemonState, Moved};
use crate::error::Error as Refused;
use crate::model::error::Error;
use crate::model::{TaskId, TaskState, Timestamp};
use crate::store::{Filter, Sizes, StoredPiece};
use crate::workers::output::FreshOutput;

/// The states of tasks in memory.
const STATES_IN_MEMORY: [TaskState; 3] = [TaskState::Ready, TaskState::Running, TaskState::Parked];

/// The most rows that are read for one page.
const MOST_ROWS_READ: usize = 100_000;

/// A page ends when the specs of its tasks have so many bytes: each may have 2 MiB of arguments.
const PAGE_BYTES: usize = 4 << 20;

/// So many rows are read at once, until they are known to be small.
const FIRST_ROWS_AT_ONCE: usize = 16;

fn list(shared: &DaemonState, filter: Filter) -> Result<(Vec<TaskInfo>, Option<TaskId>), Error> {
    let wanted = |info: &TaskInfo| filter.states.is_empty() || filter.states.contains(&info.state);
    let all_live = filter
        .states
        .iter()
        .all(|state| STATES_IN_MEMORY.contains(state));
    // Few tasks are in memory, so that these are looked through; tasks of a name are found by the
    // store.
    if !filter.states.is_empty() && all_live && filter.name.is_none() {
        return live(shared, &filter);
    }
    let mut found: Vec<TaskInfo> = Vec::new();
    let mut before = filter.before;
    let (mut read, mut bytes) = (0, 0);
    let mut at_once = FIRST_ROWS_AT_ONCE;
    loop {
        // A task in memory is hibernated in the store.
        let page = Filter {
            states: filter
                .states
                .iter()
                .map(|state| match STATES_IN_MEMORY.contains(state) {
                    true => TaskState::Hibernated,
                    false => *state,
                })
                .collect(),
            name: filter.name.clone(),
            before,
            limit: filter.limit.min(at_once),
        };
        let rows = shared.store.list(&page)?;
        let full = rows.len() == page.limit;
        read += rows.len();
        let size: usize = rows.iter().map(|row| row.spec.len()).sum();
        for row in rows {
            before = Some(row.id);
            let size = row.spec.len();
            let info = TaskInfo::of(row, shared);
            if wanted(&info) {
                found.push(info);
                bytes += size;
            }
            if found.len() == filter.limit || bytes >= PAGE_BYTES {
                return Ok((found, before));
            }
        }
        if size < PAGE_BYTES / 8 {
            at_once *= 4;
        }
        if !full {
            return Ok((found, None));
        }
        if read >= MOST_ROWS_READ {
            return Ok((found, before));
        }
    }
}

/// Tasks that are in memory, and those that are due and wait for their turn.
fn live(shared: &DaemonState, filter: &Filter) -> Result<(Vec<TaskInfo>, Option<TaskId>), Error> {
    let mut ids = shared.ids(&filter.states);
    if filter.states.contains(&TaskState::Ready) {
        let late = shared.store.due(None, shared.time.now(), filter.limit)?;
        ids.extend(late.into_iter().map(|due| due.id));
    }
    ids.sort_unstable_by_key(|id| std::cmp::Reverse(*id));
    ids.dedup();
    ids.retain(|id| filter.before.is_none_or(|before| *id < before));
    let (mut found, mut bytes) = (Vec::new(), 0);
    for id in ids {
        if let Some(row) = shared.store.task(id)? {
            let size = row.spec.len();
            let info = TaskInfo::of(row, shared);
            if filter.states.contains(&info.state) {
                found.push(info);
                bytes += size;
            }
        }
        if found.len() == filter.limit || bytes >= PAGE_BYTES {
            return Ok((found, Some(id)));
        }
    }
    Ok((found, None))
}

impl Daemon {
    /// The number of a task that is given by number or by name.
    ///
    /// # Errors
    /// Where there is none.
    pub async fn find(&self, text: &str) -> Result<TaskId, Error> {
        let store = self.shared.store.clone();
        let name = text.to_string();
        let found = match text.parse() {
            Ok(number) => Some(TaskId(number)),
            Err(_) => blocking(move || Ok(store.named(&name)?)).await?,
        };
        found.ok_or_else(|| Refused::NoTask(text.to_string()).into())
    }

    /// What is known of a task.
    ///
    /// # Errors
    /// Where there is none.
    pub async fn task(&self, id: TaskId) -> Result<TaskInfo, Error> {
        let shared = self.shared.clone();
        blocking(move || {
            let row = shared.store.task(id)?;
            let row = row.ok_or_else(|| Refused::NoTask(id.to_string()))?;
            Ok(TaskInfo::of(row, &shared))
        })
        .await
    }

    /// Tasks, the newest first, and where the next page begins, if there may be one. A page has
    /// fewer tasks than its limit where they are large. States are those of now, which the store
    /// does not have for tasks in memory.
    ///
    /// # Errors
    /// Where the store cannot be read.
    pub async fn list(&self, filter: Filter) -> Result<(Vec<TaskInfo>, Option<TaskId>), Error> {
        let shared = self.shared.clone();
        blocking(move || list(&shared, filter)).await
    }

    /// A task's output from a place on: what is stored, up to `limit` bytes, and if that is all,
    /// what is not stored yet. Pieces that are not stored yet have no place: after a crash they are
    /// gone, and the guest writes them again.
    ///
    /// # Errors
    /// Where the store cannot be read.
    pub async fn output(&self, id: TaskId, from: u64, limit: u64) -> Result<Outputs, Error> {
        let shared = self.shared.clone();
        blocking(move || {
            let mut pieces: Vec<Piece> = Vec::new();
            let mut next = from;
            loop {
                let tail = shared.view(id).and_then(|view| view.tail);
                let fresh = tail.map(|tail| tail.peek()).unwrap_or_default();
                // The version is read between the two: what belongs to it is in the store when the
                // output is read.
                let version = shared.store.task(id)?.map_or(u64::MAX, |row| row.version);
                let stored = shared.store.output(id, next, limit)?;
                let (none, size) = (
                    stored.is_empty(),
                    stored.iter().map(StoredPiece::size).sum::<u64>(),
                );
                next = stored.last().map_or(next, |logged| logged.place + 1);
                pieces.extend(stored.into_iter().map(|logged| Piece {
                    place: Some(logged.place),
                    entry: logged.piece,
                }));
                // What was stored since the tail was copied must not be there twice.
                if !none && size < limit {
                    continue;
                }
                let (written, tail) = (fresh.written, fresh.number);
                if none {
                    let fresh = fresh
                        .beyond(version)
                        .into_iter()
                        .map(|entry| Piece { place: None, entry });
                    pieces.extend(fresh);
                }
                return Ok(Outputs {
                    pieces,
                    next,
                    more: !none,
                    tail,
                    written,
                });
            }
        })
        .await
    }

    /// Output of all tasks as it is written.
    pub fn follow(&self) -> broadcast::Receiver<FreshOutput> {
        self.shared.following.subscribe()
    }

    /// Changes of state as they happen.
    pub fn watch(&self) -> broadcast::Receiver<Moved> {
        self.shared.moves.subscribe()
    }

    /// How many tasks are due in each of `count` spans, one after another, from `from` on.
    ///
    /// # Errors
    /// Where the store cannot be read.
    pub async fn timeline(
        &self,
        from: Timestamp,
        span: Duration,
        count: usize,
    ) -> Result<Vec<u64>, Error> {
        let store = self.shared.store.clone();
        let from = self.shared.time.to_steady(from);
        blocking(move || Ok(store.due_counts(from, span, count)?)).await
    }

    /// How much the store holds.
    ///
    /// # Errors
    /// Where it cannot be read.
    pub async fn sizes(&self) -> Result<Sizes, Error> {
        let store = self.shared.store.clone();
        blocking(move || Ok(store.sizes()?)).await
    }
}
