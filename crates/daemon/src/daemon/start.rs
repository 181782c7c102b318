//! Starts a daemon: makes its parts and joins them.

use std::sync::Arc;
use std::time::Duration;

use tokio::sync::{Semaphore, broadcast, mpsc};

use crate::blobs::programs::Programs;
use crate::blobs::snapshot_bases::SnapshotBases;
use crate::daemon::Daemon;
use crate::daemon::active_moves::ActiveMoves;
use crate::daemon::submit::MOST_SUBMITTING;
use crate::daemon::upkeep;
use crate::driver::state::DaemonState;
use crate::driver::{Driver, MOST_INSTANCES, Message};
use crate::error::Error as Refused;
use crate::journal::Journal;
use crate::journal::tenure::Tenure;
use crate::memory::{MemoryBudget, machine, trim};
use crate::metrics::Metrics;
use crate::model::clock::SystemClock;
use crate::model::error::Error;
use crate::nodes::beat;
use crate::nodes::ids::Ids;
use crate::nodes::info::NodeOptions;
use crate::nodes::member::Member;
use crate::options::Options;
use crate::sockets::TaskSockets;
use crate::store::{Nodes, Store};
use crate::task::Runtime;
use crate::time::calendar;
use crate::time::clocks::Time;
use crate::workers::crash_marks::CrashMarks;
use crate::workers::pool::Pool;
use crate::workers::worker::Worker;

/// How long the lease lasts after it was last renewed.
const LEASE_LASTS: Duration = Duration::from_secs(15);

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
        Self::start_on(store, None, options, kept)
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
        Self::start_on(store.clone(), Some((store, node)), options, kept)
    }

    #[expect(
        clippy::too_many_lines,
        reason = "it makes one part of the daemon after another, each of those before it"
    )]
    fn start_on(
        store: Arc<dyn Store>,
        node: Option<(Arc<dyn Nodes>, NodeOptions)>,
        options: Options,
        kept: Vec<TaskSockets>,
    ) -> Result<Arc<Self>, Error> {
        let clock = options.clock.clone();
        let clock = clock.unwrap_or_else(|| Arc::new(SystemClock::new()));
        // The time zone is that of the start.
        calendar::zone();
        let cores = std::thread::available_parallelism().map_or(1, usize::from);
        let workers = options.workers.unwrap_or(cores).max(1);
        let size = options.memory.unwrap_or_else(machine::available);
        let (outbox, inbox) = mpsc::unbounded_channel();
        let room = outbox.clone();
        // An error means that the driver has ended.
        let budget = MemoryBudget::new(size, move || drop(room.send(Message::Room)));
        trim::configure_allocator();
        let runtime = Runtime::builder()
            .cache(options.cache.clone())
            .pool(u32::try_from(2 * MOST_INSTANCES).ok())
            .limits(options.limits)
            .build()?;
        let holder = format!("process {}", std::process::id());
        let time = Arc::new(Time::new(clock, store.number()?, store.stamp()?));
        let join = |(nodes, node)| {
            let (identity, labels) = (options.identity.clone(), options.labels.clone());
            Member::join(nodes, node, identity, labels, &time.stamp())
        };
        let member = node.map(join).transpose()?;
        let tenure = match &member {
            None => Tenure::claim(store.clone(), holder, &time.stamp(), LEASE_LASTS)?,
            Some(member) => Tenure::of_node(store.clone(), member.lease()),
        };
        let tenure = Arc::new(tenure);
        let (marks, found) = CrashMarks::open(options.marks.clone());
        marks.set_aside(&*store, &tenure, &time, options.set_aside_after, found)?;
        let marks = Arc::new(marks);
        let metrics = Arc::new(Metrics::new());
        for (state, count) in store.counts(None)? {
            metrics.add(state, i64::try_from(count).unwrap_or(i64::MAX));
        }
        let threads = |error: std::io::Error| {
            Error::from(Refused::Request(format!("cannot start a thread: {error}")))
        };
        let (journal, _) =
            Journal::start(store.clone(), tenure.clone(), time.clone(), metrics.clone())
                .map_err(threads)?;
        let pack = match &member {
            None => store.last_pack()? + 1,
            Some(member) => member.first_pack(),
        };
        let most = budget.parts.own / 4;
        let bases = SnapshotBases::new(store.clone(), journal.clone(), most, pack);
        let bases = Arc::new(bases);
        let most = options.max_workers;
        let options = Arc::new(options);
        let following = broadcast::channel(4096).0;
        let ids = Arc::new(Ids::after(store.last_id()?, member.clone()));
        let mut shared = DaemonState::new(
            store.clone(),
            journal,
            metrics.clone(),
            time.clone(),
            options.clone(),
            following.clone(),
            budget.clone(),
        );
        shared.member = member.clone();
        let shared = Arc::new(shared);
        for (id, tenant) in store.tenant_tasks()? {
            shared.owners.add(id, tenant);
        }
        if let Some(member) = &member {
            let (loaded, fenced) = (Arc::downgrade(&shared), Arc::downgrade(&shared));
            let load = move || Some(loaded.upgrade()?.load());
            let lost = move || {
                if let Some(shared) = fenced.upgrade() {
                    shared.lost();
                }
            };
            beat::start(member, load, lost).map_err(threads)?;
        }
        let preparations = shared.preparations.clone();
        let programs = Arc::new(Programs::new(runtime, store.clone(), preparations));
        for kept in kept {
            shared.sockets.adopt(kept);
        }
        let report = |outbox: &mpsc::UnboundedSender<Message>| {
            let outbox = outbox.clone();
            // An error means that the driver has ended.
            move |report| drop(outbox.send(Message::Report(report)))
        };
        let worker = || Worker {
            store: store.clone(),
            programs: programs.clone(),
            bases: bases.clone(),
            metrics: metrics.clone(),
            time: time.clone(),
            options: options.clone(),
            following: following.clone(),
            sockets: shared.sockets.clone(),
            budget: budget.clone(),
            marks: marks.clone(),
            waiting: Arc::default(),
            gate: member.as_ref().map(|member| member.gate.clone()),
            placement: member.as_ref().map(|member| member.placement.clone()),
            tell: Box::new(report(&outbox)),
            ids: ids.clone(),
            task_quotas: Default::default(),
        };
        let pool = Pool::start(workers, most, worker(), report(&outbox)).map_err(threads)?;
        let moving = ActiveMoves::new(worker());
        let driver = Driver::new(shared.clone(), pool, inbox, outbox.clone());
        tokio::spawn(driver.run());
        let daemon = Arc::new(Self {
            shared,
            programs,
            bases,
            inbox: outbox,
            ids,
            submitting: Arc::new(Semaphore::new(MOST_SUBMITTING)),
            tenure,
            moving,
            marks,
        });
        tokio::spawn(upkeep::run(Arc::downgrade(&daemon)));
        Ok(daemon)
    }
}
