//! How much memory the guests of a daemon may have together, and which of them wait for it.
//!
//! ```text
//!   size      --memory, or what the cgroup and the machine have
//!    |- own       the daemon's: caches, the store, snapshots being made
//!    `- guests    memories of the instances that are being loaded, run, or are parked
//!        |- large   an eighth less than all
//!        `- small   guests that have less than a 64th: they never wait for a large one
//! ```
//!
//! Each instance has a [`MemoryShare`]. Before a task is loaded, room for its memories is taken;
//! where there is none, the task waits in the store. When a guest grows, its thread waits until
//! there is room. The driver makes room by putting parked guests to sleep. Where these do not have
//! enough memory, the youngest guest that waits to grow is evicted: it goes back to its last
//! snapshot, and waits in the store for as much memory as it wanted. The oldest is never evicted,
//! so that one guest always comes to its end.

pub(crate) mod machine;
pub(crate) mod parts;
mod snapshot_reservation;
pub(crate) mod trim;

use std::collections::{BTreeMap, HashMap, VecDeque};
use std::sync::Arc;
use std::time::Duration;

use parking_lot::{Condvar, Mutex, MutexGuard};

use self::parts::BudgetParts;
use crate::model::TaskId;
use crate::task::{Aborted, MemoryGovernor, TaskHandle};

/// Bytes that an instance takes beside its memories.
const INSTANCE_BYTES: u64 = 256 << 10;

/// How often a guest that waits for room checks whether it was killed.
const KILL_POLL_INTERVAL: Duration = Duration::from_millis(100);

/// How much memory is used, in bytes.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct MemoryUsed {
    /// By guests.
    pub guests: u64,
    /// By snapshots being made.
    pub snapshots: u64,
    /// How many tasks wait for room: in the store, or to grow.
    pub waiting: u64,
}

/// Why a task cannot be loaded.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum NotAdmitted {
    /// There is no room now.
    Full,
    /// There will never be enough.
    TooLarge(TooLarge),
}

/// The task needs more memory than one guest may have.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error(
    "it needs {} MiB of memory, and one task may have {} MiB of this daemon's {} MiB; start the daemon with a larger \
     --memory, and resume the task then", wanted >> 20, most >> 20, size >> 20
)]
pub struct TooLarge {
    wanted: u64,
    most: u64,
    size: u64,
}

/// The memory budget of a daemon.
pub(super) struct MemoryBudget {
    pub(super) parts: BudgetParts,
    state: Mutex<State>,
    changed: Condvar,
    /// Notifies the driver that something has changed for tasks that wait.
    notify_driver: Box<dyn Fn() + Send + Sync>,
}

/// A task that waits for memory in the store.
struct Waiter {
    id: TaskId,
    bytes: u64,
}

#[derive(Default)]
struct State {
    /// By number, the oldest first.
    shares: BTreeMap<u64, ShareState>,
    next: u64,
    large: u64,
    small: u64,
    /// Bytes that are reserved for making and reading snapshots.
    snapshot_bytes: u64,
    /// How many guests wait to grow.
    growing: usize,
    /// Tasks that were not admitted; the next to be admitted is first. New ones go to the back,
    /// evicted ones to the front ([`Self::put_back`]).
    admission_queue: VecDeque<Waiter>,
    /// The bytes that a task which was evicted had asked for, until it is admitted again.
    evicted_needs: HashMap<TaskId, u64>,
    closed: bool,
    /// Bytes of memory that the process had when there was no guest.
    idle: u64,
}

struct ShareState {
    id: TaskId,
    bytes: u64,
    /// The bytes that its memories have; the rest of `bytes` is kept for it.
    filled: u64,
    /// How many more bytes it waits for.
    wants: u64,
    /// Its engine does not report when it grows.
    unmetered: bool,
    too_large: Option<TooLarge>,
    handle: TaskHandle,
}

impl State {
    /// Puts an evicted task at the front of the queue.
    fn put_back(&mut self, id: TaskId, need: u64) {
        self.evicted_needs.insert(id, need);
        self.admission_queue.push_front(Waiter { id, bytes: need });
    }

    /// Notes that a guest waits for `wants` more bytes; 0 if it waits no longer.
    fn want(&mut self, number: u64, wants: u64) {
        if let Some(held) = self.shares.get_mut(&number) {
            self.growing += usize::from(held.wants == 0 && wants > 0);
            self.growing -= usize::from(held.wants > 0 && wants == 0);
            held.wants = wants;
        }
    }

    fn add(&mut self, bytes: u64, least: u64) {
        match bytes <= least {
            true => self.small += bytes,
            false => self.large += bytes,
        }
    }

    fn take(&mut self, bytes: u64, least: u64) {
        match bytes <= least {
            true => self.small -= bytes,
            false => self.large -= bytes,
        }
    }

    /// Whether a guest that has `old` bytes may have `new`.
    fn fits(&self, old: u64, new: u64, parts: &BudgetParts) -> bool {
        let least = parts.least();
        let (mut large, mut small) = (self.large, self.small);
        match old <= least {
            true => small -= old,
            false => large -= old,
        }
        match new <= least {
            true => small + new <= parts.small,
            false => large + new <= parts.large,
        }
    }
}

impl MemoryBudget {
    /// `notify_driver` is called, often, when tasks that wait may be admitted, or when one begins
    /// to wait.
    pub(super) fn new(size: u64, notify_driver: impl Fn() + Send + Sync + 'static) -> Arc<Self> {
        Arc::new(Self {
            parts: BudgetParts::of(size),
            state: Mutex::default(),
            changed: Condvar::new(),
            notify_driver: Box::new(notify_driver),
        })
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock()
    }

    fn too_large(&self, wanted: u64) -> Option<TooLarge> {
        let most = self.parts.large;
        let size = self.parts.size;
        (wanted > most).then_some(TooLarge { wanted, most, size })
    }

    /// Takes room for a task whose memories have this many bytes. Where there is none, the task
    /// waits from now on, behind those that wait already.
    pub(super) fn admit(
        self: &Arc<Self>,
        id: TaskId,
        memory: u64,
        handle: &TaskHandle,
        unmetered: bool,
    ) -> Result<Arc<MemoryShare>, NotAdmitted> {
        let mut state = self.state();
        let need = state.evicted_needs.get(&id).copied().unwrap_or(0);
        let bytes = need.max(memory.saturating_add(INSTANCE_BYTES));
        if let Some(too_large) = self.too_large(bytes) {
            state.admission_queue.retain(|waiter| waiter.id != id);
            state.evicted_needs.remove(&id);
            return Err(NotAdmitted::TooLarge(too_large));
        }
        let least = self.parts.least();
        let is_large = bytes > least;
        // A task is admitted only if it is the first of its kind. Guests that wait to grow come
        // before large tasks.
        let mut ahead = state
            .admission_queue
            .iter()
            .take_while(|waiter| waiter.id != id);
        let is_first = !ahead.any(|waiter| (waiter.bytes > least) == is_large);
        let is_first = is_first && !(is_large && state.growing > 0);
        if !is_first || !state.fits(0, bytes, &self.parts) {
            if state.admission_queue.iter().all(|waiter| waiter.id != id) {
                state.admission_queue.push_back(Waiter { id, bytes });
            }
            drop(state);
            (self.notify_driver)();
            return Err(NotAdmitted::Full);
        }
        let before = state.admission_queue.len();
        state.admission_queue.retain(|waiter| waiter.id != id);
        let waited = state.admission_queue.len() < before;
        state.evicted_needs.remove(&id);
        state.add(bytes, least);
        let number = state.next;
        state.next += 1;
        let held = ShareState {
            id,
            bytes,
            filled: INSTANCE_BYTES,
            wants: 0,
            unmetered,
            too_large: None,
            handle: handle.clone(),
        };
        state.shares.insert(number, held);
        drop(state);
        if waited {
            // There may be room for the next task too.
            (self.notify_driver)();
        }
        let budget = self.clone();
        Ok(Arc::new(MemoryShare { budget, number }))
    }

    /// Tasks in the store that can be loaded now: the first of each kind, if there is room for it.
    pub(super) fn ready(&self) -> Vec<TaskId> {
        let state = self.state();
        let least = self.parts.least();
        let first = |is_large: bool| {
            let mut waiting = state.admission_queue.iter();
            let first = waiting.find(|waiter| (waiter.bytes > least) == is_large);
            first.filter(|waiter| state.fits(0, waiter.bytes, &self.parts))
        };
        let large = first(true).filter(|_| state.growing == 0);
        large
            .into_iter()
            .chain(first(false))
            .map(|waiter| waiter.id)
            .collect()
    }

    /// A task no longer waits.
    pub(super) fn forget(&self, id: TaskId) {
        let mut state = self.state();
        if !state.admission_queue.is_empty() || !state.evicted_needs.is_empty() {
            state.admission_queue.retain(|waiter| waiter.id != id);
            state.evicted_needs.remove(&id);
        }
    }

    /// How many threads are blocked because their guests wait to grow.
    pub(super) fn blocked_threads(&self) -> usize {
        self.state().growing
    }

    /// How many bytes a task waits for, in the store or to grow.
    pub(super) fn waits(&self, id: TaskId) -> Option<u64> {
        let state = self.state();
        let stored = state.admission_queue.iter().find(|waiter| waiter.id == id);
        let mut held = state.shares.values().filter(|held| held.wants > 0);
        let grows = held.find(|held| held.id == id).map(|held| held.wants);
        grows.or(stored.map(|waiter| waiter.bytes))
    }

    /// How much is used.
    pub(super) fn used(&self) -> MemoryUsed {
        let state = self.state();
        MemoryUsed {
            guests: state.large + state.small,
            snapshots: state.snapshot_bytes,
            waiting: (state.admission_queue.len() + state.growing) as u64,
        }
    }

    /// How many bytes the driver has to free for the next task or guest.
    pub(super) fn shortage(&self) -> u64 {
        let state = self.state();
        if state.growing == 0 && state.admission_queue.is_empty() {
            return 0;
        }
        let missing = |old: u64, new: u64| {
            let least = self.parts.least();
            let (used, most) = match new <= least {
                true => (state.small, self.parts.small),
                false => (state.large, self.parts.large),
            };
            let used = match (old <= least) == (new <= least) {
                true => used - old,
                false => used,
            };
            (used + new).saturating_sub(most)
        };
        let growing = state.shares.values().filter(|held| held.wants > 0);
        let growing = growing.map(|held| missing(held.bytes, held.bytes + held.wants));
        let waiting = state.admission_queue.iter().take(64);
        let waiting = waiting.map(|waiter| missing(0, waiter.bytes));
        growing.chain(waiting).max().unwrap_or(0)
    }

    /// Evicts the youngest guest that waits to grow, if the oldest could not grow otherwise: the
    /// guests that do not wait, and that can be hibernated by `leaves`, have too little together.
    pub(super) fn evict_blocked(&self, leaves: impl Fn(TaskId) -> bool) {
        let mut state = self.state();
        if state.growing == 0 {
            return;
        }
        let least = self.parts.least();
        let Some(oldest) = state.shares.values().find(|held| held.wants > 0) else {
            return;
        };
        let (old, new) = (oldest.bytes, oldest.bytes + oldest.wants);
        let others = if old <= least {
            state.large
        } else {
            state.large - old
        };
        let free = self.parts.large.saturating_sub(others);
        let idle = state.shares.values().filter(|held| {
            held.wants == 0 && held.bytes > least && leaves(held.id) && !held.handle.is_evicted()
        });
        let leaving: u64 = idle.map(|held| held.bytes).sum();
        if free + leaving >= new {
            return;
        }
        // A guest has been evicted already, and is on its way out.
        if state.shares.values().any(|held| held.handle.is_evicted()) {
            return;
        }
        let mut growing = state.shares.values().filter(|held| held.wants > 0);
        growing.next();
        let Some(youngest) = growing.next_back() else {
            return;
        };
        youngest.handle.evict();
        let (id, need) = (youngest.id, youngest.bytes + youngest.wants);
        state.put_back(id, need.min(self.parts.large));
        drop(state);
        self.changed.notify_all();
    }

    /// Compares the memory of the process with the budget. Guests whose engine does not report when
    /// they grow can exceed it. Then the youngest of these that is `running` is evicted, and waits
    /// for as much as one guest may have. Returns whether there is no guest, so that all memory is
    /// the daemon's own.
    pub(super) fn check_resident(&self, resident: u64, running: impl Fn(TaskId) -> bool) -> bool {
        let mut state = self.state();
        if state.shares.is_empty() {
            state.idle = resident;
            return true;
        }
        // Memory that compilers have left is no guest's.
        let allowed = self
            .parts
            .size
            .max(state.idle + self.parts.guests() + state.snapshot_bytes);
        if resident <= allowed || state.shares.values().any(|held| held.handle.is_evicted()) {
            return false;
        }
        let most = self.parts.large;
        let too_large = TooLarge {
            wanted: most + 1,
            most,
            size: self.parts.size,
        };
        // A guest that has as much as one may have is evicted last, and only where nothing else can
        // have the memory.
        let others = state
            .shares
            .values()
            .any(|held| held.unmetered && held.bytes < most);
        let alone = !others && resident > allowed + self.parts.own;
        let mut youngest = state.shares.values_mut().rev();
        let chosen = |held: &&mut ShareState| {
            held.unmetered && running(held.id) && (held.bytes < most || alone)
        };
        let Some(held) = youngest.find(chosen) else {
            return false;
        };
        let alone = held.bytes >= most;
        held.handle.evict();
        let id = held.id;
        match alone {
            true => held.too_large = Some(too_large),
            false => state.put_back(id, most),
        }
        drop(state);
        self.changed.notify_all();
        false
    }

    /// Ends all waiting for memory: guests that wait to grow are evicted.
    pub(super) fn close(&self) {
        self.state().closed = true;
        self.changed.notify_all();
    }

    fn reserve(&self, number: u64, more: u64) -> Result<(), Aborted> {
        let mut state = self.state();
        let least = self.parts.least();
        let mut driver_notified = false;
        loop {
            let closed = state.closed;
            let Some(held) = state.shares.get_mut(&number) else {
                return Err(Aborted);
            };
            let filled = held.filled.saturating_add(more);
            let (old, new) = (held.bytes, held.bytes.max(filled));
            if let Some(too_large) = self.too_large(new) {
                held.too_large = Some(too_large);
                held.handle.evict();
            }
            if closed && old != new {
                held.handle.evict();
            }
            if held.handle.is_evicted() || held.handle.is_killed() {
                state.want(number, 0);
                return Err(Aborted);
            }
            if state.fits(old, new, &self.parts) {
                state.take(old, least);
                state.add(new, least);
                if let Some(held) = state.shares.get_mut(&number) {
                    (held.bytes, held.filled) = (new, filled);
                }
                state.want(number, 0);
                return Ok(());
            }
            state.want(number, new - old);
            if !std::mem::replace(&mut driver_notified, true) {
                drop(state);
                (self.notify_driver)();
                state = self.state();
            }
            self.changed.wait_for(&mut state, KILL_POLL_INTERVAL);
        }
    }
}

/// The memory of one instance. It is given back when the last owner drops it, which is the
/// instance.
pub(super) struct MemoryShare {
    budget: Arc<MemoryBudget>,
    number: u64,
}

impl MemoryShare {
    /// Why the guest can never have the memory that it wanted, if that is so.
    pub(super) fn too_large(&self) -> Option<TooLarge> {
        self.budget.state().shares.get(&self.number)?.too_large
    }
}

impl MemoryGovernor for MemoryShare {
    fn reserve(&self, more: u64) -> Result<(), Aborted> {
        self.budget.reserve(self.number, more)
    }
}

impl Drop for MemoryShare {
    fn drop(&mut self) {
        let mut state = self.budget.state();
        state.want(self.number, 0);
        if let Some(held) = state.shares.remove(&self.number) {
            state.take(held.bytes, self.budget.parts.least());
        }
        let waited_for = !state.admission_queue.is_empty() || state.growing > 0;
        drop(state);
        if waited_for {
            self.budget.changed.notify_all();
            (self.budget.notify_driver)();
        }
    }
}
