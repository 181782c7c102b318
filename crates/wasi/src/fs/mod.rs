//! Directories of the host's and what lies in them.
//!
//! cap-std keeps every path inside its directory: neither `..` nor an absolute path nor a symbolic
//! link leads out. A guest has a directory or a file open as [`OpenDir`] or [`OpenFile`];
//! `state.rs` says how both get into a snapshot and come back.

mod dir;
mod entries;
mod fifo;
mod file;
mod identity;
mod locate;
mod open;
mod preopen;
mod read_only;
mod stat;
mod state;

pub use dir::EntryV1;
pub(crate) use dir::OpenDir;
pub(crate) use entries::MAX_PATH_BYTES;
pub(crate) use fifo::FifoOpening;
pub(crate) use file::OpenFile;
pub use identity::IdentityV1;
pub(crate) use open::{Node, OpenRequest, Opened};
pub use preopen::HostDir;
pub(crate) use preopen::{Preopen, check_preopens_given, find_preopen};
pub use stat::FileType;
pub(crate) use stat::{NewTime, NewTimes, Stat};
pub(crate) use state::{DeletedFiles, SavedDir, SavedFile, restore_deleted};
pub use state::{DeletedV1, DirV1, FileV1, OpenMode, RestoreOptions};
