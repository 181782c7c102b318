//! The daemon, as its users see it: the binary, its commands and its HTTP API, on real guests.
//!
//! `DORMOUSE_KILLS` says how often the crash test kills the daemon; `make test-kill` does it a thousand
//! times. `DORMOUSE_NODE_KILLS` is the same for daemons that share a database (`make test-nodes`).
//! `DORMOUSE_MOVES` says how often a move is stopped at each of its steps (`make test-moves`).
//! `DORMOUSE_SOAK_MINUTES` says how long the soak takes, some seconds if left out; `make soak` sets it.

#![allow(
    clippy::expect_used,
    clippy::panic,
    clippy::too_many_lines,
    clippy::unreachable,
    clippy::unwrap_used,
    reason = "a test may fail"
)]

mod api;
#[cfg(feature = "postgres")]
mod appender;
mod bounds;
mod clock;
#[cfg(feature = "postgres")]
mod cluster;
mod collector;
mod compute;
mod connections;
mod crash;
mod damaged;
#[cfg(feature = "postgres")]
mod draining;
mod ending;
mod faketime;
mod faults;
mod flags;
mod full;
mod gate;
mod halted;
#[cfg(feature = "postgres")]
mod handing;
mod http;
mod json;
mod languages;
mod large;
mod limits;
mod making;
mod memory;
mod moving;
mod names;
mod neighbour;
mod netns;
mod network;
#[cfg(feature = "postgres")]
mod node_tls;
#[cfg(feature = "postgres")]
mod nodes;
mod openapi;
#[cfg(feature = "postgres")]
mod placement;
#[cfg(feature = "postgres")]
mod postgres;
mod preparing;
mod prometheus;
mod requests;
mod roles;
mod run;
mod serving;
mod several;
mod side;
mod soak;
mod sockets;
mod states;
mod store;
mod storm;
mod submitted;
mod support;
mod takeover;
mod telemetry;
mod tenants;
mod tls;
mod undecided;
