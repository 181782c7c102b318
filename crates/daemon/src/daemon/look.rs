//! Lists, output, events and sizes.

use std::cmp::Reverse;
use std::collections::{BTreeMap, BinaryHeap};
use std::time::Duration;

use tokio::sync::broadcast;

use crate::daemon::cluster::node_names;
use crate::daemon::info::{OutputPage, Piece, TaskInfo};
use crate::daemon::{Daemon, blocking};
use crate::driver::state::{DaemonState, Moved};
use crate::error::Error as Refused;
use crate::model::error::Error;
use crate::model::{MonotonicTime, TaskId, TaskState, TenantId, Timestamp};
use crate::store::{Filter, Sizes, Store, StoredPiece, Usage};
use crate::workers::output::FreshOutput;

/// The states of tasks in memory.
const STATES_IN_MEMORY: [TaskState; 3] = [TaskState::Ready, TaskState::Running, TaskState::Parked];

/// The most rows that are read for one page.
const MOST_ROWS_READ: usize = 100_000;

/// A page ends with the task at which the specs in it have this many bytes: each may have 2 MiB of
/// arguments.
const PAGE_BYTES: usize = 4 << 20;

/// Entries of the store's index of due times that are read at once.
const DUE_TASKS_AT_ONCE: usize = 1000;

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
            limit: filter.limit,
            spec_bytes: Some(PAGE_BYTES),
            tenant: filter.tenant,
        };
        let retries = shared.retries.now();
        let rows = shared.store.list(&page)?;
        read += rows.len();
        let spec_bytes: usize = rows.iter().map(|row| row.spec.len()).sum();
        let cut = rows.len() == page.limit || spec_bytes >= PAGE_BYTES;
        for row in rows {
            before = Some(row.id);
            let size = row.spec.len();
            let retry = retries.get(&row.id).cloned();
            let info = TaskInfo::of(row, retry, shared);
            if wanted(&info) {
                found.push(info);
                bytes += size;
            }
            if found.len() == filter.limit || bytes >= PAGE_BYTES {
                return Ok((found, before));
            }
        }
        if !cut {
            return Ok((found, None));
        }
        if read >= MOST_ROWS_READ {
            return Ok((found, before));
        }
    }
}

/// The newest `limit` of the tasks that are due, among those with lower IDs than `before`.
fn newest_due(
    store: &dyn Store,
    now: MonotonicTime,
    before: Option<TaskId>,
    limit: usize,
) -> Result<Vec<TaskId>, Error> {
    let mut newest = BinaryHeap::new();
    let mut after = None;
    loop {
        let page = store.due(after, now, DUE_TASKS_AT_ONCE)?;
        let Some(last) = page.last() else {
            return Ok(newest.into_iter().map(|Reverse(id)| id).collect());
        };
        after = Some(*last);
        for due in page {
            if before.is_none_or(|before| due.id < before) {
                newest.push(Reverse(due.id));
            }
            if newest.len() > limit {
                newest.pop();
            }
        }
    }
}

/// Tasks that are in memory, and those that are due and have not been started yet.
fn live(shared: &DaemonState, filter: &Filter) -> Result<(Vec<TaskInfo>, Option<TaskId>), Error> {
    let mut ids = shared.ids(&filter.states);
    ids.retain(|id| filter.before.is_none_or(|before| *id < before));
    let mut cut = false;
    if filter.states.contains(&TaskState::Ready) {
        let now = shared.time.now();
        let late = newest_due(shared.store.as_ref(), now, filter.before, filter.limit)?;
        cut = late.len() == filter.limit;
        if let (true, Some(oldest)) = (cut, late.iter().min()) {
            // Due tasks between these and the oldest that was read are for the next page.
            ids.retain(|id| id >= oldest);
        }
        ids.extend(late);
    }
    ids.sort_unstable_by_key(|id| Reverse(*id));
    ids.dedup();
    let oldest = ids.last().copied();
    let (mut found, mut bytes) = (Vec::new(), 0);
    for id in ids {
        let retry = shared.retries.of(id);
        if let Some(row) = shared.store.task(id)?
            && filter.tenant.is_none_or(|tenant| row.tenant == tenant)
        {
            let size = row.spec.len();
            let info = TaskInfo::of(row, retry, shared);
            if filter.states.contains(&info.state) {
                found.push(info);
                bytes += size;
            }
        }
        if found.len() == filter.limit || bytes >= PAGE_BYTES {
            return Ok((found, Some(id)));
        }
    }
    Ok((found, oldest.filter(|_| cut)))
}

fn output_page(
    shared: &DaemonState,
    id: TaskId,
    first_piece: u64,
    max_bytes: u64,
) -> Result<OutputPage, Error> {
    let mut page = OutputPage {
        next: first_piece,
        ..OutputPage::default()
    };
    let mut left = max_bytes;
    loop {
        let tail = shared.view(id).and_then(|view| view.tail);
        let fresh = tail.map(|tail| tail.peek()).unwrap_or_default();
        (page.load_number, page.written) = (fresh.load_number, fresh.written);
        // The version is read between the two: what belongs to it is in the store when the output
        // is read.
        page.version = shared.store.task(id)?.map_or(u64::MAX, |row| row.version);
        let stored = shared.store.output(id, page.next, left)?;
        let Some(last) = stored.last() else {
            let fresh = fresh.beyond(page.version).into_iter();
            page.pieces.extend(fresh.map(|entry| Piece {
                sequence: None,
                entry,
            }));
            return Ok(page);
        };
        let bytes = stored.iter().map(StoredPiece::size).sum::<u64>();
        // The store gives one piece at least, however large it is.
        page.more = bytes >= left;
        if bytes > left && !page.pieces.is_empty() {
            return Ok(page);
        }
        page.next = last.sequence + 1;
        page.pieces.extend(stored.into_iter().map(|stored| Piece {
            sequence: Some(stored.sequence),
            entry: stored.piece,
        }));
        if page.more {
            return Ok(page);
        }
        // The page has room left. The store is asked again: the tail was copied before it was read,
        // and what has been stored since must not be in the page twice.
        left -= bytes;
    }
}

impl Daemon {
    /// The ID of a task that is given by ID or by name, of the default tenant.
    ///
    /// # Errors
    /// If there is none.
    pub async fn find(&self, text: &str) -> Result<TaskId, Error> {
        self.find_for(TenantId::DEFAULT, text).await
    }

    /// The ID of a task that is given by ID, or by its name among a tenant's tasks.
    pub(crate) async fn find_for(&self, tenant: TenantId, text: &str) -> Result<TaskId, Error> {
        let store = self.shared.store.clone();
        let name = text.to_string();
        let found = match text.parse() {
            Ok(number) => Some(TaskId(number)),
            Err(_) => blocking(move || Ok(store.named(tenant, &name)?)).await?,
        };
        found.ok_or_else(|| Refused::NoTask(text.to_string()).into())
    }

    /// Whose a task is; `None` where there is none.
    pub(crate) async fn tenant_of(&self, id: TaskId) -> Result<Option<TenantId>, Error> {
        let store = self.shared.store.clone();
        blocking(move || Ok(store.task(id)?.map(|row| row.tenant))).await
    }

    /// What is known of a task.
    ///
    /// # Errors
    /// If there is none.
    pub async fn task(&self, id: TaskId) -> Result<TaskInfo, Error> {
        let shared = self.shared.clone();
        blocking(move || {
            let retry = shared.retries.of(id);
            let row = shared.store.task(id)?;
            let row = row.ok_or_else(|| Refused::NoTask(id.to_string()))?;
            let node = node_names(&shared, &[id])?.remove(&id);
            Ok(TaskInfo::of(row, retry, &shared).with_node(node))
        })
        .await
    }

    /// Tasks, the newest first, and where the next page begins, if there may be one. A page has
    /// fewer tasks than its limit where they are large. States are those of now, which the store
    /// does not have for tasks in memory.
    ///
    /// # Errors
    /// If the store cannot be read.
    pub async fn list(&self, filter: Filter) -> Result<(Vec<TaskInfo>, Option<TaskId>), Error> {
        let shared = self.shared.clone();
        blocking(move || {
            let (found, next) = list(&shared, filter)?;
            let ids: Vec<TaskId> = found.iter().map(|info| info.id).collect();
            let mut names = node_names(&shared, &ids)?;
            let found = found.into_iter().map(|info| {
                let node = names.remove(&info.id);
                info.with_node(node)
            });
            Ok((found.collect(), next))
        })
        .await
    }

    /// Those of these tasks that are in memory here; with a tenant, of that one's.
    ///
    /// # Errors
    /// If the store cannot be read.
    pub async fn loaded(
        &self,
        tenant: Option<TenantId>,
        ids: Vec<TaskId>,
    ) -> Result<Vec<TaskInfo>, Error> {
        let mut found = Vec::new();
        for id in ids {
            let is_theirs = || self.shared.owners.of(id);
            if self.shared.view(id).is_some() && tenant.is_none_or(|one| one == is_theirs()) {
                found.push(self.task(id).await?);
            }
        }
        Ok(found)
    }

    /// A page of a task's output: stored pieces from number `first_piece` on, at most `max_bytes`
    /// of them, but one piece at least. The last page also has the pieces that are not stored yet.
    /// These have no number: a crash loses them, and the guest, which continues from its last
    /// snapshot, writes them again.
    ///
    /// # Errors
    /// If the store cannot be read.
    pub async fn output(
        &self,
        id: TaskId,
        first_piece: u64,
        max_bytes: u64,
    ) -> Result<OutputPage, Error> {
        let shared = self.shared.clone();
        blocking(move || output_page(&shared, id, first_piece, max_bytes)).await
    }

    /// Output of all tasks as it is written.
    pub fn follow(&self) -> broadcast::Receiver<FreshOutput> {
        self.shared.following.subscribe()
    }

    /// Changes of state as they happen.
    pub fn watch(&self) -> broadcast::Receiver<Moved> {
        self.shared.moves.subscribe()
    }

    /// How many tasks are due in each of `count` spans, one after another, from `from` on; with a
    /// tenant, of that one's.
    ///
    /// # Errors
    /// If the store cannot be read.
    pub async fn timeline(
        &self,
        tenant: Option<TenantId>,
        from: Timestamp,
        span: Duration,
        count: usize,
    ) -> Result<Vec<u64>, Error> {
        let store = self.shared.store.clone();
        let from = self.shared.time.to_steady(from);
        blocking(move || Ok(store.due_counts(tenant, from, span, count)?)).await
    }

    /// What a tenant has in the store, and how many tasks of each state.
    pub(crate) async fn tenant_sizes(
        &self,
        tenant: TenantId,
    ) -> Result<(Usage, BTreeMap<TaskState, u64>), Error> {
        let shared = self.shared.clone();
        blocking(move || {
            let usage = shared.store.usage(tenant)?;
            let counts = shared.store.counts(Some(tenant))?;
            let mut counts: BTreeMap<_, _> = counts.into_iter().collect();
            for state in STATES_IN_MEMORY {
                for id in shared.ids(&[state]) {
                    let row = shared.store.task(id)?;
                    if let Some(row) = row.filter(|row| row.tenant == tenant) {
                        let stored = counts.entry(row.state).or_default();
                        *stored = stored.saturating_sub(1);
                        *counts.entry(state).or_default() += 1;
                    }
                }
            }
            Ok((usage, counts))
        })
        .await
    }

    /// How much the store holds.
    ///
    /// # Errors
    /// If it cannot be read.
    pub async fn sizes(&self) -> Result<Sizes, Error> {
        let store = self.shared.store.clone();
        blocking(move || Ok(store.sizes()?)).await
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use super::*;
    use crate::model::When;
    use crate::store::{Change, ClassId, Insert};
    use crate::tests::stores::{daemon_with_output, module, store_after};

    /// `Daemon::output` read page after page into one until nothing was left, so that a request for
    /// logs collected all output in memory. Its limit held for a read of the store only.
    #[tokio::test]
    async fn a_page_of_output_keeps_its_limit() {
        let pieces = ["1234", "5678", "9abc", "a piece larger than a page", "d"];
        let (daemon, id, _directory) = daemon_with_output(&pieces);
        let (mut pages, mut next) = (Vec::new(), 0);
        loop {
            let page = daemon
                .output(id, next, 10)
                .await
                .expect("the store is read");
            let bytes = page.pieces.iter().flat_map(|piece| &piece.entry.bytes);
            pages.push(String::from_utf8(bytes.copied().collect()).expect("text"));
            next = page.next;
            if !page.more {
                break;
            }
        }
        let expected = ["12345678", "9abc", "a piece larger than a page", "d"];
        assert_eq!(pages, expected);
        let all = daemon
            .output(id, 0, u64::MAX)
            .await
            .expect("the store is read");
        assert_eq!((all.pieces.len(), all.next, all.more), (5, 5, false));
        daemon.close().await;
    }

    /// The page of due tasks with the highest IDs was made from those that have been due for
    /// longest, so that a list left out all others.
    #[test]
    fn all_due_tasks_are_on_some_page() {
        // The higher the ID, the later the task is due; task 8 is not due yet.
        let changes = (1..=8).map(|id| {
            Change::Insert(Insert {
                id: TaskId(id),
                state: TaskState::Hibernated,
                due: When::steady(MonotonicTime::from_nanos(10 * id)),
                name: None,
                module: module(),
                spec: Vec::new(),
                status: Vec::new(),
                snapshot: None,
                held: false,
                tenant: TenantId::DEFAULT,
                class: ClassId::ANY,
            })
        });
        let (store, _directory) = store_after(changes.collect());
        let page = |before: Option<u64>| {
            let page = newest_due(&store, MonotonicTime::from_nanos(70), before.map(TaskId), 3)
                .expect("the store is read");
            page.into_iter().map(|id| id.0).collect::<BTreeSet<u64>>()
        };
        assert_eq!(page(None), BTreeSet::from([5, 6, 7]));
        assert_eq!(page(Some(5)), BTreeSet::from([2, 3, 4]));
        assert_eq!(page(Some(2)), BTreeSet::from([1]));
    }
}
