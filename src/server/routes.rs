//! What can be asked over HTTP. `api.rs` says in OpenAPI what each path takes and gives.

use std::sync::Arc;
use std::time::Duration;

use axum::Json;
use axum::body::Bytes;
use axum::extract::rejection::{BytesRejection, JsonRejection, PathRejection, QueryRejection};
use axum::extract::{FromRequest, FromRequestParts, Query, State};
use axum::http::{StatusCode, header};
use axum::response::{IntoResponse, Response};
use serde::Deserialize;
use utoipa::IntoParams;

use super::Served;
use super::wire::{
    Module, Problem, Resume, Stats, Submit, Submitted, Task, Tasks, Timeline, Wrong, read_time,
    time,
};
use crate::error::{Error, ErrorKind};
use crate::model::{Digest, TaskId, TaskState};
use crate::scheduler::Submission;
use crate::store::Filter;

/// A list has at most so many tasks, a batch so many submissions.
const MOST_LISTED: usize = 1000;
const MOST_SUBMITTED: u64 = 10_000;

/// A pause or a kill is waited for so long; a guest that computes may take longer.
const PATIENCE: Duration = Duration::from_secs(5);

pub(super) type Shared = State<Arc<Served>>;
pub(super) type Answer<T> = Result<T, Refused>;

/// A request that failed.
pub(super) struct Refused {
    status: StatusCode,
    text: String,
    field: Option<String>,
    kind: Option<ErrorKind>,
}

impl Refused {
    fn new(status: StatusCode, text: impl Into<String>) -> Self {
        Self {
            status,
            text: text.into(),
            field: None,
            kind: None,
        }
    }
}

impl IntoResponse for Refused {
    fn into_response(self) -> Response {
        let problem = Problem {
            error: self.text,
            field: self.field,
            kind: self.kind.map(|kind| kind.name().to_string()),
        };
        (self.status, Json(problem)).into_response()
    }
}

impl From<Wrong> for Refused {
    fn from(wrong: Wrong) -> Self {
        let field = Some(wrong.field);
        Self {
            field,
            ..bad(wrong.error)
        }
    }
}

impl From<Error> for Refused {
    fn from(error: Error) -> Self {
        let text = error.to_string();
        let status = match error.kind() {
            ErrorKind::Task if text.contains("there is no task") => StatusCode::NOT_FOUND,
            ErrorKind::Task => StatusCode::CONFLICT,
            ErrorKind::Busy => StatusCode::SERVICE_UNAVAILABLE,
            ErrorKind::Write => StatusCode::INSUFFICIENT_STORAGE,
            ErrorKind::Peer => StatusCode::BAD_GATEWAY,
            ErrorKind::Store | ErrorKind::Internal => StatusCode::INTERNAL_SERVER_ERROR,
            _ => StatusCode::BAD_REQUEST,
        };
        let cause = error.cause::<crate::scheduler::Error>();
        let field = cause.and_then(|cause| cause.field()).map(String::from);
        Self {
            status,
            text,
            field,
            kind: Some(error.kind()),
        }
    }
}

macro_rules! refused_from {
    ($($rejection:ty),*) => {$(
        impl From<$rejection> for Refused {
            fn from(rejection: $rejection) -> Self {
                Self::new(rejection.status(), rejection.body_text())
            }
        }
    )*};
}
refused_from!(JsonRejection, PathRejection, QueryRejection, BytesRejection);

/// JSON, or the problem with it in our own form.
#[derive(FromRequest)]
#[from_request(via(Json), rejection(Refused))]
pub(super) struct Body<T>(pub(super) T);

/// Part of the path, or the problem with it in our own form.
#[derive(FromRequestParts)]
#[from_request(via(axum::extract::Path), rejection(Refused))]
pub(super) struct Path<T>(pub(super) T);

/// A query, or the problem with it in our own form.
#[derive(FromRequestParts)]
#[from_request(via(Query), rejection(Refused))]
pub(super) struct Asked<T>(pub(super) T);

pub(super) fn problem(status: StatusCode, text: &str) -> Response {
    Refused::new(status, text).into_response()
}

pub(super) fn bad(text: impl Into<String>) -> Refused {
    Refused {
        kind: Some(ErrorKind::Request),
        ..Refused::new(StatusCode::BAD_REQUEST, text)
    }
}

pub(super) async fn find(served: &Served, id: &str) -> Answer<TaskId> {
    Ok(served.daemon.find(id).await?)
}

/// Which tasks to list.
#[derive(Debug, Deserialize, IntoParams)]
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
#[utoipa::path(get, path = "/v1/tasks", params(ListQuery), responses((status = 200, body = Tasks)))]
pub(super) async fn list(
    State(served): Shared,
    Asked(query): Asked<ListQuery>,
) -> Answer<Json<Tasks>> {
    let states = query.state.iter().flat_map(|states| states.split(','));
    let states: Vec<TaskState> = states
        .map(str::parse)
        .collect::<Result<_, _>>()
        .map_err(bad)?;
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
    let tasks = infos.into_iter().map(Task::from).collect();
    Ok(Json(Tasks { tasks, next }))
}

fn bad_field(field: &str, text: impl Into<String>) -> Refused {
    let field = Some(field.into());
    Refused { field, ..bad(text) }
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
#[serde(deny_unknown_fields)]
pub(super) struct SubmitQuery {
    /// Look at everything but the module, and submit nothing: 204 where nothing is wrong.
    dry_run: Option<bool>,
}

/// Submits a task. When the answer comes, it is stored.
#[utoipa::path(post, path = "/v1/tasks", params(SubmitQuery), request_body = Submit,
    responses((status = 201, body = Task), (status = 204), (status = 400, body = Problem)))]
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
#[utoipa::path(post, path = "/v1/batch", request_body = Vec<Submit>,
    responses((status = 200, body = Vec<Submitted>)))]
pub(super) async fn batch(
    State(served): Shared,
    Body(body): Body<Vec<Submit>>,
) -> Answer<Json<Vec<Submitted>>> {
    let total: u64 = body
        .iter()
        .map(|item| u64::from(item.count.unwrap_or(1)))
        .sum();
    if total > MOST_SUBMITTED {
        return Err(bad(format!(
            "a batch has at most {MOST_SUBMITTED} tasks, and this has {total}"
        )));
    }
    let mut submissions = Vec::new();
    for item in &body {
        let count = item.count.unwrap_or(1) as usize;
        submissions.extend(std::iter::repeat_n(submission(&served, item)?, count));
    }
    let results = served.daemon.submit(submissions).await?;
    let told = results.into_iter().map(|result| match result {
        Ok(id) => Submitted {
            id: Some(id.0),
            error: None,
            kind: None,
        },
        Err(error) => Submitted {
            id: None,
            error: Some(error.to_string()),
            kind: Some(error.kind().name().into()),
        },
    });
    Ok(Json(told.collect()))
}

/// How to make a module ready.
#[derive(Debug, Deserialize, IntoParams)]
#[serde(deny_unknown_fields)]
pub(super) struct ModuleQuery {
    /// Put a check into loops and calls, so that its tasks can be suspended while they compute.
    preempt: Option<bool>,
}

/// Uploads a module, the bytes of a .wasm file. It is made resumable and compiled, once, which takes
/// seconds for one of a megabyte and minutes for one of 20, and kept while tasks name it.
#[utoipa::path(put, path = "/v1/modules", params(ModuleQuery), request_body(content = Vec<u8>, content_type = "application/wasm"),
    responses((status = 200, body = Module), (status = 400, body = Problem)))]
pub(super) async fn put_module(
    State(served): Shared,
    Asked(query): Asked<ModuleQuery>,
    body: Result<Bytes, BytesRejection>,
) -> Answer<Json<Module>> {
    let (source, preempt) = (body?.to_vec(), query.preempt.unwrap_or_default());
    let digest = served.daemon.add_module_as(source, preempt).await?;
    let module = digest.to_string();
    Ok(Json(Module { module }))
}

/// A module that the daemon has, by the BLAKE3 digest of the module as it was uploaded, or of its resumable form; gives
/// the digest by which tasks name it.
#[utoipa::path(get, path = "/v1/modules/{digest}", params(ModuleQuery),
    responses((status = 200, body = Module), (status = 404, body = Problem)))]
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
        ErrorKind::Missing => Refused {
            status: StatusCode::NOT_FOUND,
            ..error.into()
        },
        _ => error.into(),
    })?;
    let module = found.to_string();
    Ok(Json(Module { module }))
}

/// Shows a task. It is named by its number or its name.
#[utoipa::path(get, path = "/v1/tasks/{id}", responses((status = 200, body = Task), (status = 404, body = Problem)))]
pub(super) async fn show(State(served): Shared, Path(id): Path<String>) -> Answer<Json<Task>> {
    let id = find(&served, &id).await?;
    Ok(Json(served.daemon.task(id).await?.into()))
}

/// Stops a task at its next call that may block, or at its next check if it was submitted with those, and
/// keeps it until told otherwise. 202: it computes, and will be paused when it blocks.
#[utoipa::path(post, path = "/v1/tasks/{id}/pause", responses((status = 200, body = Task), (status = 202, body = Task)))]
pub(super) async fn pause(State(served): Shared, Path(id): Path<String>) -> Answer<Response> {
    let id = find(&served, &id).await?;
    acted(&served, id, served.daemon.pause(id)).await
}

/// Lets a paused task go on. The body, which may be left out, gives it other limits.
#[utoipa::path(post, path = "/v1/tasks/{id}/resume", request_body = Option<Resume>,
    responses((status = 200, body = Task), (status = 400, body = Problem)))]
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
#[utoipa::path(post, path = "/v1/tasks/{id}/kill", responses((status = 200, body = Task), (status = 202, body = Task)))]
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
#[utoipa::path(delete, path = "/v1/tasks/{id}", responses((status = 204)))]
pub(super) async fn remove(State(served): Shared, Path(id): Path<String>) -> Answer<StatusCode> {
    let id = find(&served, &id).await?;
    served.daemon.remove(id).await?;
    Ok(StatusCode::NO_CONTENT)
}

/// A task as a snapshot file, which `dormouse resume` takes on any machine. The task goes on here; the
/// file is a copy of it, and says so.
#[utoipa::path(get, path = "/v1/tasks/{id}/snapshot",
    responses((status = 200, content_type = "application/octet-stream"), (status = 409, body = Problem)))]
pub(super) async fn export(State(served): Shared, Path(id): Path<String>) -> Answer<Response> {
    let id = find(&served, &id).await?;
    let exported = tokio::time::timeout(PATIENCE, served.daemon.export(id));
    let bytes = exported.await.map_err(|_| {
        let text = format!("task {id} computes, and can be exported when it blocks");
        Refused {
            kind: Some(ErrorKind::Task),
            ..Refused::new(StatusCode::CONFLICT, text)
        }
    })??;
    let kind = (header::CONTENT_TYPE, "application/octet-stream");
    Ok(([kind], bytes).into_response())
}

/// What an imported task is given.
#[derive(Debug, Deserialize, IntoParams)]
#[serde(deny_unknown_fields)]
pub(super) struct ImportQuery {
    /// A task without its module and arguments, as JSON.
    task: Option<String>,
}

/// A new task from a snapshot file. It goes on as soon as its wait is over.
#[utoipa::path(post, path = "/v1/snapshots", params(ImportQuery),
    request_body(content = Vec<u8>, content_type = "application/octet-stream"),
    responses((status = 201, body = Task), (status = 400, body = Problem)))]
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
    let id = served.daemon.import(body?.to_vec(), spec, name).await?;
    let info = served.daemon.task(id).await?;
    Ok((StatusCode::CREATED, Json(info.into())))
}

/// What the daemon does and holds.
#[utoipa::path(get, path = "/v1/stats", responses((status = 200, body = Stats)))]
pub(super) async fn stats(State(served): Shared) -> Answer<Json<Stats>> {
    let daemon = &served.daemon;
    let metrics = daemon.metrics();
    let sizes = daemon.sizes().await?;
    let [submitted, wakes, suspends, flat, stored] = metrics.totals();
    let states = metrics.states().into_iter();
    Ok(Json(Stats {
        version: env!("CARGO_PKG_VERSION").into(),
        daemon: daemon.options().identity.clone(),
        now: time(daemon.now()),
        uptime: served.started.elapsed().as_secs_f64(),
        tasks: states
            .map(|(state, count)| (state.to_string(), count))
            .collect(),
        submitted,
        wakes,
        suspends,
        memory: super::observe::resident().unwrap_or(0),
        warm_memory: metrics.warm_bytes(),
        disk: sizes.disk,
        blobs: sizes.blobs,
        blob_bytes: sizes.blob_bytes,
        dedup_ratio: flat as f64 / stored.max(1) as f64,
    }))
}

/// Which spans to count.
#[derive(Debug, Deserialize, IntoParams)]
#[serde(deny_unknown_fields)]
pub(super) struct TimelineQuery {
    /// When the first span begins, RFC 3339; now if left out.
    from: Option<String>,
    /// Seconds in a span; 10 if left out.
    step: Option<f64>,
    /// How many spans; 60 if left out, 1000 at most.
    count: Option<usize>,
}

/// How many tasks are due when.
#[utoipa::path(get, path = "/v1/timeline", params(TimelineQuery), responses((status = 200, body = Timeline)))]
pub(super) async fn timeline(
    State(served): Shared,
    Asked(query): Asked<TimelineQuery>,
) -> Answer<Json<Timeline>> {
    let from = query
        .from
        .as_deref()
        .map(read_time)
        .transpose()
        .map_err(bad)?;
    let from = from.unwrap_or_else(|| served.daemon.now());
    let step = query.step.unwrap_or(10.0);
    if !(0.001..=1e8).contains(&step) {
        return Err(bad("`step` must be between 0.001 and 100000000 seconds"));
    }
    let count = query.count.unwrap_or(60).clamp(1, 1000);
    let counts = served
        .daemon
        .timeline(from, (step * 1e9) as u64, count)
        .await?;
    let from = time(from);
    Ok(Json(Timeline { from, step, counts }))
}
