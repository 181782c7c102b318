//! Other daemons: which are known, and moves of tasks to them.

use std::convert::Infallible;
use std::sync::Arc;
use std::time::Duration;

use axum::Router;
use axum::body::Body as HttpBody;
use axum::extract::State;
use axum::http::{StatusCode, header};
use axum::response::{IntoResponse, Response};
use axum::routing::{get, post};
use axum::{Extension, Json};
use serde::{Deserialize, Serialize};
use tokio::sync::mpsc;
use tokio_stream::wrappers::ReceiverStream;
use utoipa::{OpenApi, ToSchema};

use super::answers::{Answer, Asking, Body, Path, ServedState, bad, find, known_peers, missing};
use super::descriptions::{CONFLICT, TASK, UNREACHED};
use super::moves;
pub use super::moves::{Decide, Decided, MAX_MOVES, Open};
use super::nodes::alive;
use super::served::Served;
use super::wire::Problem;
use crate::bounds::check_host;
use crate::model::TaskId;
use crate::model::spec::Mount;
use crate::nodes::info::NodeInfo;
use crate::peers::Link;
use crate::peers::error::PeerError;
use crate::peers::send_task::{MoveOptions, MovedTask};
pub use crate::peers::trust::Peer;

/// Seconds for which a move waits for a guest that computes, where the request does not say.
const PATIENCE_SECONDS: f64 = 10.0;

/// The daemons that are known, and by what they know this one.
#[derive(Clone, Debug, Serialize, Deserialize, ToSchema)]
pub struct Known {
    /// The fingerprint of this daemon.
    pub fingerprint: String,
    /// How other daemons call it; left out where they do not.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub address: Option<String>,
    /// Where it listens for them.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub listens: Option<String>,
    /// The others.
    pub peers: Vec<Peer>,
}

/// Where to move a task.
#[derive(Clone, Debug, Default, Serialize, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct Migrate {
    /// A peer's name, or `HOST:PORT`. Either this or `node` is given.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub to: Option<String>,
    /// The name of a node, of those that share the store: the task stays the same there, and its
    /// connections are reset.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub node: Option<String>,
    /// Directories of the other machine's for names of the guest's; others keep their paths.
    #[serde(default)]
    pub dirs: Vec<Mount>,
    /// How long to wait for a guest that computes, in seconds; 10 if left out.
    pub patience: Option<f64>,
}

/// Where to move all tasks.
#[derive(Clone, Debug, Default, Serialize, Deserialize, ToSchema)]
#[serde(default, deny_unknown_fields)]
pub struct Drain {
    /// Peers' names, or `HOST:PORT`; all peers whose address is known if left out.
    pub to: Vec<String>,
    /// Take tasks again, and move none.
    pub cancel: bool,
    /// How long to wait for each guest that computes, in seconds; 10 if left out.
    pub patience: Option<f64>,
}

/// What became of a task that was to be moved.
#[derive(Clone, Debug, Default, Serialize, Deserialize, ToSchema)]
pub struct Gone {
    /// Its ID here.
    pub task: u64,
    /// The node that has it now, or at which it goes on.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub node: Option<String>,
    /// Where it is now, or nothing where it stays.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub to: Option<There>,
    /// Why it stays.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub error: Option<String>,
    /// In a drain: how many tasks there are.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub of: Option<u64>,
}

/// A task at another daemon.
#[derive(Clone, Debug, Serialize, Deserialize, ToSchema)]
pub struct There {
    /// Which daemon.
    pub daemon: String,
    /// Where that is.
    pub address: String,
    /// The task's ID there.
    pub task: u64,
    /// Bytes that went over the link.
    pub bytes: u64,
    /// Seconds from the request until the other daemon had it.
    pub took: f64,
    /// Seconds for which it stood still.
    pub stopped: f64,
    /// The other daemon has said that it has it. If not, it is told again until it does.
    pub confirmed: bool,
}

impl From<MovedTask> for There {
    fn from(moved: MovedTask) -> Self {
        Self {
            daemon: moved.daemon,
            address: moved.address,
            task: moved.task,
            bytes: moved.bytes,
            took: moved.took.as_secs_f64(),
            stopped: moved.stopped.as_secs_f64(),
            confirmed: moved.confirmed,
        }
    }
}

/// These paths for OpenAPI.
#[derive(OpenApi)]
#[openapi(
    paths(
        peers,
        add_peer,
        remove_peer,
        migrate,
        drain,
        crate::http::moves::moves,
        crate::http::moves::decide
    ),
    components(schemas(Known, Peer, Migrate, Drain, Gone, There, Open, Decide, Decided))
)]
pub struct Doc;

pub(super) fn routes() -> Router<Arc<Served>> {
    Router::new()
        .route("/v1/peers", get(peers).post(add_peer))
        .route("/v1/peers/{name}", axum::routing::delete(remove_peer))
        .route("/v1/tasks/{id}/migrate", post(migrate))
        .route("/v1/drain", post(drain))
        .route("/v1/moves", get(moves::moves))
        .route("/v1/tasks/{id}/decide", post(moves::decide))
}

fn options(dirs: Vec<Mount>, patience: Option<f64>) -> Answer<MoveOptions> {
    let patience = patience.unwrap_or(PATIENCE_SECONDS);
    if !(0.0..=1e6).contains(&patience) {
        return Err(bad("`patience` must be between 0 and 1000000 seconds"));
    }
    for dir in &dirs {
        check_host(&dir.host).map_err(bad)?;
    }
    Ok(MoveOptions {
        dirs: dirs.into_iter().map(|dir| (dir.host, dir.guest)).collect(),
        patience: Duration::from_secs_f64(patience),
    })
}

/// The daemons that are known, and the fingerprint by which they know this one.
#[utoipa::path(get, path = "/v1/peers", operation_id = "list_peers",
    responses((status = 200, description = "All peers", body = Known)))]
async fn peers(State(served): ServedState) -> Answer<Json<Known>> {
    let peers = known_peers(&served)?;
    let address = peers.own_address().clone();
    Ok(Json(Known {
        fingerprint: peers.fingerprint(),
        address: Some(address).filter(|address| !address.is_empty()),
        listens: peers.listens.get().map(ToString::to_string),
        peers: peers.trust.list(),
    }))
}

/// Adds a daemon that may send tasks here and that tasks may be sent to, or replaces the one of its
/// name.
#[utoipa::path(post, path = "/v1/peers", operation_id = "add_peer", request_body = Peer,
    responses((status = 200, description = "The peer as it is kept", body = Peer)))]
async fn add_peer(State(served): ServedState, Body(peer): Body<Peer>) -> Answer<Json<Peer>> {
    Ok(Json(known_peers(&served)?.trust.add(peer)?))
}

/// Forgets a daemon.
#[utoipa::path(delete, path = "/v1/peers/{name}", operation_id = "remove_peer",
    params(("name" = String, Path, description = "The peer's name")),
    responses((status = 204, description = "The peer is not known any more")))]
async fn remove_peer(State(served): ServedState, Path(name): Path<String>) -> Answer<StatusCode> {
    let peers = known_peers(&served)?;
    if peers.trust.named(&name).is_none() {
        return Err(missing(PeerError::NoPeer(name).to_string()));
    }
    peers.trust.remove(&name)?;
    Ok(StatusCode::NO_CONTENT)
}

/// Moves a task to another daemon, or to another node. It is that one's when the answer comes. 202: it
/// computes, and goes to the node when it waits; 502: it stays here.
#[utoipa::path(post, path = "/v1/tasks/{id}/migrate", operation_id = "migrate_task",
    params(("id" = String, Path, description = TASK)), request_body = Migrate,
    responses((status = 200, description = "Where the task is now", body = Gone),
        (status = 202, description = "It computes, and goes to the node when it waits", body = Gone),
        (status = 409, description = CONFLICT, body = Problem),
        (status = 502, description = UNREACHED, body = Problem)))]
async fn migrate(
    State(served): ServedState,
    Extension(caller): Asking,
    Path(id): Path<String>,
    Body(body): Body<Migrate>,
) -> Answer<Response> {
    let (to, node) = (body.to, body.node);
    let options = options(body.dirs, body.patience)?;
    let to = match (to, node) {
        (None, Some(node)) if options.dirs.is_empty() => {
            let node = alive(&served, &node)?;
            let id = find(&served, &caller, &id).await?;
            return give(&served, id, node, options.patience).await;
        }
        (Some(to), None) => to,
        (None, Some(_)) => return Err(bad("`dirs` is for other daemons: nodes have their own")),
        _ => return Err(bad("give either `to` or `node`")),
    };
    let peers = known_peers(&served)?.clone();
    let id = find(&served, &caller, &id).await?;
    // A move that has begun does not depend on whoever asked for it.
    let moving = tokio::spawn(async move {
        let mut link = Link::open(&peers, &to, None).await?;
        peers.move_task(&mut link, id, &options).await
    });
    let moved = moving.await.map_err(|error| bad(error.to_string()))??;
    Ok(Json(Gone {
        task: id.0,
        to: Some(moved.into()),
        ..Gone::default()
    })
    .into_response())
}

/// Gives a task to a node.
async fn give(served: &Served, id: TaskId, node: NodeInfo, patience: Duration) -> Answer<Response> {
    let name = node.name.clone();
    let daemon = served.daemon.clone();
    // What has begun does not depend on whoever asked for it.
    let giving = tokio::spawn(async move { daemon.give(id, node).await });
    let (status, error) = match tokio::time::timeout(patience, giving).await {
        Ok(given) => {
            given.map_err(|error| bad(error.to_string()))??;
            (StatusCode::OK, None)
        }
        Err(_) => {
            let text = format!("it computes, and goes to node {name} when it waits");
            (StatusCode::ACCEPTED, Some(text))
        }
    };
    let gone = Gone {
        task: id.0,
        node: Some(name),
        error,
        ..Gone::default()
    };
    Ok((status, Json(gone)).into_response())
}

/// Moves all tasks away. Gives a line of JSON for each task when it has gone, or cannot go. The
/// daemon takes no tasks from then on.
#[utoipa::path(post, path = "/v1/drain", operation_id = "drain", request_body = Drain,
    responses((status = 200, description = "A line for each task, a `Gone`", body = String, content_type = "application/x-ndjson"),
        (status = 204, description = "With `cancel`: the daemon takes tasks again")))]
async fn drain(State(served): ServedState, Body(body): Body<Drain>) -> Answer<Response> {
    let peers = known_peers(&served)?;
    if body.cancel {
        served.daemon.set_draining(false);
        return Ok(StatusCode::NO_CONTENT.into_response());
    }
    let targets = match body.to.is_empty() {
        false => body.to,
        true => {
            let all = peers.trust.list().into_iter();
            all.filter(|peer| peer.address.is_some())
                .map(|peer| peer.name)
                .collect()
        }
    };
    if targets.is_empty() {
        return Err(bad(
            "no daemon to move to: name one with --to, or add one with `dormouse peers add … --address`",
        ));
    }
    let options = options(Vec::new(), body.patience)?;
    let (told, mut drained) = mpsc::channel(16);
    let of = peers.drain(targets, options, told).await?;
    let (lines, stream) = mpsc::channel::<Result<Vec<u8>, Infallible>>(16);
    tokio::spawn(async move {
        while let Some((id, moved)) = drained.recv().await {
            let (to, error) = match moved {
                Ok(moved) => (Some(moved.into()), None),
                Err(error) => (None, Some(error.to_string())),
            };
            let gone = Gone {
                task: id.0,
                node: None,
                to,
                error,
                of: Some(of as u64),
            };
            let mut line = serde_json::to_vec(&gone).unwrap_or_default();
            line.push(b'\n');
            // An error means that the caller no longer waits; the tasks are moved all the same.
            let _ = lines.send(Ok(line)).await;
        }
    });
    let kind = [(header::CONTENT_TYPE, "application/x-ndjson")];
    let body = HttpBody::from_stream(ReceiverStream::new(stream));
    Ok((kind, body).into_response())
}
