//! The span of a move to another daemon.

use std::sync::Arc;
use std::time::{Duration, SystemTime};

use opentelemetry::KeyValue;
use opentelemetry::trace::{SpanId, SpanKind, Status};
use opentelemetry_sdk::trace::{SpanData, SpanEvents, SpanLinks};

use crate::model::{TaskId, TaskTrace};
use crate::telemetry::sender::{Telemetry, span_context};
use crate::telemetry::spans::links_to;

/// What is told of a move that was committed.
pub(crate) struct MoveTold {
    pub(crate) task: TaskId,
    pub(crate) took: Duration,
    /// The other daemon, and the task's number there.
    pub(crate) to: (String, u64),
    /// Bytes that were sent.
    pub(crate) bytes: u64,
    /// For how long the task did not run.
    pub(crate) stopped: Duration,
    /// The other daemon has said that it has the task.
    pub(crate) confirmed: bool,
}

impl Telemetry {
    /// A task that carries this has been moved: a trace of its own, linked as a run is.
    pub(crate) fn moved(self: &Arc<Self>, carried: TaskTrace, told: MoveTold) {
        if !(carried.origin.sampled && self.tells_spans()) {
            return;
        }
        let mut links = SpanLinks::default();
        links.links = links_to(carried.origin, [Some(carried.origin), carried.last_run]);
        let (daemon, task) = told.to;
        let now = SystemTime::now();
        self.send(SpanData {
            span_context: span_context(self.follow(carried.origin), false),
            parent_span_id: SpanId::INVALID,
            parent_span_is_remote: false,
            span_kind: SpanKind::Client,
            name: "move".into(),
            start_time: now.checked_sub(told.took).unwrap_or(now),
            end_time: now,
            attributes: vec![
                KeyValue::new("dormouse.task.id", told.task.0 as i64),
                KeyValue::new("dormouse.move.to", daemon),
                KeyValue::new("dormouse.move.task.id", task as i64),
                KeyValue::new("dormouse.move.bytes", told.bytes as i64),
                KeyValue::new("dormouse.move.stopped.seconds", told.stopped.as_secs_f64()),
                KeyValue::new("dormouse.move.confirmed", told.confirmed),
            ],
            dropped_attributes_count: 0,
            events: SpanEvents::default(),
            links,
            status: Status::Unset,
            instrumentation_scope: self.scope.clone(),
        });
    }
}
