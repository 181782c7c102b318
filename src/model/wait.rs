//! What a parked task waits for, as data that can be written down.

use serde::{Deserialize, Serialize};

/// The clock a deadline is measured on, as the guest sees it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub enum ClockId {
    /// Wall-clock time: nanoseconds since the Unix epoch.
    Realtime,
    /// The guest's monotonic clock, which counts the time asleep and never goes back.
    Monotonic,
}

/// A point in time on one of the guest's clocks.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Deadline {
    /// The clock `at` is measured on.
    pub clock: ClockId,
    /// Nanoseconds on that clock.
    pub at: u64,
}

/// The direction in which a file descriptor should become ready.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub enum Interest {
    /// There is something to read, or the end was reached.
    Read,
    /// There is room to write.
    Write,
}

/// One of the guest's file descriptors and what it should become ready for.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub struct FdInterest {
    /// The guest's file descriptor.
    pub fd: u32,
    /// What it is waited on for.
    pub interest: Interest,
}

/// What a parked task waits for.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum Wait {
    /// Nothing: the guest gave up its turn (`sched_yield`), or was asked to suspend at a call that
    /// would not have blocked.
    Yield,
    /// The deadline or the first of the file descriptors, whichever comes first. Without a deadline
    /// and without file descriptors it never ends.
    Poll {
        /// The earliest deadline, if there is one.
        deadline: Option<Deadline>,
        /// File descriptors, any of which ends the wait.
        fds: Vec<FdInterest>,
    },
    /// An asynchronous host function of the embedding program, by its import name.
    Host {
        /// The import as `module.name`.
        function: String,
    },
}
