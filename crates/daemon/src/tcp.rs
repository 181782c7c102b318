//! Options of the TCP connections of a daemon, those of clients and those of other daemons.

use std::time::Duration;

use rustix::net::sockopt;
use tokio::net::TcpStream;

/// After this long without a byte from an HTTP client, keepalive probes ask whether it is there.
const CLIENT_KEEPALIVE_IDLE: Duration = Duration::from_secs(30);

/// After this long without a byte from another daemon, keepalive probes ask whether the network was
/// cut.
const PEER_KEEPALIVE_IDLE: Duration = Duration::from_secs(5);

/// The time between two keepalive probes to a peer that does not answer.
const KEEPALIVE_INTERVAL: Duration = Duration::from_secs(2);

/// After this many probes without an answer the connection is reset.
const KEEPALIVE_PROBES: u32 = 3;

/// After this many milliseconds in which another daemon's system has not acknowledged what was sent to
/// it, the connection is reset. There are no keepalive probes meanwhile, and the system itself would
/// try for a quarter of an hour.
const PEER_UNACKNOWLEDGED_MS: u32 = 11_000;

/// For the connection of an HTTP client. What it does not read is kept for as long as it is there.
pub(crate) fn set_client_options(stream: &TcpStream) -> std::io::Result<()> {
    set_options(stream, CLIENT_KEEPALIVE_IDLE)
}

/// For a connection to or from another daemon, which reads whatever it is sent.
pub(crate) fn set_peer_options(stream: &TcpStream) -> std::io::Result<()> {
    set_options(stream, PEER_KEEPALIVE_IDLE)?;
    Ok(sockopt::set_tcp_user_timeout(
        stream,
        PEER_UNACKNOWLEDGED_MS,
    )?)
}

/// From now on the connection carries that of a task, which may read when it likes.
pub(crate) fn set_carrier_options(stream: &TcpStream) -> std::io::Result<()> {
    Ok(sockopt::set_tcp_user_timeout(stream, 0)?)
}

/// Sets `TCP_NODELAY`, and keepalive probes after `keepalive_idle` without a byte, so that a peer
/// that vanished is noticed.
fn set_options(stream: &TcpStream, keepalive_idle: Duration) -> std::io::Result<()> {
    stream.set_nodelay(true)?;
    sockopt::set_socket_keepalive(stream, true)?;
    sockopt::set_tcp_keepidle(stream, keepalive_idle)?;
    sockopt::set_tcp_keepintvl(stream, KEEPALIVE_INTERVAL)?;
    sockopt::set_tcp_keepcnt(stream, KEEPALIVE_PROBES)?;
    Ok(())
}

#[cfg(test)]
mod tests {
    use tokio::net::TcpListener;

    use super::*;

    /// `dormouse migrate` waited for 15 minutes when the network was cut while a request was on its
    /// way: keepalive probes ask only where nothing is unacknowledged. How it ends then is tested
    /// with networks that are cut, in `tests/daemon/netns.rs`.
    #[tokio::test]
    async fn a_request_is_not_sent_again_for_a_quarter_of_an_hour() {
        let listener = TcpListener::bind("127.0.0.1:0").await.expect("a listener");
        let address = listener.local_addr().expect("an address");
        let stream = TcpStream::connect(address).await.expect("a connection");
        let timeout = || sockopt::tcp_user_timeout(&stream).expect("an option");
        set_peer_options(&stream).expect("options");
        let keepalive = PEER_KEEPALIVE_IDLE + KEEPALIVE_INTERVAL * KEEPALIVE_PROBES;
        assert_eq!(u128::from(timeout()), keepalive.as_millis());
        set_carrier_options(&stream).expect("options");
        assert_eq!(timeout(), 0);
    }
}
