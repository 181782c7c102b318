//! Guests with sockets: real connections and datagrams over loopback.

mod extension;
mod grants;
mod preview1;
mod resume;
mod support;
