//! The loop that drives one task until it exits or should be suspended.
//!
//! ```text
//!   step --> Exited
//!    ^  `--> Parked --policy--> Suspended (the caller freezes the task)
//!    |          |
//!    `- ready <-' reactor
//! ```

use super::policy::{patience_ends, suspends_at_once};
use super::reactor;
use super::task::{Parked, Step, Task};
use crate::model::error::Error;
use crate::model::spec::Policy;

/// How a run ended.
#[derive(Debug)]
pub enum Ended<'a> {
    /// The guest ended with this exit code.
    Exited(u32),
    /// The guest waits, and the policy or the task's handle wants it suspended. Where it is not
    /// frozen, or not only frozen, [`Task::run`] continues with the wait.
    Suspended(Parked<'a>),
}

impl Ended<'_> {
    /// The exit code of a guest that has ended.
    pub fn exit_code(&self) -> Option<u32> {
        match self {
            Self::Exited(code) => Some(*code),
            Self::Suspended(_) => None,
        }
    }
}

/// A limit of time is looked at at least this often, because a clock may be set.
const LIMIT_CHECK_PERIOD: std::time::Duration = std::time::Duration::from_secs(10);

/// Completes when the task's limit of time may have been reached; it is to be looked at then.
pub fn time_ends(task: &Task) -> impl Future<Output = ()> + Send + use<> {
    let left = task.time_left();
    async move {
        match left {
            Some(left) => tokio::time::sleep(left.min(LIMIT_CHECK_PERIOD)).await,
            None => std::future::pending().await,
        }
    }
}

impl Task {
    /// Runs the task until it exits or should be suspended. While the guest waits, the thread is
    /// free. Runs within a tokio runtime.
    ///
    /// # Errors
    /// If the guest traps, or a host function fails.
    pub async fn run(&mut self, policy: Policy) -> Result<Ended<'_>, Error> {
        match self.run_to_end(policy).await? {
            Some(code) => Ok(Ended::Exited(code)),
            None => Ok(Ended::Suspended(self.parked()?)),
        }
    }

    /// The exit code, or nothing where the task should be suspended.
    async fn run_to_end(&mut self, policy: Policy) -> Result<Option<u32>, Error> {
        let handle = self.handle();
        loop {
            // A request made before the guest had anything to lose is answered at its first wait.
            let ready = self.wait().is_none() || self.is_ready();
            if ready && let Step::Exited(code) = self.step()? {
                return Ok(Some(code));
            }
            if handle.is_asked() || suspends_at_once(policy, self) {
                return Ok(None);
            }
            tokio::select! {
                biased;
                () = handle.asked() => return Ok(None),
                () = patience_ends(policy, self.wait()) => return Ok(None),
                () = time_ends(self) => self.check_time()?,
                ready = reactor::ready(self) => ready?,
            }
        }
    }
}
