//! Connections, and what becomes of a call whose connection breaks.

use std::sync::Arc;
use std::time::Duration;

use deadpool_postgres::{
    Manager, ManagerConfig, Object, Pool, PoolError, RecyclingMethod, Runtime,
};
use tokio_postgres::Config;

use super::error::unreachable;
use super::servers::{Pooled, Servers};
use super::tls::{self, Connector};
use crate::error::Error;

/// At most this many connections.
const MOST_CONNECTIONS: usize = 16;

/// A server that does not answer within this is not reached.
pub(super) const CONNECT_TIMEOUT: Duration = Duration::from_secs(5);

/// A connection whose data is not acknowledged for this long is broken.
const TCP_TIMEOUT: Duration = Duration::from_secs(3);

/// An idle connection is asked for a sign of life after this.
const KEEPALIVE_AFTER: Duration = Duration::from_secs(2);

/// Where the tables are, and how long the server waits for a client that has stopped in the middle
/// of a transaction, and for the machine of one that has gone without a word. No statement is worth
/// being compiled: the server would do so by its guess of what one costs, for a second at each claim
/// where there are snapshots of many chunks.
const SESSION: &str = "-c search_path=dormouse -c client_min_messages=warning -c jit=off \
    -c idle_in_transaction_session_timeout=2s \
    -c tcp_keepalives_idle=2 -c tcp_keepalives_interval=1 -c tcp_keepalives_count=2";

/// The settings of all connections to the server that a URL names, and what makes them.
///
/// # Errors
/// If it is no URL of a PostgreSQL database, or asks for TLS with files that cannot be used.
pub(super) fn config(url: &str) -> Result<(Config, Connector), Error> {
    let (url, asked) = tls::take(url)?;
    // The URL may have a password, and is not shown.
    let mut config: Config = url.parse().map_err(|error| {
        let text = format!(
            "the URL names no PostgreSQL database: {error}; write postgres://USER@HOST/DATABASE"
        );
        Error::Database(text)
    })?;
    let connector = asked.connector(&mut config)?;
    let options = match config.get_options() {
        Some(own) => format!("{SESSION} {own}"),
        None => SESSION.into(),
    };
    config
        .options(options)
        .application_name("dormouse")
        .connect_timeout(CONNECT_TIMEOUT)
        .tcp_user_timeout(TCP_TIMEOUT)
        .keepalives_idle(KEEPALIVE_AFTER)
        .keepalives_interval(KEEPALIVE_AFTER)
        .keepalives_retries(1);
    Ok((config, connector))
}

/// A pool of connections; none is made before one is needed.
pub(super) fn pool(config: &Config, servers: &Arc<Servers>) -> Result<Pool, Error> {
    let recycled = ManagerConfig {
        recycling_method: RecyclingMethod::Fast,
    };
    let manager = Manager::from_connect(config.clone(), Pooled(servers.clone()), recycled);
    Pool::builder(manager)
        .max_size(MOST_CONNECTIONS)
        .runtime(Runtime::Tokio1)
        .create_timeout(Some(CONNECT_TIMEOUT))
        .recycle_timeout(Some(CONNECT_TIMEOUT))
        .build()
        .map_err(|error| Error::Database(error.to_string()))
}

/// A connection of the pool.
pub(super) async fn connection(pool: &Pool) -> Result<Object, Error> {
    pool.get().await.map_err(|error| match error {
        PoolError::Backend(error) => Error::from(error),
        error => unreachable(&error.to_string()),
    })
}

/// A runtime for the connections, whose callers block.
pub(super) fn runtime() -> Result<tokio::runtime::Runtime, Error> {
    tokio::runtime::Builder::new_multi_thread()
        .worker_threads(1)
        .thread_name("postgres")
        .enable_all()
        .build()
        .map_err(|error| Error::Unusable(format!("cannot start a thread: {error}")))
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A log is read by people who are not to know it.
    #[test]
    fn a_url_that_is_refused_does_not_show_its_password() {
        for url in ["postgres://me:secret@db/a?b=c", "postgres://me:secret@db:a"] {
            let refused = config(url).map(drop).expect_err(url).to_string();
            assert!(
                refused.contains("names no PostgreSQL database") && !refused.contains("secret"),
                "{refused}"
            );
        }
    }
}
