//! A line that a guest has written, as a log record.

use std::sync::Arc;

use opentelemetry::logs::{AnyValue, LogRecord as _, Logger as _, LoggerProvider as _};
use opentelemetry::{InstrumentationScope, KeyValue, SpanId, TraceFlags, TraceId, Value};
use opentelemetry_otlp::LogExporter;
use opentelemetry_sdk::Resource;
use opentelemetry_sdk::logs::{
    LogBatch, LogExporter as _, SdkLogRecord, SdkLogger, SdkLoggerProvider,
};

use crate::model::{Timestamp, TraceContext};
use crate::telemetry::labels::TaskLabels;

/// The name under which dormouse tells of itself.
pub(super) const SCOPE: &str = "dormouse";

/// A line on its way.
pub(super) struct Line {
    pub(super) time: Timestamp,
    /// Which stream: `stdout` or `stderr`.
    pub(super) stream: &'static str,
    pub(super) text: Vec<u8>,
    pub(super) labels: Arc<TaskLabels>,
    pub(super) context: Option<TraceContext>,
}

/// What sends lines by an exporter.
pub(super) fn export_with(
    mut exporter: LogExporter,
    resource: &Resource,
) -> impl FnMut(Vec<Line>) -> Result<(), String> + Send + 'static {
    exporter.set_resource(resource);
    // It only makes records.
    let logger = SdkLoggerProvider::builder().build().logger(SCOPE);
    let scope = InstrumentationScope::builder(SCOPE)
        .with_version(env!("CARGO_PKG_VERSION"))
        .build();
    move |lines| {
        let records: Vec<SdkLogRecord> = lines
            .into_iter()
            .map(|line| record(&logger, line))
            .collect();
        let batch: Vec<_> = records.iter().map(|record| (record, &scope)).collect();
        let sent = exporter.export(LogBatch::new(&batch));
        futures_executor::block_on(sent).map_err(|error| error.to_string())
    }
}

fn record(logger: &SdkLogger, line: Line) -> SdkLogRecord {
    let mut record = logger.create_log_record();
    let time = line.time.into();
    record.set_timestamp(time);
    record.set_observed_timestamp(time);
    record.set_body(match String::from_utf8(line.text) {
        Ok(text) => AnyValue::String(text.into()),
        Err(error) => AnyValue::Bytes(Box::new(error.into_bytes())),
    });
    record.add_attribute("log.iostream", line.stream);
    for KeyValue { key, value, .. } in line.labels.attributes() {
        record.add_attribute(key, any(value));
    }
    if let Some(context) = line.context {
        let flags = match context.sampled {
            true => TraceFlags::SAMPLED,
            false => TraceFlags::default(),
        };
        let trace = TraceId::from_bytes(context.trace_id);
        let span = SpanId::from_bytes(context.span_id);
        record.set_trace_context(trace, span, Some(flags));
    }
    record
}

fn any(value: Value) -> AnyValue {
    match value {
        Value::I64(number) => AnyValue::Int(number),
        Value::F64(number) => AnyValue::Double(number),
        Value::Bool(is) => AnyValue::Boolean(is),
        other => AnyValue::String(other.as_str().into_owned().into()),
    }
}
