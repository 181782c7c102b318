//! Snapshots: a sleeping task as bytes, and back.
//!
//! # Example
//!
//! ```
//! use dormouse_model::{Limits, Wait};
//! use dormouse_snapshot::{Snapshot, read, write};
//! # let golden = concat!(
//! #     env!("CARGO_MANIFEST_DIR"),
//! #     "/../../snapshots/golden/v1/c_hello_sleep.wasmtime.snapshot"
//! # );
//! # let golden = std::path::Path::new(golden);
//!
//! let limits = Limits::default();
//! let snapshot = Snapshot::decode(&read(golden, &limits)?, &limits)?;
//! assert_eq!(snapshot.meta.engine, "wasmtime");
//! assert!(matches!(snapshot.meta.wait, Wait::Poll { .. }));
//!
//! // A file is replaced whole, or not at all.
//! let folder = tempfile::tempdir()?;
//! let copy = folder.path().join("copy");
//! write(&copy, &snapshot.encode()?)?;
//! assert_eq!(Snapshot::decode(&read(&copy, &limits)?, &limits)?, snapshot);
//! # Ok::<(), Box<dyn std::error::Error>>(())
//! ```
//!
//! # Where to find what
//!
//! | file | what it holds |
//! | --- | --- |
//! | `data.rs` | what a snapshot says: meta data, instance, WASI state as bytes |
//! | `container.rs` | the file: header, digest, sections |
//! | `pages.rs` | memories as the pages that differ from a fresh instance |
//! | `file.rs` | writes a file so that a crash leaves the old one or the new one |
//! | `stream.rs` | writes and reads the files of large guests in pieces |
//! | `seal.rs` | signs and encrypts |
//! | `delta.rs`, `chunks.rs` | how a store keeps snapshots: as differences from a base |
//!
//! # Format, version 1
//!
//! `container.rs` has the layout of the file: a header, a table, and these sections.
//!
//! | section | content |
//! | --- | --- |
//! | 1 meta | MessagePack map: tool, engine, time, wait, when it ends, digests of source and resumable module, transform |
//! | 2 module | the resumable module, always zstd; missing in a `--slim` snapshot |
//! | 3 instance | MessagePack map: entry, pending call, globals and tables as bits, sizes and page runs of memories |
//! | 4 WASI | MessagePack map: arguments, environment, clocks, descriptors, deleted files, deadlines of the poll |
//! | 5 memory | the 4 KiB pages that differ from a fresh instance, one run after another; all-zero pages are only named |
//! | 6 stack | the used part of asyncify's stack |
//!
//! The header is written last, so that pages go from the guest's memory into the file in pieces. A
//! reader goes through the whole file for the digest, and reads the pages a second time, straight
//! into the guest's memory.
//!
//! A reader checks magic, version, length and digest, in this order, before it decodes anything;
//! then it checks sizes against [`Limits`](model::Limits) before it unpacks. Of a file that starts
//! otherwise it reads no more than the start. Unknown and doubled sections are errors, and so is a
//! byte that belongs to no section. There never was a version 0. What is inside is still input from
//! a stranger: `dormouse-task` and `dormouse-wasi` check page runs, descriptor numbers, rights and
//! flags, the pending call and all counts against the module and against what a guest can have. The
//! digest tells damage, not forgery: it is not a signature.
//!
//! Structures named `…V1` are never edited once released. What changes becomes `…V2`.
//!
//! # When something fails while writing
//!
//! A snapshot is written to a temporary file in the same folder (mode 0600), flushed, renamed over
//! the target, and the folder is flushed. So:
//!
//! - The name holds the old snapshot or the new one, whole, whatever dies when. A crash may leave a
//!   file `.dormouse-…` behind, which can be removed.
//! - The command prints "asleep until …" and returns 75 after that. A caller that has seen 75 has a
//!   durable snapshot.
//! - If any step fails, the task is still in its process and continues there: to freeze it changes
//!   nothing.
//!
//! What the guest did outside itself is **not** part of this. Output and file writes happen when
//! the guest makes them. If the process is killed, the last snapshot is the truth about the guest,
//! and the host has whatever the guest did after it. Resuming that snapshot does those things
//! again: at least once, counted from the last snapshot, never less. An open file that was written
//! to in between is noticed (exit code 71). If nothing ran since the snapshot, as after every exit
//! with 75, nothing is done twice.
//!
//! # Signed and encrypted snapshots
//!
//! An envelope around the file; `seal.rs` has its layout. Signatures are minisign's (Ed25519 over
//! BLAKE2b), encryption is age's (X25519, ChaCha20-Poly1305), and so are the keys' files. A
//! snapshot is encrypted first and signed as it is on the disk, so that the order of opening is:
//! sizes, signature, decryption, and then all checks that any snapshot goes through. With keys
//! given, everything else is refused (exit code 81), a bare snapshot too, in words that do not
//! depend on what is inside. Without `--verify-key` a signature must still be right, and its key is
//! named; that key is then one that the file itself brings.

#![deny(missing_docs)]

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
pub use seal::{KeyKind, Opened, Seal, Unseal, is_sealed, new_keys};
#[cfg(feature = "seal")]
pub use stream::InFile;
#[cfg(feature = "seal")]
pub use stream::write_streamed;
