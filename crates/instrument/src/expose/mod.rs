//! What a resumable module exports and says beside its code.
//!
//! - [`state`]: the exports by which the whole state of an instance is read and written, and the
//!   [`Shape`](dormouse_model::Shape) that describes them.
//! - [`unused_state`]: asyncify's part of them for a module that is left as it is.
//! - [`function_names`]: the names that functions had in the source, and which functions run only
//!   after a resume.
//! - [`table_maximum`]: a limit that engines keep.
//! - [`branch_hints`]: which branches are hardly ever taken.

pub(crate) mod branch_hints;
pub(crate) mod function_names;
pub(crate) mod state;
pub(crate) mod table_maximum;
pub(crate) mod unused_state;
