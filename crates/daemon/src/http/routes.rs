//! What can be asked over HTTP. `api.rs` says in OpenAPI what each path takes and gives.

use std::collections::BTreeSet;
use std::time::Duration;

use axum::Json;
use axum::body::Bytes;
use axum::extract::State;
use axum::extract::rejection::BytesRejection;
use axum::http::{StatusCode, header};
use axum::response::{IntoResponse, Response};
use serde::Deserialize;
use utoipa::IntoParams;

use super::Served;
pub(super) use super::answers::{
    Answer, Asked, Body, Path, Refused, Shared, bad, bad_field, missing, problem, told,
};
use super::api::{Binary, CONFLICT, TASK};
use super::wire::{
    Batch, MOST_SUBMITTED, Module, Problem, Resume, Submit, Submitted, Task, Tasks, read_time,
};
use crate::Submission;
use crate::model::error::{Error, ErrorKind};
use crate::model::{Digest, TaskId, TaskState};
use crate::store::Filter;

/// A list has at most so many tasks.
const MOST_LISTED: usize = 1000;

/// What the tasks of a batch were submitted with takes at most so much in the store, which is what the largest request
/// could have brought itself: `count` saves sending, and multiplies no more than that.
const BATCH: u64 = super::TASKS;

/// A pause or a kill is waited for so long; a guest that computes may take longer.
const PATIENCE: Duration = Duration::from_secs(5);

pub(super) async fn find(served: &Served, id: &str) -> Answer<TaskId> {
    Ok(served.daemon.find(id).await?)
}

/// Which tasks to list.
#[derive(Debug, Deserialize, IntoParams)]
#[into_params(parameter_in = Query)]
#[serde(deny_unknown_fields)]
pub(super) struct ListQuery {
    /// Only tasks in these states, separated by commas.
    state: Option<String>,
    /// Only tasks with a name like this: `*` stands for any characters, `?` for one.
    name: Option<String>,
    /// Only tasks with lower numbers: `next` of the page before.
    before: Option<u64>,
    /// At most so many, 100 if left out, 1000 at most.
    limit: Option<usize>,
}

/// Lists tasks, the newest first.
#[utoipa::path(get, path = "/v1/tasks", operation_id = "list_tasks", params(ListQuery),
    responses((status = 200, description = "A page of tasks", body = Tasks)))]
pub(super) async fn list(
    State(served): Shared,
    Asked(query): Asked<ListQuery>,
) -> Answer<Json<Tasks>> {
    let states = query.state.iter().flat_map(|states| states.split(','));
    // Each once, however often it is named.
    let states: BTreeSet<TaskState> = states
        .map(str::parse)
        .collect::<Result<_, _>>()
        .map_err(bad)?;
    let states = states.into_iter().collect();
    let limit = query.limit.unwrap_or(100).clamp(1, MOST_LISTED);
    if let Some(name) = &query.name {
        crate::model::check_pattern(name).map_err(bad)?;
    }
    let before = query.before.map(TaskId);
    let filter = Filter {
        states,
        name: query.name,
        before,
        limit,
    };
    let (infos, next) = served.daemon.list(filter).await?;
    let next = next.map(|id| id.0);
    let tasks = infos.into_iter().map(|info| Task::from(info).brief());
    let tasks = tasks.collect();
    Ok(Json(Tasks { tasks, next }))
}

/// What the scheduler is told, but for the module.
fn fields(served: &Served, submit: &Submit) -> Answer<Submission> {
    let at = submit.at.as_deref().map(read_time);
    Ok(Submission {
        module: None,
        spec: submit.spec(&served.daemon.options().limits)?,
        name: submit.name.clone(),
        at: at.transpose().map_err(|error| bad_field("at", error))?,
    })
}

fn submission(served: &Served, submit: &Submit) -> Answer<Submission> {
    let module = Digest::from_hex(&submit.module);
    let wrong = || {
        let text =
            "`module` is not the digest of a module; PUT /v1/modules uploads one and gives it";
        bad_field("module", text)
    };
    Ok(Submission {
        module: Some(module.ok_or_else(wrong)?),
        ..fields(served, submit)?
    })
}

/// How to submit.
#[derive(Debug, Deserialize, IntoParams)]
#[into_params(parameter_in = Query)]
#[serde(deny_unknown_fields)]
pub(super) struct SubmitQuery {
    /// Look at everything but the module, and submit nothing: 204 where nothing is wrong.
    dry_run: Option<bool>,
}

/// Submits a task. When the answer comes, it is stored.
#[utoipa::path(post, path = "/v1/tasks", operation_id = "submit_task", params(SubmitQuery), request_body = Submit,
    responses((status = 204, description = "With `dry_run`: nothing is wrong with it"),
        (status = 201, description = "The task, which is stored", body = Task)))]
pub(super) async fn submit(
    State(served): Shared,
    Asked(query): Asked<SubmitQuery>,
    Body(body): Body<Submit>,
) -> Answer<Response> {
    if body.count.is_some() {
        return Err(bad_field("count", "`count` is for POST /v1/batch"));
    }
    if query.dry_run == Some(true) {
        served.daemon.check(&fields(&served, &body)?).await?;
        return Ok(StatusCode::NO_CONTENT.into_response());
    }
    let submission = submission(&served, &body)?;
    let mut results = served.daemon.submit(vec![submission]).await?;
    match results.pop() {
        Some(result) => {
            let task: Task = served.daemon.task(result?).await?.into();
            Ok((StatusCode::CREATED, Json(task)).into_response())
        }
        None => Err(bad("nothing was submitted")),
    }
}

/// Submits many tasks in one transaction. Those that are refused say why; the others are stored.
#[utoipa::path(post, path = "/v1/batch", operation_id = "submit_tasks", request_body = Vec<Submit>,
    responses((status = 200, description = "For each task its number, or why it was refused", body = Vec<Submitted>)))]
pub(super) async fn batch(
    State(served): Shared,
    Body(Batch(body)): Body<Batch>,
) -> Answer<Json<Vec<Submitted>>> {
    let count = |item: &Submit| u64::from(item.count.unwrap_or(1));
    let total: u64 = body.iter().map(count).sum();
    if total > MOST_SUBMITTED {
        return Err(bad(format!(
            "a batch has at most {MOST_SUBMITTED} tasks, and this has {total}"
        )));
    }
    let items = body.iter().map(|item| submission(&served, item));
    let items: Vec<Submission> = items.collect::<Result<_, _>>()?;
    let sizes = body.iter().zip(&items);
    let sizes = sizes.map(|(item, task)| count(item) * task.spec.size());
    let size: u64 = sizes.sum();
    if size > BATCH {
        let text = format!(
            "arguments, environment and the like of this batch's tasks take {size} bytes in the store, and may take \
             {BATCH}; submit fewer tasks at once, or give them what they have in common in a file"
        );
        let refused = Refused::new(StatusCode::PAYLOAD_TOO_LARGE, text);
        return Err(refused.of(ErrorKind::Limit));
    }
    let mut submissions = Vec::with_capacity(total as usize);
    for (item, task) in body.iter().zip(items) {
        submissions.extend(std::iter::repeat_n(task, count(item) as usize));
    }
    let results = served.daemon.submit(submissions).await?;
    let answers = results.into_iter().map(|result| match result {
        Ok(id) => Submitted {
            id: Some(id.0),
            error: None,
            kind: None,
        },
        Err(error) => Submitted {
            id: None,
            error: Some(told(error.to_string())),
            kind: Some(error.kind().name().into()),
        },
    });
    Ok(Json(answers.collect()))
}

/// How to make a module ready.
#[derive(Debug, Deserialize, IntoParams)]
#[into_params(parameter_in = Query)]
#[serde(deny_unknown_fields)]
pub(super) struct ModuleQuery {
    /// Put a check into loops and calls, so that its tasks can be suspended while they compute.
    preempt: Option<bool>,
}

/// Uploads a module, the bytes of a .wasm file. It is made resumable and compiled, once, which takes
/// seconds for one of a megabyte and minutes for one of 20, and kept while tasks name it.
#[utoipa::path(put, path = "/v1/modules", operation_id = "upload_module", params(ModuleQuery),
    request_body(content = Binary, content_type = "application/wasm", description = "The module"),
    responses((status = 200, description = "The module is there", body = Module)))]
pub(super) async fn put_module(
    State(served): Shared,
    Asked(query): Asked<ModuleQuery>,
    body: Result<Bytes, BytesRejection>,
) -> Answer<Json<Module>> {
    let (source, preempt) = (Vec::from(body?), query.preempt.unwrap_or_default());
    let digest = served.daemon.add_module_as(source, preempt).await?;
    let module = digest.to_string();
    Ok(Json(Module { module }))
}

/// A module that the daemon has, by the BLAKE3 digest of the module as it was uploaded, or of its resumable form; gives
/// the digest by which tasks name it.
#[utoipa::path(get, path = "/v1/modules/{digest}", operation_id = "find_module",
    params(("digest" = String, Path, description = "64 hexadecimal digits"), ModuleQuery),
    responses((status = 200, description = "The module is there", body = Module)))]
pub(super) async fn find_module(
    State(served): Shared,
    Path(digest): Path<String>,
    Asked(query): Asked<ModuleQuery>,
) -> Answer<Json<Module>> {
    let digest = Digest::from_hex(&digest)
        .ok_or_else(|| bad(format!("{digest:?} is no digest: 64 hexadecimal digits")))?;
    let preempt = query.preempt.unwrap_or_default();
    let found = served.daemon.find_module(digest, preempt).await;
    let found = found.map_err(|error| match error.kind() {
        ErrorKind::Missing => Refused::from(error).with(StatusCode::NOT_FOUND),
        _ => error.into(),
    })?;
    let module = found.to_string();
    Ok(Json(Module { module }))
}

/// Shows a task. It is named by its number or its name.
#[utoipa::path(get, path = "/v1/tasks/{id}", operation_id = "get_task", params(("id" = String, Path, description = TASK)),
    responses((status = 200, description = "The task", body = Task)))]
pub(super) async fn show(State(served): Shared, Path(id): Path<String>) -> Answer<Json<Task>> {
    let id = find(&served, &id).await?;
    Ok(Json(served.daemon.task(id).await?.into()))
}

/// Stops a task at its next call that may block, or at its next check if it was submitted with those, and
/// keeps it until told otherwise. 202: it computes, and will be paused when it blocks.
#[utoipa::path(post, path = "/v1/tasks/{id}/pause", operation_id = "pause_task",
    params(("id" = String, Path, description = TASK)),
    responses((status = 200, description = "The task is paused", body = Task),
        (status = 202, description = "It computes, and will be paused when it blocks", body = Task),
        (status = 409, description = CONFLICT, body = Problem)))]
pub(super) async fn pause(State(served): Shared, Path(id): Path<String>) -> Answer<Response> {
    let id = find(&served, &id).await?;
    acted(&served, id, served.daemon.pause(id)).await
}

/// Lets a paused task go on. The body, which may be left out, gives it other limits.
#[utoipa::path(post, path = "/v1/tasks/{id}/resume", operation_id = "resume_task",
    params(("id" = String, Path, description = TASK)), request_body = Option<Resume>,
    responses((status = 200, description = "The task goes on", body = Task),
        (status = 202, description = "It goes on in a moment", body = Task),
        (status = 409, description = CONFLICT, body = Problem)))]
pub(super) async fn resume(
    State(served): Shared,
    Path(id): Path<String>,
    body: Result<Bytes, BytesRejection>,
) -> Answer<Response> {
    let body = body?;
    let given: Option<Resume> = match body.is_empty() {
        true => None,
        false => serde_json::from_slice(&body).map_err(|error| bad(error.to_string()))?,
    };
    let more = given.unwrap_or_default().more()?;
    let id = find(&served, &id).await?;
    acted(&served, id, served.daemon.resume_with(id, more)).await
}

/// Ends a task. 202: a call of its host takes long, and it ends after that.
#[utoipa::path(post, path = "/v1/tasks/{id}/kill", operation_id = "kill_task",
    params(("id" = String, Path, description = TASK)),
    responses((status = 200, description = "The task is over", body = Task),
        (status = 202, description = "A call of its host takes long, and it ends after that", body = Task),
        (status = 409, description = CONFLICT, body = Problem)))]
pub(super) async fn kill(State(served): Shared, Path(id): Path<String>) -> Answer<Response> {
    let id = find(&served, &id).await?;
    acted(&served, id, served.daemon.kill(id)).await
}

pub(super) async fn acted(
    served: &Served,
    id: TaskId,
    done: impl Future<Output = Result<(), Error>>,
) -> Answer<Response> {
    let status = match tokio::time::timeout(PATIENCE, done).await {
        Ok(done) => done.map(|()| StatusCode::OK)?,
        Err(_) => StatusCode::ACCEPTED,
    };
    let task: Task = served.daemon.task(id).await?.into();
    Ok((status, Json(task)).into_response())
}

/// Takes a task that is over or paused out of the list, with its output.
#[utoipa::path(delete, path = "/v1/tasks/{id}", operation_id = "remove_task",
    params(("id" = String, Path, description = TASK)),
    responses((status = 204, description = "The task is out of the list"),
        (status = 409, description = CONFLICT, body = Problem)))]
pub(super) async fn remove(State(served): Shared, Path(id): Path<String>) -> Answer<StatusCode> {
    let id = find(&served, &id).await?;
    served.daemon.remove(id).await?;
    Ok(StatusCode::NO_CONTENT)
}

/// A task as a snapshot file, which `dormouse resume` takes on any machine. The task goes on here; the
/// file is a copy of it, and says so.
#[utoipa::path(get, path = "/v1/tasks/{id}/snapshot", operation_id = "export_task",
    params(("id" = String, Path, description = TASK)),
    responses((status = 200, description = "The snapshot file", body = Binary, content_type = "application/octet-stream"),
        (status = 409, description = CONFLICT, body = Problem)))]
pub(super) async fn export(State(served): Shared, Path(id): Path<String>) -> Answer<Response> {
    let id = find(&served, &id).await?;
    let exported = tokio::time::timeout(PATIENCE, served.daemon.export(id));
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

/// A new task from a snapshot file. It goes on as soon as its wait is over.
#[utoipa::path(post, path = "/v1/snapshots", operation_id = "import_task", params(ImportQuery),
    request_body(content = Binary, content_type = "application/octet-stream", description = "The snapshot file"),
    responses((status = 201, description = "The new task, which is stored", body = Task)))]
pub(super) async fn import(
    State(served): Shared,
    Asked(query): Asked<ImportQuery>,
    body: Result<Bytes, BytesRejection>,
) -> Answer<(StatusCode, Json<Task>)> {
    let submit: Submit = match &query.task {
        None => Submit::default(),
        Some(text) => serde_json::from_str(text).map_err(|e| bad(format!("`task`: {e}")))?,
    };
    let spec = submit.spec(&served.daemon.options().limits)?;
    let name = submit.name;
    let id = served.daemon.import(body?.into(), spec, name).await?;
    let info = served.daemon.task(id).await?;
    Ok((StatusCode::CREATED, Json(info.into())))
}
