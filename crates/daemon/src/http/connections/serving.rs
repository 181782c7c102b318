//! Connections and the requests on them: how many, and how long they may take.

use std::convert::Infallible;
use std::net::SocketAddr;
use std::pin::pin;
use std::sync::Arc;
use std::time::Duration;

use axum::Router;
use axum::extract::Request;
use axum::response::Response;
use hyper::body::Incoming;
use hyper::server::conn::http1;
use hyper::service::Service;
use hyper_util::rt::{TokioIo, TokioTimer};
use hyper_util::server::graceful::{GracefulShutdown, Watcher};
use hyper_util::service::TowerToHyperService;
use tokio::time::timeout;

use crate::admission::{Admission, ConnectionSlot};
use crate::http::connections::accept::{Accepting, Connection, OtherNode, Security};

/// How long the headers of a request may take. A connection without a request is closed after so
/// long, too.
const HEADERS_TIMEOUT: Duration = Duration::from_secs(30);

/// Bytes of the largest head of a request. The head of an import has a task in its query.
const LARGEST_HEAD_BYTES: usize = 128 << 10;

/// How long after the system has refused to accept a connection the next try is made.
const ACCEPT_RETRY_AFTER: Duration = Duration::from_millis(100);

/// Answers requests until `stop` completes, and those that have been received by then.
pub(crate) async fn run(
    mut accepting: Accepting,
    app: Router,
    security: Security,
    stop: impl Future<Output = ()>,
) {
    let admission = Admission::of_process();
    let graceful = GracefulShutdown::new();
    let mut stop = pin!(stop);
    loop {
        let accepted = tokio::select! {
            biased;
            () = &mut stop => break,
            accepted = accepting.accept() => accepted,
        };
        let (connection, from) = match accepted {
            Ok(accepted) => accepted,
            Err(error) if is_of_connection(&error) => continue,
            Err(error) => {
                log::warn!("cannot accept a connection: {error}");
                admission.make_room();
                tokio::time::sleep(ACCEPT_RETRY_AFTER).await;
                continue;
            }
        };
        let slot = Arc::new(admission.enter(from.ip()));
        let asked = ConnectionService {
            app: TowerToHyperService::new(app.clone()),
            slot: slot.clone(),
            from: RemoteAddress(from),
            node: None,
        };
        let serving = answer(connection, security.clone(), asked, graceful.watcher());
        tokio::spawn(async move {
            tokio::select! {
                ended = serving => {
                    if let Err(error) = ended {
                        log::debug!("the connection from {from} ended: {error}");
                    }
                }
                () = slot.lost() => log::debug!("the connection from {from} was closed for others"),
            }
        });
    }
    drop(accepting);
    graceful.shutdown().await;
}

/// Answers the requests on a connection until it ends.
async fn answer(
    connection: Connection,
    security: Security,
    mut asked: ConnectionService,
    watcher: Watcher,
) -> Result<(), Box<dyn std::error::Error + Send + Sync>> {
    let connection = timeout(HEADERS_TIMEOUT, connection.secured(&security)).await??;
    asked.node = connection.node();
    let serving = http1::Builder::new()
        .timer(TokioTimer::new())
        .header_read_timeout(HEADERS_TIMEOUT)
        .max_buf_size(LARGEST_HEAD_BYTES)
        .serve_connection(TokioIo::new(connection), asked);
    Ok(watcher.watch(serving).await?)
}

/// Whether only this connection has failed, so that the next one can be accepted at once.
fn is_of_connection(error: &std::io::Error) -> bool {
    use std::io::ErrorKind::{ConnectionAborted, ConnectionRefused, ConnectionReset, InvalidInput};
    matches!(
        error.kind(),
        ConnectionAborted | ConnectionRefused | ConnectionReset | InvalidInput
    )
}

/// The other end of the connection on which a request came.
#[derive(Clone, Copy, Debug)]
pub(crate) struct RemoteAddress(pub(crate) SocketAddr);

/// Answers the requests of one connection. Each request carries the connection's slot, which a
/// request with the token makes a sure one.
struct ConnectionService {
    app: TowerToHyperService<Router>,
    slot: Arc<ConnectionSlot>,
    from: RemoteAddress,
    node: Option<OtherNode>,
}

impl Service<Request<Incoming>> for ConnectionService {
    type Response = Response;
    type Error = Infallible;
    type Future = <TowerToHyperService<Router> as Service<Request<Incoming>>>::Future;

    fn call(&self, mut request: Request<Incoming>) -> Self::Future {
        request.extensions_mut().insert(self.slot.clone());
        request.extensions_mut().insert(self.from);
        if let Some(node) = &self.node {
            request.extensions_mut().insert(node.clone());
        }
        self.app.call(request)
    }
}
