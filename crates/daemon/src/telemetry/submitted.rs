//! The span of a submission, which a task's runs are joined to.

use std::sync::Arc;
use std::time::SystemTime;

use opentelemetry::KeyValue;
use opentelemetry::trace::{Link, SpanId, SpanKind, Status};
use opentelemetry_sdk::trace::{SpanData, SpanEvents, SpanLinks};

use crate::model::{TaskId, TraceContext, When};
use crate::telemetry::sender::{Telemetry, span_context};

/// A submission that is under way.
pub(crate) struct Submission {
    telemetry: Arc<Telemetry>,
    context: TraceContext,
    tenant: Arc<str>,
    parent: Option<TraceContext>,
    /// What the snapshot says that a task is made of.
    carried: Option<TraceContext>,
    began: SystemTime,
}

impl Submission {
    /// A submission begins, for whoever has this context, of a snapshot that carries another one;
    /// `None` where nobody is told of spans.
    pub(crate) fn begin(
        telemetry: &Arc<Telemetry>,
        tenant: Arc<str>,
        parent: Option<TraceContext>,
        carried: Option<TraceContext>,
    ) -> Option<Self> {
        telemetry.tells_spans().then(|| Self {
            telemetry: telemetry.clone(),
            context: telemetry.begin_task(parent, "submit", &SpanKind::Producer),
            tenant,
            parent,
            carried,
            began: SystemTime::now(),
        })
    }

    /// What its tasks carry.
    pub(crate) fn context(&self) -> TraceContext {
        self.context
    }

    /// These tasks are stored; if it is one, with its name.
    pub(crate) fn done(self, tasks: &[(TaskId, When)], name: Option<&str>) {
        if !self.context.sampled {
            return;
        }
        let mut attributes = vec![
            KeyValue::new("dormouse.tasks", tasks.len() as i64),
            KeyValue::new("dormouse.tenant", self.tenant),
        ];
        if let [(task, _)] = tasks {
            attributes.push(KeyValue::new("dormouse.task.id", task.0 as i64));
        }
        if let Some(name) = name {
            attributes.push(KeyValue::new("dormouse.task.name", name.to_string()));
        }
        let mut links = SpanLinks::default();
        let carried = self.carried.map(|carried| {
            let what = vec![KeyValue::new("dormouse.link", "submit")];
            Link::new(span_context(carried, true), what, 0)
        });
        links.links.extend(carried);
        let parent = self.parent.map(|parent| parent.span_id);
        self.telemetry.send(SpanData {
            span_context: span_context(self.context, false),
            parent_span_id: parent.map_or(SpanId::INVALID, SpanId::from_bytes),
            parent_span_is_remote: parent.is_some(),
            span_kind: SpanKind::Producer,
            name: "submit".into(),
            start_time: self.began,
            end_time: SystemTime::now(),
            attributes,
            dropped_attributes_count: 0,
            events: SpanEvents::default(),
            links,
            status: Status::Unset,
            instrumentation_scope: self.telemetry.scope.clone(),
        });
    }
}
