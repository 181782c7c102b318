//! WASI preview1 over plain guest memory, with every piece of its state serializable.
//!
//! Nothing here knows an engine: a call gets its arguments and `&mut [u8]`, and answers
//! [`Outcome::Done`], [`Outcome::Block`] with the [`Wait`](crate::model::Wait) as data, or
//! [`Outcome::Exit`].
//!
//! Layouts and numbers are those of the specification, `wasi_snapshot_preview1.witx`. Where it
//! leaves the errno open, it is the one that Wasmtime gives on Linux.

use dormouse_model as model;

mod abi;
mod caps;
mod clock;
mod ctx;
mod dir;
mod errno;
mod error;
mod fd;
mod file;
mod function;
mod identity;
mod names;
mod path;
mod pipe;
mod poll;
mod random;
mod read_only;
mod restore;
mod rights;
mod save;
mod sock;
mod state;
mod streams;
#[cfg(test)]
mod tests;
mod tmpfs;
mod transfer;

pub use clock::Clocks;
pub use ctx::{Config, Ctx, Outcome};
pub use error::Error;
pub use function::Function;
pub use random::Randomness;
pub use restore::RestoreOptions;
pub use sock::{Asleep, Grants, HeldSocket, Listener, Role, Rule, Watch, Watched};
pub use sock::{PhaseV1, SocketV1};
pub use state::StateV1;
pub use state::{FdKindV1, FdV1};
pub use streams::{Access, Bindings, HostDir, Input, Output, Sink};
pub use tmpfs::TmpDir;
