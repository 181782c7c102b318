//! Asks a daemon.
//!
//! Where it is: `--url`, else `DORMOUSE_URL`, else the file `url` in the data directory that `serve` uses
//! when it is not told another. The token stands in the URL (`http://TOKEN@127.0.0.1:7433`), or in
//! `DORMOUSE_TOKEN`.

use std::io::Read;
use std::path::PathBuf;
use std::time::Duration;

use serde::{Serialize, de::DeserializeOwned};
use ureq::http::{Method, Request, Response, StatusCode, Uri};
use ureq::{Agent, Body};

use super::exit::{Code, DAEMON, DENIED, Failure, LIMIT, NO_TASK, NOT_MOVED, USAGE, WRITE};
use crate::error::ErrorKind;
use crate::server::wire::{Problem, Task};

/// Nobody answers: a daemon on the same machine does at once.
const CONNECT: Duration = Duration::from_secs(5);

/// The largest answer that is kept in memory: a snapshot.
const LARGEST: u64 = 9 << 30;

/// A daemon to ask.
pub(super) struct Client {
    agent: Agent,
    base: String,
    token: Option<String>,
}

/// Where `serve` keeps everything, unless it is told: `dormouse` in the user's data directory
/// (`XDG_DATA_HOME`, else `~/.local/share`).
pub(super) fn data_directory() -> PathBuf {
    let variable = |name| std::env::var_os(name).filter(|value| !value.is_empty());
    let data = match (variable("XDG_DATA_HOME"), variable("HOME")) {
        (Some(data), _) => PathBuf::from(data),
        (None, Some(home)) => PathBuf::from(home).join(".local/share"),
        (None, None) => std::env::temp_dir(),
    };
    data.join("dormouse")
}

impl Client {
    /// The daemon at a URL, or the one that is found.
    pub(super) fn new(url: Option<&str>) -> Result<Self, Failure> {
        let from_environment = || {
            std::env::var("DORMOUSE_URL")
                .ok()
                .filter(|url| !url.is_empty())
        };
        let file = data_directory().join("url");
        let from_file = || std::fs::read_to_string(&file).ok();
        let found = url
            .map(String::from)
            .or_else(from_environment)
            .or_else(from_file);
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
            let text = format!("{url:?} is no URL of a daemon; write http://TOKEN@HOST:PORT");
            Failure::new(USAGE, text)
        };
        let rest = url.strip_prefix("http://").ok_or_else(wrong)?;
        let (token, host) = match rest.rsplit_once('@') {
            Some((token, host)) => (Some(token.trim_start_matches(':').to_string()), host),
            None => (None, rest),
        };
        let base = format!("http://{host}");
        let uri: Uri = base.parse().map_err(|_| wrong())?;
        if uri.host().is_none() || host.contains('/') {
            return Err(wrong());
        }
        let token = token.or_else(|| std::env::var("DORMOUSE_TOKEN").ok());
        let config = Agent::config_builder()
            .timeout_connect(Some(CONNECT))
            .http_status_as_error(false)
            .max_redirects(0)
            .proxy(None)
            .build();
        Ok(Self {
            agent: config.into(),
            base,
            token,
        })
    }

    /// Asks, and reads the JSON of the answer.
    pub(super) fn json<T: DeserializeOwned>(
        &self,
        method: Method,
        path: &str,
        body: Option<&impl Serialize>,
    ) -> Result<T, Failure> {
        let bytes = encoded(body)?;
        let mut response = self.send(method, path, "application/json", bytes)?;
        let read = response.body_mut().with_config().limit(LARGEST).read_json();
        read.map_err(|error| self.garbled(&error))
    }

    /// Gets JSON.
    pub(super) fn get<T: DeserializeOwned>(&self, path: &str) -> Result<T, Failure> {
        self.json(Method::GET, path, None::<&()>)
    }

    /// Asks for something that is done with a task; gives the task, and whether it is done already.
    pub(super) fn act(
        &self,
        id: &str,
        act: &str,
        body: Option<&impl Serialize>,
    ) -> Result<(Task, bool), Failure> {
        let path = format!("/v1/tasks/{}/{act}", segment(id));
        let bytes = encoded(body)?;
        let mut response = self.send(Method::POST, &path, "application/json", bytes)?;
        let done = response.status() != StatusCode::ACCEPTED;
        let task = response.body_mut().read_json();
        Ok((task.map_err(|error| self.garbled(&error))?, done))
    }

    /// Asks, and gives the answer to be read.
    pub(super) fn send(
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
        let request = request
            .body(body)
            .map_err(|error| Failure::new(USAGE, format!("cannot ask {}: {error}", self.base)))?;
        let mut response = self.agent.run(request).map_err(|error| {
            let text = format!(
                "cannot reach the daemon at {}: {error}; is `dormouse serve` running?",
                self.base
            );
            Failure::new(DAEMON, text)
        })?;
        let status = response.status();
        if status.is_success() {
            return Ok(response);
        }
        let problem: Result<Problem, _> = response.body_mut().read_json();
        Err(match problem {
            Ok(problem) => {
                let kind = problem.kind.as_deref().map(str::parse::<ErrorKind>);
                let code = match kind {
                    // As where the same fault is found here.
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
pub(super) fn bytes(mut response: Response<Body>) -> Result<Vec<u8>, Failure> {
    let mut bytes = Vec::new();
    let mut reader = response.body_mut().with_config().limit(LARGEST).reader();
    reader
        .read_to_end(&mut bytes)
        .map_err(|error| Failure::new(DAEMON, format!("the daemon's answer broke off: {error}")))?;
    Ok(bytes)
}

/// The exit code where an answer does not say which sort of error it is.
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

/// A part of a path: names hold nothing that has to be escaped, so that anything else is no name.
pub(super) fn segment(id: &str) -> String {
    let plain = |c: char| c.is_alphanumeric() || "._-".contains(c);
    let escape = |c: char| {
        let mut bytes = [0; 4];
        let bytes = c.encode_utf8(&mut bytes).bytes();
        bytes.map(|byte| format!("%{byte:02X}")).collect::<String>()
    };
    id.chars()
        .map(|c| {
            if plain(c) && c.is_ascii() {
                c.to_string()
            } else {
                escape(c)
            }
        })
        .collect()
}
