//! The nodes that share the store.

use std::collections::BTreeMap;

use axum::Json;
use axum::extract::State;
use serde::{Deserialize, Serialize};
use utoipa::{OpenApi, ToSchema};

use super::answers::{Answer, ServedState};
use super::wire::time;
use crate::nodes::info::NodeInfo;

/// This path in the OpenAPI document.
#[derive(OpenApi)]
#[openapi(paths(nodes), components(schemas(Nodes, Node)))]
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
    /// Bytes of the memories of its guests.
    pub memory: u64,
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
            memory: info.load.memory,
        }
    }
}

/// Lists the nodes that share the store, as they were a second ago.
#[utoipa::path(get, path = "/v1/nodes", operation_id = "list_nodes",
    responses((status = 200, description = "The nodes", body = Nodes)))]
pub(super) async fn nodes(State(served): ServedState) -> Answer<Json<Nodes>> {
    let nodes = served.daemon.nodes();
    let nodes = nodes.into_iter().map(Node::from).collect();
    Ok(Json(Nodes { nodes }))
}
