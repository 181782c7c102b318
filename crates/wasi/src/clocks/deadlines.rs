//! The deadlines of a wait, and when it ends by them.

use dormouse_model::{Deadline, Ends, Wait};

use super::guest_clock::GuestClock;

/// All deadlines of a wait. Which of them comes first may change when the wall clock is set, so
/// that the one in the wait is not enough. `kept` are the deadlines of the poll that has blocked,
/// one for each subscription.
pub(crate) fn deadlines<'a>(
    wait: &Wait,
    kept: Option<&'a [Option<Deadline>]>,
) -> impl Iterator<Item = Deadline> + Clone + use<'a> {
    let first = match wait {
        Wait::Poll { deadline, .. } => *deadline,
        Wait::Yield | Wait::Host { .. } => None,
    };
    // The kept deadlines are those of this wait only if the wait has a deadline at all.
    let kept = kept.filter(|_| first.is_some()).into_iter().flatten();
    kept.flatten().copied().chain(first)
}

/// When a wait with these deadlines ends, by each of the two clocks.
pub(crate) fn ends(clock: &GuestClock, deadlines: impl Iterator<Item = Deadline> + Clone) -> Ends {
    let monotonic = deadlines.clone().filter_map(|deadline| match deadline {
        Deadline::Monotonic(_) => Some(clock.until(deadline)),
        Deadline::Realtime(_) => None,
    });
    let wall = deadlines.filter_map(|deadline| match deadline {
        Deadline::Realtime(at) => Some(at),
        Deadline::Monotonic(_) => None,
    });
    Ends {
        after: monotonic.min(),
        at: wall.min(),
    }
}
