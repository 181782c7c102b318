//! The database: its connections, and who has it.

use std::future::Future;
use std::sync::Arc;
use std::sync::atomic::{AtomicI32, AtomicI64, Ordering};
use std::time::{Duration, Instant};

use deadpool_postgres::Pool;
use parking_lot::Mutex;
use tokio::runtime::Runtime;
use tokio_postgres::{Config, Row};

use super::error::unreachable;
use super::replicated::Asking;
use super::servers::{Held, Servers};
use super::steps::{Doubt, stamp_numbers};
use super::{connect, migrate};
use crate::error::Error;
use crate::model::Digest;
use crate::nodes::NodeRow;
use crate::numbers::{signed, unsigned};
use crate::store::{Lease, Stamp};

/// The number of the lock that a daemon which has the store for itself holds alone, and that nodes
/// which share it hold together: "node" in ASCII. The server drops it when its holder's connection
/// ends, so that nobody has to wait for a lease to expire.
const LOCK: i64 = 0x6e6f_6465;

/// A daemon that has just died may hold the lock for so long.
const LOCK_PATIENCE: Duration = Duration::from_secs(5);
const LOCK_PAUSE: Duration = Duration::from_millis(50);

/// The server has so long to answer when a lease is renewed. A lease lasts longer than two of these.
const BEAT_PATIENCE: Duration = Duration::from_secs(2);

/// A store in a PostgreSQL database.
pub struct Postgres {
    /// Of whom errors speak: host and database, without a password.
    server: String,
    servers: Arc<Servers>,
    pool: Pool,
    /// The connection that holds the lock.
    lock: tokio::sync::Mutex<Option<Held>>,
    /// The number of the last call that changed something, of this node.
    number: AtomicI64,
    /// The batch whose answer was lost, until that is known.
    pub(super) doubt: Mutex<Option<Doubt>>,
    /// Stands for the node's name in the column `home`.
    home: AtomicI32,
    /// `None` only while the store is dropped.
    runtime: Mutex<Option<Runtime>>,
    handle: tokio::runtime::Handle,
}

impl Postgres {
    /// Opens the store in the database that a URL names (`postgres://user@host/database`), and makes
    /// its tables where there are none. `sslmode`, `sslrootcert`, `sslcert` and `sslkey` in the URL
    /// mean what they mean to libpq, but that no file is looked for that is not named.
    ///
    /// # Errors
    /// If the server cannot be reached, or the database has a schema that only later builds can use.
    pub fn open(url: &str) -> Result<Self, Error> {
        let (config, connector) = connect::config(url)?;
        let runtime = connect::runtime()?;
        let servers = Arc::new(Servers::new(&config, connector));
        let pool = connect::pool(&config, &servers)?;
        let store = Self {
            server: named(&config),
            servers,
            pool,
            lock: tokio::sync::Mutex::new(None),
            number: AtomicI64::new(0),
            doubt: Mutex::default(),
            home: AtomicI32::new(0),
            handle: runtime.handle().clone(),
            runtime: Mutex::new(Some(runtime)),
        };
        store.block_on(async {
            let mut client = store.client().await?;
            migrate::migrate(&mut client, &store.server).await
        })?;
        Ok(store)
    }

    /// Waits on this thread, which may be one of another runtime's. The store's own runtime only
    /// attends to the connections and the clock.
    pub(super) fn block_on<T>(&self, work: impl Future<Output = T>) -> T {
        let _context = self.handle.enter();
        futures_executor::block_on(work)
    }

    /// A connection of its own, outside of the pool.
    pub(super) async fn client(&self) -> Result<Held, Error> {
        let held = tokio::time::timeout(connect::CONNECT_TIMEOUT, self.servers.hold());
        let late = |_| unreachable("no connection came about in time");
        Ok(held.await.map_err(late)??)
    }

    /// A connection of the pool.
    pub(super) async fn connection(&self) -> Result<Asking, Error> {
        let client = connect::connection(&self.pool).await?;
        Asking::by(client, self.servers.replicated.clone()).await
    }

    /// What stands for the node's name.
    pub(super) fn home(&self) -> i32 {
        self.home.load(Ordering::Relaxed)
    }

    /// The number of the next call that changes something.
    pub(super) fn next_number(&self) -> i64 {
        self.number.fetch_add(1, Ordering::Relaxed) + 1
    }

    /// Takes the lock, alone or with others.
    pub(super) async fn lock(&self, shared: bool) -> Result<(), Error> {
        let mut lock = self.lock.lock().await;
        let client = match lock.take().filter(|client| !client.is_closed()) {
            Some(client) => client,
            None => self.client().await?,
        };
        let query = match shared {
            true => "SELECT pg_try_advisory_lock_shared($1)",
            false => "SELECT pg_try_advisory_lock($1)",
        };
        let began = Instant::now();
        while !client.query_one(query, &[&LOCK]).await?.get::<_, bool>(0) {
            if began.elapsed() >= LOCK_PATIENCE {
                let nodes = "SELECT name FROM nodes ORDER BY id DESC LIMIT 1";
                let holder = self.row(nodes, &[]).await?;
                return Err(Error::Leased {
                    path: self.server.clone().into(),
                    holder: holder.map_or_else(String::new, |row| row.get(0)),
                });
            }
            tokio::time::sleep(LOCK_PAUSE).await;
        }
        *lock = Some(client);
        Ok(())
    }

    /// Renews a node's lease, on the connection that holds the lock: no other work is in its way.
    pub(super) async fn beat_once(
        &self,
        node: &Lease,
        details: &str,
    ) -> Result<Vec<NodeRow>, Error> {
        let beat = async {
            let mut lock = self.lock.lock().await;
            let client = match lock.take().filter(|client| !client.is_closed()) {
                Some(client) => client,
                None => {
                    let client = self.client().await?;
                    // Where somebody has the store for himself now, the beat tells so.
                    let query = "SELECT pg_try_advisory_lock_shared($1)";
                    client.query_one(query, &[&LOCK]).await?;
                    client
                }
            };
            let replicated = &self.servers.replicated;
            let cancelled = replicated.cancelled();
            let query = "SELECT node, node_name, node_details, is_alive FROM beat_3($1, $2)";
            let rows = client.query(query, &[&signed(node.epoch), &details]).await;
            let rows = rows.map_err(Error::from)?;
            replicated.unless_cancelled_since(cancelled)?;
            *lock = Some(client);
            Ok(rows)
        };
        // A connection that does not answer is given up.
        let rows: Vec<Row> = tokio::time::timeout(BEAT_PATIENCE, beat)
            .await
            .unwrap_or_else(|_| Err(unreachable("it does not answer in time")))?;
        let row = |row: &Row| NodeRow {
            number: unsigned(row.get(0)),
            name: row.get(1),
            details: row.get(2),
            alive: row.get(3),
        };
        Ok(rows.iter().map(row).collect())
    }

    pub(super) async fn unlock(&self) {
        if let Some(client) = self.lock.lock().await.take() {
            // The server drops it with the connection, only later.
            let _ = client.execute("SELECT pg_advisory_unlock_all()", &[]).await;
        }
    }

    /// Makes a node by a query.
    pub(super) async fn enter(
        &self,
        query: &str,
        name: &str,
        now: &Stamp,
        lasts: Duration,
    ) -> Result<Lease, Error> {
        let stamp = stamp_numbers(now);
        let seconds = lasts.as_secs_f64();
        let home = Digest::of(name.as_bytes());
        let home = home.as_bytes().first_chunk().copied();
        let home = i32::from_be_bytes(home.unwrap_or_default());
        let epoch = self
            .number_of(query, &[&name, &home, &seconds, &stamp])
            .await?;
        self.home.store(home, Ordering::Relaxed);
        self.number.store(0, Ordering::Relaxed);
        self.doubt.lock().take();
        Ok(Lease {
            epoch: unsigned(epoch),
            lasts,
        })
    }
}

/// Hosts and database of a configuration.
fn named(config: &Config) -> String {
    let hosts = config.get_hosts().iter().map(|host| match host {
        tokio_postgres::config::Host::Tcp(name) => name.clone(),
        tokio_postgres::config::Host::Unix(path) => path.display().to_string(),
    });
    let hosts: Vec<String> = hosts.collect();
    let database = config
        .get_dbname()
        .or(config.get_user())
        .unwrap_or_default();
    format!("postgres://{}/{database}", hosts.join(","))
}

impl Drop for Postgres {
    fn drop(&mut self) {
        self.pool.close();
        // The connections end with the runtime, which must not be waited for on a thread of tokio's.
        if let Some(runtime) = self.runtime.lock().take() {
            runtime.shutdown_background();
        }
    }
}
