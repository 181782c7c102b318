//! How a daemon is set up.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use crate::model::Limits;
use crate::model::clock::Clock;
use crate::task::EngineKind;
use crate::telemetry::Telemetry;

/// How a daemon is set up.
#[derive(Clone, Debug)]
pub struct Options {
    /// Threads for guests; `None` is as many as there are cores.
    pub workers: Option<usize>,
    /// The most threads for guests, while all of them compute.
    pub max_workers: usize,
    /// A guest that is known to wait this long hibernates in the store instead of waiting in
    /// memory.
    pub hibernate_after: Duration,
    /// The most bytes of memory of parked instances together; beyond that they are put to sleep.
    pub max_warm_memory: u64,
    /// Bytes of memory for all guests and the daemon together; `None` is seven eighths of what the
    /// machine and its control groups have. Guests wait for room.
    pub memory: Option<u64>,
    /// The file in which the tasks that are being run are noted, so that a task with which the
    /// daemon dies again and again is paused; `None` notes nothing.
    pub marks: Option<std::path::PathBuf>,
    /// In how many deaths of the daemon in a row a task may be running without having been stored
    /// in between; 0 is any number.
    pub set_aside_after: u32,
    /// The limits of a task that does not set its own.
    pub limits: Limits,
    /// Bytes of output that are kept of each task; the oldest are dropped first.
    pub output_limit: u64,
    /// A task that stays in memory is stored at least this often.
    pub checkpoint: Duration,
    /// How long a task that is over is kept in the list; `None` is for ever.
    pub retain: Option<Duration>,
    /// The engine for tasks that do not name one.
    pub engine: EngineKind,
    /// The name of this daemon, in exported snapshots and for other daemons.
    pub identity: String,
    /// Words by which daemons are told apart. A task can ask for a daemon that has some of them.
    pub labels: BTreeMap<String, String>,
    /// Where resumable modules and machine code are; `None` is the user's cache directory.
    pub cache: Option<std::path::PathBuf>,
    /// The clock; `None` is the system's.
    pub clock: Option<Arc<dyn Clock>>,
    /// What tells a collector of spans, and of what guests write; `None` tells nobody.
    pub telemetry: Option<Arc<Telemetry>>,
}

impl Default for Options {
    /// The defaults of `dormouse serve`, with the first engine of the build.
    fn default() -> Self {
        Self {
            workers: None,
            max_workers: 64,
            hibernate_after: Duration::from_secs(1),
            max_warm_memory: 256 << 20,
            memory: None,
            marks: None,
            set_aside_after: 3,
            limits: Limits::daemon(),
            output_limit: 1 << 20,
            checkpoint: Duration::from_secs(10),
            retain: None,
            engine: EngineKind::available()
                .next()
                .unwrap_or(EngineKind::Wasmtime),
            identity: "embedded".into(),
            labels: BTreeMap::new(),
            cache: None,
            clock: None,
            telemetry: None,
        }
    }
}
