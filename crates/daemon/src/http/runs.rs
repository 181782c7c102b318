//! A task's runs: start one now, or list the last ones.

use axum::extract::State;
use axum::http::StatusCode;
use axum::response::Response;
use axum::{Extension, Json};
use utoipa::OpenApi;

use super::answers::{Answer, Asking, Path, Refused, ServedState, find};
use super::descriptions::TASK;
use super::tasks::acted;
use super::wire::{Problem, Runs, Task};
use crate::model::error::ErrorKind;

/// These paths in the OpenAPI document.
#[derive(OpenApi)]
#[openapi(paths(start, runs), components(schemas(Runs, crate::http::wire::Run)))]
pub(super) struct Doc;

/// Starts a task now that waits for its first start, or for the next one of its schedule. The
/// schedule continues.
#[utoipa::path(post, path = "/v1/tasks/{id}/start", operation_id = "start_task",
    params(("id" = String, Path, description = TASK)),
    responses((status = 200, description = "A run has begun", body = Task),
        (status = 202, description = "It begins in a moment", body = Task),
        (status = 409, description = "A run is under way, or it is over or paused", body = Problem)))]
pub(super) async fn start(
    State(served): ServedState,
    Extension(caller): Asking,
    Path(id): Path<String>,
) -> Answer<Response> {
    let id = find(&served, &caller, &id).await?;
    acted(&served, id, served.daemon.start_now(id)).await
}

/// The last runs of a task, the newest first: when, how long, how they ended, and how much they
/// wrote. Some 30 are kept.
#[utoipa::path(get, path = "/v1/tasks/{id}/runs", operation_id = "list_runs",
    params(("id" = String, Path, description = TASK)),
    responses((status = 200, description = "The runs that are kept", body = Runs),
        (status = 409, description = "The task is damaged in the store", body = Problem)))]
pub(super) async fn runs(
    State(served): ServedState,
    Extension(caller): Asking,
    Path(id): Path<String>,
) -> Answer<Json<Runs>> {
    let id = find(&served, &caller, &id).await?;
    let info = served.daemon.task(id).await?;
    match info.damaged {
        Some(damaged) => Err(Refused::new(StatusCode::CONFLICT, damaged).of(ErrorKind::Task)),
        None => Ok(Json(info.into())),
    }
}
