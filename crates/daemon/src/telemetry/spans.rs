//! The spans of a task's run: the run itself, and within it what is done to begin and to end it.

use std::sync::Arc;
use std::time::SystemTime;

use opentelemetry::KeyValue;
use opentelemetry::trace::{Event, Link, SpanId, SpanKind, Status};
use opentelemetry_sdk::trace::{SpanData, SpanEvents, SpanLinks};

use crate::model::{TaskState, TaskTrace, TraceContext, Wait};
use crate::telemetry::labels::TaskLabels;
use crate::telemetry::sender::{Telemetry, span_context};

/// At most this many waits in memory are told of one run; others are counted.
const MOST_WAITS: usize = 128;

/// What is told of a run when it begins.
pub(crate) struct RunBegins {
    /// Counts the task's runs from 1.
    pub(crate) number: u64,
    /// The task begins anew, and does not go on from a snapshot.
    pub(crate) is_start: bool,
    pub(crate) engine: &'static str,
    pub(crate) times: RunTimes,
}

/// When a run began.
#[derive(Clone, Copy)]
pub(crate) struct RunTimes {
    /// When the worker began with it.
    pub(crate) began: SystemTime,
    /// Where nodes share a store: when it was asked for due tasks, and when it gave this one.
    pub(crate) claim: Option<(SystemTime, SystemTime)>,
}

/// A run that is under way: from where the task is loaded until it is asleep or over. It ends when
/// this is dropped.
pub(crate) struct RunSpan {
    telemetry: Arc<Telemetry>,
    labels: Arc<TaskLabels>,
    context: TraceContext,
    parent: Option<TraceContext>,
    links: Vec<Link>,
    begins: RunBegins,
    waits: SpanEvents,
    /// For what the guest waits in memory, and since when.
    waiting: Option<(SystemTime, &'static str)>,
    attributes: Vec<KeyValue>,
    status: Status,
    /// The task is in memory. Before that, nobody is told of the run.
    is_loaded: bool,
    /// For what it sleeps, and as what it was stored.
    sleeps_for: Option<&'static str>,
    stored_as: Option<TaskState>,
}

impl RunSpan {
    /// A run begins. Gives the context that the guest's own requests and lines belong to, and notes
    /// it in what the task carries. The span is `None` where the task's trace is not recorded.
    pub(crate) fn begin(
        telemetry: &Arc<Telemetry>,
        labels: &Arc<TaskLabels>,
        carried: &mut Option<TaskTrace>,
        begins: RunBegins,
    ) -> (Option<TraceContext>, Option<Box<Self>>) {
        if !telemetry.tells_spans() {
            return (carried.map(|trace| trace.origin), None);
        }
        let is_first = begins.is_start && begins.number <= 1;
        let (context, parent, linked) = match *carried {
            // Submitted to a daemon that told nobody of it.
            None => {
                let kind = SpanKind::Consumer;
                (telemetry.begin_task(None, "run", &kind), None, [None, None])
            }
            Some(trace) if is_first && trace.last_run.is_none() => {
                let origin = trace.origin;
                (telemetry.child_of(origin), Some(origin), [None, None])
            }
            Some(trace) => {
                let linked = [Some(trace.origin), trace.last_run];
                (telemetry.follow(trace.origin), None, linked)
            }
        };
        let trace = carried.get_or_insert(TaskTrace::of(context));
        if !context.sampled {
            return (Some(context), None);
        }
        trace.last_run = Some(context);
        let origin = trace.origin;
        let span = Self {
            telemetry: telemetry.clone(),
            labels: labels.clone(),
            context,
            parent,
            links: links_to(origin, linked),
            begins,
            waits: SpanEvents::default(),
            waiting: None,
            attributes: Vec::new(),
            status: Status::Unset,
            is_loaded: false,
            sleeps_for: None,
            stored_as: None,
        };
        (Some(context), Some(Box::new(span)))
    }

    /// What belongs to the run names it by this.
    pub(crate) fn context(&self) -> TraceContext {
        self.context
    }

    /// The trace, as 32 hexadecimal digits.
    pub(crate) fn trace_id(&self) -> String {
        let digits = self.context.trace_id.iter();
        digits.map(|byte| format!("{byte:02x}")).collect()
    }

    /// The task is in memory now, since the run began.
    pub(crate) fn loaded(mut self: Box<Self>) -> Box<Self> {
        self.is_loaded = true;
        let name = match self.begins.is_start {
            true => "start",
            false => "thaw",
        };
        let RunTimes { began, claim } = self.begins.times;
        if let Some((asked, answered)) = claim {
            self.child("claim", asked, answered, Vec::new());
        }
        self.child(name, began, SystemTime::now(), Vec::new());
        self
    }

    /// Something has been done within the run.
    fn child(
        &self,
        name: &'static str,
        since: SystemTime,
        until: SystemTime,
        mut attributes: Vec<KeyValue>,
    ) {
        attributes.push(KeyValue::new("dormouse.task.id", self.labels.id.0 as i64));
        self.telemetry.send(SpanData {
            span_context: span_context(self.telemetry.child_of(self.context), false),
            parent_span_id: SpanId::from_bytes(self.context.span_id),
            parent_span_is_remote: false,
            span_kind: SpanKind::Internal,
            name: name.into(),
            start_time: since,
            end_time: until,
            attributes,
            dropped_attributes_count: 0,
            events: SpanEvents::default(),
            links: SpanLinks::default(),
            status: Status::Unset,
            instrumentation_scope: self.telemetry.scope.clone(),
        });
    }

    /// The guest waits in memory.
    pub(crate) fn wait_begins(&mut self, wait: &Wait) {
        self.waiting = Some((SystemTime::now(), reason(wait)));
    }

    /// It waits no longer, if it did. Gives the time.
    pub(crate) fn wait_ends(&mut self) -> SystemTime {
        let now = SystemTime::now();
        let Some((since, what)) = self.waiting.take() else {
            return now;
        };
        if self.waits.events.len() >= MOST_WAITS {
            self.waits.dropped_count += 1;
            return now;
        }
        let lasted = now.duration_since(since).unwrap_or_default().as_secs_f64();
        let attributes = vec![
            KeyValue::new("dormouse.wait", what),
            KeyValue::new("dormouse.wait.seconds", lasted),
        ];
        self.waits
            .events
            .push(Event::new("wait", since, attributes, 0));
        now
    }

    /// A snapshot has been made since then, of so many bytes before and after they were compressed.
    pub(crate) fn freezes(
        &mut self,
        since: SystemTime,
        (flat, stored): (usize, usize),
        wait: Option<&Wait>,
        state: TaskState,
    ) {
        let attributes = vec![
            KeyValue::new("dormouse.snapshot.bytes", flat as i64),
            KeyValue::new("dormouse.snapshot.stored_bytes", stored as i64),
        ];
        self.child("freeze", since, SystemTime::now(), attributes);
        (self.sleeps_for, self.stored_as) = (wait.map(reason), Some(state));
    }

    /// The guest is over.
    pub(crate) fn exits(&mut self, code: Option<u32>, error: Option<&str>, state: TaskState) {
        self.sleeps_for = None;
        self.stored_as = Some(state);
        if let Some(code) = code {
            let code = KeyValue::new("process.exit.code", i64::from(code));
            self.attributes.push(code);
        }
        if let Some(error) = error {
            self.status = Status::error(error.to_string());
        }
    }
}

impl Drop for RunSpan {
    fn drop(&mut self) {
        if !self.is_loaded {
            return;
        }
        let end_time = self.wait_ends();
        let mut attributes = std::mem::take(&mut self.attributes);
        let wait = self.sleeps_for;
        attributes.extend(wait.map(|wait| KeyValue::new("dormouse.wait", wait)));
        let state = self.stored_as.map(|state| state.to_string());
        attributes.extend(state.map(|state| KeyValue::new("dormouse.state", state)));
        attributes.extend(self.labels.attributes());
        attributes.extend([
            KeyValue::new("dormouse.run", self.begins.number as i64),
            KeyValue::new("dormouse.engine", self.begins.engine),
        ]);
        let RunTimes { began, claim } = self.begins.times;
        let mut links = SpanLinks::default();
        links.links = std::mem::take(&mut self.links);
        let parent = self.parent.map(|parent| parent.span_id);
        self.telemetry.send(SpanData {
            span_context: span_context(self.context, false),
            parent_span_id: parent.map_or(SpanId::INVALID, SpanId::from_bytes),
            parent_span_is_remote: parent.is_some(),
            span_kind: SpanKind::Consumer,
            name: "run".into(),
            start_time: claim.map_or(began, |(asked, _)| asked),
            end_time,
            attributes,
            dropped_attributes_count: 0,
            events: std::mem::take(&mut self.waits),
            links,
            status: std::mem::take(&mut self.status),
            instrumentation_scope: self.telemetry.scope.clone(),
        });
    }
}

/// What a wait is for, in few different words.
fn reason(wait: &Wait) -> &'static str {
    match wait {
        Wait::Yield => "turn",
        Wait::Host { .. } => "host function",
        Wait::Poll { deadline, fds } => match (deadline.is_some(), fds.is_empty()) {
            (true, true) => "time",
            (true, false) => "descriptor or time",
            (false, false) => "descriptor",
            (false, true) => "reader of a named pipe",
        },
    }
}

/// Links to the submission of a task, and to a run.
pub(super) fn links_to(
    origin: TraceContext,
    to: impl IntoIterator<Item = Option<TraceContext>>,
) -> Vec<Link> {
    let links = to.into_iter().flatten().map(|to| {
        let what = match to == origin {
            true => "submit",
            false => "previous run",
        };
        let attributes = vec![KeyValue::new("dormouse.link", what)];
        Link::new(span_context(to, true), attributes, 0)
    });
    links.collect()
}
