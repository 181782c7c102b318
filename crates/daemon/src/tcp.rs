//! Options of the TCP connections of a daemon, those of clients and those of other daemons.

use std::time::Duration;

use rustix::net::sockopt;
use tokio::net::TcpStream;

/// After this long without a byte from an HTTP client, keepalive probes ask whether it is there.
pub(crate) const CLIENT_KEEPALIVE_IDLE: Duration = Duration::from_secs(30);

/// After this long without a byte from another daemon, keepalive probes ask whether the network was
/// cut.
pub(crate) const PEER_KEEPALIVE_IDLE: Duration = Duration::from_secs(5);

/// The time between two keepalive probes to a peer that does not answer.
const KEEPALIVE_INTERVAL: Duration = Duration::from_secs(2);

/// After this many probes without an answer the connection is reset.
const KEEPALIVE_PROBES: u32 = 3;

/// Sets `TCP_NODELAY`, and keepalive probes after `keepalive_idle` without a byte, so that a peer
/// that vanished is noticed. For accepted and for outgoing connections.
pub(crate) fn set_tcp_options(stream: &TcpStream, keepalive_idle: Duration) -> std::io::Result<()> {
    stream.set_nodelay(true)?;
    sockopt::set_socket_keepalive(stream, true)?;
    sockopt::set_tcp_keepidle(stream, keepalive_idle)?;
    sockopt::set_tcp_keepintvl(stream, KEEPALIVE_INTERVAL)?;
    sockopt::set_tcp_keepcnt(stream, KEEPALIVE_PROBES)?;
    Ok(())
}
