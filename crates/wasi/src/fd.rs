//! The table of file descriptors.

use std::collections::BTreeMap;

use cap_std::fs::{Dir, File};

use super::abi::Result;
use super::errno::Errno;
use super::rights;
use super::sock::SocketFd;
use super::state::EntryV1;
use super::streams::Stream;
use super::tmpfs::MemoryFd;

/// No guest has a descriptor with such a number, whatever its limit.
pub(super) const MOST_OPEN: u64 = 1 << 16;

/// `fdflags` of the specification.
pub(super) const APPEND: u16 = 1 << 0;
pub(super) const DSYNC: u16 = 1 << 1;
pub(super) const NONBLOCK: u16 = 1 << 2;
pub(super) const RSYNC: u16 = 1 << 3;
pub(super) const SYNC: u16 = 1 << 4;
/// Those that are fixed when a file is opened.
pub(super) const FIXED: u16 = DSYNC | RSYNC | SYNC;
/// Every flag there is.
pub(super) const ALL_FLAGS: u16 = APPEND | NONBLOCK | FIXED;

/// An open file descriptor.
pub(super) struct Descriptor {
    pub(super) kind: Kind,
    pub(super) rights: u64,
    pub(super) inheriting: u64,
    /// Rights that the guest has given up, here or in what it opened this from.
    pub(super) given_up: u64,
    pub(super) flags: u16,
}

/// What a descriptor stands for.
pub(super) enum Kind {
    Stream(Stream),
    Dir(DirFd),
    File(FileFd),
    Socket(Box<SocketFd>),
    /// A file or a directory in memory.
    Memory(MemoryFd),
}

/// An open directory.
pub(super) struct DirFd {
    pub(super) dir: Dir,
    /// The directory given by the host in which it lies, by its guest name.
    pub(super) preopen: String,
    /// Its path in there.
    pub(super) path: String,
    /// It is that directory itself, and `fd_prestat_get` says so.
    pub(super) is_preopen: bool,
    /// Nothing in it may be written to.
    pub(super) read_only: bool,
    /// The listing that `fd_readdir` is in the middle of.
    pub(super) listing: Option<Vec<EntryV1>>,
}

/// An open file.
pub(super) struct FileFd {
    pub(super) file: File,
    pub(super) preopen: String,
    pub(super) path: String,
    /// It lies in a directory that may only be read.
    pub(super) read_only: bool,
    /// Reading may have to wait: it is a pipe or a device, opened by its name. Its host descriptor
    /// is non-blocking, so that only the guest waits.
    pub(super) waits: bool,
}

/// All open descriptors.
pub(super) struct Table {
    open: BTreeMap<u32, Descriptor>,
    /// How many there may be.
    most: u64,
}

impl Table {
    pub(super) fn new(most: u64) -> Self {
        Self {
            open: BTreeMap::new(),
            most: most.min(MOST_OPEN),
        }
    }

    pub(super) fn get(&self, fd: u32) -> Result<&Descriptor> {
        self.open.get(&fd).ok_or(Errno::Badf)
    }

    pub(super) fn get_mut(&mut self, fd: u32) -> Result<&mut Descriptor> {
        self.open.get_mut(&fd).ok_or(Errno::Badf)
    }

    /// The descriptor, if it has the right.
    pub(super) fn with(&self, fd: u32, right: u64) -> Result<&Descriptor> {
        self.get(fd).and_then(|descriptor| descriptor.need(right))
    }

    /// The directory behind a descriptor that has the right.
    pub(super) fn dir(&self, fd: u32, right: u64) -> Result<&DirFd> {
        let descriptor = self.get(fd)?;
        match &descriptor.kind {
            Kind::Dir(dir) => descriptor.need(right).map(|_| dir),
            _ => Err(Errno::Notdir),
        }
    }

    /// The file behind a descriptor that has the right.
    pub(super) fn file(&self, fd: u32, right: u64) -> Result<&FileFd> {
        let descriptor = self.get(fd)?;
        match &descriptor.kind {
            Kind::File(file) => descriptor.need(right).map(|_| file),
            _ => Err(Errno::Badf),
        }
    }

    /// The file behind a descriptor that has the right to read or write, at an offset of the guest's choice.
    pub(super) fn positioned(&self, fd: u32, right: u64) -> Result<&FileFd> {
        self.seekable(fd, right)?;
        self.seekable(fd, rights::FD_SEEK)
    }

    /// The right by which a descriptor may tell its offset: that to change it includes this one.
    pub(super) fn telling(&self, fd: u32) -> u64 {
        let seeks = |open: &Descriptor| open.rights & rights::FD_SEEK != 0;
        match self.get(fd).is_ok_and(seeks) {
            true => rights::FD_SEEK,
            false => rights::FD_TELL,
        }
    }

    /// The same for calls with an offset, which a stream has not.
    pub(super) fn seekable(&self, fd: u32, right: u64) -> Result<&FileFd> {
        match self.get(fd)?.kind {
            Kind::Stream(_) | Kind::Socket(_) => Err(Errno::Spipe),
            Kind::Dir(_) | Kind::File(_) | Kind::Memory(_) => self.file(fd, right),
        }
    }

    /// Fails where no further descriptor can be had.
    pub(super) fn check_room(&self) -> Result<()> {
        match (self.open.len() as u64) < self.most {
            true => Ok(()),
            false => Err(Errno::Mfile),
        }
    }

    /// Gives the lowest free number, as POSIX does.
    pub(super) fn insert(&mut self, descriptor: Descriptor) -> Result<u32> {
        self.check_room()?;
        let fd = (0..)
            .zip(self.open.keys())
            .find(|(free, used)| free != *used);
        let fd = fd.map_or(self.open.len() as u32, |(free, _)| free);
        self.open.insert(fd, descriptor);
        Ok(fd)
    }

    /// Puts a descriptor at a number that is free.
    pub(super) fn insert_at(&mut self, fd: u32, descriptor: Descriptor) -> Result<()> {
        self.check_room()?;
        if self.open.contains_key(&fd) {
            return Err(Errno::Exist);
        }
        self.open.insert(fd, descriptor);
        Ok(())
    }

    pub(super) fn close(&mut self, fd: u32) -> Result<()> {
        self.open.remove(&fd).map(drop).ok_or(Errno::Badf)
    }

    pub(super) fn renumber(&mut self, from: u32, to: u32) -> Result<()> {
        if !self.open.contains_key(&to) {
            return Err(Errno::Badf);
        }
        let moved = self.open.remove(&from).ok_or(Errno::Badf)?;
        self.open.insert(to, moved);
        Ok(())
    }

    pub(super) fn iter(&self) -> impl Iterator<Item = (u32, &Descriptor)> {
        self.open.iter().map(|(fd, descriptor)| (*fd, descriptor))
    }
}

impl Descriptor {
    pub(super) fn stream(stream: Stream) -> Self {
        Self {
            kind: Kind::Stream(stream),
            rights: match stream {
                Stream::Stdin => rights::STREAM & !rights::FD_WRITE,
                Stream::Stdout | Stream::Stderr => rights::STREAM & !rights::FD_READ,
            },
            inheriting: 0,
            given_up: 0,
            flags: match stream {
                Stream::Stdin => 0,
                Stream::Stdout | Stream::Stderr => APPEND,
            },
        }
    }

    /// A directory in memory, as a guest finds it.
    pub(super) fn memory(open: MemoryFd) -> Self {
        Self {
            kind: Kind::Memory(open),
            rights: rights::DIRECTORY,
            inheriting: rights::ALL,
            given_up: 0,
            flags: 0,
        }
    }

    /// What was opened from it: `rights` are those of its kind.
    pub(super) fn opened(&self, kind: Kind, rights: u64, flags: u16) -> Self {
        let is_dir = rights & rights::PATH_OPEN != 0;
        Self {
            kind,
            rights: rights & self.inheriting,
            inheriting: if is_dir { self.inheriting } else { 0 },
            given_up: rights::ALL & !self.inheriting,
            flags,
        }
    }

    /// Whether it is in a directory in memory.
    pub(super) fn is_memory(&self) -> bool {
        matches!(self.kind, Kind::Memory(_))
    }

    fn need(&self, right: u64) -> Result<&Self> {
        match self.rights & right == right {
            true => Ok(self),
            false if self.given_up & right != 0 => Err(Errno::Notcapable),
            false => Err(rights::missing(right)),
        }
    }
}
