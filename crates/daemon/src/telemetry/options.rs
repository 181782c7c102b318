//! How telemetry is sent, as options and the environment say.

use std::sync::Arc;

use opentelemetry::KeyValue;
use opentelemetry_http::HttpClient;
pub use opentelemetry_http::{Bytes, HttpError, Request, Response};
use opentelemetry_sdk::Resource;

/// Sends a request and waits for the answer, for a bounded time.
pub type Post = Arc<dyn Fn(Request<Bytes>) -> Result<Response<Bytes>, HttpError> + Send + Sync>;

/// The same as the exporters want it.
pub(super) struct Client(pub(super) Post);

#[async_trait::async_trait]
impl HttpClient for Client {
    async fn send_bytes(&self, request: Request<Bytes>) -> Result<Response<Bytes>, HttpError> {
        // An exporter has a thread of its own.
        (self.0)(request)
    }
}

impl std::fmt::Debug for Client {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Client").finish_non_exhaustive()
    }
}

/// How telemetry is sent.
#[derive(Clone)]
pub struct TelemetryOptions {
    /// The collector, such as `http://127.0.0.1:4318`; `None` is what the environment names.
    pub endpoint: Option<String>,
    /// What sends the requests.
    pub post: Post,
    /// The name of this daemon.
    pub instance: String,
    /// The name of this node, where several share a store.
    pub node: Option<String>,
}

/// Why telemetry cannot be sent.
#[derive(Debug, thiserror::Error)]
pub enum TelemetryError {
    /// The environment asks for another protocol.
    #[error(
        "{0} is {1:?}, and dormouse speaks http/protobuf alone; unset it, and name the port for HTTP, which is 4318 mostly"
    )]
    Protocol(&'static str, String),
    /// The exporter cannot be made.
    #[error("telemetry cannot be sent: {0}")]
    Exporter(String),
    /// A thread cannot be started.
    #[error("telemetry cannot be sent: cannot start a thread: {0}")]
    Thread(std::io::Error),
}

/// What the environment says, where it says something.
pub(super) fn variable(name: &str) -> Option<String> {
    std::env::var(name).ok().filter(|value| !value.is_empty())
}

/// Whether the environment wants a signal of which it names the exporter and the endpoint in these.
pub(super) fn is_wanted(exporter: &str, endpoint: &str, given: bool) -> bool {
    let none = variable(exporter).is_some_and(|value| value == "none");
    let named = || variable(endpoint).or_else(|| variable("OTEL_EXPORTER_OTLP_ENDPOINT"));
    !none && (given || named().is_some())
}

/// Refuses an environment that asks for gRPC: a collector would not understand what comes.
pub(super) fn check_protocol() -> Result<(), TelemetryError> {
    for name in [
        "OTEL_EXPORTER_OTLP_PROTOCOL",
        "OTEL_EXPORTER_OTLP_TRACES_PROTOCOL",
        "OTEL_EXPORTER_OTLP_LOGS_PROTOCOL",
    ] {
        match variable(name) {
            Some(value) if value != "http/protobuf" => {
                return Err(TelemetryError::Protocol(name, value));
            }
            _ => {}
        }
    }
    Ok(())
}

/// How many items of a signal may wait: as a variable of the standard says, or so many.
pub(super) fn queue_size(name: &str, default: usize) -> usize {
    let said = variable(name).and_then(|text| text.parse().ok());
    said.filter(|count| *count > 0).unwrap_or(default)
}

/// Who tells.
pub(super) fn resource(options: &TelemetryOptions) -> Resource {
    let named = variable("OTEL_RESOURCE_ATTRIBUTES");
    let named = named.is_some_and(|all| {
        all.split(',')
            .any(|one| one.trim().starts_with("service.name="))
    });
    let mut builder = Resource::builder();
    if variable("OTEL_SERVICE_NAME").is_none() && !named {
        builder = builder.with_service_name("dormouse");
    }
    let instance = options.instance.clone();
    let node = options.node.clone().unwrap_or_else(|| instance.clone());
    builder
        .with_attribute(KeyValue::new("service.version", env!("CARGO_PKG_VERSION")))
        .with_attribute(KeyValue::new("service.instance.id", instance))
        .with_attribute(KeyValue::new("dormouse.node", node))
        .build()
}

/// Where a signal goes, if it is not the environment's to say.
pub(super) fn endpoint(options: &TelemetryOptions, path: &str) -> Option<String> {
    let base = options.endpoint.as_ref()?;
    Some(format!("{}/{path}", base.trim_end_matches('/')))
}
