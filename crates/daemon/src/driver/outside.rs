//! What the driver has done for it, and does not wait for: guests run, and the store is read. The
//! answers come into its inbox.

use std::time::Duration;

use crate::workers::messages::WorkerJob;
use crate::workers::pool::Pool;

/// What runs guests, and what may wait for the store.
///
/// A daemon has [`Threads`]. The simulation does the same work at moments that a seed draws.
pub(crate) trait Outside: Send {
    /// Does work that may block.
    fn run(&self, work: Box<dyn FnOnce() + Send>);

    /// Queues a job for a guest.
    fn send(&self, job: WorkerJob);

    /// Whether another job would be begun soon.
    fn has_room(&self) -> bool;

    /// Looks after jobs that have waited for long; returns whether any job waits.
    fn relieve(&self) -> bool;

    /// Whether any guest runs.
    fn is_busy(&self) -> bool;

    /// Ends the turns that have lasted this long, so that the guests can be frozen. Returns when the
    /// next turn will have lasted this long.
    fn interrupt(&self, after: Duration) -> Option<Duration>;
}

/// Threads of the guests' own, and tokio's for what may block.
pub(crate) struct Threads(pub(crate) Pool);

impl Outside for Threads {
    fn run(&self, work: Box<dyn FnOnce() + Send>) {
        tokio::task::spawn_blocking(work);
    }

    fn send(&self, job: WorkerJob) {
        self.0.send(job);
    }

    fn has_room(&self) -> bool {
        self.0.has_room()
    }

    fn relieve(&self) -> bool {
        self.0.relieve()
    }

    fn is_busy(&self) -> bool {
        self.0.is_busy()
    }

    fn interrupt(&self, after: Duration) -> Option<Duration> {
        self.0.interrupt(after)
    }
}
