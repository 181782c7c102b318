//! Snapshot files: a task as a file, and a task from a file.

use axum::body::Bytes;
use axum::extract::State;
use axum::extract::rejection::BytesRejection;
use axum::http::{HeaderMap, StatusCode, header};
use axum::response::{IntoResponse, Response};
use axum::{Extension, Json};
use serde::Deserialize;
use utoipa::IntoParams;

use super::answers::{Added, Answer, Asking, Path, QueryOf, Refused, ServedState, bad, find};
use super::descriptions::{Binary, CONFLICT, TASK, TRACEPARENT};
use super::tasks::{ANSWER_WITHIN, sent};
use super::traceparent;
use super::wire::{Problem, Task};
use crate::model::TaskSpec;
use crate::model::error::ErrorKind;

/// A task as a snapshot file, which `dormouse resume` takes on any machine. The task continues
/// here; the file is a copy of it, and says so.
#[utoipa::path(get, path = "/v1/tasks/{id}/snapshot", operation_id = "export_task",
    params(("id" = String, Path, description = TASK)),
    responses((status = 200, description = "The snapshot file", body = Binary, content_type = "application/octet-stream"),
        (status = 409, description = CONFLICT, body = Problem)))]
pub(super) async fn export(
    State(served): ServedState,
    Extension(caller): Asking,
    Path(id): Path<String>,
) -> Answer<Response> {
    let id = find(&served, &caller, &id).await?;
    let exported = tokio::time::timeout(ANSWER_WITHIN, served.daemon.export(id));
    let bytes = exported.await.map_err(|_| {
        let text = format!("task {id} computes, and can be exported when it blocks");
        Refused::new(StatusCode::CONFLICT, text).of(ErrorKind::Task)
    })??;
    let kind = (header::CONTENT_TYPE, "application/octet-stream");
    Ok(([kind], bytes).into_response())
}

/// What an imported task is given.
#[derive(Debug, Deserialize, IntoParams)]
#[into_params(parameter_in = Query)]
#[serde(deny_unknown_fields)]
pub(super) struct ImportQuery {
    /// A task without its module and arguments, as JSON.
    task: Option<String>,
}

/// A new task from a snapshot file. It continues as soon as its wait is over.
#[utoipa::path(post, path = "/v1/snapshots", operation_id = "import_task",
    params(ImportQuery, ("traceparent" = Option<String>, Header, description = TRACEPARENT)),
    request_body(content = Binary, content_type = "application/octet-stream", description = "The snapshot file"),
    responses((status = 201, description = "The new task, which is stored", body = Task)))]
pub(super) async fn import(
    State(served): ServedState,
    Extension(caller): Asking,
    QueryOf(query): QueryOf<ImportQuery>,
    headers: HeaderMap,
    body: Result<Bytes, BytesRejection>,
) -> Answer<(StatusCode, Extension<Added>, Json<Task>)> {
    let spec = match &query.task {
        None => TaskSpec::default(),
        Some(text) => {
            let fields = serde_json::from_str(text).map_err(|e| bad(format!("`task`: {e}")))?;
            sent(fields)?.spec
        }
    };
    let mut specs = [spec];
    let admitted = served.tenants.admit(caller.tenant, &mut specs).await?;
    let [spec] = specs;
    let trace = traceparent::given(&headers);
    let imported = served
        .daemon
        .import_for(caller.tenant, body?.into(), spec, trace);
    let id = imported.await?;
    drop(admitted);
    let info = served.daemon.task(id).await?;
    let added = Extension(Added(vec![id.0]));
    Ok((StatusCode::CREATED, added, Json(info.into())))
}
