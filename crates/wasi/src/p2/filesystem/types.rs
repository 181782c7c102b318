//! The types of `wasi:filesystem`.

use dormouse_model::Timestamp;

use crate::errno::Errno;
use crate::fs::{FileType, NewTime, NewTimes, Stat};
use crate::p2::abi::{enumeration, flags, record, variant};
use crate::p2::clocks::Datetime;

enumeration! {
    /// What a descriptor stands for.
    enum DescriptorType {
        Unknown,
        BlockDevice,
        CharacterDevice,
        Directory,
        Fifo,
        SymbolicLink,
        RegularFile,
        Socket,
    }
}

flags! {
    /// How something is open.
    struct DescriptorFlags {
        READ = 0,
        WRITE = 1,
        FILE_INTEGRITY_SYNC = 2,
        DATA_INTEGRITY_SYNC = 3,
        REQUESTED_WRITE_SYNC = 4,
        MUTATE_DIRECTORY = 5,
    }
}

flags! {
    /// How a path is followed.
    struct PathFlags {
        SYMLINK_FOLLOW = 0,
    }
}

flags! {
    /// What opening does with the file.
    struct OpenFlags {
        CREATE = 0,
        DIRECTORY = 1,
        EXCLUSIVE = 2,
        TRUNCATE = 3,
    }
}

record! { Lower:
    /// Metadata of a file or a directory.
    struct DescriptorStat {
        r#type: DescriptorType,
        link_count: u64,
        size: u64,
        data_access_timestamp: Option<Datetime>,
        data_modification_timestamp: Option<Datetime>,
        status_change_timestamp: Option<Datetime>,
    }
}

variant! { Lift:
    /// What a time of a file's becomes.
    enum NewTimestamp {
        NoChange(()) = 0,
        Now(()) = 1,
        Timestamp(Datetime) = 2,
    }
}

record! { Lower:
    /// An entry of a directory.
    struct DirectoryEntry {
        r#type: DescriptorType,
        name: String,
    }
}

enumeration! {
    /// Why a call has failed.
    enum ErrorCode {
        Access,
        WouldBlock,
        Already,
        BadDescriptor,
        Busy,
        Deadlock,
        Quota,
        Exist,
        FileTooLarge,
        IllegalByteSequence,
        InProgress,
        Interrupted,
        Invalid,
        Io,
        IsDirectory,
        Loop,
        TooManyLinks,
        MessageSize,
        NameTooLong,
        NoDevice,
        NoEntry,
        NoLock,
        InsufficientMemory,
        InsufficientSpace,
        NotDirectory,
        NotEmpty,
        NotRecoverable,
        Unsupported,
        NoTty,
        NoSuchDevice,
        Overflow,
        NotPermitted,
        Pipe,
        ReadOnly,
        InvalidSeek,
        TextFileBusy,
        CrossDevice,
    }
}

enumeration! {
    /// How a file is going to be read.
    enum Advice {
        Normal,
        Sequential,
        Random,
        WillNeed,
        DontNeed,
        NoReuse,
    }
}

record! { Lower:
    /// What tells one file from another.
    struct MetadataHashValue {
        lower: u64,
        upper: u64,
    }
}

impl From<Errno> for ErrorCode {
    fn from(errno: Errno) -> Self {
        match errno {
            Errno::ACCESS => Self::Access,
            Errno::AGAIN => Self::WouldBlock,
            Errno::ALREADY => Self::Already,
            Errno::BADF => Self::BadDescriptor,
            Errno::BUSY => Self::Busy,
            Errno::DEADLK => Self::Deadlock,
            Errno::DQUOT => Self::Quota,
            Errno::EXIST => Self::Exist,
            Errno::FBIG => Self::FileTooLarge,
            Errno::ILSEQ => Self::IllegalByteSequence,
            Errno::INPROGRESS => Self::InProgress,
            Errno::INTR => Self::Interrupted,
            Errno::INVAL => Self::Invalid,
            Errno::ISDIR => Self::IsDirectory,
            Errno::LOOP => Self::Loop,
            Errno::MLINK => Self::TooManyLinks,
            Errno::MSGSIZE => Self::MessageSize,
            Errno::NAMETOOLONG => Self::NameTooLong,
            Errno::NODEV => Self::NoDevice,
            Errno::NOENT => Self::NoEntry,
            Errno::NOLCK => Self::NoLock,
            Errno::NOMEM => Self::InsufficientMemory,
            Errno::NOSPC => Self::InsufficientSpace,
            Errno::NOTDIR => Self::NotDirectory,
            Errno::NOTEMPTY => Self::NotEmpty,
            Errno::NOTRECOVERABLE => Self::NotRecoverable,
            Errno::NOTSUP | Errno::NOSYS => Self::Unsupported,
            Errno::NOTTY => Self::NoTty,
            Errno::NXIO => Self::NoSuchDevice,
            Errno::OVERFLOW => Self::Overflow,
            Errno::PERM => Self::NotPermitted,
            Errno::PIPE => Self::Pipe,
            Errno::ROFS => Self::ReadOnly,
            Errno::SPIPE => Self::InvalidSeek,
            Errno::TXTBSY => Self::TextFileBusy,
            Errno::XDEV => Self::CrossDevice,
            _ => Self::Io,
        }
    }
}

impl From<FileType> for DescriptorType {
    fn from(filetype: FileType) -> Self {
        match filetype {
            FileType::BlockDevice => Self::BlockDevice,
            FileType::CharacterDevice => Self::CharacterDevice,
            FileType::Directory => Self::Directory,
            FileType::RegularFile => Self::RegularFile,
            FileType::SymbolicLink => Self::SymbolicLink,
            // As with Wasmtime, which does not tell pipes and sockets apart.
            FileType::Unknown | FileType::DatagramSocket | FileType::StreamSocket => Self::Unknown,
        }
    }
}

impl From<Timestamp> for Datetime {
    fn from(time: Timestamp) -> Self {
        Self {
            seconds: time.seconds(),
            nanoseconds: time.subsec_nanos(),
        }
    }
}

impl From<Stat> for DescriptorStat {
    fn from(stat: Stat) -> Self {
        Self {
            r#type: stat.filetype.into(),
            link_count: stat.links,
            size: stat.size,
            data_access_timestamp: Some(stat.accessed.into()),
            data_modification_timestamp: Some(stat.modified.into()),
            status_change_timestamp: Some(stat.changed.into()),
        }
    }
}

impl From<&Stat> for MetadataHashValue {
    /// It depends on device and inode alone, and is the same in every build and on every machine.
    fn from(stat: &Stat) -> Self {
        let mut hasher = blake3::Hasher::new();
        hasher.update(&stat.device.to_le_bytes());
        hasher.update(&stat.inode.to_le_bytes());
        let hash = u128::from_le_bytes(first(hasher.finalize().as_bytes()));
        Self {
            lower: hash as u64,
            upper: (hash >> 64) as u64,
        }
    }
}

/// The first bytes of a digest.
fn first(digest: &[u8; 32]) -> [u8; 16] {
    digest.first_chunk().copied().unwrap_or_default()
}

impl TryFrom<NewTimestamp> for NewTime {
    type Error = ErrorCode;

    fn try_from(time: NewTimestamp) -> Result<Self, ErrorCode> {
        let time = match time {
            NewTimestamp::NoChange(()) => return Ok(Self::Keep),
            NewTimestamp::Now(()) => return Ok(Self::Now),
            NewTimestamp::Timestamp(time) => time,
        };
        let nanoseconds = time.seconds.checked_mul(1_000_000_000);
        let nanoseconds = nanoseconds.and_then(|n| n.checked_add(time.nanoseconds.into()));
        let at = nanoseconds.ok_or(ErrorCode::Overflow)?;
        Ok(Self::At(Timestamp::from_nanos(at)))
    }
}

/// The times that a call sets.
pub(super) fn new_times(
    accessed: NewTimestamp,
    modified: NewTimestamp,
) -> Result<NewTimes, ErrorCode> {
    Ok(NewTimes {
        accessed: accessed.try_into()?,
        modified: modified.try_into()?,
    })
}
