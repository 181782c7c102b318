//! Where the daemon's own listeners come from: the daemon that it takes over from, the service
//! manager, or itself.

use std::net::SocketAddr;
use std::os::fd::{AsFd, OwnedFd};
use std::path::Path;
use std::time::Duration;

use listenfd::ListenFd;
use tokio::net::TcpListener;

use crate::cli::exit::{DAEMON, Failure};
use crate::cli::output::say;
use crate::daemon::takeover::{self, HandedOverSockets, TakeoverConnection, TakeoverListener};

/// The names of the listeners in a takeover.
pub(super) const HTTP: &str = "http";
pub(super) const PEERS: &str = "peers";

/// By this variable a process that begins anew in the place of another one knows that its standard
/// input is the listener of its API.
pub(super) const LISTENER_ON_STDIN: &str = "DORMOUSE_LISTENER_ON_STDIN";

/// Listeners that are open already.
pub(super) struct Inherited {
    taken: HandedOverSockets,
    /// From the service manager: the first is for HTTP, the second for peers.
    passed: ListenFd,
}

impl Inherited {
    /// Takes over from the daemon that has the directory, if that is wanted, and takes what a
    /// service manager passes.
    pub(super) fn new(data: &Path, wanted: bool, grace: Duration) -> Result<Self, Failure> {
        let mut taken = HandedOverSockets::default();
        if wanted {
            let failed = |error| Failure::new(DAEMON, format!("cannot take over: {error}"));
            match takeover::take(data, grace).map_err(failed)? {
                Some(sockets) => taken = sockets,
                None => say!("there is no daemon to take over from: this one starts as usual"),
            }
        }
        if std::env::var_os(LISTENER_ON_STDIN).is_some()
            && let Ok(listener) = std::io::stdin().as_fd().try_clone_to_owned()
        {
            taken.listeners.push((HTTP.to_string(), listener));
        }
        Ok(Self {
            taken,
            passed: ListenFd::from_env(),
        })
    }

    /// The sockets of tasks.
    pub(super) fn take_kept(&mut self) -> Vec<crate::daemon::TaskSockets> {
        self.taken.take_kept()
    }

    /// A listener at an address, and a duplicate of it for the next takeover.
    pub(super) async fn listener(
        &mut self,
        name: &str,
        address: &str,
    ) -> Result<(TcpListener, SocketAddr, OwnedFd), Failure> {
        let failed = |error: std::io::Error| {
            Failure::new(DAEMON, format!("cannot listen on {address}: {error}"))
        };
        let index = usize::from(name == PEERS);
        let passed = self.passed.take_tcp_listener(index).unwrap_or_default();
        let taken = self.taken.listener(name).map(std::net::TcpListener::from);
        let listener = match passed.or(taken.filter(|taken| is_at(taken, address))) {
            Some(listener) => {
                listener.set_nonblocking(true).map_err(failed)?;
                TcpListener::from_std(listener).map_err(failed)?
            }
            None => TcpListener::bind(address).await.map_err(failed)?,
        };
        let bound = listener.local_addr().map_err(failed)?;
        let duplicate = listener.as_fd().try_clone_to_owned().map_err(failed)?;
        Ok((listener, bound, duplicate))
    }
}

/// Whether a listener has the address that is wanted. A name may stand for any address.
fn is_at(listener: &std::net::TcpListener, address: &str) -> bool {
    let Ok(wanted) = address.parse::<SocketAddr>() else {
        return true;
    };
    let same = |bound: SocketAddr| {
        bound.ip() == wanted.ip() && (wanted.port() == 0 || bound.port() == wanted.port())
    };
    listener.local_addr().is_ok_and(same)
}

/// Opens the door for the next daemon, where the directory can hold a socket.
pub(super) fn door(data: &Path) -> Option<TakeoverListener> {
    TakeoverListener::open(data)
        .inspect_err(|error| log::warn!("no other daemon can take over from this one: {error}"))
        .ok()
}

/// Completes when the next daemon wants to take over.
pub(super) async fn asked(door: Option<&TakeoverListener>) -> TakeoverConnection {
    if let Some(door) = door {
        match door.asked().await {
            Ok(asked) => return asked,
            Err(error) => log::warn!("no other daemon can take over from this one: {error}"),
        }
    }
    std::future::pending().await
}

/// Gives all sockets to the daemon that takes over, which continues when this process has ended.
pub(super) async fn give(
    asked: TakeoverConnection,
    sockets: HandedOverSockets,
) -> Result<(), Failure> {
    let failed = |error: &dyn std::fmt::Display| {
        let text = format!(
            "the daemon that was to take over has gone: {error}; the tasks are stored, their connections are lost"
        );
        Failure::new(DAEMON, text)
    };
    let given = tokio::task::spawn_blocking(move || asked.give(sockets)).await;
    let asked = given
        .map_err(|error| failed(&error))?
        .map_err(|error| failed(&error))?;
    // The other daemon waits for the system to close it, when this process has ended.
    std::mem::forget(asked);
    Ok(())
}
