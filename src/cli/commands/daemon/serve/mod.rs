//! `dormouse serve`: the daemon.

mod certificate;
mod files;
mod listening;
#[cfg(feature = "postgres")]
mod lock;
mod node;
mod telemetry;

use std::fs;
use std::net::SocketAddr;
use std::os::fd::OwnedFd;
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use tokio::net::TcpListener;
use tokio::signal::unix::{Signal, SignalKind, signal};

use self::files::{prepare, secret_file, write_url};
use self::listening::{HTTP, Inherited, PEERS};
use self::node::Opened;
use crate::cli::args::daemon::Serve;
use crate::cli::data_dir::data_directory;
use crate::cli::exit::{DAEMON, Done, Failure, INTERNAL, OK, WRITE};
use crate::cli::output::{self, say};
use crate::cli::parse::guest::engine;
use crate::daemon::http::accept::Accepting;
use crate::daemon::http::{self as server, AuditLog, Peers, ServerOptions};
use crate::daemon::takeover::{HandedOverSockets, TakeoverListener};
use crate::daemon::{Daemon, NotStored, Options};
use crate::store::{Error as StoreError, Sqlite};

/// While another daemon takes over, clients whose connections this one has accepted have this long
/// to send a request, and this long again to get the answer. The other daemon waits for it.
const LAST_REQUESTS: Duration = Duration::from_secs(2);

/// At its end the daemon waits so long for a collector.
const LAST_TELEMETRY: Duration = Duration::from_secs(2);

pub(super) fn serve(command: &Serve) -> Result<Done, Failure> {
    let data = command.data.clone().unwrap_or_else(data_directory);
    prepare(&data)?;
    let options = options(command, &data)?;
    let token = secret_file(&data, "token", 16)?;
    let certificate = certificate::read(command)?;
    raise_descriptors();
    let grace = command.grace.0;
    let mut inherited = Inherited::new(&data, command.takeover, grace)?;
    let named = command.store.clone();
    // Other users see a command's arguments.
    let named = named.or_else(|| std::env::var("DORMOUSE_STORE").ok());
    let store = match named {
        Some(url) => open_database(&url, &data)?,
        None => Opened::Own(Arc::new(open_file(&data, command.takeover)?)),
    };
    let runtime = tokio::runtime::Builder::new_multi_thread()
        .enable_all()
        .build()
        .map_err(|error| Failure::new(INTERNAL, format!("cannot start tokio: {error}")))?;
    let result = runtime.block_on(async {
        let audit = command.audit_log.then(|| audit_log(&data)).transpose()?;
        // Before anybody can know of this daemon, and before guests run.
        let signals = Signals::listen()?;
        let (listener, address, http) = inherited.listener(HTTP, &command.listen).await?;
        let kept = inherited.take_kept();
        // The lock goes with the process.
        let (daemon, _lock) = store.start(command, options, address, kept)?;
        let mut own = vec![(HTTP.to_string(), http)];
        let peers = Peers::open(&data, daemon.clone())?;
        let reached = listen_for_peers(command, &peers, &mut inherited, &mut own).await?;
        let scheme = match &certificate {
            Some(certificate) => certificate::follow(certificate.clone(), &data)?,
            None => "http",
        };
        let url = format!("{scheme}://{token}@{address}");
        // Clients find the daemon by this file; without it they need --url.
        let known = write_url(&data.join("url"), &url);
        if let Err(failure) = &known {
            log::warn!(
                "{}; commands do not find this daemon by themselves: use --url or DORMOUSE_URL",
                failure.message
            );
        }
        let place = Place {
            data: &data,
            address,
            scheme,
            url: &url,
            token: &token,
            reached,
            fingerprint: peers.fingerprint().to_string(),
        };
        place.tell(command.data.is_some() || known.is_err());
        let options = ServerOptions {
            token,
            hosts: command.hosts.clone(),
            peers: Some(peers),
            certificate,
            audit,
        };
        let door = listening::door(&data);
        run(listener, daemon, options, door, own, grace, signals).await
    });
    let handed_over = matches!(&result, Ok(ended) if ended.handed_over);
    if !handed_over {
        // Nothing listens there any more. Where the file cannot be removed, clients are refused a
        // connection instead.
        let _ = fs::remove_file(data.join("url"));
    }
    // The end does not wait for guests that compute.
    runtime.shutdown_timeout(Duration::from_millis(200));
    // Nor for a module that is being prepared.
    crate::task::remove_unfinished();
    match NotStored::report(&result?.not_stored) {
        None => OK,
        Some(told) => Err(Failure::new(WRITE, told)),
    }
}

/// The daemon's options, as the command gives them.
fn options(command: &Serve, data: &Path) -> Result<Options, Failure> {
    let identity = secret_file(data, "daemon-id", 4)?;
    Ok(Options {
        workers: command.workers.map(usize::from),
        max_workers: command.max_workers.into(),
        hibernate_after: command.hibernate_after.0,
        max_warm_memory: command.max_warm_memory.0,
        memory: command.memory.map(|size| size.0),
        marks: Some(data.join("running")),
        set_aside_after: command.set_aside_after,
        limits: command.limits.daemon(),
        output_limit: command.output_limit.0,
        checkpoint: command.checkpoint.0,
        retain: command.retain.map(|span| span.0),
        engine: engine(command.engine)?,
        telemetry: telemetry::start(command, &identity)?,
        identity,
        labels: command.labels.iter().cloned().collect(),
        cache: None,
        clock: None,
    })
}

/// Listens where other daemons reach this one, if they are to; gives the address.
async fn listen_for_peers(
    command: &Serve,
    peers: &Arc<Peers>,
    inherited: &mut Inherited,
    own: &mut Vec<(String, OwnedFd)>,
) -> Result<Option<SocketAddr>, Failure> {
    let Some(listen) = &command.peer_listen else {
        return Ok(None);
    };
    let (listener, address, duplicate) = inherited.listener(PEERS, listen).await?;
    own.push((PEERS.to_string(), duplicate));
    // The address of all interfaces is none that a peer could connect to.
    let called = command.peer_address.clone().or_else(|| {
        let one = !address.ip().is_unspecified();
        one.then(|| address.to_string())
    });
    peers.listen(listener, address, called.unwrap_or_default());
    Ok(Some(address))
}

/// Where it is noted who asked for what.
fn audit_log(data: &Path) -> Result<Arc<AuditLog>, Failure> {
    let failed = |error| {
        let text = format!("cannot write the audit log in {}: {error}", data.display());
        Failure::new(WRITE, text)
    };
    AuditLog::open(data).map(Arc::new).map_err(failed)
}

/// Where a daemon is.
struct Place<'a> {
    data: &'a Path,
    address: SocketAddr,
    scheme: &'a str,
    url: &'a str,
    token: &'a str,
    /// Where other daemons reach it.
    reached: Option<SocketAddr>,
    fingerprint: String,
}

impl Place<'_> {
    /// Prints it; the URL only where commands do not find it by themselves.
    fn tell(&self, with_url: bool) {
        let (data, address, token) = (self.data.display(), self.address, self.token);
        let scheme = self.scheme;
        if output::as_json() {
            output::result(&serde_json::json!({
                "data": self.data.to_string_lossy(),
                "address": address,
                "url": self.url,
                "dashboard": format!("{scheme}://{address}/#token={token}"),
                "peers": self.reached,
                "fingerprint": self.reached.map(|_| &self.fingerprint),
            }));
        } else {
            say!("serving {data} on {scheme}://{address}");
            say!("dashboard  {scheme}://{address}/#token={token}");
            if with_url {
                say!("clients    export DORMOUSE_URL={}", self.url);
            }
            if let Some(reached) = self.reached {
                say!("peers      {reached}, fingerprint {}", self.fingerprint);
            }
        }
        if !address.ip().is_loopback() && scheme == "http" {
            say!(
                "anybody who can reach {address} and has the token can run programs here, and nothing \
                 on the way is encrypted"
            );
        }
    }
}

/// How a daemon ended.
struct Ended {
    /// Another one continues with its sockets.
    handed_over: bool,
    /// Tasks that go on from what was stored before.
    not_stored: Vec<NotStored>,
}

/// Lets the process have as many descriptors open as it may: sleeping tasks keep their sockets.
fn raise_descriptors() {
    use rustix::process::{Resource, getrlimit, setrlimit};
    let mut limit = getrlimit(Resource::Nofile);
    if limit.current != limit.maximum {
        limit.current = limit.maximum;
        if let Err(error) = setrlimit(Resource::Nofile, limit) {
            log::warn!("the limit of open files cannot be raised to the hard one: {error}");
        }
    }
}

/// Opens the store in a database, which other daemons may share.
#[cfg(feature = "postgres")]
fn open_database(url: &str, data: &Path) -> Result<Opened, Failure> {
    let lock = lock::lock(data)?;
    let store = crate::store::Postgres::open(url).map_err(crate::error::Error::from)?;
    Ok(Opened::Shared(Arc::new(store), lock))
}

#[cfg(not(feature = "postgres"))]
fn open_database(_url: &str, _data: &Path) -> Result<Opened, Failure> {
    let text =
        "--store: this dormouse was built without PostgreSQL; build it with --features postgres";
    Err(Failure::new(crate::cli::exit::USAGE, text))
}

/// Opens the store in the data directory. After a takeover the other daemon may hold it for another
/// moment.
fn open_file(data: &Path, takeover: bool) -> Result<Sqlite, Failure> {
    let mut tries = 0;
    loop {
        match Sqlite::open(data) {
            Err(StoreError::Leased { .. }) if takeover && tries < 200 => {
                tries += 1;
                std::thread::sleep(Duration::from_millis(10));
            }
            opened => return Ok(opened.map_err(crate::error::Error::from)?),
        }
    }
}

/// The signals that the daemon listens to. A signal that comes before the daemon waits for it is
/// kept.
struct Signals {
    terminate: Signal,
    interrupt: Signal,
    /// With a handler for SIGXFSZ, writing a file that gets too large is an error and does not end
    /// the process.
    _too_large: Signal,
}

impl Signals {
    fn listen() -> Result<Self, Failure> {
        let listen = |kind| {
            let failed = |e| Failure::new(INTERNAL, format!("cannot listen to signals: {e}"));
            signal(kind).map_err(failed)
        };
        Ok(Self {
            terminate: listen(SignalKind::terminate())?,
            interrupt: listen(SignalKind::interrupt())?,
            _too_large: listen(SignalKind::from_raw(rustix::process::Signal::XFSZ.as_raw()))?,
        })
    }
}

/// Puts all tasks to sleep, until `impatient` completes; gives those that could not be stored.
async fn close(daemon: &Daemon, impatient: impl Future<Output = ()>) -> Vec<NotStored> {
    let closing = daemon.close();
    tokio::pin!(closing);
    let not_stored = tokio::select! {
        not_stored = &mut closing => not_stored,
        () = impatient => match daemon.not_stored().await {
            Some(not_stored) => not_stored,
            None => closing.await,
        },
    };
    if not_stored.iter().any(|task| task.error.is_none()) {
        say!(
            "some tasks computed all the time; they go on from their last snapshot at the next start"
        );
    }
    daemon.ended();
    not_stored
}

/// Sends what a collector has not been told yet, if there is one.
async fn flush(daemon: &Daemon) {
    let Some(telemetry) = daemon.options().telemetry.clone() else {
        return;
    };
    let flushed = tokio::task::spawn_blocking(move || telemetry.flush(LAST_TELEMETRY));
    // An error means that the process ends.
    let _ = flushed.await;
}

/// Serves until a signal comes or another daemon takes over; then puts everything to sleep.
async fn run(
    listener: TcpListener,
    daemon: Arc<Daemon>,
    options: ServerOptions,
    door: Option<TakeoverListener>,
    own: Vec<(String, OwnedFd)>,
    grace: Duration,
    signals: Signals,
) -> Result<Ended, Failure> {
    let Signals {
        mut terminate,
        mut interrupt,
        _too_large,
    } = signals;
    let (stop, stopped) = tokio::sync::oneshot::channel::<()>();
    let until = async move {
        // Where the sender is gone, this daemon ends too.
        let _ = stopped.await;
    };
    let peers = options.peers.clone();
    let (accepting, intake) = Accepting::new(listener);
    let serving = server::serve_from(accepting, daemon.clone(), options, until);
    let serving = tokio::spawn(serving);
    tokio::pin!(serving);
    let next = tokio::select! {
        _ = terminate.recv() => None,
        _ = interrupt.recv() => None,
        next = listening::asked(door.as_ref()) => Some(next),
        () = daemon.until_lost() => return Err(node::lost(&daemon, &own)),
        ended = &mut serving => {
            let why = ended.err().map(|error| format!(": {error}")).unwrap_or_default();
            return Err(Failure::new(DAEMON, format!("the server ended{why}")));
        }
    };
    let mut stop = Some(stop);
    match &next {
        None => stop = None,
        // Accepted connections are answered; those in the queue are for the other daemon.
        Some(_) => intake.stop(),
    }
    if let Some(peers) = peers {
        peers.stop_listening();
    }
    match &next {
        None => say!("putting tasks to sleep; a second signal ends at once"),
        Some(_) => say!("another daemon takes over: putting tasks to sleep for it"),
    }
    let impatient = async {
        tokio::select! {
            () = tokio::time::sleep(grace) => {}
            _ = terminate.recv() => {}
            _ = interrupt.recv() => {}
        }
    };
    let not_stored = close(&daemon, impatient).await;
    let Some(next) = next else {
        daemon.leave().await;
        flush(&daemon).await;
        return Ok(Ended {
            handed_over: false,
            not_stored,
        });
    };
    let sockets = HandedOverSockets {
        listeners: own,
        kept: daemon.drain_sockets(),
    };
    flush(&daemon).await;
    listening::give(next, sockets).await?;
    // Requests are answered, and clients that are connected and have sent none yet can send one.
    let _ = tokio::time::timeout(LAST_REQUESTS, intake.all_asked()).await;
    drop(stop);
    let _ = tokio::time::timeout(LAST_REQUESTS, serving).await;
    Ok(Ended {
        handed_over: true,
        not_stored,
    })
}
