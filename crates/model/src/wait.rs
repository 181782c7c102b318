//! What a parked task waits for, as data that can be serialized.

use std::time::Duration;

use serde::{Deserialize, Serialize};

use crate::{MonotonicTime, Timestamp};

/// The clock a deadline is measured on, as the guest sees it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub enum ClockId {
    /// The wall clock.
    Realtime,
    /// The guest's monotonic clock, which counts the time asleep and never goes back.
    Monotonic,
}

/// A moment of one of the guest's clocks. It is written as that clock, and the moment `at`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "clock", content = "at")]
pub enum Deadline {
    /// When the wall clock shows this.
    Realtime(Timestamp),
    /// When the guest's monotonic clock shows this.
    Monotonic(MonotonicTime),
}

/// When a wait ends by itself: at the first of the two.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Ends {
    /// After so much time, whatever becomes of the wall clock.
    pub after: Option<Duration>,
    /// When the wall clock shows this.
    pub at: Option<Timestamp>,
}

/// When a task is to go on: at the first of the two, or when something else happens.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct When {
    /// By the daemon's steady clock.
    pub steady: Option<MonotonicTime>,
    /// By the wall clock.
    pub wall: Option<Timestamp>,
}

impl When {
    /// At no time.
    pub const NEVER: Self = Self {
        steady: None,
        wall: None,
    };

    /// At a time of the steady clock.
    pub const fn steady(at: MonotonicTime) -> Self {
        Self {
            steady: Some(at),
            wall: None,
        }
    }

    /// At a time of the wall clock.
    pub const fn wall(at: Timestamp) -> Self {
        Self {
            steady: None,
            wall: Some(at),
        }
    }

    /// Whether no time is named.
    pub fn is_never(&self) -> bool {
        *self == Self::NEVER
    }

    /// When that is by the steady clock, where the wall clock is so many nanoseconds ahead of it.
    pub fn at(&self, ahead: i64) -> Option<MonotonicTime> {
        let steady = |at: Timestamp| {
            let at = at.as_nanos().saturating_add_signed(ahead.saturating_neg());
            MonotonicTime::from_nanos(at)
        };
        self.steady.into_iter().chain(self.wall.map(steady)).min()
    }
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
    /// and without file descriptors it is for somebody to read from a named pipe that the guest
    /// opens.
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
