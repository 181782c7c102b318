//! A guest's WASI state written down.
//!
//! A file is found again by its place in one of the guest's directories: at a suspend the system is
//! asked where it is now, so that a file that was renamed while open is found. A file that has been
//! deleted, or never had a name, travels by content.

use std::fs::File;
use std::io::Read;
use std::os::fd::{AsFd, BorrowedFd};
use std::os::unix::ffi::OsStrExt;
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};

use rustix::fs::{self as os, FileType, OFlags};

use super::Error;
use super::ctx::Ctx;
use super::fd::{DirFd, FileFd, Kind};
use super::identity::{IdentityV1, proc_path};
use super::state::{FdKindV1, FdV1, StateV1};
use super::tmpfs;

/// The largest deleted file that a snapshot takes, in bytes.
const MAX_DELETED: u64 = 64 << 20;
/// How many directory entries are looked at to find another name of a file.
const MAX_SEARCHED: usize = 100_000;

impl Ctx {
    /// The state as data. Changes nothing.
    ///
    /// # Errors
    /// Where an open file cannot be written down.
    pub fn save(&mut self) -> Result<StateV1, Error> {
        let mut deleted = Deleted::default();
        // Random, so that no key of an older snapshot is among them.
        let mut key = [0; 8];
        getrandom::fill(&mut key).map_err(|error| Error::Io {
            what: "get a random number",
            source: std::io::Error::other(error),
        })?;
        let mut key = u64::from_le_bytes(key);
        let mut fds = Vec::new();
        for (fd, descriptor) in self.table.iter() {
            let (kind, listing) = match &descriptor.kind {
                Kind::Stream(stream) => (FdKindV1::Stream(*stream), None),
                Kind::Dir(open) => (self.save_dir(open)?, open.listing.clone()),
                Kind::File(open) => (self.save_file(open, &mut deleted)?, None),
                Kind::Socket(socket) => match socket.granted() {
                    Some(address) => (FdKindV1::Listener(address.into()), None),
                    None => {
                        key = key.wrapping_add(1);
                        (FdKindV1::Socket(socket.save(key)), None)
                    }
                },
                Kind::Memory(open) => (open.save(), open.listing()),
            };
            fds.push(FdV1 {
                fd,
                kind,
                rights: descriptor.rights,
                inheriting: descriptor.inheriting,
                given_up: descriptor.given_up,
                flags: descriptor.flags,
                listing,
            });
        }
        Ok(StateV1 {
            args: self.args.clone(),
            env: self.env.clone(),
            clock: self.clock.save(),
            fds,
            deleted: deleted.contents,
            poll: self.poll.clone(),
            received: self.received,
            tmpfs: self.tmpfs.iter().map(tmpfs::Shared::save).collect(),
            read_only: self
                .preopens
                .iter()
                .filter(|preopen| preopen.read_only)
                .map(|preopen| preopen.guest.clone())
                .collect(),
            own_time: self.clock.own_time(),
            seeded: self.random.save(),
        })
    }

    fn save_dir(&self, open: &DirFd) -> Result<FdKindV1, Error> {
        if open.is_preopen {
            return Ok(FdKindV1::Preopen(open.preopen.clone()));
        }
        match self.place(open.dir.as_fd(), &open.preopen, &open.path) {
            Place::Named { preopen, path } => Ok(FdKindV1::Dir { preopen, path }),
            Place::Nowhere => Err(Error::DeletedNotFile(guest_path(&open.preopen, &open.path))),
            Place::Outside(now) => Err(Error::MovedOut(now)),
        }
    }

    fn save_file(&self, open: &FileFd, deleted: &mut Deleted) -> Result<FdKindV1, Error> {
        let failed = |errno| Error::Io {
            what: "look at an open file",
            source: std::io::Error::from(errno),
        };
        // A pipe has no offset.
        let offset = os::tell(&open.file).unwrap_or(0);
        let mode = os::fcntl_getfl(&open.file).map_err(failed)? & OFlags::RWMODE;
        let access = (mode != OFlags::WRONLY, mode != OFlags::RDONLY);
        match self.place(open.file.as_fd(), &open.preopen, &open.path) {
            Place::Named { preopen, path } => Ok(FdKindV1::File {
                preopen,
                path,
                offset,
                access,
                identity: IdentityV1::of(open.file.as_fd()).map_err(failed)?,
            }),
            Place::Nowhere => Ok(FdKindV1::Deleted {
                content: deleted.add(open)?,
                offset,
                access,
            }),
            Place::Outside(now) => Err(Error::MovedOut(now)),
        }
    }

    /// In which of the guest's directories an open file is now, and where there.
    fn place(&self, fd: BorrowedFd<'_>, preopen: &str, path: &str) -> Place {
        let links = os::fstat(fd).map_or(1, |stat| stat.st_nlink);
        let Ok(now) = std::fs::read_link(proc_path(fd)) else {
            // A system without /proc: the path by which it was opened is the best there is.
            return match links {
                0 => Place::Nowhere,
                _ => Place::Named {
                    preopen: preopen.into(),
                    path: path.into(),
                },
            };
        };
        if links == 0 {
            return Place::Nowhere;
        }
        // The directory by which it was opened comes first: it may lie inside another one.
        let by_name = self.preopens.iter().filter(|p| p.guest == preopen);
        let named = same_file(&now, fd);
        let found = by_name.chain(&self.preopens).find_map(|candidate| {
            // The host may have renamed the directory itself.
            let root = std::fs::read_link(proc_path(candidate.dir.as_fd()));
            let root = root.as_ref().unwrap_or(&candidate.root);
            // The name may be gone while the file has another one.
            let now = match named {
                true => now.clone(),
                false => find(root, fd)?,
            };
            let rest = now.strip_prefix(root).ok()?;
            let rest = match rest.as_os_str().is_empty() {
                true => ".",
                false => rest.to_str()?,
            };
            Some(Place::Named {
                preopen: candidate.guest.clone(),
                path: rest.to_string(),
            })
        });
        found.unwrap_or_else(
            || match now.as_os_str().as_bytes().ends_with(b" (deleted)") {
                true if !named => Place::Nowhere,
                _ => Place::Outside(now),
            },
        )
    }
}

/// Where an open file is now.
enum Place {
    /// In one of the guest's directories.
    Named { preopen: String, path: String },
    /// Deleted, or at least no longer where the guest could find it.
    Nowhere,
    /// Moved out of the guest's directories.
    Outside(PathBuf),
}

/// Contents of deleted files, each once however many descriptors it has.
#[derive(Default)]
struct Deleted {
    contents: Vec<serde_bytes::ByteBuf>,
    inodes: Vec<(u64, u64)>,
}

impl Deleted {
    /// Gives the content's place in the list.
    fn add(&mut self, open: &FileFd) -> Result<u32, Error> {
        let path = guest_path(&open.preopen, &open.path);
        let failed = |source| Error::Io {
            what: "read a deleted file that the guest has open",
            source,
        };
        let stat = os::fstat(&open.file).map_err(|errno| failed(errno.into()))?;
        let inode = (stat.st_dev, stat.st_ino);
        if let Some(place) = self.inodes.iter().position(|known| *known == inode) {
            return Ok(place as u32);
        }
        if FileType::from_raw_mode(stat.st_mode) != FileType::RegularFile {
            return Err(Error::DeletedNotFile(path));
        }
        // The descriptor itself may be for writing only, and its offset must stay.
        let mut content = Vec::new();
        let size = u64::try_from(stat.st_size).unwrap_or(0);
        if size <= MAX_DELETED {
            File::open(proc_path(open.file.as_fd()))
                .and_then(|file| file.take(MAX_DELETED + 1).read_to_end(&mut content))
                .map_err(failed)?;
        }
        let size = size.max(content.len() as u64);
        if size > MAX_DELETED {
            return Err(Error::DeletedFileTooLarge {
                path,
                size,
                limit: MAX_DELETED,
            });
        }
        self.contents.push(content.into());
        self.inodes.push(inode);
        Ok(self.contents.len() as u32 - 1)
    }
}

/// A path as the guest writes it.
pub(super) fn guest_path(preopen: &str, path: &str) -> String {
    format!("{}/{path}", preopen.trim_end_matches('/'))
}

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
        // What cannot be listed cannot be searched.
        let Ok(entries) = std::fs::read_dir(folder) else {
            continue;
        };
        for entry in entries.flatten() {
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
