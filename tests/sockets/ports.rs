//! Ports that nobody uses, for servers that tests are about to start.
//!
//! A process that another test starts just then has a copy of the probing socket until its `execve`. What came to it would be
//! lost with it, so that it takes nothing.

use std::net::{SocketAddr, UdpSocket};

use socket2::{Domain, Socket, Type};

/// A TCP port that nobody uses.
pub fn free_address() -> String {
    free_address_of("127.0.0.1")
}

/// A TCP port of this address that nobody uses.
pub fn free_address_of(ip: &str) -> String {
    let any = SocketAddr::new(ip.parse().expect("an address"), 0);
    let socket = Socket::new(Domain::for_address(any), Type::STREAM, None).expect("a socket");
    // It does not listen.
    socket.bind(&any.into()).expect("loopback");
    let address = socket.local_addr().expect("it is bound");
    address
        .as_socket()
        .expect("an internet address")
        .to_string()
}

/// A UDP port that nobody uses.
pub fn free_datagram_address(ip: &str) -> String {
    let socket = UdpSocket::bind(format!("{ip}:0")).expect("loopback");
    let address = socket.local_addr().expect("it is bound");
    // Connected, it takes no datagram from anybody else.
    socket.connect(address).expect("an address");
    address.to_string()
}
