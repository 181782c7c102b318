//! What a daemon tells of its tasks.

use tokio::sync::broadcast;

use super::super::Error as Refused;
use super::super::info::{Outputs, Piece, TaskInfo};
use super::super::output::Fresh;
use super::super::shared::Moved;
use super::{Daemon, blocking};
use crate::error::Error;
use crate::model::TaskId;
use crate::store::{Filter, Logged, Sizes};

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
            Ok(TaskInfo::of(row, &shared)?)
        })
        .await
    }

    /// Tasks, the newest first.
    ///
    /// # Errors
    /// Where the store cannot be read.
    pub async fn list(&self, filter: Filter) -> Result<Vec<TaskInfo>, Error> {
        let shared = self.shared.clone();
        blocking(move || {
            let rows = shared.store.list(&filter)?;
            let infos = rows.into_iter().map(|row| TaskInfo::of(row, &shared));
            Ok(infos.collect::<Result<_, _>>()?)
        })
        .await
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
                let fresh = tail.map(|tail| (tail.peek(), tail.number()));
                let stored = shared.store.output(id, next, limit)?;
                let (none, size) = (
                    stored.is_empty(),
                    stored.iter().map(Logged::len).sum::<u64>(),
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
                let ((fresh, written), tail) = fresh.unwrap_or_default();
                if none {
                    let fresh = fresh.into_iter().map(|entry| Piece { place: None, entry });
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
