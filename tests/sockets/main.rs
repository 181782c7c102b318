//! Guests with sockets: real connections and datagrams over loopback.

mod buffers;
mod extension;
mod grants;
mod ports;
mod preview1;
mod resume;
mod support;
