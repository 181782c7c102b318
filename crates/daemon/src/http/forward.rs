//! Requests about a task that another node has go to that node, which is told who asks.

use std::io;
use std::sync::Arc;
use std::time::{Duration, Instant};

use axum::body::{Body, to_bytes};
use axum::extract::path::RawPathParams;
use axum::extract::rejection::RawPathParamsRejection;
use axum::extract::{Request, State};
use axum::http::header::{AUTHORIZATION, CONNECTION, HOST, ORIGIN};
use axum::http::{HeaderValue, Method, Version};
use axum::middleware::Next;
use axum::response::{IntoResponse, Response};
use hyper_util::rt::TokioIo;
use tokio::net::TcpStream;
use tokio::time::{sleep, timeout};
use tokio_rustls::client::TlsStream;

use super::answers::{Answer, ELSEWHERE, Refused, bad, find};
use super::connections::accept::{NO_NODE_HEADER, OtherNode};
use super::connections::auth::CALLER_HEADER;
use super::served::Served;
use crate::access::caller::Caller;
use crate::error::Error as DaemonError;
use crate::model::TaskId;
use crate::nodes::info::NodeInfo;
use crate::tcp::set_peer_options;

/// How long a task is looked for that goes from one node to another: as long as it takes until a dead
/// node's tasks are nobody's, and a little more.
const PATIENCE: Duration = Duration::from_secs(8);
const PAUSE: Duration = Duration::from_millis(200);

/// How long a node may take to accept a connection, to show its certificate, and to answer. An answer
/// takes as long as a task may compute until it is told that it is to be paused.
const CONNECT_TIMEOUT: Duration = Duration::from_secs(1);
const HANDSHAKE_TIMEOUT: Duration = Duration::from_secs(5);
const ANSWER_TIMEOUT: Duration = Duration::from_secs(15);

/// Bytes of the largest body that is passed on.
const LARGEST_BODY_BYTES: usize = 1 << 20;

/// Why a node has not answered.
#[derive(Debug)]
pub(super) enum Failed {
    /// It has not got the request.
    Unsent(String),
    /// It may have got it.
    Unanswered(String),
}

/// Answers a request about a task here, or has it answered by the node that has the task.
pub(super) async fn to_owner(
    State(served): State<Arc<Served>>,
    params: Result<RawPathParams, RawPathParamsRejection>,
    request: Request,
    next: Next,
) -> Response {
    // It goes no further.
    let forwarded = request.extensions().get::<OtherNode>().is_some();
    let task = params.as_ref().ok().and_then(|params| {
        let mut params = params.iter();
        params.find_map(|(name, value)| (name == "id").then(|| String::from(value)))
    });
    let Some(task) = task else {
        return next.run(request).await;
    };
    if !served.daemon.is_node() || forwarded || follows(&request) {
        return next.run(request).await;
    }
    // Without a caller nothing is looked for; the handler refuses the request then.
    let Some(caller) = request.extensions().get::<Arc<Caller>>().cloned() else {
        return next.run(request).await;
    };
    let (parts, body) = request.into_parts();
    let body = match to_bytes(body, LARGEST_BODY_BYTES).await {
        Ok(body) => body,
        Err(error) => return bad(format!("cannot read the request: {error}")).into_response(),
    };
    let began = Instant::now();
    loop {
        let request = Request::from_parts(parts.clone(), Body::from(body.clone()));
        let (id, node) = match owner(&served, &caller, &task).await {
            Ok((id, Some(node))) => (id, node),
            // What is wrong is told where the task is looked for once more.
            Ok((_, None)) | Err(_) => {
                let response = next.clone().run(request).await;
                let elsewhere = response.headers().contains_key(ELSEWHERE);
                if !elsewhere || began.elapsed() >= PATIENCE {
                    return response;
                }
                sleep(PAUSE).await;
                continue;
            }
        };
        let may_wait = began.elapsed() < PATIENCE;
        match ask(&served, &caller, &node, request).await {
            Ok(response) if may_wait && response.headers().contains_key(ELSEWHERE) => {}
            Ok(response) => return response,
            // What is stored of the task can be told here.
            Err(_) if parts.method == Method::GET => {
                let request = Request::from_parts(parts, Body::from(body));
                return next.run(request).await;
            }
            Err(Failed::Unsent(_)) if may_wait => {}
            Err(Failed::Unsent(error) | Failed::Unanswered(error)) => {
                let node = node.name;
                let gone = DaemonError::NodeGone { id, node, error };
                return Refused::from(gone).into_response();
            }
        }
        sleep(PAUSE).await;
    }
}

/// Output that is followed is read from the store, wherever the task is.
fn follows(request: &Request) -> bool {
    let query = request.uri().query().unwrap_or_default();
    let follow = query.split('&').any(|part| part == "follow=true");
    follow && request.uri().path().ends_with("/logs")
}

/// A task, and the other node that has it.
async fn owner(served: &Served, caller: &Caller, task: &str) -> Answer<(TaskId, Option<NodeInfo>)> {
    let id = find(served, caller, task).await?;
    Ok((id, served.daemon.other_owner(id).await?))
}

/// Asks another node, for a caller.
pub(super) async fn ask(
    served: &Served,
    caller: &Caller,
    node: &NodeInfo,
    mut request: Request,
) -> Result<Response, Failed> {
    let unsent = |error: &dyn std::fmt::Display| Failed::Unsent(error.to_string());
    let unanswered = |error: &dyn std::fmt::Display| Failed::Unanswered(error.to_string());
    let stream = connect(served, node)
        .await
        .map_err(|error| unsent(&error))?;
    let client = hyper::client::conn::http1::handshake(TokioIo::new(stream)).await;
    let (mut sender, connection) = client.map_err(|error| unsent(&error))?;
    tokio::spawn(async move {
        if let Err(error) = connection.await {
            log::debug!("the connection to another node has ended: {error}");
        }
    });
    *request.version_mut() = Version::HTTP_11;
    let host = HeaderValue::from_str(&node.address).map_err(|error| unsent(&error))?;
    let told = serde_json::to_vec(caller).map_err(|error| unsent(&error))?;
    let told = HeaderValue::from_bytes(&told).map_err(|error| unsent(&error))?;
    let headers = request.headers_mut();
    headers.insert(HOST, host);
    headers.insert(CALLER_HEADER, told);
    for name in [AUTHORIZATION, ORIGIN, CONNECTION] {
        headers.remove(name);
    }
    let answer = timeout(ANSWER_TIMEOUT, sender.send_request(request)).await;
    let answer = answer.map_err(|error| unanswered(&error))?;
    let mut answer = answer.map_err(|error| unanswered(&error))?;
    if answer.headers().contains_key(NO_NODE_HEADER) {
        let text = "it does not know this one, which is new or fenced";
        return Err(Failed::Unsent(text.into()));
    }
    answer.headers_mut().remove(CONNECTION);
    Ok(answer.map(Body::new))
}

/// A connection to another node, and to nobody else.
async fn connect(served: &Served, node: &NodeInfo) -> io::Result<TlsStream<TcpStream>> {
    let (Some(member), Some(fingerprint)) = (&served.daemon.shared.member, node.fingerprint) else {
        return Err(io::Error::other("it has told no fingerprint so far"));
    };
    let stream = timeout(CONNECT_TIMEOUT, TcpStream::connect(&node.address)).await??;
    set_peer_options(&stream)?;
    timeout(HANDSHAKE_TIMEOUT, member.tls.connect(fingerprint, stream)).await?
}
