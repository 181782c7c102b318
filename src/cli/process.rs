//! What this process has of the system: descriptors, and a tokio runtime.

use rustix::process::{Resource, Rlimit, getrlimit, setrlimit};
use tokio::runtime::{Builder, Runtime};

use super::exit::{Failure, INTERNAL};

/// How many descriptors the process may have open: as many as a guest, and some of our own. A guest
/// that had taken all could not be suspended.
const MAX_DESCRIPTORS: u64 = 4096;

/// This many free descriptors are enough for tokio and its signals.
const SPARE_DESCRIPTORS: usize = 16;

/// Raises the limit of open descriptors to [`MAX_DESCRIPTORS`]. A daemon raises it further by
/// itself.
pub(crate) fn raise_descriptors() {
    let limit = getrlimit(Resource::Nofile);
    let wanted = limit
        .maximum
        .map_or(MAX_DESCRIPTORS, |hard| hard.min(MAX_DESCRIPTORS));
    if limit.current.is_some_and(|now| now < wanted) {
        let limit = Rlimit {
            current: Some(wanted),
            maximum: limit.maximum,
        };
        // Where it cannot be raised, it stays as it is.
        let _ = setrlimit(Resource::Nofile, limit);
    }
}

/// tokio panics where it cannot have the descriptors that signals need.
fn check_descriptors() -> Result<(), Failure> {
    let spare: std::io::Result<Vec<_>> = (0..SPARE_DESCRIPTORS)
        .map(|_| rustix::stdio::stdin().try_clone_to_owned())
        .collect();
    spare
        .map(drop)
        .map_err(|error| Failure::new(INTERNAL, format!("cannot open what is needed: {error}")))
}

/// A tokio runtime on the thread that asks for it.
pub(crate) fn runtime() -> Result<Runtime, Failure> {
    check_descriptors()?;
    Builder::new_current_thread()
        .enable_all()
        .build()
        .map_err(|error| Failure::new(INTERNAL, format!("cannot start tokio: {error}")))
}
