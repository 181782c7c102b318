//! The daemon over HTTP: the API, metrics and events. Commands are clients of it and use [`wire`]
//! too.
//!
//! | file | what stands there |
//! | --- | --- |
//! | this one | the paths, and how large their bodies may be |
//! | `connections` | connections, before a request is handled |
//! | `json` | a task out of JSON, and what is wrong with it |
//! | `answers` | what requests are taken from and answered with; a status follows from an error's kind |
//! | `tasks`, `modules`, `snapshots`, `runs`, `streams`, `limits`, `stats` | the paths of those names |
//! | `nodes`, `forward`, `everywhere` | nodes that share a store: which there are, and what is asked of the others |
//! | `peers`, `moves` | the paths about other daemons, and about moves that are open |
//! | `accounts` | the paths about tokens, tenants and the audit log |
//! | `traceparent` | the trace context of whoever asks |
//! | `openapi` | the document that describes all of it, with `descriptions` |
//! | [`wire`] | what travels, as JSON |

mod accounts;
mod answers;
mod connections;
mod descriptions;
mod everywhere;
mod forward;
mod json;
mod limits;
mod modules;
mod moves;
pub mod nodes;
mod openapi;
pub mod peers;
mod runs;
mod served;
mod snapshots;
mod stats;
mod streams;
mod tail;
mod tasks;
mod traceparent;
pub mod wire;

use std::sync::Arc;

use axum::Router;
use axum::extract::DefaultBodyLimit;
use axum::middleware::from_fn_with_state;
use axum::routing::{get, post, put};

use self::connections::accept::Security;
use self::connections::auth::{self, Access};
use self::connections::bodies::{self, Bound};
use self::connections::serving;
use self::served::Served;
use crate::daemon::Daemon;
use crate::dashboard;
use crate::model::Limit;

pub use self::connections::accept;
pub use self::connections::tls::{Certificate, CertificateError};
pub use crate::access::audit::AuditLog;
pub use crate::peers::Peers;

/// A task out of JSON, as the API reads it.
#[cfg(test)]
pub(crate) fn read_spec(value: serde_json::Value) -> Result<crate::model::TaskSpec, crate::Error> {
    json::read_spec(&value).map_err(|unread| {
        let (field, error) = (unread.field, unread.error);
        match unread.sort {
            json::Sort::Length => crate::Error::TooLarge { field, error },
            json::Sort::Shape | json::Sort::Word => crate::Error::Field { field, error },
        }
    })
}

/// Bytes of the largest upload. No engine takes a larger module, and hardly any snapshot is larger.
const LARGEST_UPLOAD_BYTES: u64 = 1 << 30;

/// Bytes of the largest request with tasks.
const LARGEST_TASKS_BYTES: u64 = tasks::LARGEST_BATCH_BYTES;

/// Bytes of the largest body of any other request.
const LARGEST_OTHER_BYTES: u64 = 1 << 20;

/// How the API is offered.
#[derive(Clone, Debug)]
pub struct ServerOptions {
    /// What every request must carry.
    pub token: String,
    /// Names beside `localhost` and addresses by which the daemon may be asked.
    pub hosts: Vec<String>,
    /// Other daemons that tasks can move to, if they are to.
    pub peers: Option<Arc<Peers>>,
    /// The certificate, where the API speaks TLS.
    pub certificate: Option<Arc<Certificate>>,
    /// Where it is noted who did what, if it is.
    pub audit: Option<Arc<AuditLog>>,
}

/// Answers requests until `stop` completes.
///
/// # Errors
/// If the listener fails.
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
    let clients = options.certificate.as_ref();
    let security = Security {
        clients: clients.map(|certificate| certificate.config()),
        member: daemon.shared.member.clone(),
    };
    serving::run(accepting, router(daemon, options), security, stop).await;
}

/// What answers the requests.
#[doc(hidden)]
pub fn router(daemon: Arc<Daemon>, options: ServerOptions) -> Router {
    let mut served = Served::new(daemon, options.peers, &options.token);
    served.audit = options.audit;
    let served = Arc::new(served);
    let access = Arc::new(Access {
        hosts: options.hosts,
        served: served.clone(),
    });
    let limits = served.daemon.options().limits;
    let bound = |bytes, hint| from_fn_with_state(Bound::new(bytes, hint), bodies::bounded);
    let upload = |limit, hint| bound(limits.value(limit).min(LARGEST_UPLOAD_BYTES), hint);
    let module = upload(
        Limit::Module,
        "`dormouse serve --limit module=VALUE` takes larger modules, up to 1G",
    );
    let snapshot = upload(
        Limit::Snapshot,
        "`dormouse serve --limit snapshot=VALUE` takes larger snapshots, up to 1G",
    );
    let tasks = bound(
        LARGEST_TASKS_BYTES,
        "put large input into a file, and many tasks into several batches",
    );
    let uploads = Router::new()
        .route("/v1/snapshots", post(snapshots::import))
        .route_layer(snapshot)
        .merge(
            Router::new()
                .route("/v1/modules", put(modules::put))
                .route_layer(module),
        );
    let submitting = Router::new()
        .route("/v1/tasks", get(tasks::list).post(tasks::submit))
        .route("/v1/batch", post(tasks::batch))
        .route_layer(tasks);
    let api = Router::new()
        .route("/v1/tasks/{id}", get(tasks::show).delete(tasks::remove))
        .route("/v1/tasks/{id}/pause", post(tasks::pause))
        .route("/v1/tasks/{id}/resume", post(tasks::resume))
        .route("/v1/tasks/{id}/kill", post(tasks::kill))
        .route("/v1/tasks/{id}/start", post(runs::start))
        .route("/v1/tasks/{id}/runs", get(runs::runs))
        .route("/v1/tasks/{id}/logs", get(streams::logs))
        .route("/v1/tasks/{id}/snapshot", get(snapshots::export))
        .route("/v1/modules/{digest}", get(modules::find))
        .route("/v1/preparations", get(modules::preparations))
        .route("/v1/stats", get(stats::stats))
        .route("/v1/limits", get(limits::limits))
        .route("/v1/timeline", get(stats::timeline))
        .route("/v1/events", get(streams::events))
        .route("/metrics", get(stats::metrics))
        .route("/openapi.json", get(openapi::document))
        .merge(peers::routes())
        .merge(nodes::routes())
        .merge(accounts::routes())
        .route_layer(from_fn_with_state(served.clone(), forward::to_owner))
        .route_layer(bound(
            LARGEST_OTHER_BYTES,
            "no request of this path needs more",
        ))
        .merge(uploads)
        .merge(submitting)
        .layer(DefaultBodyLimit::disable())
        .route_layer(from_fn_with_state(access, auth::check))
        .with_state(served);
    api.merge(dashboard::routes())
        .fallback(answers::no_path)
        .method_not_allowed_fallback(answers::no_method)
}
