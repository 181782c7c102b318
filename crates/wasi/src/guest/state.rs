//! The WASI state of a guest in a snapshot.
//!
//! A snapshot may have been written by anybody: what it says is checked, and it gets nothing that
//! the bindings do not grant.

use std::fs::File;
use std::sync::Arc;

use dormouse_model::clock::Clock;
use dormouse_model::{Deadline, Ends, Limit, Wait};
use serde::{Deserialize, Serialize};
use serde_bytes::ByteBuf;

use super::ctx::Ctx;
use super::table::{Descriptor, Kind, MAX_DESCRIPTORS};
use super::{fdflags, rights};
use crate::bindings::Bindings;
use crate::clocks::{self, ClockV1, GuestClock, VirtualTimeV1};
use crate::error::Error;
use crate::fs::{
    DeletedFiles, DeletedV1, DirV1, EntryV1, FileV1, RestoreOptions, SavedDir, SavedFile,
    check_preopens_given, find_preopen, restore_deleted,
};
use crate::guest::errno::Errno;
use crate::p2::ComponentV1;
use crate::random::SeededV1;
use crate::resources::{Resources, SavedResources};
use crate::sock::{HeldSocket, SocketV1, check_listeners, find_listener};
use crate::stdio::Stream;
use crate::tmpfs::{OpenNodeV1, SharedTmpfs, TmpfsV1};

/// The WASI state of a guest.
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
    pub deleted: Vec<ByteBuf>,
    /// Deadlines of the poll that has blocked, one for each subscription.
    pub poll: Option<Vec<Option<Deadline>>>,
    /// Bytes that the receive that has blocked has got already.
    #[serde(default, skip_serializing_if = "is_zero")]
    pub received: u32,
    /// Directories in memory.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub tmpfs: Vec<TmpfsV1>,
    /// Guest names of directories that the guest may only read.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub read_only: Vec<String>,
    /// The virtual time of a guest that does not see the host's.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub own_time: Option<VirtualTimeV1>,
    /// The random numbers of a guest that does not get the host's.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub seeded: Option<SeededV1>,
    /// What a component has beyond descriptors.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub component: Option<ComponentV1>,
}

fn is_zero<T: Default + PartialEq>(number: &T) -> bool {
    *number == T::default()
}

/// An open descriptor.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct FdV1 {
    /// Its ID.
    pub fd: u32,
    /// What it stands for.
    pub kind: FdKindV1,
    /// Rights.
    pub rights: u64,
    /// The rights that descriptors opened from it can have.
    pub inheriting: u64,
    /// The rights that the guest has given up. They do not come back when a resume lets the guest
    /// write to the directory again.
    #[serde(default, skip_serializing_if = "is_zero")]
    pub given_up: u64,
    /// `fdflags` of the specification.
    pub flags: u16,
    /// The listing that the guest is in the middle of, if it is a directory.
    pub listing: Option<Vec<EntryV1>>,
}

/// What a descriptor stands for.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum FdKindV1 {
    /// A standard stream.
    Stream(Stream),
    /// A directory given by the host, by its guest name.
    Preopen(String),
    /// A directory below one.
    Dir(DirV1),
    /// A file.
    File(FileV1),
    /// A listening socket given by the host, by its address.
    Listener(String),
    /// A socket that the guest has opened or accepted.
    Socket(SocketV1),
    /// A file or a directory in memory.
    Memory(OpenNodeV1),
    /// A file without a name, whose content is in [`StateV1::deleted`].
    Deleted(DeletedV1),
}

impl FdKindV1 {
    /// The guest name of the directory given by the host that it needs.
    fn preopen(&self) -> Option<&String> {
        match self {
            Self::Preopen(preopen)
            | Self::Dir(DirV1 { preopen, .. })
            | Self::File(FileV1 { preopen, .. }) => Some(preopen),
            _ => None,
        }
    }

    /// The address of the listener given by the host that it needs.
    fn listener(&self) -> Option<&String> {
        match self {
            Self::Listener(address) => Some(address),
            _ => None,
        }
    }

    /// The rights that such a descriptor can have, and those that descriptors opened from it can
    /// have.
    fn possible_rights(&self) -> (u64, u64) {
        match self {
            Self::Stream(stream) => (Descriptor::stream(*stream).rights, 0),
            Self::Preopen(_) | Self::Dir(_) => (rights::DIRECTORY, rights::ALL),
            Self::Listener(_) => (rights::LISTENER, rights::CONNECTION),
            Self::Socket(_) => (rights::SOCKET, rights::CONNECTION),
            Self::Memory(_) => (rights::file(true, true) | rights::DIRECTORY, rights::ALL),
            Self::File(FileV1 { access, .. }) | Self::Deleted(DeletedV1 { access, .. }) => {
                (rights::file(access.read, access.write), 0)
            }
        }
    }
}

impl StateV1 {
    /// When the guest's wait ends by its deadlines, as a clock shows it now.
    pub fn ends(&self, wait: &Wait, clock: Arc<dyn Clock>) -> Ends {
        let clock = GuestClock::restore(clock, self.clock);
        clocks::ends(&clock, clocks::deadlines(wait, self.poll.as_deref()))
    }
}

impl Ctx {
    /// The state as data. It stays as it is, but for the keys of the guest's sockets, which are
    /// new.
    ///
    /// # Errors
    /// An open file cannot be serialized.
    pub fn save(&mut self) -> Result<StateV1, Error> {
        let mut deleted = DeletedFiles::default();
        let mut key = random_key()?;
        let mut fds = Vec::new();
        for (fd, descriptor) in self.table.iter() {
            let (kind, listing) = match &descriptor.kind {
                Kind::Stream(stream) => (FdKindV1::Stream(*stream), None),
                Kind::Dir(open) => {
                    let kind = match open.save(&self.resources.preopens)? {
                        SavedDir::Preopen(guest) => FdKindV1::Preopen(guest),
                        SavedDir::Below(dir) => FdKindV1::Dir(dir),
                    };
                    (kind, open.listing.clone())
                }
                Kind::File(open) => {
                    let kind = match open.save(&self.resources.preopens, &mut deleted)? {
                        SavedFile::Named(file) => FdKindV1::File(file),
                        SavedFile::Deleted(file) => FdKindV1::Deleted(file),
                    };
                    (kind, None)
                }
                Kind::Socket(socket) => match socket.given_address() {
                    Some(address) => (FdKindV1::Listener(address.into()), None),
                    None => {
                        key = key.wrapping_add(1);
                        (FdKindV1::Socket(socket.save(key)), None)
                    }
                },
                Kind::Memory(open) => (FdKindV1::Memory(open.save()), open.save_listing()),
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
        let saved = self.resources.save();
        Ok(StateV1 {
            args: saved.args,
            env: saved.env,
            clock: saved.clock,
            fds,
            deleted: deleted.into_contents(),
            poll: self.poll.clone(),
            received: self.received,
            tmpfs: saved.tmpfs,
            read_only: saved.read_only,
            own_time: saved.virtual_time,
            seeded: saved.seeded,
            component: self.component.save(),
        })
    }

    /// A guest's state over a new host.
    ///
    /// # Errors
    /// The host lacks a directory, a file is missing or was changed, or the state makes no sense.
    pub fn restore(
        state: StateV1,
        mut bindings: Bindings,
        options: RestoreOptions,
        clock: Arc<dyn Clock>,
    ) -> Result<Self, Error> {
        let kinds = state.fds.iter().map(|fd| &fd.kind);
        check_preopens_given(kinds.clone().filter_map(FdKindV1::preopen), &bindings.dirs)?;
        // Whichever way an address is given at a resume, the guest uses it as it did before.
        bindings.listeners.extend(bindings.http.take());
        check_listeners(kinds.filter_map(FdKindV1::listener), &bindings.listeners)?;
        let held = std::mem::take(&mut bindings.held);
        let limits = bindings.limits;
        let saved = SavedResources {
            args: state.args,
            env: state.env,
            clock: state.clock,
            virtual_time: state.own_time,
            tmpfs: state.tmpfs,
            read_only: state.read_only.clone(),
            seeded: state.seeded,
        };
        let resources = Resources::restore(saved, bindings, clock)?;
        let mut ctx = Self::without_descriptors(resources, limits.value(Limit::Files));
        ctx.component = ComponentV1::restore(state.component)?;
        ctx.poll = state.poll;
        ctx.received = state.received;
        let deleted = restore_deleted(&state.deleted, MAX_DESCRIPTORS)?;
        for saved in state.fds {
            let number = saved.fd;
            if u64::from(number) >= MAX_DESCRIPTORS {
                return Err(Error::Malformed("a descriptor has an impossible number"));
            }
            let restorer = Restorer {
                resources: &ctx.resources,
                read_only: &state.read_only,
                deleted: &deleted,
                held: &held,
                options,
            };
            let descriptor = restorer.descriptor(saved)?;
            ctx.table
                .insert_at(number, descriptor)
                .map_err(|errno| match errno {
                    Errno::Mfile => Error::Limit(limits.reached(Limit::Files)),
                    _ => Error::Malformed("two descriptors have one number"),
                })?;
        }
        ctx.resources
            .tmpfs
            .iter()
            .for_each(SharedTmpfs::drop_unused);
        Ok(ctx)
    }
}

/// A random number to count the keys of sockets from, so that no key of an older snapshot is among
/// them.
fn random_key() -> Result<u64, Error> {
    let mut key = [0; 8];
    getrandom::fill(&mut key).map_err(|error| Error::Io {
        what: "get a random number",
        source: std::io::Error::other(error),
    })?;
    Ok(u64::from_le_bytes(key))
}

/// What descriptors are restored from.
struct Restorer<'a> {
    resources: &'a Resources,
    /// Guest names of the directories that the guest could only read before.
    read_only: &'a [String],
    /// The deleted files that the guest has open.
    deleted: &'a [File],
    held: &'a [HeldSocket],
    options: RestoreOptions,
}

impl Restorer<'_> {
    fn descriptor(&self, saved: FdV1) -> Result<Descriptor, Error> {
        let (own, inheriting) = saved.kind.possible_rights();
        if saved.rights & !own != 0 || saved.inheriting & !inheriting != 0 {
            return Err(Error::Malformed(
                "a descriptor has rights that it cannot have",
            ));
        }
        let mut rights = saved.rights;
        if let Some(guest) = saved.kind.preopen() {
            let now = find_preopen(&self.resources.preopens, guest)?.read_only;
            // Rights that the guest lost when it could only read come back when it may write again.
            if self.read_only.contains(guest) && !now {
                rights |= rights::CHANGES & own & !saved.given_up;
            }
            rights = rights::allowed(rights, now);
        }
        if saved.flags & !fdflags::ALL != 0 {
            return Err(Error::Malformed(
                "a descriptor has flags that there are not",
            ));
        }
        Ok(Descriptor {
            rights,
            inheriting: saved.inheriting,
            given_up: saved.given_up,
            flags: saved.flags,
            kind: self.kind(saved)?,
        })
    }

    fn kind(&self, saved: FdV1) -> Result<Kind, Error> {
        let preopens = &self.resources.preopens;
        let status = fdflags::status(saved.flags);
        Ok(match saved.kind {
            FdKindV1::Stream(stream) => Kind::Stream(stream),
            FdKindV1::Preopen(guest) => {
                let mut open = find_preopen(preopens, &guest)?.open_dir()?;
                open.listing = saved.listing;
                Kind::Dir(open)
            }
            FdKindV1::Dir(dir) => Kind::Dir(dir.restore(preopens, saved.listing)?),
            FdKindV1::File(file) => Kind::File(file.restore(preopens, status, self.options)?),
            FdKindV1::Deleted(file) => Kind::File(file.restore(self.deleted, status)?),
            FdKindV1::Listener(address) => {
                let listener = find_listener(&self.resources.listeners, address)?;
                Kind::Socket(Box::new(listener))
            }
            FdKindV1::Socket(socket) => {
                let socket = socket.restore(self.held, &self.resources.grants)?;
                Kind::Socket(Box::new(socket))
            }
            FdKindV1::Memory(open) => {
                let missing = Error::Malformed("a directory in memory is not there");
                let tmpfs = self.resources.tmpfs.get(open.tmpfs as usize);
                Kind::Memory(tmpfs.ok_or(missing)?.reopen(&open, saved.listing)?)
            }
        })
    }
}
