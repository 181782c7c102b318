//! The calls on sockets: `sock_*` of preview1, and those of WasmEdge's socket extension, by which
//! guests open their own.

mod address;
mod addrinfo;
mod connect;
mod descriptor;
mod io;
mod options;

pub(super) use addrinfo::sock_getaddrinfo;
pub(super) use connect::{
    sock_accept, sock_bind, sock_connect, sock_getlocaladdr, sock_getpeeraddr, sock_listen,
    sock_open, sock_shutdown,
};
pub(super) use descriptor::Form;
pub(super) use io::{
    read_socket, sock_recv, sock_recv_from, sock_send, sock_send_to, write_socket,
};
pub(super) use options::{sock_getsockopt, sock_setsockopt};
