//! What the daemon asks of a store, in small.

use std::error::Error;
use std::path::Path;

pub type Result<T> = std::result::Result<T, Box<dyn Error>>;

/// A change of one task.
pub struct Change {
    pub id: u64,
    /// The version that it must have; 0 is a new task.
    pub expected: u64,
    pub due: u64,
    pub spec: Option<Vec<u8>>,
    pub snapshot: Option<Vec<u8>>,
    pub line: Option<Vec<u8>>,
}

/// A store.
pub trait Candidate: Send {
    fn open(folder: &Path) -> Result<Self>
    where
        Self: Sized;
    /// One durable transaction. Fails where a version is not as expected.
    fn commit(&mut self, changes: &[Change]) -> Result<()>;
    /// The first tasks that are due at `until`: when, and which, with their versions.
    fn due(&mut self, until: u64, limit: usize) -> Result<Vec<(u64, u64, u64)>>;
    /// A task's snapshot.
    fn snapshot(&mut self, id: u64) -> Result<Vec<u8>>;
    /// How many tasks there are.
    fn count(&mut self) -> Result<u64>;
}
