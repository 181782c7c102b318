//! An open file: reading, writing and its offset.

use std::io::IoSlice;
use std::num::NonZeroU64;
use std::os::fd::{AsFd, BorrowedFd};

use cap_std::fs::File;
use rustix::fs::{self as os, Advice, OFlags, SeekFrom};
use rustix::io::ReadWriteFlags;

use super::stat::{FileType, Stat};
use crate::errno::{Result, errno};
use crate::io::{available, retry, write_all};

/// An open file.
pub(crate) struct OpenFile {
    pub(crate) file: File,
    /// The directory given by the host in which it lies, by its guest name.
    pub(crate) preopen: String,
    /// Its path in there.
    pub(crate) path: String,
    /// It lies in a directory that the guest may only read.
    pub(crate) read_only: bool,
    /// Reading may have to wait: it is a pipe or a device, opened by its name. Its host descriptor
    /// is non-blocking, so that only the guest waits.
    pub(crate) waits: bool,
}

impl OpenFile {
    /// The host's descriptor.
    pub(crate) fn fd(&self) -> BorrowedFd<'_> {
        self.file.as_fd()
    }

    /// The host's descriptor that tells whether it can be read or written, where that may change.
    pub(crate) fn waitable(&self) -> Option<BorrowedFd<'_>> {
        self.waits.then(|| self.fd())
    }

    pub(crate) fn stat(&self) -> Result<Stat> {
        Ok(Stat::of(&self.file.metadata().map_err(errno)?))
    }

    pub(crate) fn filetype(&self) -> Result<FileType> {
        Ok(FileType::of_mode(os::fstat(&self.file)?.st_mode))
    }

    /// Reads at the file's offset.
    pub(crate) fn read(&self, buffer: &mut [u8]) -> Result<usize> {
        retry(|| rustix::io::read(&self.file, &mut *buffer))
    }

    /// Reads at this offset.
    pub(crate) fn read_at(&self, buffer: &mut [u8], offset: u64) -> Result<usize> {
        retry(|| rustix::io::pread(&self.file, &mut *buffer, offset))
    }

    /// Writes at the file's offset all that there is room for, and gives the number of bytes.
    pub(crate) fn write(&self, buffers: &mut [IoSlice<'_>]) -> Result<u32> {
        write_all(self.fd(), buffers, |rest, _| {
            rustix::io::writev(&self.file, rest)
        })
    }

    /// Writes at this offset all that there is room for, and gives the number of bytes.
    pub(crate) fn write_at(&self, buffers: &mut [IoSlice<'_>], offset: u64) -> Result<u32> {
        write_all(self.fd(), buffers, |rest, done| {
            rustix::io::pwritev(&self.file, rest, offset.saturating_add(done))
        })
    }

    /// Writes at the end all that there is room for, and gives the number of bytes.
    pub(crate) fn append(&self, buffers: &mut [IoSlice<'_>]) -> Result<u32> {
        write_all(self.fd(), buffers, |rest, _| {
            rustix::io::pwritev2(&self.file, rest, 0, ReadWriteFlags::APPEND)
        })
    }

    /// Where a write begins: at the end if it appends, else at `offset` or at the file's own.
    pub(crate) fn write_offset(&self, appends: bool, offset: Option<u64>) -> Result<u64> {
        match offset {
            _ if appends => self.size(),
            Some(offset) => Ok(offset),
            None => os::tell(&self.file),
        }
    }

    fn size(&self) -> Result<u64> {
        Ok(u64::try_from(os::fstat(&self.file)?.st_size).unwrap_or(0))
    }

    /// How many bytes can be read without waiting.
    pub(crate) fn available(&self) -> Result<u64> {
        match self.waitable() {
            Some(fd) => Ok(available(fd)),
            None => {
                let size = self.size()?;
                Ok(size.saturating_sub(os::tell(&self.file).unwrap_or(size)))
            }
        }
    }

    pub(crate) fn tell(&self) -> Result<u64> {
        os::tell(&self.file)
    }

    pub(crate) fn seek(&self, to: SeekFrom) -> Result<u64> {
        os::seek(&self.file, to)
    }

    pub(crate) fn set_size(&self, size: u64) -> Result<()> {
        os::ftruncate(&self.file, size)
    }

    pub(crate) fn advise(&self, offset: u64, length: u64, advice: Advice) -> Result<()> {
        os::fadvise(&self.file, offset, NonZeroU64::new(length), advice)
    }

    /// Whether writes go to the end, whatever the offset is.
    pub(crate) fn set_append(&self, appends: bool) -> Result<()> {
        let mut status = os::fcntl_getfl(&self.file)?;
        status.set(OFlags::APPEND, appends);
        os::fcntl_setfl(&self.file, status)
    }
}
