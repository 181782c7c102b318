//! Ports that nobody uses, for servers that tests are about to start.
//!
//! No socket is bound to find out: a process that another test starts at that moment would have a copy of it until its
//! `execve`, which keeps the port, and takes what is sent there. The system says which ports are used, and those that it
//! chooses by itself for clients are left alone.

use std::net::SocketAddr;
use std::sync::atomic::{AtomicU16, Ordering};

/// Below those that Linux gives to clients, from 32768 on (`ip_local_port_range`).
const FIRST: u16 = 10_000;
const COUNT: u16 = 20_000;

/// How many of them this process has looked at.
static LOOKED: AtomicU16 = AtomicU16::new(0);

/// A port that nobody uses, for TCP or UDP. No other caller in this process gets it.
pub fn free_port() -> u16 {
    // Another process begins somewhere else.
    let start = std::process::id().wrapping_mul(7919) % u32::from(COUNT);
    for _ in 0..COUNT {
        let step = u32::from(LOOKED.fetch_add(1, Ordering::Relaxed));
        let port = FIRST + ((start + step) % u32::from(COUNT)) as u16;
        let used = |table: &&str| is_in(table, port);
        if !["tcp", "tcp6", "udp", "udp6"].iter().any(used) {
            return port;
        }
    }
    panic!("all ports are used");
}

/// An address of the loopback with such a port.
pub fn free_address() -> String {
    free_address_of("127.0.0.1")
}

/// One of this IP address.
pub fn free_address_of(ip: &str) -> String {
    let ip = ip.parse().expect("an address");
    SocketAddr::new(ip, free_port()).to_string()
}

/// Whether a socket of this process's network has the port: proc_net(5).
pub fn is_in(table: &str, port: u16) -> bool {
    let sockets = match std::fs::read_to_string(format!("/proc/net/{table}")) {
        // There is no IPv6 here.
        Err(_) if table.ends_with('6') => return false,
        sockets => sockets.expect("Linux has it"),
    };
    sockets.lines().skip(1).any(|line| {
        let local = line.split_whitespace().nth(1);
        local.is_some_and(|local| local.ends_with(&format!(":{port:04X}")))
    })
}
