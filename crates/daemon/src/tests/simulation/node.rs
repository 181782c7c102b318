//! A node of the world: the parts of a daemon, run at moments that the seed draws.

use std::pin::Pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::sync::mpsc::RecvTimeoutError;
use std::task::{Poll, Waker};
use std::time::Duration;

use parking_lot::Mutex;
use tokio::sync::mpsc::{UnboundedSender, unbounded_channel};
use tokio::task::AbortHandle;
use tokio::time::sleep;

use super::Chance;
use super::line::{Fault, Line, Planted};
use super::world::Ledger;
use crate::blobs::programs::Programs;
use crate::daemon::parts::Parts;
use crate::driver::outside::Outside;
use crate::driver::state::DaemonState;
use crate::driver::{Driver, Message};
use crate::journal::{Journal, Writer};
use crate::model::MonotonicTime;
use crate::model::clock::Clock;
use crate::nodes::beat::Upkeep;
use crate::nodes::info::NodeOptions;
use crate::options::Options;
use crate::workers::messages::{WorkerJob, WorkerReport};
use crate::workers::worker::Worker;

/// How often it is looked whether the gate is open.
const GATE_LOOK: Duration = Duration::from_millis(20);

/// What is run of a process, and stops with it.
pub(super) struct Process {
    chance: Chance,
    stopped: AtomicBool,
    stopped_tasks: Mutex<Vec<Waker>>,
    tasks: Mutex<Vec<AbortHandle>>,
}

impl Process {
    /// Runs something until the process is killed. While it is stopped, nothing of it goes on.
    fn run(self: &Arc<Self>, work: impl Future<Output = ()> + Send + 'static) {
        let process = self.clone();
        let mut work: Pin<Box<dyn Future<Output = ()> + Send>> = Box::pin(work);
        let task = tokio::spawn(std::future::poll_fn(move |context| {
            if process.stopped.load(Ordering::Relaxed) {
                let waker = context.waker().clone();
                process.stopped_tasks.lock().push(waker);
                return Poll::Pending;
            }
            work.as_mut().poll(context)
        }));
        let mut tasks = self.tasks.lock();
        tasks.retain(|task| !task.is_finished());
        tasks.push(task.abort_handle());
    }

    pub(super) fn stop(&self) {
        self.stopped.store(true, Ordering::Relaxed);
    }

    pub(super) fn go_on(&self) {
        self.stopped.store(false, Ordering::Relaxed);
        for task in std::mem::take(&mut *self.stopped_tasks.lock()) {
            task.wake();
        }
    }

    fn kill(&self) {
        for task in std::mem::take(&mut *self.tasks.lock()) {
            task.abort();
        }
    }
}

/// What a driver has done for it: at another moment, and one after another.
struct Later {
    process: Arc<Process>,
    worker: Arc<Worker>,
    /// Jobs that have not begun.
    waiting: Arc<AtomicUsize>,
    ledger: Arc<Ledger>,
    shared: Arc<DaemonState>,
    report: UnboundedSender<Message>,
}

impl Outside for Later {
    fn run(&self, work: Box<dyn FnOnce() + Send>) {
        let takes = self.process.chance.step();
        self.process.run(async move {
            sleep(takes).await;
            work();
        });
    }

    fn send(&self, job: WorkerJob) {
        self.waiting.fetch_add(1, Ordering::Relaxed);
        let takes = self.process.chance.step();
        let (waiting, worker, ledger) = (
            self.waiting.clone(),
            self.worker.clone(),
            self.ledger.clone(),
        );
        let (shared, report) = (self.shared.clone(), self.report.clone());
        self.process.run(async move {
            sleep(takes).await;
            let member = shared.member.as_ref().expect("it is a node");
            // A guest whose calls wait at the gate is one that begins later: no time passes within
            // a job.
            while !member.gate.is_open() {
                sleep(GATE_LOOK).await;
            }
            waiting.fetch_sub(1, Ordering::Relaxed);
            let (id, node) = (job.id(), member.lease().epoch);
            let before = ledger.file(id).len();
            let done = worker.work(job);
            ledger.note_job(node, id, before, &name(&done));
            // An error means that the driver has ended.
            let _ = report.send(Message::Report(done));
        });
    }

    fn has_room(&self) -> bool {
        self.waiting.load(Ordering::Relaxed) < 4
    }

    fn relieve(&self) -> bool {
        false
    }

    fn is_busy(&self) -> bool {
        false
    }

    fn interrupt(&self, _after: Duration) -> Option<Duration> {
        None
    }
}

fn name(report: &WorkerReport) -> String {
    match report {
        WorkerReport::Stale { .. } => "stale".into(),
        WorkerReport::Parked(_) => "parked".into(),
        WorkerReport::Preempted(_) => "preempted".into(),
        WorkerReport::Asked(_) => "asked".into(),
        WorkerReport::Store { update, .. } => {
            format!(
                "to be stored as {} after version {}",
                update.state, update.expected
            )
        }
        WorkerReport::NotLoaded { error, .. } => format!("not loaded: {error}"),
        WorkerReport::Unable { error, .. } => format!("not frozen: {error}"),
        _ => "something else".into(),
    }
}

/// A process of a node.
pub(super) struct Node {
    pub(super) process: Arc<Process>,
    pub(super) line: Arc<Line>,
    pub(super) shared: Arc<DaemonState>,
    pub(super) outbox: UnboundedSender<Message>,
}

/// What every node of a world is made with.
pub(super) struct Kit {
    pub(super) chance: Chance,
    pub(super) programs: Arc<Programs>,
    pub(super) ledger: Arc<Ledger>,
    pub(super) planted: Planted,
}

impl Node {
    /// Starts a process in the data directory of this name.
    pub(super) fn start(
        kit: &Kit,
        (name, directory): (&str, &str),
        clock: Arc<dyn Clock>,
        fault: Fault,
    ) -> Result<Self, String> {
        let (chance, ledger) = (kit.chance.clone(), kit.ledger.clone());
        let line = Line::new(ledger.store.clone(), chance.clone(), kit.planted);
        line.set(fault);
        let options = Options {
            clock: Some(clock),
            identity: directory.into(),
            memory: Some(1 << 40),
            ..Options::default()
        };
        let node = NodeOptions {
            name: name.into(),
            ..NodeOptions::default()
        };
        let programs = Some(kit.programs.clone());
        let parts = Parts::of_node(line.clone(), node, options, programs);
        let parts = parts.map_err(|error| error.to_string())?;
        let process = Arc::new(Process {
            chance: chance.clone(),
            stopped: AtomicBool::new(false),
            stopped_tasks: Mutex::default(),
            tasks: Mutex::default(),
        });
        let (worker, shared) = (Arc::new(parts.worker()), parts.shared);
        if kit.planted == Planted::OpenGate {
            let gate = &shared.member.as_ref().expect("it is a node").gate;
            gate.keep_open(MonotonicTime::from_nanos(u64::MAX));
        }
        let (outbox, mut raw) = (parts.outbox, parts.inbox);
        // The driver hears of things later than they happen.
        let (told, inbox) = unbounded_channel();
        let late = chance.clone();
        process.run(async move {
            while let Some(message) = raw.recv().await {
                if late.of(20) {
                    sleep(late.step()).await;
                }
                // An error means that the driver has ended.
                let _ = told.send(message);
            }
        });
        let outside = Later {
            process: process.clone(),
            worker,
            waiting: Arc::default(),
            ledger,
            shared: shared.clone(),
            report: outbox.clone(),
        };
        let driver = Driver::new(shared.clone(), Box::new(outside), inbox, outbox.clone());
        process.run(driver.run());
        process.run(write(parts.writer, chance.clone()));
        keep_up(&process, parts.upkeep.expect("it is a node"), &chance);
        Ok(Self {
            process,
            line,
            shared,
            outbox,
        })
    }

    /// Ends the process as SIGKILL does.
    pub(super) fn kill(&self) {
        self.process.kill();
        self.line.end();
    }

    pub(super) fn journal(&self) -> &Journal {
        &self.shared.journal
    }
}

/// What a node does all the time.
fn keep_up(process: &Arc<Process>, upkeep: Upkeep, chance: &Chance) {
    let (beats, sweeps, mut lessons) = (upkeep.beats, upkeep.sweeps, upkeep.lessons);
    let late = chance.clone();
    process.run(async move {
        while let Some(pause) = beats.beat() {
            sleep(pause + late.step()).await;
        }
    });
    let late = chance.clone();
    process.run(async move {
        loop {
            sleep(late.milliseconds(300, 1000)).await;
            lessons.learn();
        }
    });
    let late = chance.clone();
    process.run(async move {
        loop {
            sleep(late.milliseconds(200, 2000)).await;
            sweeps.sweep();
        }
    });
}

/// The journal's thread.
async fn write(mut writer: Writer, chance: Chance) {
    let mut left = Duration::ZERO;
    loop {
        let pause = chance.milliseconds(1, 20);
        sleep(pause).await;
        left = left.saturating_sub(pause);
        let first = writer.next();
        if matches!(first, Err(RecvTimeoutError::Timeout)) && !left.is_zero() {
            continue;
        }
        match writer.turn(first) {
            Some(patience) => left = patience,
            None => return,
        }
    }
}
