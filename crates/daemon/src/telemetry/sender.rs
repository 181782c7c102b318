//! What sends spans and log records, and says which of them are wanted.

use std::collections::HashMap;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, Instant};

use opentelemetry::trace::{SpanContext, SpanKind, TraceContextExt as _};
use opentelemetry::trace::{SpanId, TraceFlags, TraceId, TraceState};
use opentelemetry::{Context, InstrumentationScope};
use opentelemetry_otlp::{LogExporter, SpanExporter, WithExportConfig as _, WithHttpConfig as _};
use opentelemetry_sdk::Resource;
use opentelemetry_sdk::trace::{Config, IdGenerator as _, RandomIdGenerator, ShouldSample};
use opentelemetry_sdk::trace::{SamplingDecision, SpanData, SpanExporter as _};
use parking_lot::Mutex;

use crate::model::{TenantId, TraceContext};
use crate::telemetry::options::{Client, TelemetryError, TelemetryOptions};
use crate::telemetry::options::{
    check_protocol, endpoint, is_wanted, queue_size, resource, variable,
};
use crate::telemetry::queue::Queue;
use crate::telemetry::record::{self, Line, SCOPE};

/// At most this many spans wait for a collector where `OTEL_BSP_MAX_QUEUE_SIZE` does not say
/// otherwise, of as many bytes about.
const MOST_SPANS: usize = 16 << 10;
const MOST_SPAN_BYTES: usize = 32 << 20;

/// At most this many lines wait for a collector where `OTEL_BLRP_MAX_QUEUE_SIZE` does not say
/// otherwise, of as many bytes.
const MOST_LINES: usize = 16 << 10;
const MOST_LINE_BYTES: usize = 16 << 20;

/// About how many bytes a span takes in memory.
const SPAN_BYTES: usize = 1 << 10;

/// What sends spans and log records, and says what of them is wanted.
pub struct Telemetry {
    spans: Option<Queue<SpanData>>,
    pub(super) lines: Option<Queue<Line>>,
    sampler: Box<dyn ShouldSample>,
    ids: RandomIdGenerator,
    pub(super) scope: InstrumentationScope,
    tenants: Mutex<HashMap<TenantId, Arc<str>>>,
}

impl Telemetry {
    /// Starts what sends telemetry, where the options or the environment ask for it
    /// (`OTEL_EXPORTER_OTLP_ENDPOINT`). `None` where nobody does, or `OTEL_SDK_DISABLED` is `true`.
    ///
    /// # Errors
    /// If what is asked for cannot be done.
    pub fn start(options: &TelemetryOptions) -> Result<Option<Arc<Self>>, TelemetryError> {
        let disabled = variable("OTEL_SDK_DISABLED");
        if disabled.is_some_and(|value| value.eq_ignore_ascii_case("true")) {
            return Ok(None);
        }
        let given = options.endpoint.is_some();
        let spans = "OTEL_EXPORTER_OTLP_TRACES_ENDPOINT";
        let spans = is_wanted("OTEL_TRACES_EXPORTER", spans, given);
        let lines = "OTEL_EXPORTER_OTLP_LOGS_ENDPOINT";
        let lines = is_wanted("OTEL_LOGS_EXPORTER", lines, given);
        if !spans && !lines {
            return Ok(None);
        }
        check_protocol()?;
        let resource = resource(options);
        let spans = spans.then(|| span_queue(options, &resource)).transpose()?;
        let lines = lines.then(|| line_queue(options, &resource)).transpose()?;
        Ok(Some(Arc::new(Self {
            spans,
            lines,
            sampler: Config::default().sampler,
            ids: RandomIdGenerator::default(),
            scope: InstrumentationScope::builder(SCOPE)
                .with_version(env!("CARGO_PKG_VERSION"))
                .build(),
            tenants: Mutex::default(),
        })))
    }

    /// Sends what waits, for so long at most.
    pub fn flush(&self, patience: Duration) {
        let until = Instant::now() + patience;
        if let Some(spans) = &self.spans {
            spans.flush(until);
        }
        if let Some(lines) = &self.lines {
            lines.flush(until);
        }
    }

    /// How many spans and lines were dropped, because no collector took them in time.
    pub fn dropped(&self) -> [(&'static str, u64); 2] {
        let spans = self.spans.as_ref().map(Queue::dropped);
        let lines = self.lines.as_ref().map(Queue::dropped);
        let count =
            |found: Option<&AtomicU64>| found.map_or(0, |count| count.load(Ordering::Relaxed));
        [("traces", count(spans)), ("logs", count(lines))]
    }

    /// Whether anybody is told of spans.
    pub(super) fn tells_spans(&self) -> bool {
        self.spans.is_some()
    }

    /// The name of a tenant, where it has been looked up.
    pub(crate) fn known_tenant(&self, tenant: TenantId) -> Option<Arc<str>> {
        self.tenants.lock().get(&tenant).cloned()
    }

    /// The name of a tenant, which `find` looks up once.
    pub(crate) fn tenant(
        &self,
        tenant: TenantId,
        find: impl FnOnce() -> Option<String>,
    ) -> Arc<str> {
        self.known_tenant(tenant).unwrap_or_else(|| {
            let Some(name) = find() else {
                return tenant.0.to_string().into();
            };
            let name: Arc<str> = name.into();
            self.tenants.lock().insert(tenant, name.clone());
            name
        })
    }

    /// A new span of a task, a child of that of its submitter if there is one; whether it is
    /// recorded is the sampler's to say, once for the task.
    pub(super) fn begin_task(
        &self,
        parent: Option<TraceContext>,
        name: &str,
        kind: &SpanKind,
    ) -> TraceContext {
        let trace_id = match parent {
            Some(parent) => TraceId::from_bytes(parent.trace_id),
            None => self.ids.new_trace_id(),
        };
        let around = parent.map(|parent| {
            let remote = span_context(parent, true);
            Context::new().with_remote_span_context(remote)
        });
        let result = self
            .sampler
            .should_sample(around.as_ref(), trace_id, name, kind, &[], &[]);
        TraceContext {
            trace_id: trace_id.to_bytes(),
            span_id: self.ids.new_span_id().to_bytes(),
            sampled: matches!(result.decision, SamplingDecision::RecordAndSample),
        }
    }

    /// Another span of the same trace.
    pub(super) fn child_of(&self, parent: TraceContext) -> TraceContext {
        TraceContext {
            span_id: self.ids.new_span_id().to_bytes(),
            ..parent
        }
    }

    /// The first span of another trace, which is recorded if this one is.
    pub(super) fn follow(&self, before: TraceContext) -> TraceContext {
        TraceContext {
            trace_id: self.ids.new_trace_id().to_bytes(),
            span_id: self.ids.new_span_id().to_bytes(),
            sampled: before.sampled,
        }
    }

    pub(super) fn send(&self, span: SpanData) {
        if let Some(spans) = &self.spans {
            spans.push(span, SPAN_BYTES);
        }
    }
}

impl std::fmt::Debug for Telemetry {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Telemetry")
            .field("dropped", &self.dropped())
            .finish_non_exhaustive()
    }
}

/// A context in the words of the exporter.
pub(super) fn span_context(context: TraceContext, is_remote: bool) -> SpanContext {
    let flags = match context.sampled {
        true => TraceFlags::SAMPLED,
        false => TraceFlags::default(),
    };
    SpanContext::new(
        TraceId::from_bytes(context.trace_id),
        SpanId::from_bytes(context.span_id),
        flags,
        is_remote,
        TraceState::default(),
    )
}

fn span_queue(
    options: &TelemetryOptions,
    resource: &Resource,
) -> Result<Queue<SpanData>, TelemetryError> {
    let mut builder = SpanExporter::builder()
        .with_http()
        .with_http_client(Client(options.post.clone()));
    if let Some(endpoint) = endpoint(options, "v1/traces") {
        builder = builder.with_endpoint(endpoint);
    }
    let exporter = builder.build();
    let mut exporter = exporter.map_err(|error| TelemetryError::Exporter(error.to_string()))?;
    exporter.set_resource(resource);
    let export = move |batch| {
        let done = futures_executor::block_on(exporter.export(batch));
        done.map_err(|error| error.to_string())
    };
    let most = queue_size("OTEL_BSP_MAX_QUEUE_SIZE", MOST_SPANS);
    Queue::start("spans", (most, MOST_SPAN_BYTES), export).map_err(TelemetryError::Thread)
}

fn line_queue(
    options: &TelemetryOptions,
    resource: &Resource,
) -> Result<Queue<Line>, TelemetryError> {
    let mut builder = LogExporter::builder()
        .with_http()
        .with_http_client(Client(options.post.clone()));
    if let Some(endpoint) = endpoint(options, "v1/logs") {
        builder = builder.with_endpoint(endpoint);
    }
    let exporter = builder.build();
    let exporter = exporter.map_err(|error| TelemetryError::Exporter(error.to_string()))?;
    let export = record::export_with(exporter, resource);
    let most = queue_size("OTEL_BLRP_MAX_QUEUE_SIZE", MOST_LINES);
    Queue::start("lines", (most, MOST_LINE_BYTES), export).map_err(TelemetryError::Thread)
}
