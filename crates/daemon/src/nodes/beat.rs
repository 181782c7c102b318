//! What renews the lease, looks for dead nodes, and learns what tasks need: each has a thread, so that
//! what one waits for is not in the way of the others.

use std::sync::Arc;
use std::sync::mpsc::{Receiver, RecvTimeoutError, Sender, channel};
use std::time::Duration;

use tokio::time::Instant;

use super::info::Load;
use super::member::Member;
use crate::store::Error;
use crate::throttled_log::{note_recovered, warn_throttled};

/// How often the lease is renewed.
const BEAT_EVERY: Duration = Duration::from_secs(1);

/// How long after a beat that failed the next one is tried.
const BEAT_AGAIN_AFTER: Duration = Duration::from_millis(200);

/// How often tasks are looked for whose node is none any more.
const SWEEP_EVERY: Duration = Duration::from_secs(10);

/// How often it is asked which classes of tasks there are.
const LEARN_EVERY: Duration = Duration::from_millis(500);

/// After so many questions it is looked once more what this node has of that which tasks need.
const LOOK_AGAIN_AFTER: u32 = 4;

/// Topics of the log.
const BEATING: &str = "beat";
const SWEEPING: &str = "sweep";
const LEARNING: &str = "classes";

/// What a node does all the time, beside its tasks.
pub(crate) struct Upkeep {
    pub(crate) beats: Beats,
    pub(crate) sweeps: Sweeps,
    pub(crate) lessons: Lessons,
}

/// What renews the lease.
pub(crate) struct Beats {
    member: Arc<Member>,
    /// How busy this node is; `None` once the daemon has gone.
    load: Box<dyn Fn() -> Option<Load> + Send>,
    /// Called once this node is fenced.
    lost: Box<dyn Fn() + Send>,
    /// Tells of dead nodes.
    dead: Sender<()>,
    /// The last thread ends with this one.
    _alive: Sender<()>,
}

/// What looks for dead nodes.
pub(crate) struct Sweeps {
    member: Arc<Member>,
    found: Receiver<()>,
}

/// What learns which classes of tasks there are.
pub(crate) struct Lessons {
    member: Arc<Member>,
    ended: Receiver<()>,
    asked: u32,
}

impl Upkeep {
    pub(crate) fn new(
        member: &Arc<Member>,
        load: impl Fn() -> Option<Load> + Send + 'static,
        lost: impl Fn() + Send + 'static,
    ) -> Self {
        let (dead, found) = channel();
        let (alive, ended) = channel();
        Self {
            beats: Beats {
                member: member.clone(),
                load: Box::new(load),
                lost: Box::new(lost),
                dead,
                _alive: alive,
            },
            sweeps: Sweeps {
                member: member.clone(),
                found,
            },
            lessons: Lessons {
                member: member.clone(),
                ended,
                asked: 0,
            },
        }
    }

    /// Starts the threads, which end with the daemon.
    pub(crate) fn start(self) -> std::io::Result<()> {
        self.beats.start()?;
        self.sweeps.start()?;
        self.lessons.start()
    }
}

impl Beats {
    fn start(self) -> std::io::Result<()> {
        let run = move || {
            while let Some(pause) = self.beat() {
                std::thread::sleep(pause);
            }
        };
        let thread = std::thread::Builder::new().name("beat".into());
        thread.spawn(run).map(drop)
    }

    /// Renews the lease; returns how long to wait for the next time, and `None` where there is none.
    pub(crate) fn beat(&self) -> Option<Duration> {
        let load = (self.load)()?;
        let began = Instant::now();
        match self.member.beat(load) {
            Ok(()) => {
                note_recovered(BEATING, "this node's lease is renewed");
                if self.member.knows_of_dead() {
                    // The other thread ends with this one.
                    let _ = self.dead.send(());
                }
                Some(BEAT_EVERY.saturating_sub(began.elapsed()))
            }
            Err(Error::Lost) => {
                self.member.gate.shut();
                (self.lost)();
                None
            }
            Err(error) => {
                let reason = error.to_string();
                warn_throttled(BEATING, &reason, || {
                    format!("this node's lease is not renewed: {reason}")
                });
                Some(BEAT_AGAIN_AFTER)
            }
        }
    }
}

impl Sweeps {
    fn start(self) -> std::io::Result<()> {
        let run = move || {
            loop {
                match self.found.recv_timeout(SWEEP_EVERY) {
                    Ok(()) | Err(RecvTimeoutError::Timeout) => self.sweep(),
                    Err(RecvTimeoutError::Disconnected) => return,
                }
            }
        };
        let thread = std::thread::Builder::new().name("sweep".into());
        thread.spawn(run).map(drop)
    }

    /// Makes the tasks of dead nodes nobody's.
    pub(crate) fn sweep(&self) {
        // Whatever was told while this was busy is answered by one look.
        while self.found.try_recv().is_ok() {}
        match self.member.free_dead() {
            Ok(0) => note_recovered(SWEEPING, "dead nodes can be looked for"),
            Ok(freed) => log::warn!("{freed} tasks of nodes that have died go on elsewhere"),
            Err(error) => {
                let reason = error.to_string();
                warn_throttled(SWEEPING, &reason, || {
                    format!("dead nodes cannot be looked for: {reason}")
                });
            }
        }
    }
}

impl Lessons {
    fn start(mut self) -> std::io::Result<()> {
        let run = move || {
            while self.ended.recv_timeout(LEARN_EVERY) == Err(RecvTimeoutError::Timeout) {
                self.learn();
            }
        };
        let thread = std::thread::Builder::new().name("classes".into());
        thread.spawn(run).map(drop)
    }

    /// Learns what there is.
    pub(crate) fn learn(&mut self) {
        self.asked = self.asked.wrapping_add(1);
        let look = self.asked.is_multiple_of(LOOK_AGAIN_AFTER);
        match self.member.learn_classes(look) {
            Ok(()) => note_recovered(LEARNING, "what tasks need can be read"),
            Err(error) => {
                let reason = error.to_string();
                warn_throttled(LEARNING, &reason, || {
                    format!("what tasks need cannot be read: {reason}")
                });
            }
        }
    }
}
