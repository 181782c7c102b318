//! Tasks: submit, list, show, and what is asked of one.

use std::collections::BTreeSet;
use std::time::Duration;

use axum::body::Bytes;
use axum::extract::rejection::BytesRejection;
use axum::extract::{RawQuery, State};
use axum::http::{HeaderMap, StatusCode};
use axum::response::{IntoResponse, Response};
use axum::{Extension, Json};
use serde::Deserialize;
use serde_json::{Map, Value};
use utoipa::IntoParams;

use super::answers::{
    Added, Answer, Asking, Body, Path, QueryOf, Refused, ServedState, bad, bad_field, find,
    shortened,
};
use super::connections::accept::OtherNode;
use super::descriptions::{CONFLICT, TASK, TRACEPARENT};
use super::everywhere;
use super::json::{read, read_submit};
use super::served::Served;
use super::traceparent;
use super::wire::{Batch, MOST_SUBMITTED, Problem, Resume, Submit, Submitted, Task, Tasks};
use crate::bounds::{check_hosts, stored_size};
use crate::model::error::{Error, ErrorKind};
use crate::model::{TaskId, TaskSpec, TaskState};
use crate::store::Filter;

/// A list has at most this many tasks.
const MOST_LISTED: usize = 1000;

/// Bytes of the largest request with tasks. Arguments and environment of a task have 2 MiB at most,
/// each byte of which may take six in JSON. What a batch takes in the store is bounded by the same
/// number: `count` saves sending, and makes a batch no larger than a request could be.
pub(super) const LARGEST_BATCH_BYTES: u64 = 16 << 20;

/// A request waits this long until the task is as it asks. A guest that computes may take longer:
/// the answer is 202 then.
pub(super) const ANSWER_WITHIN: Duration = Duration::from_secs(5);

/// Which tasks to list.
#[derive(Debug, Deserialize, IntoParams)]
#[into_params(parameter_in = Query)]
#[serde(deny_unknown_fields)]
pub(super) struct ListQuery {
    /// Only tasks in these states, separated by commas.
    state: Option<String>,
    /// Only tasks with a name like this: `*` stands for any characters, `?` for one.
    name: Option<String>,
    /// Only tasks with lower IDs: `next` of the page before.
    before: Option<u64>,
    /// At most this many, 100 if left out, 1000 at most.
    limit: Option<usize>,
    /// Only those of these tasks, by numbers separated by commas, that this daemon has in memory.
    loaded: Option<String>,
}

/// Lists tasks, the newest first.
#[utoipa::path(get, path = "/v1/tasks", operation_id = "list_tasks", params(ListQuery),
    responses((status = 200, description = "A page of tasks", body = Tasks)))]
pub(super) async fn list(
    State(served): ServedState,
    Extension(caller): Asking,
    RawQuery(asked): RawQuery,
    node: Option<Extension<OtherNode>>,
    QueryOf(query): QueryOf<ListQuery>,
) -> Answer<Json<Tasks>> {
    if let Some(loaded) = &query.loaded {
        let ids = loaded.split(',').map(|id| id.parse().map(TaskId));
        let ids: Vec<TaskId> = ids.collect::<Result<_, _>>().map_err(|_| {
            bad_field(
                "loaded",
                "`loaded` has numbers of tasks, separated by commas",
            )
        })?;
        let infos = served.daemon.loaded(caller.scope(), ids).await?;
        let tasks = infos.into_iter().map(|info| Task::from(info).brief());
        let (tasks, next) = (tasks.collect(), None);
        return Ok(Json(Tasks { tasks, next }));
    }
    let states = query.state.iter().flat_map(|states| states.split(','));
    // Each state once, however often it is named.
    let states: BTreeSet<TaskState> = states
        .map(str::parse)
        .collect::<Result<_, _>>()
        .map_err(bad)?;
    let states: Vec<TaskState> = states.into_iter().collect();
    let in_memory = !states.is_empty() && states.iter().all(|state| is_in_memory(*state));
    let wanted = states.clone();
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
        tenant: caller.scope(),
        ..Filter::default()
    };
    let (infos, next) = served.daemon.list(filter).await?;
    let next = next.map(|id| id.0);
    let tasks = infos.into_iter().map(|info| Task::from(info).brief());
    let mut page = Tasks {
        tasks: tasks.collect(),
        next,
    };
    if served.daemon.is_node() && node.is_none() {
        if in_memory {
            let asked = asked.unwrap_or_default();
            page = everywhere::merge(&served, &caller, &asked, limit, page).await;
        }
        everywhere::complete(&served, &caller, &mut page.tasks).await;
        let is_wanted = |task: &Task| {
            let state = task.state.parse::<TaskState>();
            wanted.is_empty() || state.is_ok_and(|state| wanted.contains(&state))
        };
        page.tasks.retain(is_wanted);
    }
    Ok(Json(page))
}

fn is_in_memory(state: TaskState) -> bool {
    matches!(
        state,
        TaskState::Ready | TaskState::Running | TaskState::Parked
    )
}

/// A task that a client has sent.
pub(super) fn sent(fields: Map<String, Value>) -> Answer<Submit> {
    let submit = read_submit(fields)?;
    check_hosts(&submit.spec)?;
    Ok(submit)
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
#[utoipa::path(post, path = "/v1/tasks", operation_id = "submit_task",
    params(SubmitQuery, ("traceparent" = Option<String>, Header, description = TRACEPARENT)), request_body = TaskSpec,
    responses((status = 204, description = "With `dry_run`: nothing is wrong with it"),
        (status = 201, description = "The task, which is stored", body = Task)))]
pub(super) async fn submit(
    State(served): ServedState,
    Extension(caller): Asking,
    QueryOf(query): QueryOf<SubmitQuery>,
    headers: HeaderMap,
    Body(body): Body<Map<String, Value>>,
) -> Answer<Response> {
    let Submit { spec, count } = sent(body)?;
    if count.is_some() {
        return Err(bad_field("count", "`count` is for POST /v1/batch"));
    }
    let mut specs = vec![spec];
    let admitted = served.tenants.admit(caller.tenant, &mut specs).await?;
    if query.dry_run == Some(true) {
        served.daemon.check_for(caller.tenant, &specs[0]).await?;
        return Ok(StatusCode::NO_CONTENT.into_response());
    }
    let trace = traceparent::given(&headers);
    let submitted = served.daemon.submit_for(caller.tenant, specs, trace);
    let mut results = submitted.await?;
    drop(admitted);
    match results.pop() {
        Some(result) => {
            let id = result?;
            let task: Task = served.daemon.task(id).await?.into();
            let added = Extension(Added(vec![id.0]));
            Ok((StatusCode::CREATED, added, Json(task)).into_response())
        }
        None => Err(bad("nothing was submitted")),
    }
}

/// Submits many tasks in one transaction. Those that are refused say why; the others are stored.
#[utoipa::path(post, path = "/v1/batch", operation_id = "submit_tasks",
    params(("traceparent" = Option<String>, Header, description = TRACEPARENT)), request_body = Vec<Submit>,
    responses((status = 200, description = "For each task its number, or why it was refused", body = Vec<Submitted>)))]
pub(super) async fn batch(
    State(served): ServedState,
    Extension(caller): Asking,
    headers: HeaderMap,
    Body(Batch(body)): Body<Batch>,
) -> Answer<(Extension<Added>, Json<Vec<Submitted>>)> {
    let items: Vec<Submit> = body.into_iter().map(sent).collect::<Result<_, _>>()?;
    let count = |item: &Submit| u64::from(item.count.unwrap_or(1));
    let total: u64 = items.iter().map(count).sum();
    if total > MOST_SUBMITTED {
        return Err(bad(format!(
            "a batch has at most {MOST_SUBMITTED} tasks, and this has {total}"
        )));
    }
    let sizes = items.iter();
    let sizes = sizes.map(|item| count(item) * stored_size(&item.spec));
    let size: u64 = sizes.sum();
    if size > LARGEST_BATCH_BYTES {
        let text = format!(
            "arguments, environment and the like of this batch's tasks take {size} bytes in the store, and may take \
             {LARGEST_BATCH_BYTES}; submit fewer tasks at once, or give them what they have in common in a file"
        );
        let refused = Refused::new(StatusCode::PAYLOAD_TOO_LARGE, text);
        return Err(refused.of(ErrorKind::Limit));
    }
    let mut specs = Vec::with_capacity(total as usize);
    for item in items {
        let count = count(&item) as usize;
        specs.extend(std::iter::repeat_n(item.spec, count));
    }
    let admitted = served.tenants.admit(caller.tenant, &mut specs).await?;
    let trace = traceparent::given(&headers);
    let submitted = served.daemon.submit_for(caller.tenant, specs, trace);
    let results = submitted.await?;
    drop(admitted);
    let added = results.iter().flatten().map(|id| id.0).collect();
    let answers = results.into_iter().map(|result| match result {
        Ok(id) => Submitted {
            id: Some(id.0),
            error: None,
            kind: None,
        },
        Err(error) => Submitted {
            id: None,
            error: Some(shortened(error.to_string())),
            kind: Some(error.kind().name().into()),
        },
    });
    Ok((Extension(Added(added)), Json(answers.collect())))
}

/// Shows a task. It is named by its ID or its name.
#[utoipa::path(get, path = "/v1/tasks/{id}", operation_id = "get_task", params(("id" = String, Path, description = TASK)),
    responses((status = 200, description = "The task", body = Task)))]
pub(super) async fn show(
    State(served): ServedState,
    Extension(caller): Asking,
    Path(id): Path<String>,
) -> Answer<Json<Task>> {
    let id = find(&served, &caller, &id).await?;
    Ok(Json(served.daemon.task(id).await?.into()))
}

/// Stops a task at its next call that may block, or at its next check if it was submitted with
/// those, and keeps it until told otherwise. 202: it computes, and will be paused when it blocks.
#[utoipa::path(post, path = "/v1/tasks/{id}/pause", operation_id = "pause_task",
    params(("id" = String, Path, description = TASK)),
    responses((status = 200, description = "The task is paused", body = Task),
        (status = 202, description = "It computes, and will be paused when it blocks", body = Task),
        (status = 409, description = CONFLICT, body = Problem)))]
pub(super) async fn pause(
    State(served): ServedState,
    Extension(caller): Asking,
    Path(id): Path<String>,
) -> Answer<Response> {
    let id = find(&served, &caller, &id).await?;
    acted(&served, id, served.daemon.pause(id)).await
}

/// Lets a paused task go on. The body, which may be left out, gives it other limits.
#[utoipa::path(post, path = "/v1/tasks/{id}/resume", operation_id = "resume_task",
    params(("id" = String, Path, description = TASK)), request_body = Option<Resume>,
    responses((status = 200, description = "The task goes on", body = Task),
        (status = 202, description = "It goes on in a moment", body = Task),
        (status = 409, description = CONFLICT, body = Problem)))]
pub(super) async fn resume(
    State(served): ServedState,
    Extension(caller): Asking,
    Path(id): Path<String>,
    body: Result<Bytes, BytesRejection>,
) -> Answer<Response> {
    let body = body?;
    let more = match body.is_empty() {
        true => Resume::default(),
        false => {
            let given: Value =
                serde_json::from_slice(&body).map_err(|error| bad(error.to_string()))?;
            let wrong = |unread| Refused::from(unread).with(StatusCode::BAD_REQUEST);
            let more: Option<Resume> = read(&given).map_err(wrong)?;
            more.unwrap_or_default()
        }
    };
    let id = find(&served, &caller, &id).await?;
    if !more.limits.is_empty()
        && let Some(tenant) = served.daemon.tenant_of(id).await?
    {
        served.tenants.admit_limits(tenant, &more.limits).await?;
    }
    acted(&served, id, served.daemon.resume_with(id, more)).await
}

/// Ends a task. 202: a call of its host takes long, and it ends after that.
#[utoipa::path(post, path = "/v1/tasks/{id}/kill", operation_id = "kill_task",
    params(("id" = String, Path, description = TASK)),
    responses((status = 200, description = "The task is over", body = Task),
        (status = 202, description = "A call of its host takes long, and it ends after that", body = Task),
        (status = 409, description = CONFLICT, body = Problem)))]
pub(super) async fn kill(
    State(served): ServedState,
    Extension(caller): Asking,
    Path(id): Path<String>,
) -> Answer<Response> {
    let id = find(&served, &caller, &id).await?;
    let mut before = served.daemon.task(id).await?;
    match acted(&served, id, served.daemon.kill(id)).await {
        // The task of a connection leaves the list as soon as it is over.
        Err(_) if before.status.accepted_by.is_some() && served.daemon.task(id).await.is_err() => {
            before.state = TaskState::Failed;
            Ok((StatusCode::OK, Json(Task::from(before))).into_response())
        }
        answer => answer,
    }
}

pub(super) async fn acted(
    served: &Served,
    id: TaskId,
    done: impl Future<Output = Result<(), Error>>,
) -> Answer<Response> {
    let status = match tokio::time::timeout(ANSWER_WITHIN, done).await {
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
pub(super) async fn remove(
    State(served): ServedState,
    Extension(caller): Asking,
    Path(id): Path<String>,
) -> Answer<StatusCode> {
    let id = find(&served, &caller, &id).await?;
    served.daemon.remove(id).await?;
    Ok(StatusCode::NO_CONTENT)
}
