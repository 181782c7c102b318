//! Metadata of files and directories, and the times that can be set.

use cap_std::fs::MetadataExt;
use dormouse_model::Timestamp;
use rustix::fs::{self as os, Timespec, Timestamps, UTIME_NOW, UTIME_OMIT};
use serde::{Deserialize, Serialize};

/// The type of a file. A snapshot keeps it as preview1's number of it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(from = "u8", into = "u8")]
#[repr(u8)]
pub enum FileType {
    /// None of those below, such as a named pipe.
    Unknown = 0,
    /// A block device.
    BlockDevice = 1,
    /// A character device, such as a terminal.
    CharacterDevice = 2,
    /// A directory.
    Directory = 3,
    /// A regular file.
    RegularFile = 4,
    /// A datagram socket.
    DatagramSocket = 5,
    /// A stream socket.
    StreamSocket = 6,
    /// A symbolic link.
    SymbolicLink = 7,
}

impl From<FileType> for u8 {
    fn from(filetype: FileType) -> Self {
        filetype as u8
    }
}

impl From<u8> for FileType {
    fn from(number: u8) -> Self {
        match number {
            1 => Self::BlockDevice,
            2 => Self::CharacterDevice,
            3 => Self::Directory,
            4 => Self::RegularFile,
            5 => Self::DatagramSocket,
            6 => Self::StreamSocket,
            7 => Self::SymbolicLink,
            _ => Self::Unknown,
        }
    }
}

impl From<os::FileType> for FileType {
    fn from(filetype: os::FileType) -> Self {
        match filetype {
            os::FileType::BlockDevice => Self::BlockDevice,
            os::FileType::CharacterDevice => Self::CharacterDevice,
            os::FileType::Directory => Self::Directory,
            os::FileType::RegularFile => Self::RegularFile,
            // Which of the two a socket in the file system is, its entry does not tell.
            os::FileType::Socket => Self::StreamSocket,
            os::FileType::Symlink => Self::SymbolicLink,
            _ => Self::Unknown,
        }
    }
}

impl FileType {
    /// The type that stands in a file's mode.
    pub(crate) fn of_mode(mode: u32) -> Self {
        os::FileType::from_raw_mode(mode).into()
    }
}

/// Metadata of a file or a directory.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Stat {
    pub(crate) device: u64,
    pub(crate) inode: u64,
    pub(crate) filetype: FileType,
    /// How many names it has.
    pub(crate) links: u64,
    /// In bytes.
    pub(crate) size: u64,
    /// The last access.
    pub(crate) accessed: Timestamp,
    /// The last change of the content.
    pub(crate) modified: Timestamp,
    /// The last change of the content or of the metadata.
    pub(crate) changed: Timestamp,
}

impl Stat {
    /// The metadata that the host gives.
    pub(crate) fn of(metadata: &impl MetadataExt) -> Self {
        // Nanoseconds are below 10⁹.
        let time = |seconds, nanos: i64| Timestamp::from_timespec(seconds, nanos as u32);
        Self {
            device: metadata.dev(),
            inode: metadata.ino(),
            filetype: FileType::of_mode(metadata.mode()),
            links: metadata.nlink(),
            size: metadata.size(),
            accessed: time(metadata.atime(), metadata.atime_nsec()),
            modified: time(metadata.mtime(), metadata.mtime_nsec()),
            changed: time(metadata.ctime(), metadata.ctime_nsec()),
        }
    }

    /// Metadata of a stream or a socket: nothing but its type.
    pub(crate) fn without_file(filetype: FileType) -> Self {
        Self {
            device: 0,
            inode: 0,
            filetype,
            links: 0,
            size: 0,
            accessed: Timestamp::EPOCH,
            modified: Timestamp::EPOCH,
            changed: Timestamp::EPOCH,
        }
    }
}

/// What one of a file's times becomes.
#[derive(Clone, Copy, Debug)]
pub(crate) enum NewTime {
    /// It stays.
    Keep,
    /// The time now.
    Now,
    /// This time.
    At(Timestamp),
}

impl NewTime {
    /// The time to set at `now`, if one is to be set.
    pub(crate) fn resolve(self, now: Timestamp) -> Option<Timestamp> {
        match self {
            Self::Keep => None,
            Self::Now => Some(now),
            Self::At(time) => Some(time),
        }
    }

    fn timespec(self) -> Timespec {
        match self {
            Self::Keep => Timespec {
                tv_sec: 0,
                tv_nsec: UTIME_OMIT,
            },
            Self::Now => Timespec {
                tv_sec: 0,
                tv_nsec: UTIME_NOW,
            },
            Self::At(time) => Timespec {
                // At most 585 years.
                tv_sec: time.seconds() as i64,
                tv_nsec: time.subsec_nanos() as _,
            },
        }
    }
}

/// What a file's times become.
#[derive(Clone, Copy, Debug)]
pub(crate) struct NewTimes {
    /// The time of the last access.
    pub(crate) accessed: NewTime,
    /// The time of the last change of the content.
    pub(crate) modified: NewTime,
}

impl NewTimes {
    /// As the system calls take them.
    pub(crate) fn timestamps(self) -> Timestamps {
        Timestamps {
            last_access: self.accessed.timespec(),
            last_modification: self.modified.timespec(),
        }
    }
}
