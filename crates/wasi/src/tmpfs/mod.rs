//! A directory in memory: it belongs to one guest and is part of the guest's snapshots.
//!
//! ```text
//!   open node --inode number--> node: content | names with inode numbers | target of a link
//! ```
//!
//! It answers as a directory of the host's does on Linux, error numbers included; the tests of
//! preview1 compare the two. A node lives as long as it has a name or is open. Content, names and
//! nodes count against a limit, beyond which the answer is `ENOSPC`.

mod entries;
mod open;
mod resolve;
mod state;
mod tree;

pub use open::TmpDir;
pub(crate) use open::{OpenNode, SharedTmpfs};
pub use state::{BodyV1, NodeV1, OpenNodeV1, TmpfsV1};
pub use tree::TimesV1;
