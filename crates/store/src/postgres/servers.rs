//! The servers that a URL names, of which one takes changes, and connections to that one.
//!
//! ```text
//!   the host that took the last connection --+--> it stores something --> the connection
//!   all others, 300 ms later ----------------'    | another host than before: all connections to
//!                                                 ` that one end, with what waits for an answer
//! ```
//!
//! A primary server that was cut off, or whose Patroni has died, may stay one that can be written to:
//! its commits wait for a standby that has become the primary. So a connection counts only once
//! something was stored by it, and what an earlier primary does not answer is not waited for.

use std::future::Future;
use std::ops::{Deref, DerefMut};
use std::pin::Pin;
use std::sync::Arc;
use std::time::Duration;

use deadpool_postgres::Connect;
use tokio::sync::watch;
use tokio::task::{AbortHandle, JoinHandle, JoinSet};
use tokio_postgres::config::{Host, TargetSessionAttrs};
use tokio_postgres::{Client, Config, Error as Fault};

use super::attend::Attendant;
use super::replicated::{Replicated, STORE_SOMETHING};
use super::tls::Connector;

/// The host of the last connection has so long to answer before the others are tried as well.
const HEAD_START: Duration = Duration::from_millis(300);

/// Which server takes changes, and connections to it.
pub(super) struct Servers {
    /// The settings of a connection to each host.
    hosts: Vec<Config>,
    connector: Connector,
    /// The index of the host that took the last connection.
    primary: watch::Sender<usize>,
    pub(super) replicated: Arc<Replicated>,
}

/// A connection, and the task that attends to it.
type Connected = (Client, JoinHandle<()>);

impl Servers {
    pub(super) fn new(config: &Config, connector: Connector) -> Self {
        Self {
            hosts: each_host(config),
            connector,
            primary: watch::Sender::new(0),
            replicated: Arc::default(),
        }
    }

    /// A connection outside of the pool.
    pub(super) async fn hold(&self) -> Result<Held, Fault> {
        let (client, attended) = self.connect().await?;
        let ends = Ends(Some(attended.abort_handle()));
        Ok(Held {
            client,
            _ends: ends,
        })
    }

    /// Connects to the server that takes changes.
    async fn connect(&self) -> Result<Connected, Fault> {
        let last = *self.primary.borrow();
        let is_alone = self.hosts.len() == 1;
        let mut attempts = JoinSet::new();
        for (host, config) in self.hosts.iter().enumerate() {
            let (config, connector) = (config.clone(), self.connector.clone());
            let attendant = Attendant {
                replicated: self.replicated.clone(),
                host,
                primary: self.primary.subscribe(),
            };
            attempts.spawn(async move {
                if host != last {
                    tokio::time::sleep(HEAD_START).await;
                }
                let (client, attended) = connector.connect(&config, &attendant).await?;
                let ends = Ends(Some(attended.abort_handle()));
                if !is_alone {
                    client.batch_execute(STORE_SOMETHING).await?;
                }
                ends.waive();
                Ok((host, client, attended))
            });
        }
        let mut refused = None;
        while let Some(attempt) = attempts.join_next().await {
            match attempt {
                Ok(Ok((host, client, attended))) => {
                    if self.primary.send_replace(host) != host {
                        log::warn!("the primary server of the store is its host {}", host + 1);
                    }
                    return Ok((client, attended));
                }
                Ok(Err(error)) => refused = Some(error),
                // The runtime is going down, and with it whoever waits for this.
                Err(_) => {}
            }
        }
        match refused {
            Some(error) => Err(error),
            None => std::future::pending().await,
        }
    }
}

/// What the pool makes connections by.
pub(super) struct Pooled(pub(super) Arc<Servers>);

impl Connect for Pooled {
    fn connect(
        &self,
        _: &Config,
    ) -> Pin<Box<dyn Future<Output = Result<Connected, Fault>> + Send + '_>> {
        Box::pin(self.0.connect())
    }
}

/// A connection outside of the pool. It ends when this is dropped.
pub(super) struct Held {
    client: Client,
    _ends: Ends,
}

impl Deref for Held {
    type Target = Client;

    fn deref(&self) -> &Client {
        &self.client
    }
}

impl DerefMut for Held {
    fn deref_mut(&mut self) -> &mut Client {
        &mut self.client
    }
}

/// Ends a task that attends to a connection. By itself it would wait for answers that may never come.
struct Ends(Option<AbortHandle>);

impl Ends {
    /// Somebody else ends it.
    fn waive(mut self) {
        self.0.take();
    }
}

impl Drop for Ends {
    fn drop(&mut self) {
        if let Some(attended) = &self.0 {
            attended.abort();
        }
    }
}

/// The settings of a connection to each host that a configuration names. Of several, one takes changes.
fn each_host(all: &Config) -> Vec<Config> {
    let (hosts, addresses, ports) = (all.get_hosts(), all.get_hostaddrs(), all.get_ports());
    let count = hosts.len().max(addresses.len());
    let fits = |len: usize, least| len == count || len <= least;
    if count < 2 || !fits(hosts.len(), 0) || !fits(addresses.len(), 0) || !fits(ports.len(), 1) {
        // What is wrong with it is told when it is connected to.
        return vec![all.clone()];
    }
    let one = |index: usize| {
        let mut one = without_hosts(all);
        match hosts.get(index) {
            Some(Host::Tcp(name)) => drop(one.host(name)),
            #[cfg(unix)]
            Some(Host::Unix(path)) => drop(one.host_path(path)),
            None => {}
        }
        if let Some(address) = addresses.get(index) {
            one.hostaddr(*address);
        }
        if let Some(port) = ports.get(index).or(ports.first()) {
            one.port(*port);
        }
        one.target_session_attrs(TargetSessionAttrs::ReadWrite);
        one
    };
    (0..count).map(one).collect()
}

/// The same settings without what names a host.
fn without_hosts(all: &Config) -> Config {
    let mut one = Config::new();
    if let Some(user) = all.get_user() {
        one.user(user);
    }
    if let Some(password) = all.get_password() {
        one.password(password);
    }
    if let Some(name) = all.get_dbname() {
        one.dbname(name);
    }
    if let Some(options) = all.get_options() {
        one.options(options);
    }
    if let Some(name) = all.get_application_name() {
        one.application_name(name);
    }
    if let Some(timeout) = all.get_connect_timeout() {
        one.connect_timeout(*timeout);
    }
    if let Some(timeout) = all.get_tcp_user_timeout() {
        one.tcp_user_timeout(*timeout);
    }
    if let Some(interval) = all.get_keepalives_interval() {
        one.keepalives_interval(interval);
    }
    if let Some(retries) = all.get_keepalives_retries() {
        one.keepalives_retries(retries);
    }
    one.keepalives(all.get_keepalives())
        .keepalives_idle(all.get_keepalives_idle())
        .ssl_mode(all.get_ssl_mode())
        .ssl_negotiation(all.get_ssl_negotiation())
        .channel_binding(all.get_channel_binding());
    one
}
