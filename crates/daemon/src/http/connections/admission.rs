//! How many connections a listener holds at once, and which one is closed when there are too many.
//!
//! A connection is a stranger until it has shown the token or a known certificate. There are few
//! places for strangers, and a new one takes the place of the oldest, so that strangers cannot keep
//! out a client that shows the token at once. Connections that are no strangers have places of
//! their own. Both numbers follow from how many descriptors the process may have open; most of
//! these are left to the tasks.

use std::collections::VecDeque;
use std::net::IpAddr;
use std::sync::{Arc, Mutex, MutexGuard, OnceLock, PoisonError};
use std::time::Duration;

use rustix::process::{Resource, getrlimit};
use tokio::net::TcpStream;
use tokio::sync::{Notify, OwnedSemaphorePermit, Semaphore};

/// A stranger's connection is closed after so long, whatever it does.
pub(crate) const STRANGER_TIMEOUT: Duration = Duration::from_secs(60);

/// The places of one listener.
pub struct Admission {
    known: Arc<Semaphore>,
    /// How many strangers there are at most, in each of the two queues.
    most: usize,
    /// Strangers from other machines, and from this one. Neither can take the places of the others.
    strangers: [Mutex<VecDeque<Arc<Notify>>>; 2],
}

/// The place of one connection, which is free again when this is dropped.
pub struct Place {
    admission: Arc<Admission>,
    queue: usize,
    evicted: Arc<Notify>,
    known: OnceLock<OwnedSemaphorePermit>,
}

impl Admission {
    /// Places for a listener of a process that may have so many descriptors open. At most a fifth
    /// of them is for the listener's connections, where they are not very few.
    pub fn new(descriptors: u64) -> Arc<Self> {
        let part = |of: u64, least: u64, most: u64| {
            usize::try_from((descriptors / of).clamp(least, most)).unwrap_or(usize::MAX)
        };
        Arc::new(Self {
            known: Arc::new(Semaphore::new(part(8, 8, 4096))),
            most: part(32, 4, 128),
            strangers: Default::default(),
        })
    }

    /// The same, for the process's limit of now.
    pub fn of_process() -> Arc<Self> {
        // Without a limit there are as many as the system has.
        Self::new(getrlimit(Resource::Nofile).current.unwrap_or(u64::MAX))
    }

    /// A place for a new connection, as a stranger. Where none is free, the oldest stranger loses
    /// its place.
    pub fn enter(self: &Arc<Self>, from: IpAddr) -> Place {
        let queue = usize::from(from.to_canonical().is_loopback());
        let evicted = Arc::new(Notify::new());
        let mut strangers = self.queue(queue);
        if strangers.len() >= self.most
            && let Some(oldest) = strangers.pop_front()
        {
            oldest.notify_one();
        }
        strangers.push_back(evicted.clone());
        drop(strangers);
        Place {
            admission: self.clone(),
            queue,
            evicted,
            known: OnceLock::new(),
        }
    }

    /// Takes the oldest stranger's place away: the process is out of descriptors.
    pub fn make_room(&self) {
        let oldest = (0..2).find_map(|queue| self.queue(queue).pop_front());
        if let Some(oldest) = oldest {
            oldest.notify_one();
        }
    }

    fn queue(&self, queue: usize) -> MutexGuard<'_, VecDeque<Arc<Notify>>> {
        self.strangers[queue]
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
    }
}

impl Place {
    /// The connection has shown the token. Returns false where there are too many such connections.
    pub fn admit(&self) -> bool {
        if self.known.get().is_some() {
            return true;
        }
        match self.admission.known.clone().try_acquire_owned() {
            Ok(permit) => {
                self.became_known(permit);
                true
            }
            Err(_) => false,
        }
    }

    /// The same for a certificate; waits where there are too many.
    pub async fn admitted(&self) {
        // The semaphore is never closed.
        if let Ok(permit) = self.admission.known.clone().acquire_owned().await {
            self.became_known(permit);
        }
    }

    /// Completes when the connection is to be closed: it is a stranger, and has lost its place or
    /// stays too long.
    pub async fn lost(&self) {
        tokio::select! {
            () = self.evicted.notified() => {}
            () = tokio::time::sleep(STRANGER_TIMEOUT) => {}
        }
        if self.known.get().is_some() {
            std::future::pending::<()>().await;
        }
    }

    fn became_known(&self, permit: OwnedSemaphorePermit) {
        // It may have been known before, and has its place then.
        let _ = self.known.set(permit);
        self.leave();
    }

    fn leave(&self) {
        let mut strangers = self.admission.queue(self.queue);
        strangers.retain(|other| !Arc::ptr_eq(other, &self.evicted));
    }
}

impl Drop for Place {
    fn drop(&mut self) {
        self.leave();
    }
}

/// Has small answers sent at once, and a client that vanished without closing noticed.
pub(crate) fn prepare(stream: &TcpStream, quiet: Duration) -> std::io::Result<()> {
    use rustix::net::sockopt;
    stream.set_nodelay(true)?;
    sockopt::set_socket_keepalive(stream, true)?;
    sockopt::set_tcp_keepidle(stream, quiet)?;
    sockopt::set_tcp_keepintvl(stream, Duration::from_secs(2))?;
    sockopt::set_tcp_keepcnt(stream, 3)?;
    Ok(())
}

#[cfg(test)]
mod tests {
    use std::net::Ipv4Addr;

    use super::*;

    const HERE: IpAddr = IpAddr::V4(Ipv4Addr::LOCALHOST);
    const THERE: IpAddr = IpAddr::V4(Ipv4Addr::new(10, 0, 0, 1));

    async fn is_lost(place: &Place) -> bool {
        let lost = tokio::time::timeout(Duration::from_millis(1), place.lost());
        lost.await.is_ok()
    }

    #[tokio::test]
    async fn the_oldest_stranger_loses_its_place_and_nobody_else() {
        let admission = Admission::new(1024);
        let shown = admission.enter(THERE);
        assert!(shown.admit());
        let operator = admission.enter(HERE);
        let strangers: Vec<Place> = (0..33).map(|_| admission.enter(THERE)).collect();
        assert!(is_lost(&strangers[0]).await);
        for place in [&shown, &operator, &strangers[1], &strangers[32]] {
            assert!(!is_lost(place).await);
        }
    }

    #[tokio::test]
    async fn connections_with_the_token_are_counted_until_they_end() {
        let admission = Admission::new(0);
        let mut known: Vec<Place> = (0..8).map(|_| admission.enter(HERE)).collect();
        assert!(known.iter().all(Place::admit));
        let late = admission.enter(HERE);
        assert!(!late.admit());
        known.pop();
        assert!(late.admit());
    }

    /// Two listeners leave the tasks more than half.
    #[test]
    fn most_descriptors_are_left_to_the_tasks() {
        for descriptors in [256, 1024, 4096, 1 << 20] {
            let admission = Admission::new(descriptors);
            let all = admission.known.available_permits() + 2 * admission.most;
            assert!(2 * all as u64 <= descriptors / 2, "{descriptors}: {all}");
        }
    }
}
