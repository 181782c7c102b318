//! The lock on the data directory of a daemon whose tasks are in a database.

use std::fs::File;
use std::path::Path;
use std::time::{Duration, Instant};

use crate::cli::exit::{DAEMON, Failure, WRITE};

/// A process that has just ended may have the lock for so long, and so may one that hands over.
const LOCK_PATIENCE: Duration = Duration::from_secs(5);
const LOCK_PAUSE: Duration = Duration::from_millis(10);

/// Takes the lock on the data directory: only one process is the node of that directory.
pub(super) fn lock(data: &Path) -> Result<File, Failure> {
    let path = data.join("lock");
    let failed = |error: std::io::Error| {
        Failure::new(WRITE, format!("cannot lock {}: {error}", path.display()))
    };
    let file = File::options()
        .write(true)
        .create(true)
        .truncate(false)
        .open(&path)
        .map_err(failed)?;
    let began = Instant::now();
    loop {
        match file.try_lock() {
            Ok(()) => return Ok(file),
            Err(std::fs::TryLockError::Error(error)) => return Err(failed(error)),
            Err(std::fs::TryLockError::WouldBlock) if began.elapsed() < LOCK_PATIENCE => {
                std::thread::sleep(LOCK_PAUSE);
            }
            Err(std::fs::TryLockError::WouldBlock) => {
                let text = format!(
                    "the data directory {} is in use by another daemon; give this one another with --data",
                    data.display()
                );
                return Err(Failure::new(DAEMON, text));
            }
        }
    }
}
