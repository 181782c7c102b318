//! Daemons that know each other, and the protocol by which tasks move between them.
//!
//! ```text
//!   dormouse migrate --HTTP--> source --TLS 1.3, both sides pinned--> target
//!                                |  hello, inquire, blobs               |
//!                                |  offer, accept, forget               |
//!                                `------ resolve: asks after a failure -'
//! ```
//!
//! A daemon is known by the SHA-256 fingerprint of a certificate that it makes for itself at its
//! first start. Daemons that are not known are refused while the connection is made. What each step
//! of a move means for the store stands in `moving`.
//!
//! | file | what stands there |
//! | --- | --- |
//! | `network` | what a daemon knows of others, [`Peers`] |
//! | `start` | opens that, and lets other daemons in |
//! | `identity`, `trust` | the certificate of this daemon, and those of others |
//! | `tls`, `message` | what is spoken: TLS with pinned certificates, requests and answers |
//! | `client`, `server` | the side of a connection that asks, and the side that answers |
//! | `send_task`, `drain` | moves one task to a target, or all of them |
//! | `resolve` | ends moves that a crash or a cut network has left open |
//! | `open_moves`, `why_open` | which moves are open and why, and what an operator decides about them |
//! | `relay`, `ends` | connections of tasks that have moved, which the source carries to the target |

mod client;
pub(crate) mod drain;
mod ends;
pub(crate) mod error;
mod identity;
mod message;
mod network;
pub(crate) mod open_moves;
mod relay;
mod resolve;
pub(crate) mod send_task;
mod server;
mod start;
mod tls;
pub(crate) mod trust;
mod why_open;

pub(crate) use client::Link;
pub use network::Peers;
