//! Snapshots: a sleeping task as bytes, and back.
//!
//! `stream` writes and reads the files of large guests in pieces; `container` is the file (fixed header, digest, sections); `data` says what the sections hold; `delta` is how a store keeps it;
//! `seal` signs and
//! encrypts it; `pages` turns memories into the pages that differ from a fresh instance; `file` writes it so
//! that a crash leaves the old file or the new one.

#[cfg(feature = "server")]
pub mod chunks;
mod container;
mod data;
#[cfg(feature = "server")]
mod delta;
mod error;
mod file;
mod pages;
#[cfg(feature = "cli")]
mod seal;
#[cfg(feature = "cli")]
mod stream;

#[cfg(feature = "server")]
pub use container::VERSION;
pub use data::{
    AsOfV1, EarlierV1, InstanceV1, MemoryV1, MetaV1, ModuleRef, PendingV1, Snapshot, UsageV1,
};
#[cfg(feature = "server")]
pub use delta::{pack, unpack};
pub use error::Error;
pub use file::{read, write};
#[cfg(any(feature = "cli", test))]
pub use pages::PAGE;
pub use pages::{Run, changed, fill, stored};
#[cfg(feature = "cli")]
pub use seal::{KeyKind, Opened, Seal, Unseal, new_keys};
#[cfg(feature = "cli")]
pub use stream::InFile;
#[cfg(feature = "cli")]
pub(crate) use stream::write_streamed;
