//! What dormouse's tests share.
//!
//! | file | what is in it |
//! | --- | --- |
//! | `place.rs` | where things are: the binary, guests, the cache, the checkout; which engines there are |
//! | `command.rs` | the binary and the oracle are run, and what they came to is looked at |
//! | `component.rs` | components of WASI 0.2 are made and run by their oracle |
//! | `wait.rs` | something that another process does is waited for |
//! | `postgres.rs` | PostgreSQL servers that tests start themselves |
//! | `proxy.rs` | a proxy before a server's socket, which loses what passes it |
//! | `ports.rs` | ports that nobody uses |
//! | `forge.rs` | snapshot files are taken apart, changed and put together |
//!
//! What only one folder of tests needs stands there, in its `support.rs`.

#![allow(
    clippy::expect_used,
    clippy::panic,
    clippy::unreachable,
    clippy::unwrap_used,
    reason = "a test may fail"
)]

mod command;
mod component;
pub mod forge;
mod place;
pub mod ports;
pub mod postgres;
pub mod proxy;
mod wait;

pub use command::{
    assert_ended, check, dormouse, ended, finish, input, oracle, resume, said, says, send, stderr,
    stdout, suspend,
};
pub use component::{TO_COMPOSE, component, component_of_text, composed, reactor, wasmtime};
pub use place::{cache, checkout, engines, guest, program, test_modules};
pub use wait::{TIMEOUT, end, until};
