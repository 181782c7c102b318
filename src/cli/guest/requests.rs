//! An instance for each HTTP request, many at once.
//!
//! Each connection has a thread, on which one instance after another answers one request each. The
//! connection goes from one to the next.

use std::net::TcpStream;
use std::num::NonZeroU16;
use std::sync::Arc;

use tokio::net::TcpListener;
use tokio::sync::{OwnedSemaphorePermit, Semaphore};

use super::grants::GuestGrants;
use crate::cli::exit::{Done, Failure, INTERNAL, INTERRUPTED};
use crate::cli::output::say;
use crate::cli::process::runtime;
use crate::cli::signals::guest::{Request, Signals};
use crate::cli::signals::preparation::Preparation;
use crate::engine::EngineKind;
use crate::model::spec::Policy;
use crate::task::{Program, Runtime, Task};
use crate::wasi::{Bindings, HttpConnection};

/// A component whose instances answer one request each.
pub(crate) struct Requests {
    pub(crate) runtime: Runtime,
    pub(crate) program: Arc<Program>,
    pub(crate) engine: EngineKind,
    pub(crate) grants: GuestGrants,
    /// How many instances run at once.
    pub(crate) most: NonZeroU16,
    /// What has listened to signals until now.
    pub(crate) preparation: Option<Preparation>,
}

/// Answers requests until a signal ends that. At SIGTERM, those that are under way are answered.
pub(crate) fn serve(mut requests: Requests) -> Result<Done, Failure> {
    let preparation = requests.preparation.take();
    let listener = requests.grants.take_http()?;
    let most = u32::from(requests.most.get());
    let free = Arc::new(Semaphore::new(most as usize));
    let requests = Arc::new(requests);
    runtime()?.block_on(async {
        let mut signals = Signals::listen()?;
        drop(preparation);
        let failed = |error: std::io::Error| {
            Failure::new(INTERNAL, format!("cannot accept connections: {error}"))
        };
        listener.set_nonblocking(true).map_err(failed)?;
        let listener = TcpListener::from_std(listener).map_err(failed)?;
        loop {
            tokio::select! {
                request = signals.next() => match request {
                    Request::Interrupt => return Ok(Done::Own(INTERRUPTED)),
                    Request::Suspend => break,
                },
                (stream, place) = accept(&listener, &free) => answer(&requests, stream, place, &free),
            }
        }
        drop(listener);
        tokio::select! {
            // It fails only if somebody closes it, and nobody does.
            _ = free.acquire_many(most) => Ok(Done::Guest(0)),
            _ = signals.next() => Ok(Done::Own(INTERRUPTED)),
        }
    })
}

/// Accepts a connection, once there is a place for it.
async fn accept(
    listener: &TcpListener,
    free: &Arc<Semaphore>,
) -> (std::net::TcpStream, OwnedSemaphorePermit) {
    loop {
        let Ok(place) = free.clone().acquire_owned().await else {
            // Nobody closes it.
            return std::future::pending().await;
        };
        match listener
            .accept()
            .await
            .and_then(|(stream, _)| stream.into_std())
        {
            Ok(stream) => return (stream, place),
            Err(error) => {
                log::warn!("cannot accept a connection: {error}");
                tokio::time::sleep(std::time::Duration::from_millis(100)).await;
            }
        }
    }
}

/// Answers the requests of a connection on a thread of its own.
fn answer(
    requests: &Arc<Requests>,
    stream: TcpStream,
    place: OwnedSemaphorePermit,
    free: &Arc<Semaphore>,
) {
    let (requests, free) = (requests.clone(), free.clone());
    let started = std::thread::Builder::new()
        .name("request".into())
        .stack_size(crate::engine::GUEST_STACK * 2)
        .spawn(move || {
            if let Err(failure) = requests.connection(stream, &free) {
                say!("{}", failure.message);
            }
            drop(place);
        });
    if let Err(error) = started {
        say!("a connection is not answered: cannot start a thread: {error}");
    }
}

impl Requests {
    /// Answers the requests of a connection. It is kept between them as long as nobody waits for
    /// its place.
    fn connection(&self, stream: TcpStream, free: &Semaphore) -> Result<(), Failure> {
        let failed = |error| Failure::new(INTERNAL, format!("a connection is lost: {error}"));
        let mut connection = HttpConnection::new(stream).map_err(failed)?;
        loop {
            // Where others wait, it is said that this is the last request.
            let given = connection.with_last(free.available_permits() == 0);
            let Some(next) = self.request(given)? else {
                break;
            };
            if !next.has_begun() && free.available_permits() == 0 {
                break;
            }
            connection = next;
        }
        Ok(())
    }

    /// Answers one request by an instance of its own, and gives the connection back if it can be
    /// used again.
    fn request(&self, connection: HttpConnection) -> Result<Option<HttpConnection>, Failure> {
        let (config, given) = self.grants.bindings()?;
        let bindings = Bindings {
            http_connection: Some(connection),
            ..given
        };
        let mut task = Task::builder(&self.runtime, &self.program)
            .engine(self.engine)
            .config(config)
            .bindings(bindings)
            .start()?;
        let ended = runtime()?.block_on(task.run(Policy::Never));
        let code = ended?.exit_code().unwrap_or_default();
        if code != 0 {
            say!("an instance ended with {code}");
        }
        Ok(task.take_http_connection())
    }
}
