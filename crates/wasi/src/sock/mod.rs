//! Sockets.
//!
//! ```text
//!   open --> Open --bind--> Bound --listen--> Listening --accept--> Connected (another socket)
//!              `---connect---> Connecting --> Connected --suspend, and not held--> Reset
//! ```
//!
//! The host's sockets are non-blocking, so that only the guest waits. A snapshot says what each
//! socket is for ([`SocketV1`]); listeners and datagram sockets are made anew from that at a
//! resume. A connection cannot be made anew. If another process has kept the host's socket
//! ([`HeldSocket`]), the guest continues with it; else the guest reads "connection reset", and never
//! the data of another connection.

mod grants;
mod held;
mod io;
mod lookup;
pub(crate) mod options;
mod socket;
mod state;

pub use grants::Grants;
pub use held::{Asleep, HeldSocket, Role, Watch, Watched};
pub(crate) use io::Received;
pub(crate) use lookup::{Family, Lookup, LookupError, host_addresses};
pub use socket::{Listener, PhaseV1};
pub(crate) use socket::{Socket, check_listeners, find_listener};
pub use state::SocketV1;
