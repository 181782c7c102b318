//! Drives one guest in this process: waits, signals, and the snapshot at the end.
//!
//! The guest runs on a thread of its own, so that a signal is heard while it computes.
//!
//! ```text
//!   running --wait passes the policy, SIGTERM, SIGHUP, Ctrl-Z--> snapshot written --> exit 75
//!      ^                                                        | cannot be written
//!      `------------- goes on in this process <-----------------'
//! ```

mod write;

use std::net::TcpListener;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use tokio::runtime::Builder;
use tokio::signal::unix::{SignalKind, signal};
use tokio::sync::oneshot;

use self::write::write;
use super::args::Common;
use super::bounds::Bounds;
use super::exit::{Done, Failure, INTERNAL, INTERRUPTED, MISSING, SUSPENDED, WRITE};
use super::making::Making;
use super::text::{self, say};
use crate::error::Error;
use crate::model::{Reached, Wait};
use crate::scheduler::{self, Ended, Policy};
use crate::snapshot::Seal;
use crate::task::{Task, TaskHandle};
use crate::wasi::{Bindings, Clocks, Grants, HostDir, Listener, Randomness};

/// Signals this close together are one request: `timeout` and shells send them to the process and
/// to its group.
const SAME_REQUEST: Duration = Duration::from_secs(1);

/// A request that has not been met by now is one that the user should hear of.
const PATIENCE: Duration = Duration::from_secs(5);

/// So often a guest that computes is looked at.
const TICK: Duration = Duration::from_millis(100);

/// After a snapshot could not be written, the policy rests this long.
const RETRY: Duration = Duration::from_secs(60);

/// A guest and what to do with it.
pub(super) struct Session {
    pub(super) task: Task,
    pub(super) policy: Policy,
    /// How often to write a snapshot and go on.
    pub(super) checkpoint: Option<Duration>,
    /// Where to write a snapshot.
    pub(super) snapshot: PathBuf,
    /// Leave the module out of it.
    pub(super) slim: bool,
    pub(super) given: Given,
    /// How the snapshot is signed and encrypted.
    pub(super) seal: Seal,
    /// What has listened to signals until now.
    pub(super) making: Option<Making>,
}

/// What a guest is given beside the process's own streams.
pub(super) struct Given {
    pub(super) dirs: Vec<HostDir>,
    listeners: Vec<Listener>,
    grants: Grants,
    clocks: Option<Clocks>,
    random: Option<Randomness>,
    /// The flags that give the same again, for a shell.
    again: String,
    bounds: Bounds,
}

impl Given {
    /// What the command line gives.
    pub(super) fn new(common: &Common) -> Result<Self, Failure> {
        let dirs = common
            .dirs
            .iter()
            .map(|dir| format!(" --dir {}", quoted(dir)));
        let addresses = common.tcplisten.iter();
        let addresses = addresses.map(|address| format!(" --tcplisten {}", quoted(address)));
        let rules = common.reach.flags();
        let rules = rules.map(|(flag, rule)| format!(" {flag} {}", quoted(&rule.to_string())));
        let again = dirs.chain(addresses).chain(rules);
        let reach = &common.reach;
        Ok(Self {
            again: again.collect(),
            bounds: common.bounds.clone(),
            dirs: super::run::dirs(&common.dirs)?,
            grants: Grants::new(reach.allow_connect.clone(), reach.allow_listen.clone()),
            clocks: reach.clocks,
            random: reach.random,
            listeners: common
                .tcplisten
                .iter()
                .map(|address| listen(address))
                .collect::<Result<_, _>>()?,
        })
    }

    /// The flags that give the same again, but for the limit that was reached: to give that again would be to no end.
    fn again(&self, reached: Option<&Reached>) -> String {
        let reached = reached.map(|reached| reached.setting.limit);
        let limits = self.bounds.limits.iter();
        let limits = limits.filter(|setting| Some(setting.limit) != reached);
        let limits = limits.map(|setting| format!(" --limit {setting}"));
        let on_limit = self.bounds.on_limit.iter();
        let on_limit = on_limit.map(|on_limit| format!(" --on-limit {on_limit}"));
        std::iter::once(self.again.clone())
            .chain(limits)
            .chain(on_limit)
            .collect()
    }

    /// For one instance: listening sockets are shared by those that follow it.
    pub(super) fn bindings(&self) -> Result<Bindings, Failure> {
        let shared = self.listeners.iter().map(|listener| {
            let socket = listener.socket.try_clone().map_err(|error| {
                Failure::new(
                    INTERNAL,
                    format!("cannot share a listening socket: {error}"),
                )
            })?;
            let address = listener.address.clone();
            Ok(Listener { address, socket })
        });
        Ok(Bindings {
            listeners: shared.collect::<Result<_, Failure>>()?,
            grants: self.grants.clone(),
            clocks: self.clocks,
            random: self.random,
            ..bindings(self.dirs.clone())?
        })
    }
}

fn listen(address: &str) -> Result<Listener, Failure> {
    let socket = TcpListener::bind(address).map_err(|error| {
        Failure::new(
            MISSING,
            format!("--tcplisten {address}: cannot listen: {error}"),
        )
    })?;
    if let Ok(found) = socket.local_addr()
        && found.to_string() != address
    {
        say!("--tcplisten {address}: listening on {found}");
    }
    Ok(Listener {
        address: address.into(),
        socket,
    })
}

fn bindings(dirs: Vec<HostDir>) -> Result<Bindings, Failure> {
    let stdout = super::log::output().map_err(|error| {
        Failure::new(
            INTERNAL,
            format!("cannot open standard output again: {error}"),
        )
    })?;
    Ok(Bindings {
        stdout,
        dirs,
        ..Bindings::default()
    })
}

/// What the main thread wants of the guest's.
#[derive(Default)]
struct Wanted {
    /// A snapshot, and the end of this process.
    leave: AtomicBool,
    /// A snapshot.
    checkpoint: AtomicBool,
}

/// Runs the guest until it ends or has been suspended.
pub(super) fn drive(mut session: Session) -> Result<Done, Failure> {
    let handle = session.task.handle();
    let wanted = Arc::new(Wanted::default());
    let (checkpoint, theirs) = (session.checkpoint, wanted.clone());
    let over = session.task.overseer();
    // Where a limit of time is far, nobody waits for the process to end.
    let tick = match session.task.least_left() {
        Some(left) if left < Duration::from_secs(60) => TICK,
        _ => TICK * 10,
    };
    let (finished, result) = oneshot::channel();
    runtime()?.block_on(async {
        // Before the guest starts: from its first output on, a signal must suspend it.
        let mut signals = Signals::new()?;
        drop(session.making.take());
        let mut asked = None;
        let mut told = false;
        let mut due = checkpoint.map(|period| Instant::now() + period);
        let mut seen = 0;
        std::thread::Builder::new()
            .name("guest".into())
            .stack_size(crate::engine::GUEST_STACK * 2)
            .spawn(move || {
                // The receiver is gone only when a signal has ended the process.
                let _ = finished.send(run(session, &theirs));
            })
            .map_err(|e| Failure::new(INTERNAL, format!("cannot start a thread: {e}")))?;
        tokio::pin!(result);
        loop {
            tokio::select! {
                done = &mut result => {
                    return done.unwrap_or_else(|_| {
                        Err(Failure::new(INTERNAL, "the guest's thread ended without a result"))
                    });
                }
                // A guest that computes does not hear of it.
                () = tokio::time::sleep(tick) => {
                    seen += u32::from(over().is_some());
                    if let Some(reached) = over().filter(|_| seen > 2) {
                        return Err(super::bounds::failure(reached));
                    }
                }
                event = signals.next() => {
                    if let Some(done) = on_signal(event, &handle, &wanted, &mut asked) {
                        return Ok(done);
                    }
                    told = false;
                }
                () = until(due) => {
                    due = checkpoint.map(|period| Instant::now() + period);
                    wanted.checkpoint.store(true, Ordering::SeqCst);
                    handle.suspend();
                }
                () = until(asked.map(|at| at + PATIENCE)), if !told && wanted.leave.load(Ordering::SeqCst) => {
                    say!(
                        "not suspended yet: the guest computes, or writes what nobody reads; \
                         it will be at its next wait, and a second signal ends it without a snapshot"
                    );
                    told = true;
                }
            }
        }
    })
}

/// The process ends at Ctrl-C, and at a second request to suspend: then the first has not been met,
/// because the guest computes or the disk is full.
fn on_signal(
    event: Event,
    handle: &TaskHandle,
    wanted: &Wanted,
    asked: &mut Option<Instant>,
) -> Option<Done> {
    let unmet = wanted.leave.load(Ordering::SeqCst);
    match event {
        Event::Interrupt => Some(Done::Own(INTERRUPTED)),
        Event::Suspend => match asked {
            Some(first) if first.elapsed() >= SAME_REQUEST && unmet => {
                say!(
                    "ended at the second request; \
                     the guest's work since its last snapshot is lost"
                );
                Some(Done::Own(WRITE))
            }
            _ => {
                log::debug!("asked to suspend");
                *asked = Some(Instant::now());
                wanted.leave.store(true, Ordering::SeqCst);
                handle.suspend();
                None
            }
        },
    }
}

/// Completes at this time; never, where there is none.
async fn until(time: Option<Instant>) {
    match time {
        Some(time) => tokio::time::sleep_until(time.into()).await,
        None => std::future::pending().await,
    }
}

/// Completes at the signal; never, where it is not listened to.
pub(super) async fn heard(signal: Option<&mut tokio::signal::unix::Signal>) {
    match signal {
        Some(signal) => drop(signal.recv().await),
        None => std::future::pending().await,
    }
}

/// Whether SIGHUP was ignored when this process began, as far as the system tells.
pub(super) fn ignores_hangup() -> bool {
    let status = std::fs::read_to_string("/proc/self/status").unwrap_or_default();
    let mask = status.lines().find_map(|line| line.strip_prefix("SigIgn:"));
    let mask = mask.and_then(|mask| u64::from_str_radix(mask.trim(), 16).ok());
    // Signal 1 is the lowest bit.
    mask.is_some_and(|mask| mask & 1 != 0)
}

enum Event {
    Interrupt,
    Suspend,
}

struct Signals {
    interrupt: tokio::signal::unix::Signal,
    terminate: tokio::signal::unix::Signal,
    stop: tokio::signal::unix::Signal,
    /// `None` where whoever started us wants it ignored, as `nohup` does.
    hangup: Option<tokio::signal::unix::Signal>,
}

impl Signals {
    fn new() -> Result<Self, Failure> {
        let listen = |kind| {
            signal(kind).map_err(|error| {
                Failure::new(INTERNAL, format!("cannot listen to signals: {error}"))
            })
        };
        // Writing a file that gets larger than the user may have one ends the process otherwise;
        // with a handler, the write fails. The handler stays when this goes.
        drop(listen(SignalKind::from_raw(
            rustix::process::Signal::XFSZ.as_raw(),
        ))?);
        Ok(Self {
            interrupt: listen(SignalKind::interrupt())?,
            terminate: listen(SignalKind::terminate())?,
            // SIGTSTP, which tokio has no name for.
            stop: listen(SignalKind::from_raw(rustix::process::Signal::TSTP.as_raw()))?,
            // The terminal has gone: what a shell sends its programs then.
            hangup: match ignores_hangup() {
                true => None,
                false => Some(listen(SignalKind::hangup())?),
            },
        })
    }

    async fn next(&mut self) -> Event {
        tokio::select! {
            _ = self.interrupt.recv() => Event::Interrupt,
            _ = self.terminate.recv() => Event::Suspend,
            _ = self.stop.recv() => Event::Suspend,
            () = heard(self.hangup.as_mut()) => Event::Suspend,
        }
    }
}

/// The guest's thread.
fn run(mut session: Session, wanted: &Wanted) -> Result<Done, Failure> {
    runtime()?.block_on(async {
        let handle = session.task.handle();
        let mut policy = session.policy;
        loop {
            let step = tokio::time::timeout(
                if policy == session.policy {
                    Duration::MAX
                } else {
                    RETRY
                },
                scheduler::run(&mut session.task, policy),
            );
            match step.await {
                Ok(ended) => match ended? {
                    Ended::Exited(code) => {
                        // What it was refused may be why.
                        if let Some(told) = session.task.told().filter(|_| code != 0) {
                            say!("the guest ended with {code}; {told}");
                        }
                        return Ok(Done::Guest(code));
                    }
                    Ended::Suspended => {}
                },
                // Time to try the disk again.
                Err(_) => {
                    policy = session.policy;
                    continue;
                }
            }
            let checkpoint = wanted.checkpoint.swap(false, Ordering::SeqCst) && handle.is_asked();
            if checkpoint && !wanted.leave.load(Ordering::SeqCst) {
                match write(&mut session) {
                    Ok(_) => log::info!("checkpoint written to {}", session.snapshot.display()),
                    Err(error) => say!("no checkpoint: {error}; the task goes on"),
                }
                handle.clear();
                // What was asked meanwhile, by the user or by a limit.
                if wanted.leave.load(Ordering::SeqCst) || session.task.reached().is_some() {
                    handle.suspend();
                }
                continue;
            }
            if let Some(reached) = session.task.reached() {
                say!("paused: {reached}");
            }
            match suspend(&mut session) {
                Ok(()) => return Ok(Done::Own(SUSPENDED)),
                Err(error) => {
                    // Nothing is lost: the guest goes on here, and the disk is tried again later.
                    say!("not suspended: {error}; the task goes on in this process");
                    wanted.leave.store(false, Ordering::SeqCst);
                    handle.clear();
                    policy = Policy::Never;
                }
            }
        }
    })
}

/// tokio panics where it cannot have the descriptors that signals need.
fn check_descriptors() -> Result<(), Failure> {
    let spare: std::io::Result<Vec<_>> = (0..16)
        .map(|_| rustix::stdio::stdin().try_clone_to_owned())
        .collect();
    spare
        .map(drop)
        .map_err(|error| Failure::new(INTERNAL, format!("cannot open what is needed: {error}")))
}

pub(super) fn runtime() -> Result<tokio::runtime::Runtime, Failure> {
    check_descriptors()?;
    Builder::new_current_thread()
        .enable_all()
        .build()
        .map_err(|error| Failure::new(INTERNAL, format!("cannot start tokio: {error}")))
}

/// Writes the snapshot and says so.
fn suspend(session: &mut Session) -> Result<(), Error> {
    let snapshot = write(session)?;
    let (wait, wakes) = (&snapshot.meta.wait, snapshot.meta.wakes);
    let resume = format!(
        "dormouse resume{} {}",
        session.given.again(session.task.reached().as_ref()),
        quoted(&runnable(&session.snapshot)),
    );
    match text::as_json() {
        true => text::event(&serde_json::json!({
            "ended": "suspended",
            "code": SUSPENDED.number(),
            "snapshot": session.snapshot.to_string_lossy(),
            "waits_for": text::wait(wait, wakes),
            "wakes": wakes.map(text::time),
            "resume": resume,
        })),
        false => say!("{}; resume with: {resume}", sleeping(wait, wakes)),
    }
    Ok(())
}

/// Tells a program how the guest ended. How it was suspended has been told.
pub(super) fn tell_end(done: Done) {
    if let (Done::Guest(code), true) = (done, text::as_json()) {
        text::event(&serde_json::json!({ "ended": "exited", "code": code }));
    }
}

fn sleeping(wait: &Wait, wakes: Option<u64>) -> String {
    match wait {
        Wait::Yield | Wait::Host { .. } => "suspended".into(),
        wait => format!("asleep until {}", text::wait(wait, wakes)),
    }
}

/// A path that is taken for no flag and no task.
fn runnable(path: &Path) -> String {
    let path = path.display().to_string();
    match path.contains('/') {
        true => path,
        false => format!("./{path}"),
    }
}

/// For a shell, where that needs it.
fn quoted(word: &str) -> String {
    let plain = |c: char| c.is_ascii_alphanumeric() || "/._-:=+,@".contains(c);
    match !word.is_empty() && word.chars().all(plain) {
        true => word.to_string(),
        false => format!("'{}'", word.replace('\'', r"'\''")),
    }
}
