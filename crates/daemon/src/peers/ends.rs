//! The ends of connections of tasks that came here, until a link carries them.

use std::collections::HashMap;
use std::io;
use std::net::{Ipv4Addr, TcpListener, TcpStream};
use std::os::fd::OwnedFd;
use std::sync::Arc;
use std::time::Duration;

use parking_lot::{Mutex, MutexGuard};
use rustix::net::sockopt;

use crate::model::{Digest, MoveId};

/// The guest's end of a connection waits this long for the link that carries it; then it is reset.
const LINK_TIMEOUT: Duration = Duration::from_secs(60);

/// Guests' ends that wait for their links, by move and key.
#[derive(Default)]
pub(super) struct Ends(Mutex<HashMap<(MoveId, u64), (Digest, TcpStream)>>);

impl Ends {
    /// Makes a connection for each key, and returns the guest's ends. The other ends wait for their
    /// links.
    pub(super) fn make(
        self: &Arc<Self>,
        move_id: MoveId,
        peer: Digest,
        keys: &[u64],
    ) -> io::Result<Vec<(u64, Arc<OwnedFd>)>> {
        let mut guests = Vec::with_capacity(keys.len());
        for key in keys {
            let (guest, other) = pair()?;
            self.open().insert((move_id, *key), (peer, other));
            guests.push((*key, Arc::new(guest.into())));
        }
        let (ends, keys) = (self.clone(), keys.to_vec());
        tokio::spawn(async move {
            tokio::time::sleep(LINK_TIMEOUT).await;
            ends.drop_all(move_id, &keys);
        });
        Ok(guests)
    }

    /// Takes the end that a link is to carry.
    pub(super) fn take(&self, move_id: MoveId, peer: Digest, key: u64) -> Option<TcpStream> {
        let mut ends = self.open();
        match ends.get(&(move_id, key)) {
            Some((owner, _)) if *owner == peer => ends.remove(&(move_id, key)).map(|(_, end)| end),
            _ => None,
        }
    }

    fn drop_all(&self, move_id: MoveId, keys: &[u64]) {
        for key in keys {
            if let Some((_, end)) = self.open().remove(&(move_id, *key)) {
                reset(&end);
            }
        }
    }

    fn open(&self) -> MutexGuard<'_, HashMap<(MoveId, u64), (Digest, TcpStream)>> {
        self.0.lock()
    }
}

/// Both ends of a connection on loopback. No other process has connected in between.
fn pair() -> io::Result<(TcpStream, TcpStream)> {
    let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0))?;
    let left = TcpStream::connect(listener.local_addr()?)?;
    for _ in 0..16 {
        let (right, from) = listener.accept()?;
        if from == left.local_addr()? {
            for end in [&left, &right] {
                end.set_nonblocking(true)?;
                end.set_nodelay(true)?;
            }
            return Ok((left, right));
        }
    }
    Err(io::Error::other("others connected to it"))
}

/// Closes a connection so that its peer reads "connection reset", as after any failure.
pub(super) fn reset(end: &TcpStream) {
    // If this fails, the peer reads the end of the connection.
    let _ = sockopt::set_socket_linger(end, Some(Duration::ZERO));
}
