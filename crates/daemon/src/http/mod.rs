//! The daemon over HTTP: an API, metrics, and a dashboard. `wire` holds what travels; clients use it too.

pub mod accept;
mod admission;
mod answers;
mod api;
mod auth;
mod bodies;
mod dashboard;
mod limits;
mod observe;
mod peer;
mod routes;
mod runs;
mod serving;
mod streams;
mod tail;
pub mod takeover;
pub mod wire;

use std::sync::Arc;
use std::time::Instant;

use axum::Router;
use axum::extract::DefaultBodyLimit;
use axum::middleware::from_fn_with_state;
use axum::routing::{get, post, put};

use self::auth::Access;
use self::bodies::Bound;
use crate::Daemon;
use crate::model::Limit;

pub use peer::{Peers, wire as peers};

/// The largest upload: no engine takes a larger module, and there are as good as no larger snapshots.
const UPLOAD: u64 = 1 << 30;

/// The largest task, and the largest batch of them. Arguments and environment of a task have 2 MiB at most, each byte
/// of which may take six in JSON.
const TASKS: u64 = 16 << 20;

/// The largest body of any other request.
const OTHER: u64 = 1 << 20;

/// What the handlers share.
struct Served {
    daemon: Arc<Daemon>,
    peers: Option<Arc<Peers>>,
    started: Instant,
}

/// How the API is offered.
#[derive(Clone, Debug)]
pub struct ServerOptions {
    /// What every request must carry.
    pub token: String,
    /// Names beside `localhost` and addresses by which the daemon may be asked.
    pub hosts: Vec<String>,
    /// Other daemons that tasks can move to, if they are to.
    pub peers: Option<Arc<Peers>>,
}

/// Answers requests until `stop` completes.
///
/// # Errors
/// Where the listener fails.
pub async fn serve(
    listener: tokio::net::TcpListener,
    daemon: Arc<Daemon>,
    options: ServerOptions,
    stop: impl Future<Output = ()> + Send + 'static,
) -> std::io::Result<()> {
    let (accepting, _intake) = accept::Accepting::new(listener);
    serve_from(accepting, daemon, options, stop).await;
    Ok(())
}

/// Like [`serve`], and accepting can be stopped.
pub async fn serve_from(
    accepting: accept::Accepting,
    daemon: Arc<Daemon>,
    options: ServerOptions,
    stop: impl Future<Output = ()>,
) {
    serving::run(accepting, router(daemon, options), stop).await;
}

/// What answers the requests.
#[doc(hidden)]
pub fn router(daemon: Arc<Daemon>, options: ServerOptions) -> Router {
    let served = Arc::new(Served {
        daemon,
        peers: options.peers,
        started: Instant::now(),
    });
    let access = Arc::new(Access {
        token: options.token,
        hosts: options.hosts,
    });
    let limits = served.daemon.options().limits;
    let bound = |bytes, hint| from_fn_with_state(Bound::new(bytes, hint), bodies::bounded);
    let upload = |limit, hint| bound(limits.value(limit).min(UPLOAD), hint);
    let module = upload(
        Limit::Module,
        "`dormouse serve --limit module=VALUE` takes larger modules, up to 1G",
    );
    let snapshot = upload(
        Limit::Snapshot,
        "`dormouse serve --limit snapshot=VALUE` takes larger snapshots, up to 1G",
    );
    let tasks = bound(
        TASKS,
        "put large input into a file, and many tasks into several batches",
    );
    let uploads = Router::new()
        .route("/v1/snapshots", post(routes::import))
        .route_layer(snapshot)
        .merge(
            Router::new()
                .route("/v1/modules", put(routes::put_module))
                .route_layer(module),
        );
    let submitting = Router::new()
        .route("/v1/tasks", get(routes::list).post(routes::submit))
        .route("/v1/batch", post(routes::batch))
        .route_layer(tasks);
    let api = Router::new()
        .route("/v1/tasks/{id}", get(routes::show).delete(routes::remove))
        .route("/v1/tasks/{id}/pause", post(routes::pause))
        .route("/v1/tasks/{id}/resume", post(routes::resume))
        .route("/v1/tasks/{id}/kill", post(routes::kill))
        .route("/v1/tasks/{id}/start", post(runs::start))
        .route("/v1/tasks/{id}/runs", get(runs::runs))
        .route("/v1/tasks/{id}/logs", get(streams::logs))
        .route("/v1/tasks/{id}/snapshot", get(routes::export))
        .route("/v1/modules/{digest}", get(routes::find_module))
        .route("/v1/stats", get(observe::stats))
        .route("/v1/limits", get(limits::limits))
        .route("/v1/timeline", get(observe::timeline))
        .route("/v1/events", get(streams::events))
        .route("/metrics", get(observe::metrics))
        .route("/openapi.json", get(api::document))
        .merge(peer::routes())
        .route_layer(bound(OTHER, "no request of this path needs more"))
        .merge(uploads)
        .merge(submitting)
        .layer(DefaultBodyLimit::disable())
        .route_layer(from_fn_with_state(access, auth::check))
        .with_state(served);
    api.merge(dashboard::routes())
        .fallback(answers::no_path)
        .method_not_allowed_fallback(answers::no_method)
}
