//! The nodes that share the store.

use std::collections::BTreeMap;
use std::sync::Arc;

use axum::extract::{Request, State};
use axum::http::StatusCode;
use axum::response::{IntoResponse, Response};
use axum::routing::{get, post};
use axum::{Extension, Json, Router};
use serde::{Deserialize, Serialize};
use utoipa::{OpenApi, ToSchema};

use super::answers::{Answer, Asking, Path, Refused, ServedState, missing};
use super::connections::accept::OtherNode;
use super::forward::{Failed, ask};
use super::served::Served;
use super::wire::{Problem, time};
use crate::access::caller::Caller;
use crate::model::error::ErrorKind;
use crate::nodes::info::NodeInfo;

/// This path in the OpenAPI document.
#[derive(OpenApi)]
#[openapi(paths(nodes, drain, undrain), components(schemas(Nodes, Node)))]
pub(super) struct Doc;

/// The nodes that share a store.
#[derive(Clone, Debug, Default, Serialize, Deserialize, ToSchema)]
pub struct Nodes {
    /// The nodes; none where the daemon has its store for itself.
    pub nodes: Vec<Node>,
}

/// A node.
#[derive(Clone, Debug, Serialize, Deserialize, ToSchema)]
pub struct Node {
    /// Its name.
    pub name: String,
    /// Its number. A process that begins anew has another one.
    pub number: u64,
    /// Whether its lease holds. If not, others are about to go on with its tasks.
    pub alive: bool,
    /// Whether it is the one that answers.
    pub here: bool,
    /// Where its API is.
    pub address: String,
    /// Its labels.
    pub labels: BTreeMap<String, String>,
    /// Which dormouse it is.
    pub version: String,
    /// When it began.
    pub since: String,
    /// Tasks that wait for one of its threads.
    pub ready: u64,
    /// Tasks that it runs.
    pub running: u64,
    /// Tasks that wait in its memory.
    pub parked: u64,
    /// All tasks that it has, those that sleep in the store as well.
    #[serde(default)]
    pub owned: u64,
    /// Bytes of the memories of its guests.
    pub memory: u64,
    /// Whether it is being drained: it takes no work, and gives back what it has.
    #[serde(default)]
    pub draining: bool,
}

impl From<NodeInfo> for Node {
    fn from(info: NodeInfo) -> Self {
        Self {
            name: info.name,
            number: info.number,
            alive: info.alive,
            here: info.here,
            address: info.address,
            labels: info.labels,
            version: info.version,
            since: time(info.since),
            ready: info.load.ready,
            running: info.load.running,
            parked: info.load.parked,
            owned: info.load.owned,
            memory: info.load.memory,
            draining: info.draining,
        }
    }
}

pub(super) fn routes() -> Router<Arc<Served>> {
    Router::new()
        .route("/v1/nodes", get(nodes))
        .route("/v1/nodes/{name}/drain", post(drain).delete(undrain))
}

/// Lists the nodes that share the store, as they were a second ago.
#[utoipa::path(get, path = "/v1/nodes", operation_id = "list_nodes",
    responses((status = 200, description = "The nodes", body = Nodes)))]
async fn nodes(State(served): ServedState) -> Answer<Json<Nodes>> {
    let nodes = served.daemon.nodes();
    let nodes = nodes.into_iter().map(Node::from).collect();
    Ok(Json(Nodes { nodes }))
}

/// Drains a node: it takes no new work, puts what it has to sleep and gives it back, so that others go
/// on with it. What computes is waited for. `owned` of the node says how many tasks it has still.
#[utoipa::path(post, path = "/v1/nodes/{name}/drain", operation_id = "drain_node",
    params(("name" = String, Path, description = "The node's name")),
    responses((status = 200, description = "The node, which is being drained", body = Node),
        (status = 404, description = "There is no such node", body = Problem),
        (status = 502, description = "The node does not answer", body = Problem)))]
async fn drain(
    State(served): ServedState,
    Extension(caller): Asking,
    Path(name): Path<String>,
    request: Request,
) -> Answer<Response> {
    set_draining(&served, &caller, &name, request, true).await
}

/// Ends that a node is drained: it takes work again.
#[utoipa::path(delete, path = "/v1/nodes/{name}/drain", operation_id = "undrain_node",
    params(("name" = String, Path, description = "The node's name")),
    responses((status = 200, description = "The node, which takes work", body = Node),
        (status = 404, description = "There is no such node", body = Problem),
        (status = 502, description = "The node does not answer", body = Problem)))]
async fn undrain(
    State(served): ServedState,
    Extension(caller): Asking,
    Path(name): Path<String>,
    request: Request,
) -> Answer<Response> {
    set_draining(&served, &caller, &name, request, false).await
}

/// The node itself does it, whoever is asked.
async fn set_draining(
    served: &Served,
    caller: &Caller,
    name: &str,
    request: Request,
    draining: bool,
) -> Answer<Response> {
    let node = alive(served, name)?;
    if node.here {
        served.daemon.set_node_draining(draining);
        return Ok(Json(Node::from(alive(served, name)?)).into_response());
    }
    if request.extensions().get::<OtherNode>().is_some() {
        return Err(missing(format!("this is not node {name}")));
    }
    // The answer says all, and the request has no body.
    let (parts, _) = request.into_parts();
    let request = Request::from_parts(parts, axum::body::Body::empty());
    ask(served, caller, &node, request).await.map_err(|failed| {
        let (Failed::Unsent(error) | Failed::Unanswered(error)) = failed;
        let text = format!("node {name} does not answer: {error}");
        Refused::new(StatusCode::BAD_GATEWAY, text).of(ErrorKind::Peer)
    })
}

/// A node that is alive, by its name.
pub(super) fn alive(served: &Served, name: &str) -> Answer<NodeInfo> {
    let nodes = served.daemon.nodes();
    let of_name = nodes.iter().filter(|node| node.name == name);
    // A process that began anew has another number.
    let found = of_name
        .max_by_key(|node| (node.alive, node.number))
        .cloned();
    match found {
        Some(node) if node.alive => Ok(node),
        Some(_) => {
            let text = format!("node {name} is dead: others go on with its tasks");
            Err(Refused::new(StatusCode::CONFLICT, text).of(ErrorKind::Peer))
        }
        None if nodes.is_empty() => Err(missing(
            "this daemon has its store for itself, so that there are no nodes",
        )
        .of(ErrorKind::Request)),
        None => {
            let text = format!("there is no node {name}; `dormouse nodes` lists them");
            Err(missing(text).of(ErrorKind::Request))
        }
    }
}
