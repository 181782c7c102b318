//! Listening sockets of tasks. The daemon keeps them, whether a task is in memory or asleep: who connects
//! while it sleeps waits in the kernel's queue, and wakes it.

use std::collections::HashMap;
use std::net::TcpListener;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use tokio::sync::watch;

use super::Error;
use super::reactor;
use crate::model::{Interest, TaskId};
use crate::task::Listener;

/// The sockets of all tasks, by address.
#[derive(Debug, Default)]
pub(super) struct Listeners(Mutex<HashMap<String, Open>>);

#[derive(Debug)]
struct Open {
    owner: TaskId,
    socket: Arc<TcpListener>,
    /// Whoever watches the socket hears when this goes.
    closed: watch::Sender<()>,
}

impl Listeners {
    fn open(&self) -> MutexGuard<'_, HashMap<String, Open>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// A task's sockets, which are bound at the first time.
    pub(super) fn lend(&self, id: TaskId, addresses: &[String]) -> Result<Vec<Listener>, Error> {
        let mut open = self.open();
        let lent = addresses.iter().map(|address| {
            let failed = |error: &dyn std::fmt::Display| {
                Error::Request(format!("cannot listen on {address}: {error}"))
            };
            let socket = match open.get(address) {
                Some(known) if known.owner == id => known.socket.clone(),
                Some(known) => return Err(failed(&format!("task {} does", known.owner))),
                None => {
                    let socket = TcpListener::bind(address).map_err(|error| failed(&error))?;
                    let socket = Arc::new(socket);
                    let new = Open {
                        owner: id,
                        socket: socket.clone(),
                        closed: watch::channel(()).0,
                    };
                    open.insert(address.clone(), new);
                    socket
                }
            };
            Ok(Listener {
                address: address.clone(),
                socket: socket.try_clone().map_err(|error| failed(&error))?,
            })
        });
        lent.collect()
    }

    /// Closes a task's sockets.
    pub(super) fn close(&self, id: TaskId) {
        self.open().retain(|_, known| known.owner != id);
    }

    /// Completes when somebody connects to a task, or when its sockets are closed.
    pub(super) async fn knock(self: Arc<Self>, id: TaskId, addresses: Vec<String>) {
        let (watched, mut closed): (Vec<_>, Vec<_>) = {
            let open = self.open();
            let known = addresses.iter().filter_map(|address| open.get(address));
            let mine = known.filter(|known| known.owner == id);
            mine.filter_map(|known| {
                let socket = known.socket.try_clone().ok()?;
                let watched = reactor::watch(socket.into(), Interest::Read)?;
                Some((watched, known.closed.subscribe()))
            })
            .unzip()
        };
        let Some(closed) = closed.first_mut() else {
            return;
        };
        tokio::select! {
            () = reactor::any_ready(&watched) => {}
            // An error: the sender has gone, and with it all of the task's sockets.
            _ = closed.changed() => {}
        }
    }
}
