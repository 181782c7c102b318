//! Snapshots: a sleeping task as bytes, and back.
//!
//! `stream` writes and reads the files of large guests in pieces; `container` is the file (fixed header, digest, sections); `data` says what the sections hold; `delta` is how a store keeps it;
//! `seal` signs and
//! encrypts it; `pages` turns memories into the pages that differ from a fresh instance; `file` writes it so
//! that a crash leaves the old file or the new one.
use dormouse_model as model;

pub mod chunks;
mod container;
mod data;
mod delta;
mod error;
mod file;
mod pages;
#[cfg(feature = "seal")]
mod seal;
#[cfg(feature = "seal")]
mod stream;
pub use container::VERSION;
pub use data::{
    AsOfV1, EarlierV1, InstanceV1, MemoryV1, MetaV1, ModuleRef, PendingV1, Snapshot, UsageV1,
};
pub use delta::{pack, unpack};
pub use error::Error;
pub use file::{read, write};
pub use pages::PAGE;
pub use pages::{Run, changed, fill, stored};
#[cfg(feature = "seal")]
pub use seal::{KeyKind, Opened, Seal, Unseal, new_keys};
#[cfg(feature = "seal")]
pub use stream::InFile;
#[cfg(feature = "seal")]
pub use stream::write_streamed;
