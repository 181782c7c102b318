//! Starts a daemon: makes its parts, joins them, and gives them their threads.

use std::sync::Arc;

use tokio::sync::Semaphore;

use crate::daemon::Daemon;
use crate::daemon::active_moves::ActiveMoves;
use crate::daemon::parts::Parts;
use crate::daemon::submit::MOST_SUBMITTING;
use crate::daemon::upkeep;
use crate::driver::Driver;
use crate::driver::outside::Threads;
use crate::error::Error as Refused;
use crate::model::error::Error;
use crate::nodes::info::NodeOptions;
use crate::options::Options;
use crate::sockets::TaskSockets;
use crate::store::{Nodes, Store};
use crate::workers::pool::Pool;

impl Daemon {
    /// Takes a store over and starts to work. Must be called within a tokio runtime.
    ///
    /// # Errors
    /// If the store cannot be read, or threads cannot be started.
    pub fn start(store: Arc<dyn Store>, options: Options) -> Result<Arc<Self>, Error> {
        Self::start_with(store, options, Vec::new())
    }

    /// Like [`start`](Self::start), with the sockets that the tasks had in a process before this
    /// one.
    ///
    /// # Errors
    /// If the store cannot be read, or threads cannot be started.
    pub fn start_with(
        store: Arc<dyn Store>,
        options: Options,
        kept: Vec<TaskSockets>,
    ) -> Result<Arc<Self>, Error> {
        Self::start_on(Parts::new(store, None, options, None)?, kept)
    }

    /// Like [`start_with`](Self::start_with), on a store that other daemons work on at the same time.
    /// No other process may have the identity that the options name.
    ///
    /// # Errors
    /// If the store cannot be read, another node has the name, or threads cannot be started.
    pub fn start_node(
        store: Arc<dyn Nodes>,
        node: NodeOptions,
        options: Options,
        kept: Vec<TaskSockets>,
    ) -> Result<Arc<Self>, Error> {
        Self::start_on(Parts::of_node(store, node, options, None)?, kept)
    }

    fn start_on(parts: Parts, kept: Vec<TaskSockets>) -> Result<Arc<Self>, Error> {
        let threads = |error: std::io::Error| {
            Error::from(Refused::Request(format!("cannot start a thread: {error}")))
        };
        for kept in kept {
            parts.shared.sockets.adopt(kept);
        }
        let options = &parts.shared.options;
        let cores = std::thread::available_parallelism().map_or(1, usize::from);
        let workers = options.workers.unwrap_or(cores).max(1);
        let most = options.max_workers;
        let report = parts.report();
        let pool = Pool::start(workers, most, parts.worker(), report).map_err(threads)?;
        let moving = ActiveMoves::new(parts.worker());
        parts.writer.start().map_err(threads)?;
        if let Some(upkeep) = parts.upkeep {
            upkeep.start().map_err(threads)?;
        }
        let outside = Box::new(Threads(pool));
        let (inbox, outbox) = (parts.inbox, parts.outbox);
        let driver = Driver::new(parts.shared.clone(), outside, inbox, outbox.clone());
        tokio::spawn(driver.run());
        let daemon = Arc::new(Self {
            shared: parts.shared,
            programs: parts.programs,
            bases: parts.bases,
            inbox: outbox,
            ids: parts.ids,
            submitting: Arc::new(Semaphore::new(MOST_SUBMITTING)),
            tenure: parts.tenure,
            moving,
            marks: parts.marks,
        });
        tokio::spawn(upkeep::run(Arc::downgrade(&daemon)));
        Ok(daemon)
    }
}
