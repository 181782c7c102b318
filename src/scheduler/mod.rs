//! Waiting: turns a task's [`Wait`](crate::model::Wait) into tokio futures, and drives one task
//! until it exits or should be suspended.
//!
//! ```text
//!   step --> Exited
//!    ^  `--> Parked --policy--> Suspended (the caller freezes the task)
//!    |          |
//!    `- ready <-' reactor
//! ```

mod policy;
mod reactor;

use crate::error::Error;
use crate::task::{Step, Task};

pub use policy::Policy;
pub(crate) use reactor::ready as wait;

/// How a run ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Ended {
    /// The guest ended with this exit code.
    Exited(u32),
    /// The guest is parked, and the policy or the task's handle wants it suspended. Calling
    /// [`run`] again goes on with the wait.
    Suspended,
}

/// Runs a task until it exits or should be suspended. While the guest waits, the thread is free.
///
/// # Errors
/// Where the guest traps, or a host function fails.
pub async fn run(task: &mut Task, policy: Policy) -> Result<Ended, Error> {
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
            ready = reactor::ready(task) => ready?,
        }
    }
}
