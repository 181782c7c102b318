//! How many connections a listener holds at once, and which one is closed when there are too many.
//!
//! A connection is unauthenticated until it has shown the token or a known certificate. There are
//! few slots for unauthenticated connections, and a new one takes the slot of the oldest, so that
//! they cannot keep out a client that shows the token at once. Authenticated connections have slots
//! of their own. Both numbers follow from how many descriptors the process may have open; most of
//! these are left to the tasks.

use std::collections::VecDeque;
use std::net::IpAddr;
use std::sync::{Arc, OnceLock};
use std::time::Duration;

use parking_lot::{Mutex, MutexGuard};
use rustix::process::{Resource, getrlimit};
use tokio::sync::{Notify, OwnedSemaphorePermit, Semaphore};

/// A connection that has not authenticated itself after this time is closed.
pub(crate) const AUTHENTICATION_TIMEOUT: Duration = Duration::from_secs(60);

/// The connection slots of one listener.
pub struct Admission {
    authenticated: Arc<Semaphore>,
    /// The most unauthenticated connections in each of the two queues.
    most: usize,
    /// Unauthenticated connections from other machines, and from this one. Neither can take the
    /// slots of the others.
    unauthenticated: [Mutex<VecDeque<Arc<Notify>>>; 2],
}

/// The slot of one connection, which is free again when this is dropped.
pub struct ConnectionSlot {
    admission: Arc<Admission>,
    queue: usize,
    evicted: Arc<Notify>,
    authenticated: OnceLock<OwnedSemaphorePermit>,
}

impl Admission {
    /// Slots for a listener of a process that may have this many descriptors open. At most a fifth
    /// of them is for the listener's connections, where they are not very few.
    pub fn new(descriptors: u64) -> Arc<Self> {
        let part = |of: u64, least: u64, most: u64| {
            usize::try_from((descriptors / of).clamp(least, most)).unwrap_or(usize::MAX)
        };
        Arc::new(Self {
            authenticated: Arc::new(Semaphore::new(part(8, 8, 4096))),
            most: part(32, 4, 128),
            unauthenticated: Default::default(),
        })
    }

    /// The same, for the process's limit of now.
    pub fn of_process() -> Arc<Self> {
        // Without a limit there are as many as the system has.
        Self::new(getrlimit(Resource::Nofile).current.unwrap_or(u64::MAX))
    }

    /// Takes a slot for a new, unauthenticated connection. If none is free, the oldest loses its
    /// slot.
    pub fn enter(self: &Arc<Self>, from: IpAddr) -> ConnectionSlot {
        let queue = usize::from(from.to_canonical().is_loopback());
        let evicted = Arc::new(Notify::new());
        let mut unauthenticated = self.queue(queue);
        if unauthenticated.len() >= self.most
            && let Some(oldest) = unauthenticated.pop_front()
        {
            oldest.notify_one();
        }
        unauthenticated.push_back(evicted.clone());
        drop(unauthenticated);
        ConnectionSlot {
            admission: self.clone(),
            queue,
            evicted,
            authenticated: OnceLock::new(),
        }
    }

    /// Closes the oldest unauthenticated connection: the process is out of descriptors.
    pub fn make_room(&self) {
        let oldest = (0..2).find_map(|queue| self.queue(queue).pop_front());
        if let Some(oldest) = oldest {
            oldest.notify_one();
        }
    }

    fn queue(&self, queue: usize) -> MutexGuard<'_, VecDeque<Arc<Notify>>> {
        self.unauthenticated[queue].lock()
    }
}

impl ConnectionSlot {
    /// The connection has shown the token. Returns false where there are too many such connections.
    pub fn admit(&self) -> bool {
        if self.authenticated.get().is_some() {
            return true;
        }
        match self.admission.authenticated.clone().try_acquire_owned() {
            Ok(permit) => {
                self.became_authenticated(permit);
                true
            }
            Err(_) => false,
        }
    }

    /// The same for a certificate; waits where there are too many.
    pub async fn admitted(&self) {
        // The semaphore is never closed.
        if let Ok(permit) = self.admission.authenticated.clone().acquire_owned().await {
            self.became_authenticated(permit);
        }
    }

    /// Completes when the connection is to be closed: it is unauthenticated, and has lost its slot
    /// or stays too long.
    pub async fn lost(&self) {
        tokio::select! {
            () = self.evicted.notified() => {}
            () = tokio::time::sleep(AUTHENTICATION_TIMEOUT) => {}
        }
        if self.authenticated.get().is_some() {
            std::future::pending::<()>().await;
        }
    }

    fn became_authenticated(&self, permit: OwnedSemaphorePermit) {
        // It may have authenticated itself before, and has its slot then.
        let _ = self.authenticated.set(permit);
        self.leave();
    }

    fn leave(&self) {
        let mut unauthenticated = self.admission.queue(self.queue);
        unauthenticated.retain(|other| !Arc::ptr_eq(other, &self.evicted));
    }
}

impl Drop for ConnectionSlot {
    fn drop(&mut self) {
        self.leave();
    }
}

#[cfg(test)]
mod tests {
    use std::net::Ipv4Addr;

    use super::*;

    const HERE: IpAddr = IpAddr::V4(Ipv4Addr::LOCALHOST);
    const THERE: IpAddr = IpAddr::V4(Ipv4Addr::new(10, 0, 0, 1));

    async fn is_lost(slot: &ConnectionSlot) -> bool {
        let lost = tokio::time::timeout(Duration::from_millis(1), slot.lost());
        lost.await.is_ok()
    }

    #[tokio::test]
    async fn the_oldest_unauthenticated_connection_loses_its_slot_and_no_other() {
        let admission = Admission::new(1024);
        let shown = admission.enter(THERE);
        assert!(shown.admit());
        let operator = admission.enter(HERE);
        let unauthenticated: Vec<ConnectionSlot> =
            (0..33).map(|_| admission.enter(THERE)).collect();
        assert!(is_lost(&unauthenticated[0]).await);
        for slot in [&shown, &operator, &unauthenticated[1], &unauthenticated[32]] {
            assert!(!is_lost(slot).await);
        }
    }

    #[tokio::test]
    async fn connections_with_the_token_are_counted_until_they_end() {
        let admission = Admission::new(0);
        let mut known: Vec<ConnectionSlot> = (0..8).map(|_| admission.enter(HERE)).collect();
        assert!(known.iter().all(ConnectionSlot::admit));
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
            let all = admission.authenticated.available_permits() + 2 * admission.most;
            assert!(2 * all as u64 <= descriptors / 2, "{descriptors}: {all}");
        }
    }
}
