//! The loop that drives one task until it exits or should be suspended.
//!
//! ```text
//!   step --> Exited
//!    ^  `--> Parked --policy--> Suspended (the caller freezes the task)
//!    |          |
//!    `- ready <-' reactor
//! ```

use super::{Policy, Step, Task, reactor};

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
pub fn time_ends(task: &Task) -> impl Future<Output = ()> + Send + use<> {
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
pub async fn run(task: &mut Task, policy: Policy) -> Result<Ended, crate::model::error::Error> {
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
