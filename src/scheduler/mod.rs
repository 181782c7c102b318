//! Waiting: turns a task's [`Wait`](crate::model::Wait) into tokio futures, and drives one task
//! until it exits or should be suspended. With the feature `server`, also many tasks ([`Daemon`]).
//!
//! ```text
//!   step --> Exited
//!    ^  `--> Parked --policy--> Suspended (the caller freezes the task)
//!    |          |
//!    `- ready <-' reactor
//! ```

#[cfg(feature = "server")]
mod bases;
mod bounds;
#[cfg(feature = "server")]
mod budget;
#[cfg(feature = "server")]
mod calendar;
#[cfg(feature = "server")]
mod check;
#[cfg(feature = "server")]
mod commands;
#[cfg(feature = "server")]
mod complaints;
#[cfg(feature = "server")]
mod daemon;
#[cfg(feature = "server")]
mod damaged;
#[cfg(feature = "server")]
mod driver;
#[cfg(feature = "server")]
mod ending;
#[cfg(feature = "server")]
mod error;
#[cfg(all(test, feature = "server"))]
#[path = "tests/faults.rs"]
mod faults;
#[cfg(feature = "server")]
mod guest;
#[cfg(feature = "server")]
mod handover;
#[cfg(feature = "server")]
mod history;
#[cfg(feature = "server")]
mod info;
#[cfg(feature = "server")]
mod job;
#[cfg(feature = "server")]
mod journal;
#[cfg(feature = "server")]
mod marks;
#[cfg(feature = "server")]
mod metrics;
#[cfg(feature = "server")]
mod moving;
#[cfg(feature = "server")]
mod output;
mod policy;
#[cfg(feature = "server")]
mod programs;
#[cfg(feature = "server")]
mod queue;
mod reactor;
#[cfg(feature = "server")]
mod restart;
#[cfg(feature = "server")]
mod schedule;
#[cfg(feature = "server")]
mod shared;
#[cfg(feature = "server")]
mod sockets;
#[cfg(feature = "server")]
mod spec;
#[cfg(feature = "server")]
mod time;
#[cfg(feature = "server")]
mod trouble;
#[cfg(feature = "server")]
mod upkeep;
#[cfg(feature = "server")]
mod workers;

use crate::task::{Step, Task};

#[cfg(feature = "server")]
pub use self::{
    calendar::next_occurrence,
    check::check as check_store,
    daemon::{Daemon, Options, Submission},
    ending::NotStored,
    error::Error,
    history::{History, Run},
    info::{Outputs, Piece, TaskInfo},
    metrics::Metrics,
    moving::{Blob, Claim, Considered, Formats, Grants, Inquiry, MovedTo, Note, Offer, Standing},
    output::Fresh,
    restart::Restart,
    shared::Moved,
    spec::{More, Spec, Status, World},
    trouble::Trouble,
};
#[cfg(feature = "server")]
pub(crate) use crate::task::{HeldSocket, Role};
pub use policy::Policy;
#[cfg(any(feature = "cli", feature = "server"))]
pub(crate) use reactor::ready as wait;
#[cfg(feature = "server")]
pub(crate) use sockets::Kept;

/// How a run ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Ended {
    /// The guest ended with this exit code.
    Exited(u32),
    /// The guest is parked, and the policy or the task's handle wants it suspended. Calling
    /// [`run`] again goes on with the wait.
    Suspended,
}

/// Completes when the task's limit of time may be over; it is to be looked at then.
pub(crate) fn time_ends(task: &Task) -> impl Future<Output = ()> + Send + use<> {
    let left = task.time_left();
    async move {
        match left {
            // A clock may be set, so that a long time is looked at again.
            Some(left) => tokio::time::sleep(left.min(LOOK_AGAIN)).await,
            None => std::future::pending().await,
        }
    }
}

/// A limit of time is looked at so often at least.
const LOOK_AGAIN: std::time::Duration = std::time::Duration::from_secs(10);

/// Runs a task until it exits or should be suspended. While the guest waits, the thread is free.
///
/// # Errors
/// Where the guest traps, or a host function fails.
pub async fn run(task: &mut Task, policy: Policy) -> Result<Ended, crate::error::Error> {
    let handle = task.handle();
    loop {
        // A request made before the guest had anything to lose is answered at its first wait.
        let ready = task.wait().is_none() || task.is_ready();
        if ready && let Step::Exited(code) = task.step()? {
            return Ok(Ended::Exited(code));
        }
        if handle.is_asked() || policy.suspends_at_once(task) {
            return Ok(Ended::Suspended);
        }
        tokio::select! {
            biased;
            () = handle.asked() => return Ok(Ended::Suspended),
            () = policy.patience_ends(task.wait()) => return Ok(Ended::Suspended),
            () = time_ends(task) => task.check_time()?,
            ready = reactor::ready(task) => ready?,
        }
    }
}
