//! WASI whose state can be serialized.
//!
//! A guest's WASI state is a [`Ctx`]. A call gets its arguments and the guest's memory as `&mut
//! [u8]`, and comes to [`Outcome::Done`], to [`Outcome::Exit`], or to [`Outcome::Block`] with what
//! the guest waits for as data ([`Wait`](dormouse_model::Wait)). Nothing here knows an engine.
//! [`Ctx::save`] gives the state as plain data, and [`Ctx::restore`] continues from it over the same
//! host or another one.
//!
//! ```
//! use std::sync::{Arc, Mutex};
//! use dormouse_model::clock::SystemClock;
//! use dormouse_wasi::{Bindings, Config, Ctx, Errno, Function, Outcome, Output, RestoreOptions};
//!
//! # fn main() -> Result<(), dormouse_wasi::Error> {
//! let captured = Arc::new(Mutex::new(Vec::new()));
//! let bindings = || Bindings {
//!     stdout: Output::Capture(captured.clone()),
//!     ..Bindings::default()
//! };
//! let clock = Arc::new(SystemClock::new());
//! let mut guest = Ctx::new(Config::default(), bindings(), clock.clone())?;
//!
//! // A guest's memory with a text at 16, and at 0 the list of buffers that names it.
//! let mut memory = [0; 32];
//! memory[16..21].copy_from_slice(b"hello");
//! memory[..4].copy_from_slice(&16u32.to_le_bytes());
//! memory[4..8].copy_from_slice(&5u32.to_le_bytes());
//! let (stdout, list, count, result) = (1, 0, 1, 8);
//! let arguments = [stdout, list, count, result];
//! let outcome = guest.call(Function::FdWrite, &arguments, &mut memory, None);
//! assert_eq!(outcome, Outcome::Done(Errno::Success));
//!
//! // The state is data: another instance continues from it.
//! let state = guest.save()?;
//! let mut guest = Ctx::restore(state, bindings(), RestoreOptions::default(), clock)?;
//! guest.call(Function::FdWrite, &arguments, &mut memory, None);
//! assert_eq!(*captured.lock().expect("nobody has panicked"), b"hellohello");
//! # Ok(())
//! # }
//! ```
//!
//! # Rooms
//!
//! | room | what is in it |
//! | --- | --- |
//! | `guest` | a guest: descriptors and their rights, what it waits for, its state as data |
//! | `p1` | preview1: the calls and their ABI |
//! | `p2` | WASI 0.2 for components: the calls, the canonical ABI, handles and resources |
//! | `fs` | directories of the host's, and files in them |
//! | `tmpfs` | directories in memory |
//! | `http` | HTTP/1.1: requests with their responses, as data |
//! | `sock` | sockets, and what a guest may reach by them |
//! | `clocks` | the guest's clocks, and the deadlines of its waits |
//! | `random` | the guest's random numbers |
//! | `stdio` | standard input, output and error |
//! | `quota` | how much the guest may write, and how much it has written |
//!
//! Only `p1` and `p2` know an ABI. The other rooms take and give values of Rust, and answer with the
//! operating system's error numbers (`errno`). Each has its state with what a snapshot keeps of it
//! side by side. `resources` joins all that does not depend on the version of WASI.
//!
//! # How descriptors come back
//!
//! | kind | kept | at a resume |
//! | --- | --- | --- |
//! | stdin, stdout, stderr | which one | the new process's |
//! | directory from `--dir` | guest name, whether it is to be read only | must be given again; all that are missing are named at once (exit code 69) |
//! | directory below one | path, the listing it is in | opened by path |
//! | file | path, offset, access, flags, size, time, digest up to 1 MiB | opened by path, compared (71), set to its offset |
//! | pipe or device in a directory | path, access, flags | opened by path; the other end must be there again |
//! | pipe that is being opened to write to | the arguments of the call | the call waits again for a reader |
//! | listener from `--tcplisten` | its address as it was written | must be given again (69) |
//! | socket of the guest's own that listens, or is for datagrams | its address, peer, options, timeouts, and the last 256 that it has heard from | bound again (69 where that fails or is not granted any more) |
//! | socket that is connecting | where to | connects anew |
//! | connection | that there was one | the host's socket where somebody has kept it; else it reads as reset |
//! | in a directory in memory | the whole directory; which file, offset | the directory is made again from the snapshot |
//! | deleted file | content up to 64 MiB, offset, flags | a nameless temporary file; descriptors of one file share it again |
//!
//! Where a file is *now* is asked of the system at the suspend (`/proc/self/fd`), so one that was renamed
//! is found. If its name was deleted but it has another, the guest's directories are searched for that. A
//! file that was moved out of them all cannot be suspended (76). Numbers, rights and flags are the
//! guest's own. Rights in a snapshot that the descriptor could never have had are refused, and those that
//! the guest gave up do not come back.
//!
//! A directory in memory (`--tmpfs`) is a file system of inodes that only its guest sees. Its calls are
//! answered before any of the host's files are looked at, with the errnos that a directory of the host's
//! gives; a test makes the same random calls on both and compares. It is limited in bytes, with 128
//! counted for each file and 64 for each name. Nothing links or renames between it and the host
//! (`EXDEV`).

//!
//! # Components
//!
//! A component's files and sockets are such descriptors as well. Everything else that it has comes back
//! as it was: handles, with their numbers; streams, each at its place in its file; pollables; what is
//! left of a listing or of a name's addresses; requests and responses, each at its byte; loans of
//! calls that are under way; a result that waits for memory; and what was written to a connection
//! and is still to be sent.

#![deny(missing_docs)]

mod bindings;
mod clocks;
mod errno;
mod error;
mod fs;
mod guest;
mod http;
mod io;
mod nanoseconds;
mod p1;
pub mod p2;
mod quota;
mod random;
mod resources;
mod sock;
mod stdio;
#[cfg(test)]
mod tests;
mod tmpfs;

pub use bindings::{Bindings, Config};
pub use clocks::{ClockV1, VirtualTimeV1};
pub use dormouse_model::spec::{Access, Clocks, Randomness, Rule};
pub use error::Error;
pub use fs::{
    DeletedV1, DirV1, EntryV1, FileType, FileV1, HostDir, IdentityV1, OpenMode, RestoreOptions,
};
pub use guest::{Ctx, FdKindV1, FdV1, Source, StateV1};
pub use http::HttpConnection;
pub use p1::{Errno, Function, Outcome};
pub use random::SeededV1;
pub use sock::{Asleep, Grants, HeldSocket, Listener, PhaseV1, Role, SocketV1, Watch, Watched};
pub use stdio::{Input, Output, Sink, Stream};
pub use tmpfs::{BodyV1, NodeV1, OpenNodeV1, TimesV1, TmpDir, TmpfsV1};
