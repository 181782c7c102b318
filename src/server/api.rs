//! The API in OpenAPI, for those who generate clients: `GET /openapi.json`.

use axum::Json;
use utoipa::openapi::OpenApi as Document;
use utoipa::openapi::security::{Http, HttpAuthScheme, SecurityRequirement, SecurityScheme};
use utoipa::{Modify, OpenApi};

use super::peer::Doc;
use super::wire::{
    Dir, LimitInfo, Module, Moved, MovedTo, Output, Problem, Size, Stats, Submit, Submitted, Task,
    Tasks, Timeline, Tmpfs,
};
use super::{limits, observe, routes, streams};

/// The document.
#[derive(OpenApi)]
#[openapi(
    info(
        title = "dormouse",
        description = "A million sleeping jobs. Every path wants the daemon's token: \
                       `Authorization: Bearer TOKEN`. Errors are JSON with one field, `error`."
    ),
    paths(
        routes::list, routes::submit, routes::batch, routes::put_module, routes::find_module, routes::show, routes::pause,
        routes::resume, routes::kill, routes::remove, routes::export, routes::import, routes::stats,
        routes::timeline, limits::limits, streams::logs, streams::events, observe::metrics
    ),
    components(schemas(
        Dir, LimitInfo, Module, Moved, MovedTo, Output, Problem, Size, Stats, Submit, Submitted, Task, Tasks, Timeline, Tmpfs
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

/// Gives the document.
pub(super) async fn document() -> Json<Document> {
    let mut document = Api::openapi();
    document.merge(Doc::openapi());
    document.merge(super::runs::Doc::openapi());
    Json(document)
}
