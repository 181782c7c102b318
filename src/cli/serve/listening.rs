//! Where the daemon's own listeners come from: the daemon before it, the service manager, or itself.

use std::net::SocketAddr;
use std::os::fd::{AsFd, OwnedFd};
use std::path::Path;
use std::time::Duration;

use listenfd::ListenFd;
use tokio::net::TcpListener;

use super::super::exit::{DAEMON, Failure};
use super::super::text::say;
use crate::server::takeover::{self, Asked, Door, Sockets};

/// By these names a daemon gives them to the next.
pub(super) const HTTP: &str = "http";
pub(super) const PEERS: &str = "peers";

/// What listeners are there already.
pub(super) struct Inherited {
    taken: Sockets,
    /// The first is for HTTP, the second for peers.
    passed: ListenFd,
}

impl Inherited {
    /// Takes over from the daemon that has the directory, if that is wanted, and what a service manager passes.
    pub(super) fn new(data: &Path, wanted: bool, grace: Duration) -> Result<Self, Failure> {
        let mut taken = Sockets::default();
        if wanted {
            let failed = |error| Failure::new(DAEMON, format!("cannot take over: {error}"));
            match takeover::take(data, grace).map_err(failed)? {
                Some(sockets) => taken = sockets,
                None => say!("there is no daemon to take over from: this one starts as usual"),
            }
        }
        Ok(Self {
            taken,
            passed: ListenFd::from_env(),
        })
    }

    /// The tasks' sockets.
    pub(super) fn take_kept(&mut self) -> Vec<crate::scheduler::Kept> {
        self.taken.take_kept()
    }

    /// A listener at an address, and a duplicate of it to give away later.
    pub(super) async fn listener(
        &mut self,
        name: &str,
        address: &str,
    ) -> Result<(TcpListener, SocketAddr, OwnedFd), Failure> {
        let failed = |error: std::io::Error| {
            Failure::new(DAEMON, format!("cannot listen on {address}: {error}"))
        };
        let place = usize::from(name == PEERS);
        let passed = self.passed.take_tcp_listener(place).unwrap_or_default();
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

/// Whether a listener is where it is wanted; a name may be any address.
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
pub(super) fn door(data: &Path) -> Option<Door> {
    Door::open(data)
        .inspect_err(|error| log::warn!("no other daemon can take over from this one: {error}"))
        .ok()
}

/// Completes when the next daemon wants to take over.
pub(super) async fn asked(door: Option<&Door>) -> Asked {
    if let Some(door) = door {
        match door.asked().await {
            Ok(asked) => return asked,
            Err(error) => log::warn!("no other daemon can take over from this one: {error}"),
        }
    }
    std::future::pending().await
}

/// Gives everything to the next daemon, which goes on when this process has ended.
pub(super) async fn give(asked: Asked, sockets: Sockets) -> Result<(), Failure> {
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
    // The system closes it when this process has ended, which is what the other one waits for.
    std::mem::forget(asked);
    Ok(())
}
