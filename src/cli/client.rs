//! HTTP requests to a daemon.
//!
//! The daemon's URL comes from `--url`, else from `DORMOUSE_URL`, else from the file `url` in the
//! data directory that `serve` uses by default. The token is part of the URL
//! (`http://TOKEN@127.0.0.1:7433`), or comes from `DORMOUSE_TOKEN`.
//!
//! Where the URL begins `https://`, the daemon shows a certificate. That of this user's own daemon
//! lies beside the file `url`.

use std::io::Read;
use std::path::PathBuf;
use std::time::Duration;

use percent_encoding::{AsciiSet, NON_ALPHANUMERIC, utf8_percent_encode};
use serde::{Serialize, de::DeserializeOwned};
use ureq::http::{Method, Request, Response, StatusCode, Uri};
use ureq::unversioned::resolver::DefaultResolver;
use ureq::unversioned::transport::{Connector, TcpConnector};
use ureq::{Agent, Body};

use super::args::daemon::Remote;
use super::data_dir::{TLS_FILE, data_directory};
use super::exit::{Code, DAEMON, DENIED, Failure, LIMIT, NO_TASK, NOT_MOVED, USAGE, WRITE};
use super::tls::{TlsConnector, Trust, reason};
use crate::daemon::http::wire::{Problem, Task};
use crate::error::ErrorKind;
use crate::model::TraceContext;

/// How long a connection may take: a daemon on the same machine accepts it at once.
const CONNECT_TIMEOUT: Duration = Duration::from_secs(5);

/// What stands in a path or a query as it is; names of tasks have nothing else.
const PLAIN: &AsciiSet = &NON_ALPHANUMERIC.remove(b'.').remove(b'_').remove(b'-');

/// The largest answer that is kept in memory, in bytes: a snapshot.
const MAX_ANSWER_BYTES: u64 = 9 << 30;

/// A daemon that can be asked.
#[derive(Clone)]
pub(crate) struct Client {
    agent: Agent,
    base: String,
    token: Option<String>,
    /// Whom an admin acts for.
    tenant: Option<String>,
    /// The span that asks.
    trace: Option<TraceContext>,
}

impl Client {
    /// The daemon that flags name, or the one that the environment or the data directory names.
    pub(crate) fn new(remote: &Remote) -> Result<Self, Failure> {
        let variable = |name| std::env::var(name).ok().filter(|text| !text.is_empty());
        let named = remote.url.clone().or_else(|| variable("DORMOUSE_URL"));
        let is_own = named.is_none();
        let file = data_directory().join("url");
        let found = named.or_else(|| std::fs::read_to_string(&file).ok());
        let url = found.ok_or_else(|| {
            let text = format!(
                "no daemon is known: there is no {}; start one with `dormouse serve`, or name one with \
                 --url or DORMOUSE_URL",
                file.display()
            );
            Failure::new(DAEMON, text)
        })?;
        let url = url.trim().trim_end_matches('/');
        let wrong = || {
            let text = format!(
                "{url:?} is no URL of a daemon; write http://TOKEN@HOST:PORT or https://TOKEN@HOST:PORT"
            );
            Failure::new(USAGE, text)
        };
        let (scheme, rest) = url.split_once("://").ok_or_else(wrong)?;
        if !matches!(scheme, "http" | "https") {
            return Err(wrong());
        }
        let (token, host) = match rest.rsplit_once('@') {
            Some((token, host)) => (Some(token.trim_start_matches(':').to_string()), host),
            None => (None, rest),
        };
        let base = format!("{scheme}://{host}");
        let uri: Uri = base.parse().map_err(|_| wrong())?;
        if uri.host().is_none() || host.contains('/') {
            return Err(wrong());
        }
        let token = token.or_else(|| std::env::var("DORMOUSE_TOKEN").ok());
        let config = Agent::config_builder()
            .timeout_connect(Some(CONNECT_TIMEOUT))
            .http_status_as_error(false)
            .max_redirects(0)
            .proxy(None)
            .build();
        let agent = match scheme {
            "https" => {
                let given = remote.tls_ca.clone();
                let given = given.or_else(|| variable("DORMOUSE_TLS_CA").map(PathBuf::from));
                let own = data_directory().join(TLS_FILE);
                let trust = match &given {
                    Some(file) => Trust::File(file),
                    None if is_own && own.exists() => Trust::Pinned(&own),
                    None => Trust::Machine,
                };
                let tls = TlsConnector::new(&trust)?;
                let connector = ().chain(TcpConnector::default()).chain(tls);
                Agent::with_parts(config, connector, DefaultResolver::default())
            }
            _ => config.into(),
        };
        Ok(Self {
            agent,
            base,
            token,
            tenant: remote.tenant.clone(),
            trace: None,
        })
    }

    /// The same, for a span: the one that is given, or that of `TRACEPARENT`.
    pub(crate) fn with_trace(mut self, given: Option<TraceContext>) -> Self {
        let variable = || std::env::var("TRACEPARENT").ok()?.parse().ok();
        self.trace = given.or_else(variable);
        self
    }

    /// Sends a request, and reads the JSON of the answer.
    pub(crate) fn json<T: DeserializeOwned>(
        &self,
        method: Method,
        path: &str,
        body: Option<&impl Serialize>,
    ) -> Result<T, Failure> {
        let bytes = encoded(body)?;
        let mut response = self.send(method, path, "application/json", bytes)?;
        let read = response
            .body_mut()
            .with_config()
            .limit(MAX_ANSWER_BYTES)
            .read_json();
        read.map_err(|error| self.garbled(&error))
    }

    /// Gets JSON.
    pub(crate) fn get<T: DeserializeOwned>(&self, path: &str) -> Result<T, Failure> {
        self.json(Method::GET, path, None::<&()>)
    }

    /// Asks for an action on a task; gives the task, and whether the action has been done already.
    pub(crate) fn act(
        &self,
        id: &str,
        act: &str,
        body: Option<&impl Serialize>,
    ) -> Result<(Task, bool), Failure> {
        let path = format!("/v1/tasks/{}/{act}", escaped(id));
        let bytes = encoded(body)?;
        let mut response = self.send(Method::POST, &path, "application/json", bytes)?;
        let done = response.status() != StatusCode::ACCEPTED;
        let task = response.body_mut().read_json();
        Ok((task.map_err(|error| self.garbled(&error))?, done))
    }

    /// Sends a request, and gives the answer, whose body has not been read yet.
    pub(crate) fn send(
        &self,
        method: Method,
        path: &str,
        kind: &str,
        body: Vec<u8>,
    ) -> Result<Response<Body>, Failure> {
        let mut request = Request::builder()
            .method(method)
            .uri(format!("{}{path}", self.base))
            .header("content-type", kind);
        if let Some(token) = &self.token {
            request = request.header("authorization", format!("Bearer {token}"));
        }
        if let Some(tenant) = &self.tenant {
            request = request.header("dormouse-tenant", tenant);
        }
        if let Some(trace) = &self.trace {
            request = request.header("traceparent", trace.to_string());
        }
        let request = request
            .body(body)
            .map_err(|error| Failure::new(USAGE, format!("cannot ask {}: {error}", self.base)))?;
        let mut response = self
            .agent
            .run(request)
            .map_err(|error| self.unreached(&error))?;
        let status = response.status();
        if status.is_success() {
            return Ok(response);
        }
        let problem: Result<Problem, _> = response.body_mut().read_json();
        Err(match problem {
            Ok(problem) => {
                let kind = problem.kind.as_deref().map(str::parse::<ErrorKind>);
                let code = match kind {
                    // The same code as for the same error in this process.
                    Some(Ok(kind)) => Code::from(kind),
                    _ => code(status),
                };
                Failure::new(code, problem.error)
            }
            Err(_) => {
                let text = format!("the daemon at {} answered {status}", self.base);
                Failure::new(code(status), text)
            }
        })
    }

    fn unreached(&self, error: &ureq::Error) -> Failure {
        let text = match reason(error) {
            Some(rustls::Error::InvalidCertificate(why)) => format!(
                "the certificate of the daemon at {} is not trusted: {why}; --tls-ca FILE names a file \
                 with it, or with that of its authority",
                self.base
            ),
            Some(error) => format!(
                "cannot speak TLS with the daemon at {}: {error}; where it speaks plain HTTP, its URL \
                 begins http://",
                self.base
            ),
            None => format!(
                "cannot reach the daemon at {}: {error}; is `dormouse serve` running?",
                self.base
            ),
        };
        Failure::new(DAEMON, text)
    }

    fn garbled(&self, error: &dyn std::fmt::Display) -> Failure {
        let text = format!("cannot understand the daemon at {}: {error}", self.base);
        Failure::new(DAEMON, text)
    }
}

fn encoded(body: Option<&impl Serialize>) -> Result<Vec<u8>, Failure> {
    let Some(body) = body else {
        return Ok(Vec::new());
    };
    serde_json::to_vec(body)
        .map_err(|error| Failure::new(USAGE, format!("cannot write the request: {error}")))
}

/// All bytes of an answer.
pub(crate) fn bytes(mut response: Response<Body>) -> Result<Vec<u8>, Failure> {
    let mut bytes = Vec::new();
    let mut reader = response
        .body_mut()
        .with_config()
        .limit(MAX_ANSWER_BYTES)
        .reader();
    reader
        .read_to_end(&mut bytes)
        .map_err(|error| Failure::new(DAEMON, format!("the daemon's answer broke off: {error}")))?;
    Ok(bytes)
}

/// The exit code for an answer that does not say what kind of error it reports.
fn code(status: StatusCode) -> Code {
    match status {
        StatusCode::UNAUTHORIZED | StatusCode::FORBIDDEN => DENIED,
        StatusCode::NOT_FOUND | StatusCode::CONFLICT => NO_TASK,
        StatusCode::BAD_REQUEST | StatusCode::UNPROCESSABLE_ENTITY => USAGE,
        StatusCode::PAYLOAD_TOO_LARGE => LIMIT,
        StatusCode::INSUFFICIENT_STORAGE => WRITE,
        StatusCode::BAD_GATEWAY => NOT_MOVED,
        _ => DAEMON,
    }
}

/// A part of a path or a query, percent-encoded.
pub(crate) fn escaped(part: &str) -> String {
    utf8_percent_encode(part, PLAIN).to_string()
}

#[cfg(test)]
mod tests {
    use super::escaped;

    #[test]
    fn what_is_no_name_is_escaped() {
        assert_eq!(escaped("mail-1_a.b"), "mail-1_a.b");
        assert_eq!(escaped("a/b?c d%"), "a%2Fb%3Fc%20d%25");
        assert_eq!(escaped("é"), "%C3%A9");
    }
}
