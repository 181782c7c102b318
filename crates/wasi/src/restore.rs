//! A guest's WASI state over a new host.
//!
//! A state may have been written by anybody: what it says is checked, and nothing that it says gets
//! more than the bindings grant. Nothing is created or emptied.

use std::fs::File;
use std::io::{Seek, SeekFrom, Write};
use std::os::fd::AsFd;
use std::os::unix::fs::OpenOptionsExt;
use std::sync::Arc;

use cap_std::fs::{OpenOptions, OpenOptionsExt as _};

use super::clock::GuestClock;
use super::ctx::{Config, Ctx, Preopen};
use super::dir::open_below;
use super::errno::Errno;
use super::fd::{ALL_FLAGS, Descriptor, DirFd, FileFd, Kind, MOST_OPEN};
use super::identity::{IdentityV1, proc_path};
use super::path::status_flags;
use super::random::Random;
use super::save::guest_path;
use super::sock::{HeldSocket, SocketFd};
use super::state::{FdKindV1, FdV1, StateV1};
use super::streams::{Access, Bindings};
use super::tmpfs;
use super::{Error, rights};
use crate::model::clock::Clock;
use crate::model::{Limit, Unfit, check_environment};

/// What to do at a resume where the host is not as it was.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct RestoreOptions {
    /// Take open files as they are now, even if they were changed in the meantime. Without it, a
    /// changed file is an error, whether it is open for reading, for writing or for appending.
    pub accept_changed_files: bool,
}

impl Ctx {
    /// A guest's state over a new host.
    ///
    /// # Errors
    /// Where the host lacks a directory, a file is missing or was changed, or the state makes no
    /// sense.
    pub fn restore(
        state: StateV1,
        bindings: Bindings,
        options: RestoreOptions,
        clock: Arc<dyn Clock>,
    ) -> Result<Self, Error> {
        check_directories(&state, &bindings)?;
        check_listeners(&state, &bindings)?;
        // A snapshot from before there were bounds may have more; a zero byte no guest ever had.
        if let Err(Unfit::ZeroByte(_)) = check_environment(&state.args, &state.env) {
            return Err(Error::Malformed(
                "a text of the guest's contains a zero byte",
            ));
        }
        let config = Config {
            args: state.args,
            env: state.env,
            tmpfs: Vec::new(),
        };
        let limits = bindings.limits;
        let mut clock = GuestClock::restore(clock, state.clock);
        clock.resume_own_time(bindings.clocks, state.own_time);
        let random = Random::restore(bindings.random, state.seeded);
        let mut bindings = bindings;
        let accesses: Vec<(String, Access)> = bindings
            .dirs
            .iter()
            .map(|dir| (dir.guest.clone(), dir.access))
            .collect();
        let held = std::mem::take(&mut bindings.held);
        let mut ctx = Self::bare(config, bindings, clock)?;
        for preopen in &mut ctx.preopens {
            let before = state.read_only.contains(&preopen.guest);
            let given = accesses.iter().find(|(guest, _)| *guest == preopen.guest);
            preopen.read_only = given.map_or(before, |(_, access)| access.is_read_only(before));
        }
        let read_only = state.read_only;
        ctx.poll = state.poll;
        ctx.received = state.received;
        ctx.random = random;
        let most = limits.value(Limit::Tmpfs);
        ctx.tmpfs = (0..)
            .zip(state.tmpfs)
            .map(|(number, saved)| tmpfs::Shared::restore(number, saved, most, &limits))
            .collect::<Result<_, _>>()?;
        let deleted = restore_deleted(&state.deleted)?;
        for saved in state.fds {
            if u64::from(saved.fd) >= MOST_OPEN {
                return Err(Error::Malformed("a descriptor has an impossible number"));
            }
            let (number, descriptor) = (
                saved.fd,
                ctx.descriptor(saved, &read_only, &deleted, &held, options)?,
            );
            ctx.table
                .insert_at(number, descriptor)
                .map_err(|errno| match errno {
                    Errno::Mfile => Error::Limit(limits.reached(Limit::Files)),
                    _ => Error::Malformed("two descriptors have one number"),
                })?;
        }
        ctx.tmpfs.iter().for_each(tmpfs::Shared::settle);
        Ok(ctx)
    }

    fn descriptor(
        &self,
        mut saved: FdV1,
        read_only: &[String],
        deleted: &[File],
        held: &[HeldSocket],
        options: RestoreOptions,
    ) -> Result<Descriptor, Error> {
        let (own, inheriting) = match &saved.kind {
            FdKindV1::Stream(stream) => (Descriptor::stream(*stream).rights, 0),
            FdKindV1::Preopen(_) | FdKindV1::Dir { .. } => (rights::DIRECTORY, rights::ALL),
            FdKindV1::Listener(_) => (rights::LISTENER, rights::CONNECTION),
            FdKindV1::Connection => (rights::CONNECTION, 0),
            FdKindV1::Socket(_) => (rights::SOCKET, rights::CONNECTION),
            FdKindV1::Memory { .. } => (rights::file(true, true) | rights::DIRECTORY, rights::ALL),
            FdKindV1::File { access, .. } | FdKindV1::Deleted { access, .. } => {
                (rights::file(access.0, access.1), 0)
            }
        };
        if saved.rights & !own != 0 || saved.inheriting & !inheriting != 0 {
            return Err(Error::Malformed(
                "a descriptor has rights that it cannot have",
            ));
        }
        if let FdKindV1::Preopen(guest)
        | FdKindV1::Dir { preopen: guest, .. }
        | FdKindV1::File { preopen: guest, .. } = &saved.kind
        {
            let now = self.preopen(guest)?.read_only;
            // What was taken away with the leave to write comes back with it.
            if read_only.contains(guest) && !now {
                saved.rights |= rights::CHANGES & own & !saved.given_up;
            }
            saved.rights = rights::as_allowed(saved.rights, now);
        }
        if saved.flags & !ALL_FLAGS != 0 {
            return Err(Error::Malformed(
                "a descriptor has flags that there are not",
            ));
        }
        Ok(Descriptor {
            rights: saved.rights,
            inheriting: saved.inheriting,
            given_up: saved.given_up,
            flags: saved.flags,
            kind: self.kind(saved, deleted, held, options)?,
        })
    }

    fn kind(
        &self,
        saved: FdV1,
        deleted: &[File],
        held: &[HeldSocket],
        options: RestoreOptions,
    ) -> Result<Kind, Error> {
        Ok(match saved.kind {
            FdKindV1::Stream(stream) => Kind::Stream(stream),
            FdKindV1::Connection => Kind::Socket(Box::new(SocketFd::reset())),
            FdKindV1::Socket(socket) => Kind::Socket(Box::new(self.restore_socket(socket, held)?)),
            FdKindV1::Listener(address) => {
                let known = |known: &&SocketFd| known.granted() == Some(&address);
                let listener = self.listeners.iter().find(known);
                let missing = || Error::MissingListener {
                    addresses: vec![address.clone()],
                };
                Kind::Socket(Box::new(listener.ok_or_else(missing)?.clone()))
            }
            FdKindV1::Preopen(guest) => {
                let mut kind = self.preopen(&guest)?.descriptor()?.kind;
                if let Kind::Dir(open) = &mut kind {
                    open.listing = saved.listing;
                }
                kind
            }
            FdKindV1::Dir { preopen, path } => {
                let missing = |source| Error::FileMissing {
                    path: guest_path(&preopen, &path),
                    source,
                };
                Kind::Dir(DirFd {
                    dir: open_below(&self.preopen(&preopen)?.dir, &path).map_err(missing)?,
                    path,
                    is_preopen: false,
                    read_only: self.preopen(&preopen)?.read_only,
                    preopen,
                    listing: saved.listing,
                })
            }
            FdKindV1::File {
                preopen,
                path,
                offset,
                access,
                identity,
            } => {
                let mut open = OpenOptions::new();
                open.read(access.0)
                    .write(access.1)
                    .custom_flags(status_flags(saved.flags).bits() as i32);
                let granted = self.preopen(&preopen)?;
                let directory = &granted.dir;
                let name = guest_path(&preopen, &path);
                let read_only = granted.read_only;
                if access.1 && read_only {
                    return Err(Error::ReadOnly {
                        path: name,
                        guest: preopen,
                    });
                }
                let (file, waits) = open_again(directory, &path, &open, options, &identity)
                    .map_err(|failure| failure.named(name))?;
                if !waits {
                    go_to(&file, offset)?;
                }
                Kind::File(FileFd {
                    file,
                    preopen,
                    path,
                    read_only,
                    waits,
                })
            }
            FdKindV1::Memory {
                tmpfs,
                inode,
                offset,
                preopen,
            } => {
                let wrong = Error::Malformed("a directory in memory is not there");
                let fs = self.tmpfs.get(tmpfs as usize).ok_or(wrong)?;
                Kind::Memory(fs.reopen(inode, preopen, offset, saved.listing)?)
            }
            FdKindV1::Deleted {
                content,
                offset,
                access,
            } => {
                let source = deleted
                    .get(content as usize)
                    .ok_or(Error::Malformed("a deleted file has no content"))?;
                // Opened anew, so that each descriptor has an offset and flags of its own.
                let file = File::options()
                    .read(access.0)
                    .write(access.1)
                    .custom_flags(status_flags(saved.flags).bits() as i32)
                    .open(proc_path(source.as_fd()))
                    .map_err(io("restore a deleted file"))?;
                let file = cap_std::fs::File::from_std(file);
                go_to(&file, offset)?;
                Kind::File(FileFd {
                    file,
                    preopen: String::new(),
                    path: "(deleted)".into(),
                    read_only: false,
                    waits: false,
                })
            }
        })
    }

    fn preopen(&self, guest: &str) -> Result<&Preopen, Error> {
        let found = self.preopens.iter().find(|preopen| preopen.guest == guest);
        found.ok_or_else(|| Error::MissingPreopen {
            guests: vec![guest.to_string()],
        })
    }
}

/// Why a file cannot be opened again.
enum Failure {
    Missing(std::io::Error),
    Changed(String),
}

impl Failure {
    fn named(self, path: String) -> Error {
        match self {
            Self::Missing(source) => Error::FileMissing { path, source },
            Self::Changed(how) => Error::FileChanged { path, how },
        }
    }
}

/// Opens a file that must be what it was; tells, too, whether reading it may have to wait.
fn open_again(
    directory: &cap_std::fs::Dir,
    path: &str,
    open: &OpenOptions,
    options: RestoreOptions,
    before: &IdentityV1,
) -> Result<(cap_std::fs::File, bool), Failure> {
    let file = directory.open_with(path, open).map_err(Failure::Missing)?;
    let metadata = file.metadata().map_err(Failure::Missing)?;
    if metadata.is_dir() {
        return Err(Failure::Changed("it is a directory now".into()));
    }
    let now = IdentityV1::of(file.as_fd()).map_err(|errno| Failure::Missing(errno.into()))?;
    match before.change(&now) {
        Some(how) if !options.accept_changed_files => Err(Failure::Changed(how)),
        _ => Ok((file, !metadata.is_file())),
    }
}

fn go_to(mut file: &cap_std::fs::File, offset: u64) -> Result<(), Error> {
    if i64::try_from(offset).is_err() {
        return Err(Error::Malformed(
            "a file's offset is beyond what a file can have",
        ));
    }
    let place = file.seek(SeekFrom::Start(offset));
    place
        .map(drop)
        .map_err(io("go to the place in an open file"))
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
            _ => None,
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

/// Names every listener that is missing at once.
fn check_listeners(state: &StateV1, bindings: &Bindings) -> Result<(), Error> {
    let mut addresses: Vec<String> = state
        .fds
        .iter()
        .filter_map(|fd| match &fd.kind {
            FdKindV1::Listener(address) => Some(address),
            _ => None,
        })
        .filter(|address| {
            bindings
                .listeners
                .iter()
                .all(|given| given.address != **address)
        })
        .cloned()
        .collect();
    addresses.sort();
    addresses.dedup();
    match addresses.is_empty() {
        true => Ok(()),
        false => Err(Error::MissingListener { addresses }),
    }
}

fn restore_deleted(contents: &[serde_bytes::ByteBuf]) -> Result<Vec<File>, Error> {
    if contents.len() as u64 > MOST_OPEN {
        return Err(Error::Malformed(
            "there are more deleted files than a guest can have open",
        ));
    }
    contents
        .iter()
        .map(|content| {
            let mut file = tempfile::tempfile().map_err(io("make a temporary file"))?;
            file.write_all(content)
                .map_err(io("write a temporary file"))?;
            Ok(file)
        })
        .collect()
}

fn io(what: &'static str) -> impl Fn(std::io::Error) -> Error {
    move |source| Error::Io { what, source }
}
