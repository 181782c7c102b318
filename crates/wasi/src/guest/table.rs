//! The table of file descriptors.

use std::collections::BTreeMap;
use std::os::fd::BorrowedFd;

use super::{fdflags, rights};
use crate::fs::{Node, OpenDir, OpenFile};
use crate::guest::errno::Errno;
use crate::sock::Socket;
use crate::stdio::Stream;
use crate::tmpfs::OpenNode;

/// A value, or an error number of preview1.
type Result<T> = std::result::Result<T, Errno>;

/// No guest has more descriptors than this, nor a descriptor with this number or a higher one,
/// whatever its limit is.
pub(crate) const MAX_DESCRIPTORS: u64 = 1 << 16;

/// An open file descriptor.
pub(crate) struct Descriptor {
    pub(crate) kind: Kind,
    pub(crate) rights: u64,
    /// The rights that descriptors opened from it can have.
    pub(crate) inheriting: u64,
    /// The rights that the guest has given up, here or in the directory from which it opened this.
    pub(crate) given_up: u64,
    /// `fdflags` of the specification.
    pub(crate) flags: u16,
}

/// What a descriptor stands for.
pub(crate) enum Kind {
    Stream(Stream),
    Dir(OpenDir),
    File(OpenFile),
    Socket(Box<Socket>),
    /// A file or a directory in memory.
    Memory(OpenNode),
}

/// All open descriptors, by their numbers.
pub(crate) struct Table {
    open: BTreeMap<u32, Descriptor>,
    /// How many there may be.
    max: u64,
}

impl Table {
    pub(crate) fn new(max: u64) -> Self {
        Self {
            open: BTreeMap::new(),
            max: max.min(MAX_DESCRIPTORS),
        }
    }

    pub(crate) fn get(&self, fd: u32) -> Result<&Descriptor> {
        self.open.get(&fd).ok_or(Errno::Badf)
    }

    pub(crate) fn get_mut(&mut self, fd: u32) -> Result<&mut Descriptor> {
        self.open.get_mut(&fd).ok_or(Errno::Badf)
    }

    /// A descriptor that has the right.
    pub(crate) fn with(&self, fd: u32, right: u64) -> Result<&Descriptor> {
        self.get(fd).and_then(|descriptor| descriptor.need(right))
    }

    /// The directory behind a descriptor that has the right.
    pub(crate) fn dir(&self, fd: u32, right: u64) -> Result<&OpenDir> {
        let descriptor = self.get(fd)?;
        match &descriptor.kind {
            Kind::Dir(dir) => descriptor.need(right).map(|_| dir),
            _ => Err(Errno::Notdir),
        }
    }

    /// The file behind a descriptor that has the right.
    pub(crate) fn file(&self, fd: u32, right: u64) -> Result<&OpenFile> {
        let descriptor = self.get(fd)?;
        match &descriptor.kind {
            Kind::File(file) => descriptor.need(right).map(|_| file),
            _ => Err(Errno::Badf),
        }
    }

    /// The file behind a descriptor that has the right, and the one to choose an offset.
    pub(crate) fn positioned(&self, fd: u32, right: u64) -> Result<&OpenFile> {
        self.seekable(fd, right)?;
        self.seekable(fd, rights::FD_SEEK)
    }

    /// The right by which a descriptor may tell its offset. The right to change the offset includes
    /// it.
    pub(crate) fn tell_right(&self, fd: u32) -> u64 {
        let seeks = |open: &Descriptor| open.rights & rights::FD_SEEK != 0;
        match self.get(fd).is_ok_and(seeks) {
            true => rights::FD_SEEK,
            false => rights::FD_TELL,
        }
    }

    /// The file behind a descriptor that has the right, for a call with an offset: `ESPIPE` for a
    /// stream or a socket, which have none.
    pub(crate) fn seekable(&self, fd: u32, right: u64) -> Result<&OpenFile> {
        match self.get(fd)?.kind {
            Kind::Stream(_) | Kind::Socket(_) => Err(Errno::Spipe),
            Kind::Dir(_) | Kind::File(_) | Kind::Memory(_) => self.file(fd, right),
        }
    }

    /// Fails if there is no room for another descriptor.
    pub(crate) fn check_room(&self) -> Result<()> {
        match (self.open.len() as u64) < self.max {
            true => Ok(()),
            false => Err(Errno::Mfile),
        }
    }

    /// Adds a descriptor under the lowest free number, as POSIX wants it.
    pub(crate) fn insert(&mut self, descriptor: Descriptor) -> Result<u32> {
        self.check_room()?;
        let fd = (0..)
            .zip(self.open.keys())
            .find(|(free, used)| free != *used);
        let fd = fd.map_or(self.open.len() as u32, |(free, _)| free);
        self.open.insert(fd, descriptor);
        Ok(fd)
    }

    /// Adds a descriptor under a number, which must be free.
    pub(crate) fn insert_at(&mut self, fd: u32, descriptor: Descriptor) -> Result<()> {
        self.check_room()?;
        if self.open.contains_key(&fd) {
            return Err(Errno::Exist);
        }
        self.open.insert(fd, descriptor);
        Ok(())
    }

    pub(crate) fn close(&mut self, fd: u32) -> Result<()> {
        self.open.remove(&fd).map(drop).ok_or(Errno::Badf)
    }

    pub(crate) fn renumber(&mut self, from: u32, to: u32) -> Result<()> {
        if !self.open.contains_key(&to) {
            return Err(Errno::Badf);
        }
        let moved = self.open.remove(&from).ok_or(Errno::Badf)?;
        self.open.insert(to, moved);
        Ok(())
    }

    pub(crate) fn iter(&self) -> impl Iterator<Item = (u32, &Descriptor)> {
        self.open.iter().map(|(fd, descriptor)| (*fd, descriptor))
    }
}

impl Descriptor {
    /// A standard stream.
    pub(crate) fn stream(stream: Stream) -> Self {
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
                Stream::Stdout | Stream::Stderr => fdflags::APPEND,
            },
        }
    }

    /// A directory that the host gives.
    pub(crate) fn preopen(open: OpenDir) -> Self {
        Self {
            rights: rights::allowed(rights::DIRECTORY, open.read_only),
            kind: Kind::Dir(open),
            inheriting: rights::ALL,
            given_up: 0,
            flags: 0,
        }
    }

    pub(crate) fn socket(socket: Socket, flags: u16) -> Self {
        let (rights, inheriting) = match socket.given_address() {
            Some(_) => (rights::LISTENER, rights::CONNECTION),
            None if socket.is_connection() => (rights::CONNECTION, 0),
            None => (rights::SOCKET, rights::CONNECTION),
        };
        Self {
            kind: Kind::Socket(Box::new(socket)),
            rights,
            inheriting,
            given_up: 0,
            flags,
        }
    }

    /// A directory in memory, as a guest finds it.
    pub(crate) fn memory(open: OpenNode) -> Self {
        Self {
            kind: Kind::Memory(open),
            rights: rights::DIRECTORY,
            inheriting: rights::ALL,
            given_up: 0,
            flags: 0,
        }
    }

    /// A descriptor that is opened from this one. `rights` are those of its kind.
    pub(crate) fn opened(&self, kind: Kind, rights: u64, flags: u16) -> Self {
        let is_dir = rights & rights::PATH_OPEN != 0;
        Self {
            kind,
            rights: rights & self.inheriting,
            inheriting: if is_dir { self.inheriting } else { 0 },
            given_up: rights::ALL & !self.inheriting,
            flags,
        }
    }

    /// Whether it is a file or a directory in memory.
    pub(crate) fn is_memory(&self) -> bool {
        matches!(self.kind, Kind::Memory(_))
    }

    /// Whether it is a directory that the guest may only read, or a file in one.
    pub(crate) fn is_read_only(&self) -> bool {
        match &self.kind {
            Kind::Dir(open) => open.read_only,
            Kind::File(open) => open.read_only,
            Kind::Stream(_) | Kind::Socket(_) | Kind::Memory(_) => false,
        }
    }

    /// The host's descriptor of a file or a directory.
    pub(crate) fn host_fd(&self) -> Option<BorrowedFd<'_>> {
        match &self.kind {
            Kind::File(open) => Some(open.fd()),
            Kind::Dir(open) => Some(open.fd()),
            Kind::Stream(_) | Kind::Socket(_) | Kind::Memory(_) => None,
        }
    }

    /// The descriptor itself, if it has the right.
    fn need(&self, right: u64) -> Result<&Self> {
        match self.rights & right == right {
            true => Ok(self),
            false if self.given_up & right != 0 => Err(Errno::Notcapable),
            false => Err(rights::missing(right)),
        }
    }
}

impl From<Node> for Kind {
    fn from(node: Node) -> Self {
        match node {
            Node::Dir(open) => Self::Dir(open),
            Node::File(open) => Self::File(open),
        }
    }
}
