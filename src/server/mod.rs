//! The daemon over HTTP: an API, metrics, and a dashboard. `wire` holds what travels; clients use it too.

#[cfg(feature = "cli")]
pub(crate) mod accept;
mod api;
mod auth;
mod dashboard;
mod limits;
mod observe;
mod peer;
mod routes;
mod runs;
mod streams;
mod tail;
#[cfg(feature = "cli")]
pub(crate) mod takeover;
pub mod wire;

use std::sync::Arc;
use std::time::Instant;

use axum::Router;
use axum::extract::DefaultBodyLimit;
use axum::middleware::from_fn_with_state;
use axum::routing::{get, post, put};

use self::auth::Access;
use crate::scheduler::Daemon;

pub use peer::{Peers, wire as peers};

/// The largest upload: no engine takes a larger module.
const MAX_BODY: usize = 1 << 30;

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
    serve_from(listener, daemon, options, stop).await
}

/// Like [`serve`], from whatever accepts connections.
pub(crate) async fn serve_from<L: axum::serve::Listener<Addr: std::fmt::Debug>>(
    listener: L,
    daemon: Arc<Daemon>,
    options: ServerOptions,
    stop: impl Future<Output = ()> + Send + 'static,
) -> std::io::Result<()> {
    let app = router(daemon, options);
    axum::serve(listener, app)
        .with_graceful_shutdown(stop)
        .await
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
    let api = Router::new()
        .route("/v1/tasks", get(routes::list).post(routes::submit))
        .route("/v1/batch", post(routes::batch))
        .route("/v1/tasks/{id}", get(routes::show).delete(routes::remove))
        .route("/v1/tasks/{id}/pause", post(routes::pause))
        .route("/v1/tasks/{id}/resume", post(routes::resume))
        .route("/v1/tasks/{id}/kill", post(routes::kill))
        .route("/v1/tasks/{id}/start", post(runs::start))
        .route("/v1/tasks/{id}/runs", get(runs::runs))
        .route("/v1/tasks/{id}/logs", get(streams::logs))
        .route("/v1/tasks/{id}/snapshot", get(routes::export))
        .route("/v1/snapshots", post(routes::import))
        .route("/v1/modules", put(routes::put_module))
        .route("/v1/modules/{digest}", get(routes::find_module))
        .route("/v1/stats", get(routes::stats))
        .route("/v1/limits", get(limits::limits))
        .route("/v1/timeline", get(routes::timeline))
        .route("/v1/events", get(streams::events))
        .route("/metrics", get(observe::metrics))
        .route("/openapi.json", get(api::document))
        .merge(peer::routes())
        .layer(DefaultBodyLimit::max(MAX_BODY))
        .route_layer(from_fn_with_state(access, auth::check))
        .with_state(served);
    api.merge(dashboard::routes())
}
