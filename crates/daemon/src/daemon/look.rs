//! What a daemon tells of its tasks.

use tokio::sync::broadcast;

use super::super::Error as Refused;
use super::super::info::{Outputs, Piece, TaskInfo};
use super::super::output::Fresh;
use super::super::shared::{Moved, Shared};
use super::{Daemon, blocking};
use crate::model::error::Error;
use crate::model::{TaskId, TaskState};
use crate::store::{Filter, Logged, Sizes};

/// The states of tasks in memory.
const LIVE: [TaskState; 3] = [TaskState::Ready, TaskState::Running, TaskState::Parked];

/// Rows that are read at most for one page.
const MOST_READ: usize = 100_000;

/// A page ends when its tasks have so many bytes of what was submitted: each may have 2 MiB of arguments.
const PAGE: usize = 4 << 20;

/// Rows that are read at once, until it is known that they are small.
const FIRST: usize = 16;

fn list(shared: &Shared, filter: Filter) -> Result<(Vec<TaskInfo>, Option<TaskId>), Error> {
    let wanted = |info: &TaskInfo| filter.states.is_empty() || filter.states.contains(&info.state);
    let all_live = filter.states.iter().all(|state| LIVE.contains(state));
    // Few tasks are in memory; those of a name the store finds.
    if !filter.states.is_empty() && all_live && filter.name.is_none() {
        return live(shared, &filter);
    }
    let mut found: Vec<TaskInfo> = Vec::new();
    let mut before = filter.before;
    let (mut read, mut bytes) = (0, 0);
    let mut at_once = FIRST;
    loop {
        // A task that is in memory is hibernated for the store.
        let page = Filter {
            states: filter
                .states
                .iter()
                .map(|state| match LIVE.contains(state) {
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
            if found.len() == filter.limit || bytes >= PAGE {
                return Ok((found, before));
            }
        }
        if size < PAGE / 8 {
            at_once *= 4;
        }
        if !full {
            return Ok((found, None));
        }
        if read >= MOST_READ {
            return Ok((found, before));
        }
    }
}

/// Tasks that are in memory, and those whose turn has not come yet.
fn live(shared: &Shared, filter: &Filter) -> Result<(Vec<TaskInfo>, Option<TaskId>), Error> {
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
        if found.len() == filter.limit || bytes >= PAGE {
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

    /// Tasks, the newest first, and where the next page begins, if there may be one: a page has fewer tasks than its
    /// limit where they are large. States are those of now, which the store does not know of tasks that are in memory.
    ///
    /// # Errors
    /// Where the store cannot be read.
    pub async fn list(&self, filter: Filter) -> Result<(Vec<TaskInfo>, Option<TaskId>), Error> {
        let shared = self.shared.clone();
        blocking(move || list(&shared, filter)).await
    }

    /// A task's output from a place on: what is stored, up to `limit` bytes, and if that is all, what is
    /// not yet. Pieces that are not stored yet have no place: after a crash they are taken back, and the
    /// guest writes them again.
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
                // Between the two: what this version holds is in the store then, whoever knows of it.
                let version = shared.store.task(id)?.map_or(u64::MAX, |row| row.version);
                let stored = shared.store.output(id, next, limit)?;
                let (none, size) = (
                    stored.is_empty(),
                    stored.iter().map(Logged::size).sum::<u64>(),
                );
                next = stored.last().map_or(next, |logged| logged.place + 1);
                pieces.extend(stored.into_iter().map(|logged| Piece {
                    place: Some(logged.place),
                    entry: logged.entry,
                }));
                // What was stored since the tail was looked at must not be there twice.
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
    pub fn follow(&self) -> broadcast::Receiver<Fresh> {
        self.shared.following.subscribe()
    }

    /// Changes of state as they happen.
    pub fn watch(&self) -> broadcast::Receiver<Moved> {
        self.shared.moves.subscribe()
    }

    /// How many tasks are due in each of `count` spans of `step` nanoseconds from `from` on.
    ///
    /// # Errors
    /// Where the store cannot be read.
    pub async fn timeline(&self, from: u64, step: u64, count: usize) -> Result<Vec<u64>, Error> {
        let store = self.shared.store.clone();
        let from = self.shared.time.to_steady(from);
        blocking(move || Ok(store.due_counts(from, step, count)?)).await
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
