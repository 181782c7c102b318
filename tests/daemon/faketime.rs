//! A wall clock for daemons that can be set, by libfaketime. The monotonic clocks stay as they are, as those of a
//! machine do whose clock is set.

use std::path::{Path, PathBuf};
use std::sync::{PoisonError, RwLock};

/// The wall clock of daemons.
pub struct Clock {
    library: Option<PathBuf>,
    file: PathBuf,
    offset: RwLock<i64>,
}

impl Clock {
    /// A clock in a folder of its own; where there is no libfaketime it stays as it is.
    pub fn new(folder: &Path) -> Self {
        let clock = Self {
            library: ["x86_64", "aarch64"]
                .map(|arch| format!("/usr/lib/{arch}-linux-gnu/faketime/libfaketimeMT.so.1").into())
                .into_iter()
                .find(|path: &PathBuf| path.exists()),
            file: folder.join("clock"),
            offset: RwLock::new(0),
        };
        clock.jump(0);
        clock
    }

    /// Whether it can be set.
    pub fn is_there(&self) -> bool {
        self.library.is_some()
    }

    /// Sets it, by so many seconds.
    pub fn jump(&self, seconds: i64) {
        let mut offset = self.offset.write().unwrap_or_else(PoisonError::into_inner);
        *offset += seconds;
        // Renamed, so that it is never read half.
        let next = self.file.with_extension("next");
        std::fs::write(&next, format!("{:+}\n", *offset)).expect("it can be written");
        std::fs::rename(next, &self.file).expect("it can be renamed");
    }

    /// What gives the clock to a process.
    pub fn environment(&self) -> Vec<(&'static str, String)> {
        let Some(library) = &self.library else {
            return Vec::new();
        };
        let on = || "1".to_string();
        vec![
            ("LD_PRELOAD", library.display().to_string()),
            ("FAKETIME_TIMESTAMP_FILE", self.file.display().to_string()),
            ("FAKETIME_NO_CACHE", on()),
            ("FAKETIME_DONT_FAKE_MONOTONIC", on()),
            ("DONT_FAKE_MONOTONIC", on()),
            // It guards these by a lock in shared memory, which stays locked when its holder is killed.
            ("NO_FAKE_STAT", on()),
        ]
    }
}
