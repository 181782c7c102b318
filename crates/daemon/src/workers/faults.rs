//! Faults of the host that tests put in the way of tasks. `workers/tests.rs` says what must become
//! of them.

use std::collections::HashMap;

use parking_lot::Mutex;
use rustix::io::Errno;

use crate::model::error::{Error, ErrorKind};

/// Where a fault occurs.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(crate) enum Stage {
    /// A task is started.
    Start,
    /// A task is woken.
    Wake,
    /// A task is frozen.
    Suspend,
}

impl From<bool> for Stage {
    /// A task that comes into memory, and is new or not.
    fn from(new: bool) -> Self {
        match new {
            true => Self::Start,
            false => Self::Wake,
        }
    }
}

/// By the daemon's identity and the place: the system's answer, and how often it was given.
type Faults = HashMap<(String, Stage), (Errno, u64)>;

static FAULTS: Mutex<Option<Faults>> = Mutex::new(None);

/// Fails where a test wants that.
pub(crate) fn hit(identity: &str, stage: Stage) -> Result<(), Error> {
    let mut faults = FAULTS.lock();
    let fault = faults
        .get_or_insert_default()
        .get_mut(&(identity.into(), stage));
    match fault {
        None => Ok(()),
        Some((errno, met)) => {
            *met += 1;
            let source = std::io::Error::from(*errno);
            Err(Error::new(
                ErrorKind::Internal,
                std::io::Error::other(source),
            ))
        }
    }
}

pub(super) fn put(identity: &str, stage: Stage, errno: Errno) {
    let mut faults = FAULTS.lock();
    faults
        .get_or_insert_default()
        .insert((identity.into(), stage), (errno, 0));
}

/// Removes the fault; returns how often it occurred.
pub(super) fn mend(identity: &str, stage: Stage) -> u64 {
    let mut faults = FAULTS.lock();
    let fault = faults
        .get_or_insert_default()
        .remove(&(identity.into(), stage));
    fault.map_or(0, |(_, met)| met)
}
