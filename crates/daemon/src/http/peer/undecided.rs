//! Moves that are open, and what an operator decides about them where the other side does not come back.
//!
//! A decision is the last resort. So the other side is asked once more before it: if it answers, its word counts and
//! there is nothing to decide. If it does not, the operator has to say that he means it (`force`).

use std::collections::HashMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use axum::Json;
use axum::extract::State;
use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

use super::routes::known;
use super::{PeerError, Peers};
use crate::Note;
use crate::http::api::{CONFLICT, TASK, UNREACHED};
use crate::http::routes::{Answer, Body, Path, Shared, find};
use crate::http::wire::{Problem, time};
use crate::model::error::Error;
use crate::model::{TaskId, TransferId};
use crate::store::{Transfer, TransferStep};

/// A move that has not ended for both sides.
#[derive(Clone, Debug, Serialize, Deserialize, ToSchema)]
pub struct Open {
    /// The task's number here.
    pub task: u64,
    /// Its name.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub name: Option<String>,
    /// How far it has come: `giving`, `returned` (it stays here, and the other daemon has to be told), `given` (it is the
    /// other daemon's, which has not confirmed it) or `held` (it came from there, and is not given up there yet).
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

/// Why moves are still open, as it was found the last time.
#[derive(Default)]
pub(super) struct Troubles(Mutex<HashMap<TransferId, String>>);

impl Troubles {
    fn all(&self) -> MutexGuard<'_, HashMap<TransferId, String>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Peers {
    /// Notes why a move is still open.
    pub(super) fn trouble(&self, id: TransferId, why: String) {
        self.troubles.all().insert(id, why);
    }

    /// A move is open no longer.
    pub(super) fn untold(&self, id: TransferId) {
        self.troubles.all().remove(&id);
    }

    /// All moves that have not ended for both sides.
    async fn still_open(&self) -> Result<Vec<Open>, Error> {
        let mut found = Vec::new();
        for listed in self.daemon.open_moves().await? {
            // It may have ended, and its task gone, since the list was made.
            let (transfer, note, unreadable) = match self.daemon.open_move(listed.id).await {
                Ok(Some((transfer, note))) => (transfer, note, None),
                Ok(None) => continue,
                // The others are shown, and this one says why not.
                Err(error) => (listed, Note::default(), Some(error.to_string())),
            };
            let Ok((since, name)) = self.daemon.moved_since(transfer.task).await else {
                continue;
            };
            let peer = self.trust.of(&transfer.peer).map(|peer| peer.name);
            let why = unreadable.or_else(|| self.troubles.all().get(&transfer.id).cloned());
            found.push(Open {
                task: transfer.task.0,
                name,
                step: match transfer.step {
                    TransferStep::Giving => "giving",
                    TransferStep::Returned => "returned",
                    TransferStep::Given => "given",
                    TransferStep::Held | TransferStep::Taken => "held",
                }
                .into(),
                why: why.or_else(|| {
                    let unknown = peer.is_none();
                    unknown.then(|| "that daemon is not known here any more".into())
                }),
                peer: peer.unwrap_or_else(|| transfer.peer.to_string()),
                address: note.address,
                theirs: Some(note.theirs).filter(|theirs| *theirs != 0),
                undecided: is_undecided(&transfer),
                since: time(since),
            });
        }
        found.sort_by_key(|open| open.task);
        Ok(found)
    }

    /// The move of a task that nobody runs now.
    async fn undecided(&self, id: TaskId) -> Result<(Transfer, Note), Error> {
        for listed in self.daemon.open_moves().await? {
            if listed.task == id
                && is_undecided(&listed)
                && !self.daemon.is_moving(id)
                && let Some(open) = self.daemon.open_move(listed.id).await?
                && is_undecided(&open.0)
            {
                return Ok(open);
            }
        }
        Err(PeerError::Decided(id.0).into())
    }

    async fn decide(self: &Arc<Self>, id: TaskId, wanted: Decide) -> Result<Decided, Error> {
        let (transfer, note) = self.undecided(id).await?;
        let why = match self.settle_one(&transfer, &note).await {
            // The other side has answered, and that was it.
            Ok(true) => {
                self.untold(transfer.id);
                return Ok(Decided {
                    task: id.0,
                    kept: transfer.step == TransferStep::Held && self.is_here(id).await?,
                    forced: false,
                });
            }
            Ok(false) => {
                let told = self.troubles.all().get(&transfer.id).cloned();
                // It lives, and has not decided itself.
                told.ok_or(PeerError::UnderWay(id.0))?
            }
            // It answered that it has lost the task, which is ours again.
            Err(_) if self.undecided(id).await.is_err() => {
                self.untold(transfer.id);
                return Ok(Decided {
                    task: id.0,
                    kept: true,
                    forced: false,
                });
            }
            Err(error) => error.to_string(),
        };
        if !wanted.force {
            return Err(PeerError::Silent {
                task: id.0,
                daemon: note.daemon,
                address: note.address,
                why,
                risk: risk(&transfer, wanted.keep),
            }
            .into());
        }
        log::warn!(
            "task {id}: decided without daemon {} at {} ({why}): {}",
            note.daemon,
            note.address,
            match wanted.keep {
                true => "it is here",
                false => "it is that one's",
            }
        );
        self.daemon.decide(&transfer, wanted.keep).await?;
        self.untold(transfer.id);
        self.unsettled.notify_one();
        Ok(Decided {
            task: id.0,
            kept: wanted.keep,
            forced: true,
        })
    }

    async fn is_here(&self, id: TaskId) -> Result<bool, Error> {
        match self.daemon.task(id).await {
            Ok(_) => Ok(true),
            Err(error) if error.kind() == crate::model::error::ErrorKind::Task => Ok(false),
            Err(error) => Err(error),
        }
    }
}

/// Whether nobody runs the task of a move.
fn is_undecided(transfer: &Transfer) -> bool {
    matches!(transfer.step, TransferStep::Held | TransferStep::Given)
}

/// What may come of a decision that is wrong.
fn risk(transfer: &Transfer, keep: bool) -> &'static str {
    match (transfer.step == TransferStep::Held, keep) {
        (true, true) => {
            "if that daemon has the task still and cannot reach this one when it comes back, both run it until they have \
             spoken"
        }
        (false, true) => "if that daemon has taken the task, both run it until they have spoken",
        (_, false) => "if that daemon does not have the task, it is lost",
    }
}

/// Moves that have not ended for both sides.
#[utoipa::path(get, path = "/v1/moves", operation_id = "list_moves",
    responses((status = 200, description = "The moves", body = Vec<Open>)))]
pub(super) async fn moves(State(served): Shared) -> Answer<Json<Vec<Open>>> {
    Ok(Json(known(&served)?.still_open().await?))
}

/// Decides where a task is whose move is open while the other daemon does not come back. That one is asked once more; if
/// it answers, its word counts. 502: it does not answer, and `force` was not given.
#[utoipa::path(post, path = "/v1/tasks/{id}/decide", operation_id = "decide_move",
    params(("id" = String, Path, description = TASK)), request_body = Decide,
    responses((status = 200, description = "What has become of the task", body = Decided),
        (status = 409, description = CONFLICT, body = Problem),
        (status = 502, description = UNREACHED, body = Problem)))]
pub(super) async fn decide(
    State(served): Shared,
    Path(id): Path<String>,
    Body(wanted): Body<Decide>,
) -> Answer<Json<Decided>> {
    let peers = known(&served)?.clone();
    let id = find(&served, &id).await?;
    Ok(Json(peers.decide(id, wanted).await?))
}
