//! The API in OpenAPI, for those who generate clients: `GET /openapi.json`.

use std::sync::OnceLock;

use axum::Json;
use utoipa::openapi::path::Operation;
use utoipa::openapi::response::ResponseBuilder;
use utoipa::openapi::security::{Http, HttpAuthScheme, SecurityRequirement, SecurityScheme};
use utoipa::openapi::{Content, OpenApi as Document, Ref, RefOr};
use utoipa::{Modify, OpenApi};

use crate::http::peers::Doc;
use crate::http::wire::{
    LimitInfo, Module, Moved, MovedTo, Output, Preparation, Preparing, Problem, Stats, Submit,
    Submitted, Task, Tasks, Timeline,
};
use crate::http::{limits, modules, snapshots, stats, streams, tasks};
use crate::model::TaskSpec;

/// How requests of any path may fail: the status, its name in the document, and what it says.
const PROBLEMS: [(&str, &str, &str); 12] = [
    ("400", "BadRequest", "A part of the request is not right"),
    ("401", "Unauthorized", "The token is missing or wrong"),
    (
        "403",
        "Forbidden",
        "The token's role or its tenant does not allow it; or the daemon was asked by a name that it does not have, \
         or by a page of another origin",
    ),
    ("404", "NotFound", "There is no such thing"),
    ("408", "RequestTimeout", "The body came too slowly"),
    (
        "413",
        "ContentTooLarge",
        "The body, or what is in it, is larger than a limit allows",
    ),
    (
        "415",
        "UnsupportedMediaType",
        "The body must be application/json",
    ),
    (
        "422",
        "UnprocessableContent",
        "The body is JSON, and not what is described here",
    ),
    (
        "429",
        "TooManyRequests",
        "A quota of the tenant's is used up; nothing was changed",
    ),
    (
        "500",
        "InternalError",
        "The store cannot be read, or the daemon is broken",
    ),
    (
        "503",
        "Unavailable",
        "There are too many connections, the daemon is ending or being emptied, or the server of its \
         store cannot be reached",
    ),
    (
        "507",
        "InsufficientStorage",
        "It cannot be stored, since the disk is full; nothing was changed",
    ),
];

/// The document.
#[derive(OpenApi)]
#[openapi(
    info(
        title = "dormouse",
        license(name = "MIT OR Apache-2.0", identifier = "MIT OR Apache-2.0"),
        description = "A million sleeping jobs. Every path wants the daemon's token: \
                       `Authorization: Bearer TOKEN`. Errors are JSON with one field, `error`; so are those of paths \
                       that there are not (404), and of methods that a path does not take (405, with `Allow`)."
    ),
    paths(
        tasks::list, tasks::submit, tasks::batch, modules::put, modules::find, modules::preparations, tasks::show, tasks::pause,
        tasks::resume, tasks::kill, tasks::remove, snapshots::export, snapshots::import, stats::stats,
        stats::timeline, limits::limits, streams::logs, streams::events, stats::metrics,
        document
    ),
    components(schemas(
        LimitInfo, Module, Moved, MovedTo, Output, Preparation, Preparing, Problem, Stats, Submit, Submitted,
        Task, TaskSpec, Tasks, Timeline
    )),
    modifiers(&Token)
)]
struct Api;

struct Token;

impl Modify for Token {
    fn modify(&self, document: &mut Document) {
        let scheme = SecurityScheme::Http(Http::new(HttpAuthScheme::Bearer));
        let components = document.components.get_or_insert_default();
        components.add_security_scheme("token", scheme);
        let none: [&str; 0] = [];
        document.security = Some(vec![SecurityRequirement::new("token", none)]);
    }
}

/// Says of every operation how it may fail, and what it does.
fn complete(document: &mut Document) {
    let components = document.components.get_or_insert_default();
    for (_, name, description) in PROBLEMS {
        let body = Content::new(Some(Ref::from_schema_name("Problem")));
        let response = ResponseBuilder::new()
            .description(description)
            .content("application/json", body);
        components
            .responses
            .insert(name.into(), response.build().into());
    }
    for (path, item) in &mut document.paths.paths {
        let reads = item.get.iter_mut().map(|operation| (false, operation));
        let others = [&mut item.put, &mut item.post, &mut item.delete];
        let writes = others
            .into_iter()
            .flatten()
            .map(|operation| (true, operation));
        for (writes, operation) in reads.chain(writes) {
            complete_operation(operation, path, writes);
        }
    }
}

fn complete_operation(operation: &mut Operation, path: &str, writes: bool) {
    if operation.description.is_none() {
        operation.description = operation.summary.clone();
    }
    let body = operation.request_body.as_ref();
    let is_json = body.is_some_and(|body| match body {
        RefOr::T(body) => body.content.contains_key("application/json"),
        RefOr::Ref(_) => false,
    });
    let parameters = operation.parameters.as_ref();
    let is_empty = parameters.is_none_or(Vec::is_empty) && body.is_none();
    for (status, name, _) in PROBLEMS {
        let may_be = match status {
            "400" => !is_empty,
            "404" => path.contains('{'),
            "408" | "413" => body.is_some(),
            "415" | "422" => is_json,
            "429" => matches!(path, "/v1/tasks" | "/v1/batch" | "/v1/snapshots") && writes,
            "507" => writes,
            _ => true,
        };
        let known = &mut operation.responses.responses;
        if may_be && !known.contains_key(status) {
            known.insert(status.into(), Ref::from_response_name(name).into());
        }
    }
}

/// Gives the document.
#[utoipa::path(get, path = "/openapi.json", operation_id = "get_openapi",
    responses((status = 200, description = "The document", body = Object)))]
pub(super) async fn document() -> Json<&'static serde_json::Value> {
    static DOCUMENT: OnceLock<serde_json::Value> = OnceLock::new();
    Json(DOCUMENT.get_or_init(whole))
}

fn whole() -> serde_json::Value {
    let mut document = Api::openapi();
    document.merge(Doc::openapi());
    document.merge(crate::http::runs::Doc::openapi());
    document.merge(crate::http::accounts::Doc::openapi());
    document.merge(crate::http::nodes::Doc::openapi());
    complete(&mut document);
    // It is plain data, of which each part has a form in JSON.
    let mut document = serde_json::to_value(document).unwrap_or_default();
    unsigned(&mut document);
    document
}

/// Gives numbers that are not negative the formats of the registry that say so: without them the
/// largest ones would not be allowed.
fn unsigned(value: &mut serde_json::Value) {
    if value["minimum"] == 0 {
        let format = match value["format"].as_str() {
            Some("int64") => Some("uint64"),
            Some("int32") => Some("uint32"),
            _ => None,
        };
        if let Some(format) = format {
            value["format"] = format.into();
        }
    }
    match value {
        serde_json::Value::Object(fields) => fields.values_mut().for_each(unsigned),
        serde_json::Value::Array(items) => items.iter_mut().for_each(unsigned),
        _ => {}
    }
}
