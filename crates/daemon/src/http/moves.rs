//! Moves that are open, and what an operator decides about them.

use axum::extract::State;
use axum::{Extension, Json};
use serde::{Deserialize, Serialize};
use utoipa::{IntoParams, ToSchema};

use super::answers::{Answer, Asking, Body, Path, QueryOf, ServedState, find, known_peers};
use super::descriptions::{CONFLICT, TASK, UNREACHED};
use super::wire::{Problem, time};
use crate::model::TaskId;
use crate::moving::decision::TaskLocation;
use crate::peers::open_moves::{OpenMove, is_in_doubt};
use crate::store::MovePhase;

/// The most moves of one page.
pub const MAX_MOVES: usize = 1000;

/// A move that has not ended for both sides.
#[derive(Clone, Debug, Serialize, Deserialize, ToSchema)]
pub struct Open {
    /// The task's ID here.
    pub task: u64,
    /// Its name.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub name: Option<String>,
    /// How far it has come. At the source: `preparing`, `aborted` (the task stays here, and the
    /// target has to be told) or `committed` (the task is the target's, which has not confirmed
    /// it). At the target: `prepared` (the source has not said whether the task is ours).
    pub phase: String,
    /// The name of the other daemon, or its fingerprint where it is not known any more.
    pub peer: String,
    /// Where that is.
    pub address: String,
    /// The task's ID there, if it is known.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub peer_task: Option<u64>,
    /// No daemon runs the task until the two have reached each other, or until an operator decides.
    pub in_doubt: bool,
    /// Since when the task is as it is.
    pub since: String,
    /// Why it is still open.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub why: Option<String>,
}

/// Where a task is whose move is open.
#[derive(Clone, Debug, Default, Serialize, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct Decide {
    /// The task is here, and continues. Otherwise it is the other daemon's, and what is left of it
    /// here is deleted.
    pub keep: bool,
    /// Decide although the other daemon does not answer.
    #[serde(default)]
    pub force: bool,
}

/// What has become of the task.
#[derive(Clone, Debug, Serialize, Deserialize, ToSchema)]
pub struct Decided {
    /// Its ID here.
    pub task: u64,
    /// The task is here, and continues.
    pub kept: bool,
    /// The other daemon did not answer: it was decided without it.
    pub forced: bool,
}

impl From<OpenMove> for Open {
    fn from(open: OpenMove) -> Self {
        let OpenMove {
            record, details, ..
        } = open;
        Self {
            task: record.task.0,
            name: open.name,
            phase: match record.phase {
                MovePhase::Preparing => "preparing",
                MovePhase::Aborted => "aborted",
                MovePhase::Committed => "committed",
                MovePhase::Prepared | MovePhase::Accepted => "prepared",
            }
            .into(),
            peer: open.peer.unwrap_or_else(|| record.peer.to_string()),
            address: details.address,
            peer_task: Some(details.peer_task).filter(|id| *id != 0),
            in_doubt: is_in_doubt(&record),
            since: time(open.since),
            why: open.why,
        }
    }
}

/// Which moves to list.
#[derive(Debug, Deserialize, IntoParams)]
#[into_params(parameter_in = Query)]
#[serde(deny_unknown_fields)]
pub(super) struct MovesQuery {
    /// Only moves of tasks with higher IDs: the last one of the page before.
    after: Option<u64>,
    /// At most this many, 1000 if left out and at most; more where a task has several.
    limit: Option<usize>,
}

/// Moves that have not ended for both sides, by the IDs of their tasks. Fewer than `limit` are the
/// last.
#[utoipa::path(get, path = "/v1/moves", operation_id = "list_moves", params(MovesQuery),
    responses((status = 200, description = "A page of moves", body = Vec<Open>)))]
pub(super) async fn moves(
    State(served): ServedState,
    QueryOf(query): QueryOf<MovesQuery>,
) -> Answer<Json<Vec<Open>>> {
    let limit = query.limit.unwrap_or(MAX_MOVES).clamp(1, MAX_MOVES);
    let after = query.after.map(TaskId);
    let open = known_peers(&served)?.still_open(after, limit).await?;
    Ok(Json(open.into_iter().map(Open::from).collect()))
}

/// Decides where a task is whose move is open while the other daemon does not come back. That one
/// is asked once more; if it answers, its word counts. 502: it does not answer, and `force` was not
/// given.
#[utoipa::path(post, path = "/v1/tasks/{id}/decide", operation_id = "decide_move",
    params(("id" = String, Path, description = TASK)), request_body = Decide,
    responses((status = 200, description = "What has become of the task", body = Decided),
        (status = 409, description = CONFLICT, body = Problem),
        (status = 502, description = UNREACHED, body = Problem)))]
pub(super) async fn decide(
    State(served): ServedState,
    Extension(caller): Asking,
    Path(id): Path<String>,
    Body(wanted): Body<Decide>,
) -> Answer<Json<Decided>> {
    let peers = known_peers(&served)?.clone();
    let id = find(&served, &caller, &id).await?;
    let decision = match wanted.keep {
        true => TaskLocation::Here,
        false => TaskLocation::There,
    };
    let outcome = peers.decide(id, decision, wanted.force).await?;
    Ok(Json(Decided {
        task: id.0,
        kept: outcome.location == TaskLocation::Here,
        forced: outcome.forced,
    }))
}
