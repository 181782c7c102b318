//! When a wait becomes a suspend: what a policy says of a task.

use super::task::Task;
use crate::model::Wait;
use crate::model::spec::Policy;

/// Whether the wait that begins now should not even begin.
pub(super) fn suspends_at_once(policy: Policy, task: &Task) -> bool {
    // An asynchronous host function and a turn given up are no waits of the guest's.
    if matches!(task.wait(), None | Some(Wait::Host { .. } | Wait::Yield)) {
        return false;
    }
    match policy {
        Policy::Never => false,
        Policy::Always => true,
        Policy::After(limit) => task.known_length().is_some_and(|left| left > limit),
    }
}

/// Completes when a wait of unknown length has lasted too long.
pub(super) async fn patience_ends(policy: Policy, wait: Option<Wait>) {
    match (policy, wait) {
        (Policy::After(limit), Some(Wait::Poll { .. })) => tokio::time::sleep(limit).await,
        _ => std::future::pending().await,
    }
}
