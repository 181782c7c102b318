//! The cache on disk: resumable modules and the machine code that engines made of them.
//!
//! ```text
//! <root>/<key>.source          which resumable module belongs to a source and its settings
//! <root>/<digest>.wasm.zst     the resumable module, compressed
//! <root>/<digest>.manifest     its manifest
//! <root>/<digest>.report       what was done with its source
//! <root>/<digest>.<code key>   machine code of one engine
//! <root>/<name>.blake3         the digest of machine code
//! <root>/<name>.lock           while somebody makes the file `<name>`
//! <root>/.sizes                by how many bytes the cache has grown since it was counted
//! ```
//!
//! A file's time of change says when it was last used, to a day: [`Cache::prune`] goes by it.
//!
//! Machine code is run as it is found, so the directory is readable by its owner alone, and one
//! that belongs to somebody else is refused.

mod contents;
mod directory;
mod entries;
mod lock;
mod prune;
mod unfinished;
mod verify;

pub use self::contents::{CodeEntry, ModuleEntry};
pub use self::directory::Cache;
pub(super) use self::directory::get;
pub(super) use self::entries::{SourceEntry, pack_report, unpack_report};
pub(super) use self::lock::Lock;
pub use self::prune::{Prune, Pruned, Removed};
pub use self::unfinished::{leave, remove_unfinished, write_file};
pub use self::verify::{Damaged, Verified};
