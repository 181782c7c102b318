//! Connections and the requests on them: how many, and how long they may take.

use std::convert::Infallible;
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
use hyper_util::server::graceful::GracefulShutdown;
use hyper_util::service::TowerToHyperService;

use super::accept::Accepting;
use super::admission::{Admission, Place};

/// The headers of a request, and what comes before them, take at most so long: a connection on which nothing is
/// asked for so long is closed as well.
const HEADERS: Duration = Duration::from_secs(30);

/// The largest head of a request; an import has a task in it.
const HEAD: usize = 128 << 10;

/// After the system has refused to accept a connection, the next try comes after so long.
const AGAIN: Duration = Duration::from_millis(100);

/// Answers requests until `stop` completes, and what has been asked by then.
pub(super) async fn run(mut accepting: Accepting, app: Router, stop: impl Future<Output = ()>) {
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
                tokio::time::sleep(AGAIN).await;
                continue;
            }
        };
        let place = Arc::new(admission.enter(from.ip()));
        let asked = Asked {
            app: TowerToHyperService::new(app.clone()),
            place: place.clone(),
        };
        let serving = http1::Builder::new()
            .timer(TokioTimer::new())
            .header_read_timeout(HEADERS)
            .max_buf_size(HEAD)
            .serve_connection(TokioIo::new(connection), asked);
        let serving = graceful.watch(serving);
        tokio::spawn(async move {
            tokio::select! {
                ended = serving => {
                    if let Err(error) = ended {
                        log::debug!("the connection from {from} ended: {error}");
                    }
                }
                () = place.lost() => log::debug!("the connection from {from} was closed for others"),
            }
        });
    }
    drop(accepting);
    graceful.shutdown().await;
}

/// Whether it is the fault of the connection alone, and the next one may be better.
fn is_of_connection(error: &std::io::Error) -> bool {
    use std::io::ErrorKind::{ConnectionAborted, ConnectionRefused, ConnectionReset, InvalidInput};
    matches!(
        error.kind(),
        ConnectionAborted | ConnectionRefused | ConnectionReset | InvalidInput
    )
}

/// What is asked on one connection. Requests carry its place, which the one with the token makes a sure one.
struct Asked {
    app: TowerToHyperService<Router>,
    place: Arc<Place>,
}

impl Service<Request<Incoming>> for Asked {
    type Response = Response;
    type Error = Infallible;
    type Future = <TowerToHyperService<Router> as Service<Request<Incoming>>>::Future;

    fn call(&self, mut request: Request<Incoming>) -> Self::Future {
        request.extensions_mut().insert(self.place.clone());
        self.app.call(request)
    }
}
