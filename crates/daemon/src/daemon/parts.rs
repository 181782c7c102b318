//! The parts of a daemon, joined, before anything runs.

use std::sync::Arc;
use std::time::Duration;

use tokio::sync::mpsc::{UnboundedReceiver, UnboundedSender};
use tokio::sync::{broadcast, mpsc};

use crate::blobs::programs::Programs;
use crate::blobs::snapshot_bases::SnapshotBases;
use crate::driver::state::DaemonState;
use crate::driver::{MOST_INSTANCES, Message};
use crate::journal::tenure::Tenure;
use crate::journal::{Journal, Writer};
use crate::memory::{MemoryBudget, machine, trim};
use crate::metrics::Metrics;
use crate::model::clock::SystemClock;
use crate::model::error::Error;
use crate::nodes::beat::Upkeep;
use crate::nodes::ids::Ids;
use crate::nodes::info::NodeOptions;
use crate::nodes::member::Member;
use crate::options::Options;
use crate::store::{Nodes, Store};
use crate::task::Runtime;
use crate::time::calendar;
use crate::time::clocks::Time;
use crate::workers::crash_marks::CrashMarks;
use crate::workers::messages::WorkerReport;
use crate::workers::worker::Worker;

/// How long the lease lasts after it was last renewed.
const LEASE_LASTS: Duration = Duration::from_secs(15);

/// The parts of a daemon.
pub(crate) struct Parts {
    pub(crate) shared: Arc<DaemonState>,
    pub(crate) writer: Writer,
    /// What a node does all the time, where several share the store.
    pub(crate) upkeep: Option<Upkeep>,
    pub(crate) programs: Arc<Programs>,
    pub(crate) bases: Arc<SnapshotBases>,
    pub(crate) ids: Arc<Ids>,
    pub(crate) tenure: Arc<Tenure>,
    pub(crate) marks: Arc<CrashMarks>,
    /// The driver's messages.
    pub(crate) inbox: UnboundedReceiver<Message>,
    pub(crate) outbox: UnboundedSender<Message>,
}

impl Parts {
    /// The parts of a node, which shares the store with others.
    ///
    /// # Errors
    /// If the store cannot be used, or another node has the name.
    pub(crate) fn of_node(
        store: Arc<dyn Nodes>,
        node: NodeOptions,
        options: Options,
        programs: Option<Arc<Programs>>,
    ) -> Result<Self, Error> {
        Self::new(store.clone(), Some((store, node)), options, programs)
    }

    /// Takes the store over, or joins the other nodes. Without programs of its own the daemon reads
    /// them from the store.
    ///
    /// # Errors
    /// If the store cannot be used.
    pub(crate) fn new(
        store: Arc<dyn Store>,
        node: Option<(Arc<dyn Nodes>, NodeOptions)>,
        options: Options,
        programs: Option<Arc<Programs>>,
    ) -> Result<Self, Error> {
        let clock = options.clock.clone();
        let clock = clock.unwrap_or_else(|| Arc::new(SystemClock::new()));
        // The time zone is that of the start.
        calendar::zone();
        let size = options.memory.unwrap_or_else(machine::available);
        let (outbox, inbox) = mpsc::unbounded_channel();
        let room = outbox.clone();
        // An error means that the driver has ended.
        let budget = MemoryBudget::new(size, move || drop(room.send(Message::Room)));
        trim::configure_allocator();
        let stamp = store.stamp()?;
        let time = Arc::new(Time::new(clock.clone(), store.number()?, stamp));
        let member = match node {
            None => None,
            Some((nodes, node)) => {
                let (identity, labels) = (options.identity.clone(), options.labels.clone());
                let now = time.stamp();
                Some(Member::join(nodes, node, identity, labels, &now, clock)?)
            }
        };
        let holder = format!("process {}", std::process::id());
        let tenure = Arc::new(match &member {
            None => Tenure::claim(store.clone(), holder, &time.stamp(), LEASE_LASTS)?,
            Some(member) => Tenure::of_node(store.clone(), member.lease()),
        });
        let (marks, found) = CrashMarks::open(options.marks.clone());
        marks.set_aside(&*store, &tenure, &time, options.set_aside_after, found)?;
        let metrics = Arc::new(metrics_of(&*store)?);
        let (journal, writer) =
            Journal::new(store.clone(), tenure.clone(), time.clone(), metrics.clone());
        let pack = match &member {
            None => store.last_pack()? + 1,
            Some(member) => member.first_pack(),
        };
        let most = budget.parts.own / 4;
        let bases = SnapshotBases::new(store.clone(), journal.clone(), most, pack);
        let ids = Arc::new(Ids::after(store.last_id()?, member.clone()));
        let options = Arc::new(options);
        let following = broadcast::channel(4096).0;
        let mut shared = DaemonState::new(
            store.clone(),
            journal,
            metrics,
            time,
            options.clone(),
            following,
            budget,
        );
        shared.member = member.clone();
        let shared = Arc::new(shared);
        for (id, tenant) in store.tenant_tasks()? {
            shared.owners.add(id, tenant);
        }
        let programs = match programs {
            Some(programs) => programs,
            None => {
                let preparations = shared.preparations.clone();
                Arc::new(Programs::new(runtime_of(&options)?, store, preparations))
            }
        };
        Ok(Self {
            upkeep: member.map(|member| upkeep_of(&member, &shared)),
            shared,
            writer,
            programs,
            bases: Arc::new(bases),
            ids,
            tenure,
            marks: Arc::new(marks),
            inbox,
            outbox,
        })
    }

    /// Tells the driver what workers have done.
    pub(crate) fn report(&self) -> impl Fn(WorkerReport) + Send + Sync + use<> {
        let outbox = self.outbox.clone();
        // An error means that the driver has ended.
        move |report| drop(outbox.send(Message::Report(report)))
    }

    pub(crate) fn worker(&self) -> Worker {
        let shared = &self.shared;
        Worker {
            store: shared.store.clone(),
            programs: self.programs.clone(),
            bases: self.bases.clone(),
            metrics: shared.metrics.clone(),
            time: shared.time.clone(),
            options: shared.options.clone(),
            following: shared.following.clone(),
            sockets: shared.sockets.clone(),
            budget: shared.budget.clone(),
            marks: self.marks.clone(),
            waiting: Arc::default(),
            gate: shared.member.as_ref().map(|member| member.gate.clone()),
            placement: shared
                .member
                .as_ref()
                .map(|member| member.placement.clone()),
            tell: Box::new(self.report()),
            ids: self.ids.clone(),
            task_quotas: Default::default(),
        }
    }
}

/// The tasks that are there, by state.
fn metrics_of(store: &dyn Store) -> Result<Metrics, Error> {
    let metrics = Metrics::new();
    for (state, count) in store.counts(None)? {
        metrics.add(state, i64::try_from(count).unwrap_or(i64::MAX));
    }
    Ok(metrics)
}

fn runtime_of(options: &Options) -> Result<Runtime, Error> {
    let runtime = Runtime::builder()
        .cache(options.cache.clone())
        .pool(u32::try_from(2 * MOST_INSTANCES).ok())
        .limits(options.limits);
    runtime.build()
}

/// What a node does for as long as its daemon is there.
fn upkeep_of(member: &Arc<Member>, shared: &Arc<DaemonState>) -> Upkeep {
    let (loaded, fenced) = (Arc::downgrade(shared), Arc::downgrade(shared));
    let load = move || Some(loaded.upgrade()?.load());
    let lost = move || {
        if let Some(shared) = fenced.upgrade() {
            shared.lost();
        }
    };
    Upkeep::new(member, load, lost)
}
