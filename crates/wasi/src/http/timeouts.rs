//! How long an exchange waits.

use std::time::Duration;

use dormouse_model::MonotonicTime;
use serde::{Deserialize, Serialize};

/// How long an exchange waits that does not say, as with Wasmtime.
const DEFAULT: Duration = Duration::from_secs(600);

/// How long a server waits for the head of a request that has begun, or of the first one.
pub(super) const HEAD: Duration = Duration::from_secs(60);

/// How long a server waits for the next request of a connection.
pub(super) const IDLE: Duration = Duration::from_secs(75);

/// How long a server waits for the next bytes of a body, or until its peer takes some.
pub(super) const TRANSFER: Duration = DEFAULT;

/// How long a server waits for its peer to read the last answer: a peer that still sends would lose
/// it if the connection was closed at once.
pub(super) const LINGER: Duration = Duration::from_secs(2);

/// How long an exchange waits for its peer, in nanoseconds each.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Timeouts {
    /// For the connection.
    pub(crate) connect: Option<u64>,
    /// For the head of the response.
    pub(crate) first_byte: Option<u64>,
    /// For the next bytes of its body.
    pub(crate) between_bytes: Option<u64>,
}

impl Timeouts {
    /// When the connection must have been made that is begun now.
    pub(super) fn connect(self, now: MonotonicTime) -> MonotonicTime {
        after(now, self.connect)
    }

    /// When the head must have come of a response to a request that is begun now.
    pub(super) fn first_byte(self, now: MonotonicTime) -> MonotonicTime {
        after(now, self.first_byte)
    }

    /// When the next bytes must have come behind those that came now.
    pub(super) fn between_bytes(self, now: MonotonicTime) -> MonotonicTime {
        after(now, self.between_bytes)
    }
}

fn after(now: MonotonicTime, nanoseconds: Option<u64>) -> MonotonicTime {
    now.saturating_add(nanoseconds.map_or(DEFAULT, Duration::from_nanos))
}
