//! The one owner of the sockets of sleeping tasks, and of the listeners of all tasks.
//!
//! ```text
//!   guest --keep, when it is serialized--> Sockets --give, when it is loaded--> guest
//!                                               |
//!                                               `- knock: one of those that it waits for is ready
//! ```
//!
//! A task's sockets belong to the snapshot that was made with them, which names each by a key.
//! Nothing is read from a socket here: what arrives waits in the kernel. Sockets that no task takes
//! back are closed, which their peers see.
//!
//! [`Sockets::drain`] returns all sockets as [`TaskSockets`], data with descriptors; another
//! process takes them with [`Sockets::adopt`].

mod handover;

use std::collections::{HashMap, HashSet};
use std::net::TcpListener;
use std::os::fd::{AsRawFd, OwnedFd};
use std::sync::Arc;
use std::time::Duration;

use parking_lot::{Mutex, MutexGuard};
use tokio::sync::watch;

use crate::error::Error;
use crate::model::spec::ListenAddress;
use crate::model::{TaskId, When};
use crate::task::reactor;
use crate::task::{Asleep, HeldSocket, Listener, Role, Watch, Watched};

/// How often a task with a socket that cannot be watched is woken.
const UNWATCHED_POLL_INTERVAL: Duration = Duration::from_secs(1);

/// The sockets of all tasks.
#[derive(Debug, Default)]
pub struct Sockets(Mutex<State>);

#[derive(Debug, Default)]
struct State {
    /// Listeners that were submitted with a task, by address, whether it sleeps or not.
    listeners: HashMap<String, Open>,
    /// What belongs to tasks that sleep.
    asleep: HashMap<TaskId, Sleeper>,
    /// Tasks that have as many connections as they may have.
    full: HashSet<TaskId>,
}

#[derive(Debug)]
struct Open {
    owner: TaskId,
    socket: Arc<OwnedFd>,
}

#[derive(Debug)]
struct Sleeper {
    sockets: Vec<HeldSocket>,
    watches: Vec<Watch>,
    /// When the wait ends by itself.
    ends: When,
    /// Those who watch the sockets are notified when this is dropped.
    closed: watch::Sender<()>,
}

/// All sockets that are kept for one task.
#[derive(Debug)]
pub struct TaskSockets {
    /// The task.
    pub id: TaskId,
    /// Its listeners, by the addresses that were submitted.
    pub listeners: Vec<(String, Arc<OwnedFd>)>,
    /// The sockets that its snapshot names, and those that it waits for; `None` where it does not
    /// sleep.
    pub asleep: Option<Asleep>,
    /// When its wait ends by itself.
    pub ends: When,
}

impl Sockets {
    fn state(&self) -> MutexGuard<'_, State> {
        self.0.lock()
    }

    /// The listeners that a task was submitted with. They are bound the first time.
    pub(super) fn lend(
        &self,
        id: TaskId,
        addresses: &[ListenAddress],
    ) -> Result<Vec<Listener>, Error> {
        let mut state = self.state();
        let lent = addresses.iter().map(|address| {
            let address = address.as_str();
            let failed = |source| Error::Listen {
                address: address.into(),
                source,
            };
            let socket = match state.listeners.get(address) {
                Some(known) if known.owner == id => known.socket.clone(),
                Some(known) => {
                    let text = format!("cannot listen on {address}: task {} does", known.owner);
                    return Err(Error::Request(text));
                }
                None => {
                    let socket = TcpListener::bind(address).map_err(failed)?;
                    let socket: Arc<OwnedFd> = Arc::new(socket.into());
                    let new = Open::new(id, socket.clone());
                    state.listeners.insert(address.into(), new);
                    socket
                }
            };
            let socket = socket.try_clone().map_err(failed)?;
            Ok(Listener {
                address: address.into(),
                socket: socket.into(),
            })
        });
        lent.collect()
    }

    /// Keeps the sockets of a task that has just been frozen, and drops those that were kept
    /// before.
    pub(super) fn keep(&self, id: TaskId, asleep: Asleep, ends: When) {
        let mut state = self.state();
        if asleep.sockets.is_empty() && asleep.watches.is_empty() {
            state.asleep.remove(&id);
            return;
        }
        state.asleep.insert(id, Sleeper::new(asleep, ends));
    }

    /// Notes whether a task has as many connections as it may have, so that others wait.
    pub(super) fn set_full(&self, id: TaskId, is_full: bool) {
        let mut state = self.state();
        match is_full {
            true => state.full.insert(id),
            false => state.full.remove(&id),
        };
    }

    /// Whether connections of a task have to wait, for all that is known.
    pub(super) fn is_full(&self, id: TaskId) -> bool {
        self.state().full.contains(&id)
    }

    /// The sockets that are kept for a task. They stay kept, because loading the task may fail.
    pub(super) fn held(&self, id: TaskId) -> Vec<HeldSocket> {
        let state = self.state();
        let sleeper = state.asleep.get(&id);
        sleeper.map_or_else(Vec::new, |sleeper| sleeper.sockets.clone())
    }

    /// Takes the sockets that were kept for a task.
    fn give(&self, id: TaskId) -> Vec<HeldSocket> {
        let sleeper = self.state().asleep.remove(&id);
        sleeper.map_or_else(Vec::new, |sleeper| sleeper.sockets)
    }

    /// Ends the watching of a sleeping task's sockets.
    pub(super) fn unwatch(&self, id: TaskId) {
        if let Some(sleeper) = self.state().asleep.get_mut(&id) {
            sleeper.closed = watch::channel(()).0;
        }
    }

    /// Closes the sockets that were kept for a sleeping task: they do not belong to its stored
    /// snapshot.
    pub(super) fn drop_kept(&self, id: TaskId) {
        self.state().asleep.remove(&id);
    }

    /// A task is paused: it keeps its connections, and other tasks may listen on its addresses.
    pub(super) fn pause(&self, id: TaskId) {
        let mut state = self.state();
        state.listeners.retain(|_, known| known.owner != id);
        if let Some(mut sleeper) = state.asleep.remove(&id) {
            sleeper.sockets.retain(|kept| kept.role == Role::Stream);
            if !sleeper.sockets.is_empty() {
                let asleep = Asleep {
                    sockets: sleeper.sockets,
                    watches: Vec::new(),
                };
                state.asleep.insert(id, Sleeper::new(asleep, When::NEVER));
            }
        }
    }

    /// Whether anything is kept for a task that does not run, or an address is.
    pub(super) fn keeps(&self, id: TaskId) -> bool {
        let state = self.state();
        let mut listeners = state.listeners.values();
        state.asleep.contains_key(&id) || listeners.any(|open| open.owner == id)
    }

    /// The keys of the connections of a task that does not run.
    pub(super) fn stream_keys(&self, id: TaskId) -> Vec<u64> {
        let state = self.state();
        let kept = state.asleep.get(&id).map(|sleeper| &sleeper.sockets);
        let streams = kept.into_iter().flatten();
        streams
            .filter(|held| held.role == Role::Stream)
            .map(|held| held.key)
            .collect()
    }

    /// Takes the connections of a task that does not run.
    pub(super) fn take_streams(&self, id: TaskId) -> Vec<HeldSocket> {
        let mut held = self.give(id);
        held.retain(|held| held.role == Role::Stream);
        held
    }

    /// Closes all of a task's sockets.
    pub(super) fn close(&self, id: TaskId) {
        let mut state = self.state();
        state.listeners.retain(|_, known| known.owner != id);
        state.asleep.remove(&id);
        state.full.remove(&id);
    }

    /// When a sleeping task that has sockets to watch wakes without them; `None` where it has none
    /// to watch.
    pub(super) fn watched(&self, id: TaskId) -> Option<When> {
        let state = self.state();
        let sleeper = state.asleep.get(&id)?;
        (!sleeper.watches.is_empty()).then_some(sleeper.ends)
    }

    /// The sleeping tasks that have sockets to watch.
    pub(super) fn all_watched(&self) -> Vec<TaskId> {
        let state = self.state();
        let watched = state.asleep.iter();
        watched
            .filter(|(_, sleeper)| !sleeper.watches.is_empty())
            .map(|(id, _)| *id)
            .collect()
    }

    /// Completes when one of the sockets that a task waits for is ready, or when they are no longer
    /// kept.
    pub(super) async fn knock(self: Arc<Self>, id: TaskId) {
        let found = {
            let state = self.state();
            state.asleep.get(&id).map(|sleeper| {
                let mut seen = HashSet::new();
                let watched = sleeper.watches.iter().filter_map(|watch| {
                    let mut socket = state.socket(id, sleeper, &watch.what)?;
                    // A socket that is watched for both directions needs a second descriptor.
                    if !seen.insert(socket.as_raw_fd()) {
                        socket = Arc::new(socket.try_clone().ok()?);
                    }
                    reactor::watch(socket, watch.interest)
                });
                let watched: Vec<_> = watched.collect();
                let all = watched.len() == sleeper.watches.len();
                (watched, all, sleeper.closed.subscribe())
            })
        };
        let Some((watched, all, mut closed)) = found else {
            return;
        };
        // Where a socket cannot be watched, the guest itself checks now and then.
        let patience = async {
            match all {
                true => std::future::pending().await,
                false => tokio::time::sleep(UNWATCHED_POLL_INTERVAL).await,
            }
        };
        tokio::select! {
            () = reactor::any_ready(&watched) => {}
            () = patience => {}
            // An error means that the sender was dropped together with the sockets.
            _ = closed.changed() => {}
        }
    }

    /// Gives all sockets away, for another process. None is closed.
    pub fn drain(&self) -> Vec<TaskSockets> {
        let state = std::mem::take(&mut *self.state());
        let mut kept: HashMap<TaskId, TaskSockets> = HashMap::new();
        for (address, open) in state.listeners {
            let one = kept
                .entry(open.owner)
                .or_insert_with_key(|id| TaskSockets::new(*id));
            one.listeners.push((address, open.socket));
        }
        for (id, sleeper) in state.asleep {
            let one = kept
                .entry(id)
                .or_insert_with_key(|id| TaskSockets::new(*id));
            one.ends = sleeper.ends;
            one.asleep = Some(Asleep {
                sockets: sleeper.sockets,
                watches: sleeper.watches,
            });
        }
        kept.into_values().collect()
    }

    /// Takes the sockets that another process has handed over.
    pub fn adopt(&self, kept: TaskSockets) {
        let mut state = self.state();
        for (address, socket) in kept.listeners {
            let open = Open::new(kept.id, socket);
            state.listeners.insert(address, open);
        }
        if let Some(asleep) = kept.asleep {
            let sleeper = Sleeper::new(asleep, kept.ends);
            state.asleep.insert(kept.id, sleeper);
        }
    }
}

impl State {
    fn socket(&self, id: TaskId, sleeper: &Sleeper, what: &Watched) -> Option<Arc<OwnedFd>> {
        match what {
            Watched::Listener(address) => {
                let open = self.listeners.get(address)?;
                (open.owner == id).then(|| open.socket.clone())
            }
            Watched::Socket(key) => {
                let kept = sleeper.sockets.iter().find(|kept| kept.key == *key)?;
                Some(kept.socket.clone())
            }
        }
    }
}

impl Open {
    fn new(owner: TaskId, socket: Arc<OwnedFd>) -> Self {
        Self { owner, socket }
    }
}

impl Sleeper {
    fn new(asleep: Asleep, ends: When) -> Self {
        Self {
            sockets: asleep.sockets,
            watches: asleep.watches,
            ends,
            closed: watch::channel(()).0,
        }
    }
}

impl TaskSockets {
    fn new(id: TaskId) -> Self {
        Self {
            id,
            listeners: Vec::new(),
            asleep: None,
            ends: When::NEVER,
        }
    }
}
