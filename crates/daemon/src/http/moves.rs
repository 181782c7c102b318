//! Moves that are open, and what an operator decides about them.

use axum::Json;
use axum::extract::State;
use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

use super::answers::{Answer, Body, Path, ServedState, find, known_peers};
use super::descriptions::{CONFLICT, TASK, UNREACHED};
use super::wire::{Problem, time};
use crate::peers::open_moves::{OpenMove, is_undecided};
use crate::store::MovePhase;

/// A move that has not ended for both sides.
#[derive(Clone, Debug, Serialize, Deserialize, ToSchema)]
pub struct Open {
    /// The task's number here.
    pub task: u64,
    /// Its name.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub name: Option<String>,
    /// How far it has come: `giving`, `returned` (it stays here, and the other daemon has to be
    /// told), `given` (it is the other daemon's, which has not confirmed it) or `held` (it came
    /// from there, and is not given up there yet).
    pub step: String,
    /// The name of the other daemon, or its fingerprint where it is not known any more.
    pub peer: String,
    /// Where that is.
    pub address: String,
    /// The task's number there, where it is known.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub theirs: Option<u64>,
    /// Nobody runs the task until the two daemons have spoken, or until it is decided.
    pub undecided: bool,
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
    /// It is here, and goes on; else it is the other daemon's, and what is here of it goes.
    pub keep: bool,
    /// Decide although the other daemon does not answer.
    #[serde(default)]
    pub force: bool,
}

/// What has become of the task.
#[derive(Clone, Debug, Serialize, Deserialize, ToSchema)]
pub struct Decided {
    /// Its number here.
    pub task: u64,
    /// It is here, and goes on.
    pub kept: bool,
    /// The other daemon did not answer: it was decided without it.
    pub forced: bool,
}

impl From<OpenMove> for Open {
    fn from(open: OpenMove) -> Self {
        let OpenMove { record, note, .. } = open;
        Self {
            task: record.task.0,
            name: open.name,
            step: match record.phase {
                MovePhase::Giving => "giving",
                MovePhase::Returned => "returned",
                MovePhase::Given => "given",
                MovePhase::Held | MovePhase::Taken => "held",
            }
            .into(),
            peer: open.peer.unwrap_or_else(|| record.peer.to_string()),
            address: note.address,
            theirs: Some(note.theirs).filter(|theirs| *theirs != 0),
            undecided: is_undecided(&record),
            since: time(open.since),
            why: open.why,
        }
    }
}

/// Moves that have not ended for both sides.
#[utoipa::path(get, path = "/v1/moves", operation_id = "list_moves",
    responses((status = 200, description = "The moves", body = Vec<Open>)))]
pub(super) async fn moves(State(served): ServedState) -> Answer<Json<Vec<Open>>> {
    let open = known_peers(&served)?.still_open().await?;
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
    Path(id): Path<String>,
    Body(wanted): Body<Decide>,
) -> Answer<Json<Decided>> {
    let peers = known_peers(&served)?.clone();
    let id = find(&served, &id).await?;
    let decision = peers.decide(id, wanted.keep, wanted.force).await?;
    Ok(Json(Decided {
        task: id.0,
        kept: decision.kept,
        forced: decision.forced,
    }))
}
