//! A guest's WASI state written down, and back.
//!
//! A file is found again by its place in one of the guest's directories: at a suspend the system is
//! asked where it is now, so that a file that was renamed while open is found. A file that has been
//! deleted, or never had a name, travels by content.

use std::fs::File;
use std::io::{Read, Seek, SeekFrom, Write};
use std::os::fd::{AsFd, AsRawFd, BorrowedFd};
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use cap_std::fs::{OpenOptions, OpenOptionsExt};
use rustix::fs::{self as os, OFlags};
use serde::{Deserialize, Serialize};

use super::clock::{ClockV1, GuestClock};
use super::ctx::{Config, Ctx};
use super::fd::{Descriptor, DirFd, FileFd, Kind};
use super::file::modified;
use super::path::status_flags;
use super::streams::{Bindings, Stream};
use super::{Error, rights};
use crate::clock::Clock;
use crate::model::{Deadline, Digest};

/// The largest deleted file that a snapshot takes, in bytes.
const MAX_DELETED: u64 = 64 << 20;
/// Up to this size a file's content is compared where its time differs, in bytes.
const MAX_DIGESTED: u64 = 1 << 20;
/// The highest descriptor number that a guest can have got.
const MAX_FD: u32 = 1 << 20;

/// A guest's WASI state.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct StateV1 {
    /// Arguments.
    pub args: Vec<String>,
    /// Environment variables.
    pub env: Vec<(String, String)>,
    /// The clocks.
    pub clock: ClockV1,
    /// Open descriptors.
    pub fds: Vec<FdV1>,
    /// Contents of deleted files that are still open.
    pub deleted: Vec<serde_bytes::ByteBuf>,
    /// Deadlines of the poll that the guest is in, by subscription.
    pub poll: Option<Vec<Option<Deadline>>>,
}

/// An open descriptor.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct FdV1 {
    /// Its number.
    pub fd: u32,
    /// What it stands for.
    pub kind: FdKindV1,
    /// Rights.
    pub rights: u64,
    /// Rights that descriptors opened from it can have.
    pub inheriting: u64,
    /// `fdflags` of the specification.
    pub flags: u16,
}

/// What a descriptor stands for.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum FdKindV1 {
    /// A standard stream.
    Stream(Stream),
    /// A directory given by the host, by its guest name.
    Preopen(String),
    /// A directory below one.
    Dir {
        /// The guest name of the directory given by the host.
        preopen: String,
        /// The path in there.
        path: String,
        /// The listing that the guest is in the middle of.
        listing: Option<Vec<EntryV1>>,
    },
    /// A file.
    File {
        /// The guest name of the directory given by the host.
        preopen: String,
        /// The path in there.
        path: String,
        /// Where the next read or write happens, in bytes.
        offset: u64,
        /// Opened for reading, for writing.
        access: (bool, bool),
        /// What the file was like.
        identity: IdentityV1,
    },
    /// A file without a name.
    Deleted {
        /// Which of [`StateV1::deleted`].
        content: u32,
        /// Where the next read or write happens, in bytes.
        offset: u64,
    },
}

/// What a file was like at the suspend.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct IdentityV1 {
    /// Size in bytes.
    pub size: u64,
    /// Time of the last change, in nanoseconds since the Unix epoch.
    pub modified: u64,
    /// Digest of the content, for a file of at most 1 MiB.
    pub digest: Option<Digest>,
}

/// An entry of a directory listing.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct EntryV1 {
    /// The name.
    pub name: String,
    /// The inode number.
    pub inode: u64,
    /// `filetype` of the specification.
    pub filetype: u8,
}

/// What to do at a resume where the host is not as it was.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct RestoreOptions {
    /// Take open files as they are now, even if they were changed in the meantime.
    pub accept_changed_files: bool,
}

impl Ctx {
    /// The state as data. Changes nothing.
    ///
    /// # Errors
    /// Where an open file cannot be written down.
    pub fn save(&mut self) -> Result<StateV1, Error> {
        let mut deleted = Deleted::default();
        let mut fds = Vec::new();
        for (fd, descriptor) in self.table.iter() {
            fds.push(FdV1 {
                fd,
                kind: self.save_kind(&descriptor.kind, &mut deleted)?,
                rights: descriptor.rights,
                inheriting: descriptor.inheriting,
                flags: descriptor.flags,
            });
        }
        Ok(StateV1 {
            args: self.args.clone(),
            env: self.env.clone(),
            clock: self.clock.save(),
            fds,
            deleted: deleted.contents,
            poll: self.poll.clone(),
        })
    }

    fn save_kind(&self, kind: &Kind, deleted: &mut Deleted) -> Result<FdKindV1, Error> {
        Ok(match kind {
            Kind::Stream(stream) => FdKindV1::Stream(*stream),
            Kind::Dir(open) if open.is_preopen => FdKindV1::Preopen(open.preopen.clone()),
            Kind::Dir(open) => {
                let (preopen, path) = self.place(open.dir.as_fd(), &open.preopen, &open.path)?;
                FdKindV1::Dir {
                    preopen,
                    path,
                    listing: open.listing.clone(),
                }
            }
            Kind::File(open) => {
                let stat = os::fstat(&open.file).map_err(io("look at an open file"))?;
                let offset = os::tell(&open.file).unwrap_or(0);
                if stat.st_nlink == 0 {
                    let content = deleted.add(open, &stat)?;
                    return Ok(FdKindV1::Deleted { content, offset });
                }
                let (preopen, path) = self.place(open.file.as_fd(), &open.preopen, &open.path)?;
                let mode = os::fcntl_getfl(&open.file).map_err(io("look at an open file"))?
                    & OFlags::RWMODE;
                FdKindV1::File {
                    identity: identity(&proc_path(open.file.as_fd()))
                        .map_err(|e| e.named(&guest_path(&preopen, &path)))?,
                    preopen,
                    path,
                    offset,
                    access: (mode != OFlags::WRONLY, mode != OFlags::RDONLY),
                }
            }
        })
    }

    /// In which of the guest's directories an open file is now, and where there.
    fn place(
        &self,
        fd: BorrowedFd<'_>,
        preopen: &str,
        path: &str,
    ) -> Result<(String, String), Error> {
        let remembered = (preopen.to_string(), path.to_string());
        let Ok(now) = std::fs::read_link(proc_path(fd)) else {
            // A system without /proc: the path by which it was opened is the best there is.
            return Ok(remembered);
        };
        // The directory by which it was opened comes first: it may lie inside another one.
        let by_name = self.preopens.iter().filter(|p| p.guest == preopen);
        let inside = by_name.chain(&self.preopens).find_map(|candidate| {
            // The name may be gone while the file has another one.
            let now = match same_file(&now, fd) {
                true => now.clone(),
                false => find(&candidate.root, fd)?,
            };
            let rest = now.strip_prefix(&candidate.root).ok()?;
            let rest = match rest.as_os_str().is_empty() {
                true => ".",
                false => rest.to_str()?,
            };
            Some((candidate.guest.clone(), rest.to_string()))
        });
        inside.ok_or(Error::MovedOut(now))
    }

    /// A guest's state over a new host.
    ///
    /// # Errors
    /// Where the host lacks a directory, or a file is missing or was changed.
    pub fn restore(
        state: StateV1,
        bindings: Bindings,
        options: RestoreOptions,
        clock: Arc<dyn Clock>,
    ) -> Result<Self, Error> {
        check_directories(&state, &bindings)?;
        let config = Config {
            args: state.args,
            env: state.env,
        };
        let mut ctx = Self::bare(config, bindings, GuestClock::restore(clock, state.clock))?;
        ctx.poll = state.poll;
        let deleted = restore_deleted(&state.deleted)?;
        for saved in state.fds {
            if saved.fd > MAX_FD {
                return Err(Error::Malformed("a descriptor has an impossible number"));
            }
            let (kind, own) = ctx.restore_kind(&saved, &deleted, options)?;
            let descriptor = Descriptor {
                kind,
                rights: saved.rights & own,
                inheriting: saved.inheriting & rights::ALL,
                flags: saved.flags,
            };
            ctx.table
                .insert_at(saved.fd, descriptor)
                .map_err(|_| Error::Malformed("two descriptors have one number"))?;
        }
        Ok(ctx)
    }

    /// The kind, and the rights that it can have at most.
    fn restore_kind(
        &self,
        saved: &FdV1,
        deleted: &[File],
        options: RestoreOptions,
    ) -> Result<(Kind, u64), Error> {
        Ok(match &saved.kind {
            FdKindV1::Stream(stream) => (Kind::Stream(*stream), Descriptor::stream(*stream).rights),
            FdKindV1::Preopen(guest) => {
                (self.preopen(guest)?.descriptor()?.kind, rights::DIRECTORY)
            }
            FdKindV1::Dir {
                preopen,
                path,
                listing,
            } => {
                let missing = |source| Error::FileMissing {
                    path: guest_path(preopen, path),
                    source,
                };
                let dir = self.preopen(preopen)?.dir.open_dir(path).map_err(missing)?;
                let kind = Kind::Dir(DirFd {
                    dir,
                    preopen: preopen.clone(),
                    path: path.clone(),
                    is_preopen: false,
                    listing: listing.clone(),
                });
                (kind, rights::DIRECTORY)
            }
            FdKindV1::File { .. } => (self.restore_file(saved, options)?, rights::FILE),
            FdKindV1::Deleted { content, offset } => {
                let source = deleted
                    .get(*content as usize)
                    .ok_or(Error::Malformed("a deleted file has no content"))?;
                // Opened anew, so that each descriptor has an offset of its own.
                let mut file = File::options()
                    .read(true)
                    .write(true)
                    .open(proc_path(source.as_fd()))
                    .map_err(std_io("restore a deleted file"))?;
                file.seek(SeekFrom::Start(*offset))
                    .map_err(std_io("restore a deleted file"))?;
                let kind = Kind::File(FileFd {
                    file: cap_std::fs::File::from_std(file),
                    preopen: String::new(),
                    path: "(deleted)".into(),
                });
                (kind, rights::FILE)
            }
        })
    }

    fn restore_file(&self, saved: &FdV1, options: RestoreOptions) -> Result<Kind, Error> {
        let FdKindV1::File {
            preopen,
            path,
            offset,
            access,
            identity: before,
        } = &saved.kind
        else {
            return Err(Error::Malformed("a file was expected"));
        };
        let name = guest_path(preopen, path);
        let missing = |source| Error::FileMissing {
            path: name.clone(),
            source,
        };
        let mut open = OpenOptions::new();
        open.read(access.0)
            .write(access.1)
            .custom_flags(status_flags(saved.flags).bits() as i32);
        let mut file = self
            .preopen(preopen)?
            .dir
            .open_with(path, &open)
            .map_err(missing)?;
        let now = identity(&proc_path(file.as_fd())).map_err(|e| e.named(&name))?;
        if let Some(how) = changed(before, &now)
            && !options.accept_changed_files
        {
            return Err(Error::FileChanged { path: name, how });
        }
        file.seek(SeekFrom::Start(*offset))
            .map_err(std_io("go to the place in an open file"))?;
        Ok(Kind::File(FileFd {
            file,
            preopen: preopen.clone(),
            path: path.clone(),
        }))
    }

    fn preopen(&self, guest: &str) -> Result<&super::ctx::Preopen, Error> {
        let found = self.preopens.iter().find(|preopen| preopen.guest == guest);
        found.ok_or_else(|| Error::MissingPreopen {
            guests: vec![guest.to_string()],
        })
    }
}

/// Names every directory that is missing at once.
fn check_directories(state: &StateV1, bindings: &Bindings) -> Result<(), Error> {
    let mut guests: Vec<String> = state
        .fds
        .iter()
        .filter_map(|fd| match &fd.kind {
            FdKindV1::Preopen(preopen)
            | FdKindV1::Dir { preopen, .. }
            | FdKindV1::File { preopen, .. } => Some(preopen),
            FdKindV1::Stream(_) | FdKindV1::Deleted { .. } => None,
        })
        .filter(|guest| bindings.dirs.iter().all(|dir| dir.guest != **guest))
        .cloned()
        .collect();
    guests.sort();
    guests.dedup();
    match guests.is_empty() {
        true => Ok(()),
        false => Err(Error::MissingPreopen { guests }),
    }
}

/// Contents of deleted files, each once however many descriptors it has.
#[derive(Default)]
struct Deleted {
    contents: Vec<serde_bytes::ByteBuf>,
    inodes: Vec<(u64, u64)>,
}

impl Deleted {
    fn add(&mut self, open: &FileFd, stat: &os::Stat) -> Result<u32, Error> {
        let inode = (stat.st_dev, stat.st_ino);
        if let Some(place) = self.inodes.iter().position(|known| *known == inode) {
            return Ok(place as u32);
        }
        let size = stat.st_size as u64;
        if size > MAX_DELETED {
            return Err(Error::DeletedFileTooLarge {
                size,
                limit: MAX_DELETED,
            });
        }
        // The descriptor itself may be for writing only, and its offset must stay.
        let mut content = Vec::new();
        File::open(proc_path(open.file.as_fd()))
            .and_then(|mut file| file.read_to_end(&mut content))
            .map_err(std_io("read a deleted file that the guest has open"))?;
        self.contents.push(content.into());
        self.inodes.push(inode);
        Ok(self.contents.len() as u32 - 1)
    }
}

fn restore_deleted(contents: &[serde_bytes::ByteBuf]) -> Result<Vec<File>, Error> {
    contents
        .iter()
        .map(|content| {
            let mut file = tempfile::tempfile().map_err(std_io("make a temporary file"))?;
            file.write_all(content)
                .map_err(std_io("write a temporary file"))?;
            Ok(file)
        })
        .collect()
}

/// What a file is like now.
fn identity(path: &Path) -> Result<IdentityV1, Unnamed> {
    let metadata = std::fs::metadata(path).map_err(Unnamed)?;
    // One that cannot be read is compared by size and time alone.
    let digest = (metadata.is_file() && metadata.len() <= MAX_DIGESTED)
        .then(|| read_unnoticed(path).ok())
        .flatten()
        .map(|content| Digest::of(&content));
    Ok(IdentityV1 {
        size: metadata.len(),
        modified: modified(&metadata),
        digest,
    })
}

/// Reads a file without changing the time of its last access, which the guest may look at.
fn read_unnoticed(path: &Path) -> std::io::Result<Vec<u8>> {
    use std::os::unix::fs::OpenOptionsExt;
    let unnoticed = OFlags::NOATIME.bits() as i32;
    // Only its owner may open a file so.
    let mut file = File::options()
        .read(true)
        .custom_flags(unnoticed)
        .open(path)
        .or_else(|_| File::open(path))?;
    let mut content = Vec::new();
    file.read_to_end(&mut content)?;
    Ok(content)
}

/// An error about a file whose name the caller knows.
struct Unnamed(std::io::Error);

impl Unnamed {
    fn named(self, path: &str) -> Error {
        Error::FileMissing {
            path: path.to_string(),
            source: self.0,
        }
    }
}

/// What differs, if anything does. A copied file has another time but the same content.
fn changed(before: &IdentityV1, now: &IdentityV1) -> Option<String> {
    if before.size != now.size {
        return Some(format!("it had {} bytes and has {}", before.size, now.size));
    }
    if before.modified == now.modified || (before.digest.is_some() && before.digest == now.digest) {
        return None;
    }
    Some("it has the same size, but was written to".into())
}

fn guest_path(preopen: &str, path: &str) -> String {
    format!("{}/{path}", preopen.trim_end_matches('/'))
}

/// How many directory entries are looked at to find another name of a file.
const MAX_SEARCHED: usize = 100_000;

fn same_file(path: &Path, fd: BorrowedFd<'_>) -> bool {
    match (std::fs::symlink_metadata(path), os::fstat(fd)) {
        (Ok(named), Ok(open)) => (named.dev(), named.ino()) == (open.st_dev, open.st_ino),
        _ => false,
    }
}

/// Another name of an open file below a directory: its own was deleted, but it has more than one.
fn find(root: &Path, fd: BorrowedFd<'_>) -> Option<PathBuf> {
    let mut folders = vec![root.to_path_buf()];
    let mut searched = 0;
    while let Some(folder) = folders.pop() {
        for entry in std::fs::read_dir(folder).ok()?.flatten() {
            searched += 1;
            if searched > MAX_SEARCHED {
                return None;
            }
            let path = entry.path();
            if same_file(&path, fd) {
                return Some(path);
            }
            if entry.file_type().is_ok_and(|ty| ty.is_dir()) {
                folders.push(path);
            }
        }
    }
    None
}

/// A name for an open file, whatever became of its own.
fn proc_path(fd: BorrowedFd<'_>) -> PathBuf {
    format!("/proc/self/fd/{}", fd.as_raw_fd()).into()
}

fn io(what: &'static str) -> impl Fn(rustix::io::Errno) -> Error {
    move |errno| Error::Io {
        what,
        source: errno.into(),
    }
}

fn std_io(what: &'static str) -> impl Fn(std::io::Error) -> Error {
    move |source| Error::Io { what, source }
}
