//! Whether a file is still what it was at the suspend.

use std::fs::File;
use std::io::Read;
use std::os::fd::{AsRawFd, BorrowedFd};
use std::os::unix::fs::OpenOptionsExt;
use std::path::{Path, PathBuf};

use dormouse_model::{Digest, Timestamp};
use rustix::fs::{self as os, FileType, OFlags};
use serde::{Deserialize, Serialize};

use crate::errno::Result;

/// The largest file whose content is compared where its time differs, in bytes.
const MAX_DIGESTED_BYTES: u64 = 1 << 20;

/// What an open file was like at the suspend. For a pipe or a device all of it is zero.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct IdentityV1 {
    /// Size in bytes.
    pub size: u64,
    /// Time of the last change of the content.
    pub modified: Timestamp,
    /// Digest of the content, for a file of at most 1 MiB.
    pub digest: Option<Digest>,
}

impl IdentityV1 {
    /// What an open file is like now.
    pub(super) fn of(fd: BorrowedFd<'_>) -> Result<Self> {
        let stat = os::fstat(fd)?;
        if FileType::from_raw_mode(stat.st_mode) != FileType::RegularFile {
            return Ok(Self {
                size: 0,
                modified: Timestamp::EPOCH,
                digest: None,
            });
        }
        let size = u64::try_from(stat.st_size).unwrap_or(0);
        // A file that cannot be read is compared by size and time alone.
        let digest = (size <= MAX_DIGESTED_BYTES)
            .then(|| read_without_trace(&proc_path(fd)).ok())
            .flatten()
            .map(|content| Digest::of(&content));
        Ok(Self {
            size,
            // Nanoseconds are below 10⁹.
            modified: Timestamp::from_timespec(stat.st_mtime, stat.st_mtime_nsec as u32),
            digest,
        })
    }

    /// What has changed since the suspend, if anything has. A copy of the file counts as unchanged:
    /// it has another time but the same content.
    pub(super) fn change(&self, now: &Self) -> Option<String> {
        if self.size != now.size {
            return Some(format!("it had {} bytes and has {}", self.size, now.size));
        }
        let same_content = self.digest.is_some() && self.digest == now.digest;
        match self.modified == now.modified || same_content {
            true => None,
            false => Some("it has the same size, but was written to".into()),
        }
    }
}

/// Reads a file without changing the time of its last access, which the guest may look at.
fn read_without_trace(path: &Path) -> std::io::Result<Vec<u8>> {
    // Only its owner may open a file so.
    let file = File::options()
        .read(true)
        .custom_flags(OFlags::NOATIME.bits() as i32)
        .open(path)
        .or_else(|_| File::open(path))?;
    let mut content = Vec::new();
    // The file may be growing.
    file.take(MAX_DIGESTED_BYTES + 1)
        .read_to_end(&mut content)?;
    Ok(content)
}

/// A path by which an open file can be opened once more, whatever has become of its name.
pub(super) fn proc_path(fd: BorrowedFd<'_>) -> PathBuf {
    format!("/proc/self/fd/{}", fd.as_raw_fd()).into()
}
