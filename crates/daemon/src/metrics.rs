//! What the scheduler counts and measures. The server prints it.

use std::sync::atomic::{AtomicI64, AtomicU64, Ordering};
use std::time::{Duration, SystemTime};

use prometheus_client::metrics::counter::Counter;
use prometheus_client::metrics::exemplar::HistogramWithExemplars;
use prometheus_client::metrics::histogram::{Histogram, exponential_buckets};
use prometheus_client::registry::{Registry, Unit};

use crate::model::TaskState;

/// The trace that an observation is of: its number in 32 hexadecimal digits.
type TraceLabel = [(&'static str, String); 1];

/// Times, of each range the last one that was observed in a trace that is recorded.
#[derive(Clone, Debug)]
pub(super) struct Times(HistogramWithExemplars<TraceLabel>);

impl Times {
    /// From 50 µs on, each bucket twice as wide, up to 26 s.
    fn new() -> Self {
        Self(HistogramWithExemplars::new(exponential_buckets(
            50e-6, 2.0, 20,
        )))
    }

    /// Something took so long, in this trace if it is recorded.
    pub(super) fn observe(&self, took: Duration, trace: Option<String>) {
        let at = trace.as_ref().map(|_| SystemTime::now());
        let trace = trace.map(|trace| [("trace_id", trace)]);
        self.0.observe(took.as_secs_f64(), trace, at);
    }
}

/// What the scheduler counts and measures.
#[derive(Debug)]
pub struct Metrics {
    /// Tasks by state, in the order of [`TaskState::ALL`].
    states: [AtomicI64; TaskState::ALL.len()],
    /// Bytes of the memories of instances that are kept.
    pub(super) warm_bytes: AtomicU64,
    /// From when a task was due until its guest went on.
    pub(super) wake_latency: Times,
    /// From the end of a guest's run until its snapshot was ready to be stored.
    pub(super) suspend: Times,
    /// From the stored bytes until the guest could go on.
    pub(super) resume: Times,
    /// From a batch of changes until it was durable.
    commit: Histogram,
    changes: Counter,
    pub(super) submitted: Counter,
    pub(super) wakes: Counter,
    pub(super) suspends: Counter,
    /// Bytes of snapshots before and after they were compressed against their base.
    pub(super) snapshot_flat: Counter,
    pub(super) snapshot_stored: Counter,
}

impl Metrics {
    pub(super) fn new() -> Self {
        Self {
            states: Default::default(),
            warm_bytes: AtomicU64::new(0),
            wake_latency: Times::new(),
            suspend: Times::new(),
            resume: Times::new(),
            commit: Histogram::new(exponential_buckets(50e-6, 2.0, 20)),
            changes: Counter::default(),
            submitted: Counter::default(),
            wakes: Counter::default(),
            suspends: Counter::default(),
            snapshot_flat: Counter::default(),
            snapshot_stored: Counter::default(),
        }
    }

    /// Registers all of them.
    pub fn register(&self, registry: &mut Registry) {
        let histograms = [
            (
                "wake_latency",
                "From when a task was due until its guest went on",
                &self.wake_latency,
            ),
            (
                "suspend",
                "From the end of a guest's run until its snapshot was ready to be stored",
                &self.suspend,
            ),
            (
                "resume",
                "From the stored bytes until the guest could go on",
                &self.resume,
            ),
        ];
        for (name, help, histogram) in histograms {
            registry.register_with_unit(name, help, Unit::Seconds, histogram.0.clone());
        }
        let help = "From a batch of changes until it was durable";
        registry.register_with_unit("commit", help, Unit::Seconds, self.commit.clone());
        let counters = [
            ("changes", "Changes that were stored", &self.changes),
            ("submitted", "Tasks that were submitted", &self.submitted),
            ("wakes", "Times that a sleeping task went on", &self.wakes),
            (
                "suspends",
                "Times that a task was put to sleep",
                &self.suspends,
            ),
            (
                "snapshot_flat_bytes",
                "Bytes of snapshots before compression",
                &self.snapshot_flat,
            ),
            (
                "snapshot_stored_bytes",
                "Bytes of snapshots as stored",
                &self.snapshot_stored,
            ),
        ];
        for (name, help, counter) in counters {
            registry.register(name, help, counter.clone());
        }
    }

    pub(super) fn committed(&self, changes: usize, took: Duration) {
        if changes > 0 {
            self.changes.inc_by(changes as u64);
            self.commit.observe(took.as_secs_f64());
        }
    }

    pub(super) fn add(&self, state: TaskState, count: i64) {
        if let Some(index) = TaskState::ALL.iter().position(|known| *known == state) {
            self.states[index].fetch_add(count, Ordering::Relaxed);
        }
    }

    /// How many tasks there are of each state.
    pub fn states(&self) -> Vec<(TaskState, u64)> {
        let counts = TaskState::ALL.iter().zip(&self.states);
        counts
            .map(|(state, count)| {
                let count = count.load(Ordering::Relaxed);
                (*state, u64::try_from(count).unwrap_or(0))
            })
            .collect()
    }

    /// Bytes of the memories of instances that are kept.
    pub fn warm_bytes(&self) -> u64 {
        self.warm_bytes.load(Ordering::Relaxed)
    }

    /// Totals: submitted, wakes, suspends, bytes of snapshots flat and stored.
    pub fn totals(&self) -> [u64; 5] {
        [
            self.submitted.get(),
            self.wakes.get(),
            self.suspends.get(),
            self.snapshot_flat.get(),
            self.snapshot_stored.get(),
        ]
    }
}
