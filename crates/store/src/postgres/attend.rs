//! What attends to a connection: it passes on what the server says besides its answers, and ends the
//! connection once another server is the primary one.

use std::future::poll_fn;
use std::sync::Arc;

use tokio::sync::watch;
use tokio_postgres::tls::TlsStream;
use tokio_postgres::{AsyncMessage, Connection, Socket};

use super::replicated::Replicated;

/// Attends to connections to a host.
#[derive(Clone)]
pub(super) struct Attendant {
    pub(super) replicated: Arc<Replicated>,
    /// The index of the host.
    pub(super) host: usize,
    /// The index of the host that is the primary server.
    pub(super) primary: watch::Receiver<usize>,
}

impl Attendant {
    /// Attends to a connection until it ends, or another host is the primary one.
    pub(super) async fn attend<T: TlsStream + Unpin>(mut self, connection: Connection<Socket, T>) {
        let (host, primary) = (self.host, &mut self.primary);
        let replaced = async {
            // Before that, it is being tried.
            let is_primary = primary.wait_for(|primary| *primary == host).await.is_ok();
            if !is_primary || primary.wait_for(|primary| *primary != host).await.is_err() {
                // The store is being dropped.
                std::future::pending().await
            }
        };
        tokio::select! {
            () = read(connection, &self.replicated) => {}
            () = replaced => log::debug!("a connection to an earlier primary server is given up"),
        }
    }
}

async fn read<T: TlsStream + Unpin>(
    mut connection: Connection<Socket, T>,
    replicated: &Replicated,
) {
    while let Some(message) = poll_fn(|context| connection.poll_message(context)).await {
        match message {
            Ok(AsyncMessage::Notice(notice)) => replicated.look_at(&notice),
            Ok(_) => {}
            Err(error) => {
                log::debug!("a connection to the store's server has ended: {error}");
                return;
            }
        }
    }
}
