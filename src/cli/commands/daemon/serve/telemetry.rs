//! Telemetry of the daemon: to whom it goes, and what sends it.

use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use ureq::Agent;
use ureq::unversioned::resolver::DefaultResolver;
use ureq::unversioned::transport::{Connector as _, TcpConnector};

use crate::cli::args::daemon::Serve;
use crate::cli::exit::{Failure, USAGE};
use crate::cli::tls::{TlsConnector, Trust};
use crate::daemon::telemetry::{
    Bytes, HttpError, Post, Request, Response, Telemetry, TelemetryOptions,
};

/// A request lasts so long at most where `OTEL_EXPORTER_OTLP_TIMEOUT` does not say otherwise, as the
/// standard has it.
const REQUEST_TIMEOUT: Duration = Duration::from_secs(10);

/// Bytes of the longest answer that is read: a collector says little.
const LONGEST_ANSWER_BYTES: u64 = 1 << 20;

fn variable(name: &str) -> Option<String> {
    std::env::var(name).ok().filter(|text| !text.is_empty())
}

/// Starts what `--otlp` or the environment ask for.
pub(super) fn start(command: &Serve, instance: &str) -> Result<Option<Arc<Telemetry>>, Failure> {
    if let Some(url) = &command.otlp {
        check_url(url)?;
    }
    let options = TelemetryOptions {
        endpoint: command.otlp.clone(),
        post: post()?,
        instance: instance.into(),
        node: command.node.clone(),
    };
    Telemetry::start(&options).map_err(|error| Failure::new(USAGE, error.to_string()))
}

fn check_url(url: &str) -> Result<(), Failure> {
    let rest = url
        .strip_prefix("http://")
        .or_else(|| url.strip_prefix("https://"));
    match rest {
        Some(rest) if !rest.is_empty() && !rest.starts_with('/') => Ok(()),
        _ => {
            let text = format!("--otlp: {url:?} is no URL; write http://HOST:4318, for example");
            Err(Failure::new(USAGE, text))
        }
    }
}

/// Sends requests by HTTP, and by TLS to whom this machine trusts or `OTEL_EXPORTER_OTLP_CERTIFICATE`
/// has.
fn post() -> Result<Post, Failure> {
    let timeout = variable("OTEL_EXPORTER_OTLP_TIMEOUT").and_then(|text| text.parse().ok());
    let timeout = timeout.map_or(REQUEST_TIMEOUT, Duration::from_millis);
    let config = Agent::config_builder()
        .timeout_global(Some(timeout))
        .http_status_as_error(false)
        .max_redirects(0)
        .build();
    let trusted = variable("OTEL_EXPORTER_OTLP_CERTIFICATE").map(PathBuf::from);
    let trust = trusted.as_deref().map_or(Trust::Machine, Trust::File);
    let connector = ().chain(TcpConnector::default()).chain(TlsConnector::new(&trust)?);
    let agent = Agent::with_parts(config, connector, DefaultResolver::default());
    Ok(Arc::new(move |request: Request<Bytes>| {
        let answer = agent.run(request.map(|body| body.to_vec()))?;
        let (head, mut body) = answer.into_parts();
        let read = body.with_config().limit(LONGEST_ANSWER_BYTES).read_to_vec();
        let read = read.map_err(HttpError::from)?;
        Ok(Response::from_parts(head, Bytes::from(read)))
    }))
}
