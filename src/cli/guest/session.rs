//! Drives one guest in this process: waits, signals, and the snapshot at the end.
//!
//! The guest runs on a thread of its own, so that a signal is heard while it computes.
//!
//! ```text
//!   running --wait passes the policy, SIGTERM, SIGHUP, Ctrl-Z--> snapshot written --> exit 75
//!      ^                                                        | cannot be written
//!      `------------- continues in this process <-----------------'
//! ```

use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use tokio::sync::oneshot;

use super::grants::{GuestGrants, quoted};
use crate::cli::exit::{Done, Failure, INTERNAL, INTERRUPTED, SUSPENDED, WRITE};
use crate::cli::output::{self, format, say};
use crate::cli::process::runtime;
use crate::cli::signals::guest::{Request, Signals};
use crate::cli::signals::preparation::Preparation;
use crate::cli::snapshot_file::Destination;
use crate::error::Error;
use crate::model::{Timestamp, Wait};
use crate::task::{Ended, Policy};
use crate::task::{Task, TaskHandle};

/// Signals that come within this time are one request: `timeout` and shells send them to the
/// process and to its group.
const SAME_REQUEST: Duration = Duration::from_secs(1);

/// After this time the user is told that a request to suspend has not been met yet.
const UNMET_REQUEST: Duration = Duration::from_secs(5);

/// How often the main thread looks whether a guest that computes has reached a limit.
const LIMIT_CHECK: Duration = Duration::from_millis(100);

/// The same where no limit of time is near.
const RARE_LIMIT_CHECK: Duration = Duration::from_secs(1);

/// A limit of time that is nearer than this is near.
const NEAR_LIMIT: Duration = Duration::from_secs(60);

/// A guest that is beyond a limit at more checks than these is ended from outside.
const CHECKS_BEYOND_LIMIT: u32 = 2;

/// After a snapshot could not be written, the policy suspends nothing for this long.
const RETRY: Duration = Duration::from_secs(60);

/// A guest and what to do with it.
pub(crate) struct Session {
    pub(crate) task: Task,
    pub(crate) policy: Policy,
    /// How often to write a snapshot and go on.
    pub(crate) checkpoint: Option<Duration>,
    pub(crate) destination: Destination,
    pub(crate) grants: GuestGrants,
    /// What has listened to signals until now.
    pub(crate) preparation: Option<Preparation>,
}

/// What the main thread asks of the guest's thread.
#[derive(Default)]
struct Requests {
    /// A snapshot, and the end of this process.
    leave: AtomicBool,
    /// A snapshot.
    checkpoint: AtomicBool,
}

/// Runs the guest until it ends or has been suspended.
pub(crate) fn drive(mut session: Session) -> Result<Done, Failure> {
    let handle = session.task.handle();
    let requests = Arc::new(Requests::default());
    let (checkpoint, theirs) = (session.checkpoint, requests.clone());
    let over = session.task.termination_probe();
    // Where a limit of time is far, a second more or less does not matter.
    let check = match session.task.least_left() {
        Some(left) if left < NEAR_LIMIT => LIMIT_CHECK,
        _ => RARE_LIMIT_CHECK,
    };
    let (finished, result) = oneshot::channel();
    runtime()?.block_on(async {
        // Before the guest starts: from its first output on, a signal must suspend it.
        let mut signals = Signals::listen()?;
        drop(session.preparation.take());
        let mut asked = None;
        let mut told = false;
        let mut due = checkpoint.map(|period| Instant::now() + period);
        let mut seen = 0;
        std::thread::Builder::new()
            .name("guest".into())
            .stack_size(crate::engine::GUEST_STACK * 2)
            .spawn(move || {
                // Fails only if the main thread no longer waits: it returned at a signal or a
                // limit.
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
                // While the guest computes, its own thread does not look at limits.
                () = tokio::time::sleep(check) => {
                    seen += u32::from(over().is_some());
                    if let Some(reached) = over().filter(|_| seen > CHECKS_BEYOND_LIMIT) {
                        return Err(reached.into());
                    }
                }
                request = signals.next() => {
                    if let Some(done) = on_signal(request, &handle, &requests, &mut asked) {
                        return Ok(done);
                    }
                    told = false;
                }
                () = until(due) => {
                    due = checkpoint.map(|period| Instant::now() + period);
                    requests.checkpoint.store(true, Ordering::SeqCst);
                    handle.suspend();
                }
                () = until(asked.map(|at| at + UNMET_REQUEST)), if !told && requests.leave.load(Ordering::SeqCst) => {
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
    request: Request,
    handle: &TaskHandle,
    requests: &Requests,
    asked: &mut Option<Instant>,
) -> Option<Done> {
    let unmet = requests.leave.load(Ordering::SeqCst);
    match request {
        Request::Interrupt => Some(Done::Own(INTERRUPTED)),
        Request::Suspend => match asked {
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
                requests.leave.store(true, Ordering::SeqCst);
                handle.suspend();
                None
            }
        },
    }
}

/// Completes at a time; never, where there is none.
async fn until(time: Option<Instant>) {
    match time {
        Some(time) => tokio::time::sleep_until(time.into()).await,
        None => std::future::pending().await,
    }
}

/// The guest's thread.
fn run(mut session: Session, requests: &Requests) -> Result<Done, Failure> {
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
                session.task.run(policy),
            );
            match step.await {
                Ok(ended) => match ended? {
                    Ended::Exited(code) => {
                        // A refusal at a limit may be the reason.
                        if let Some(refused) =
                            session.task.last_refused_limit().filter(|_| code != 0)
                        {
                            say!("the guest ended with {code}; {refused}");
                        }
                        return Ok(Done::Guest(code));
                    }
                    Ended::Suspended(_) => {}
                },
                // Time to try the disk again.
                Err(_) => {
                    policy = session.policy;
                    continue;
                }
            }
            let checkpoint = requests.checkpoint.swap(false, Ordering::SeqCst) && handle.is_asked();
            if checkpoint && !requests.leave.load(Ordering::SeqCst) {
                match session.destination.write(&mut session.task) {
                    Ok(_) => log::info!(
                        "checkpoint written to {}",
                        session.destination.path.display()
                    ),
                    Err(error) => say!("no checkpoint: {error}; the task goes on"),
                }
                handle.clear();
                // A signal or a limit may have asked for a suspend meanwhile.
                if requests.leave.load(Ordering::SeqCst) || session.task.reached().is_some() {
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
                    // Nothing is lost: the guest continues here, and the disk is tried again later.
                    say!("not suspended: {error}; the task goes on in this process");
                    requests.leave.store(false, Ordering::SeqCst);
                    handle.clear();
                    policy = Policy::Never;
                }
            }
        }
    })
}

/// Writes the snapshot and says so.
fn suspend(session: &mut Session) -> Result<(), Error> {
    let snapshot = session.destination.write(&mut session.task)?;
    let (wait, wakes) = (&snapshot.meta.wait, snapshot.meta.wakes);
    let resume = format!(
        "dormouse resume{} {}",
        session.grants.flags(session.task.reached().as_ref()),
        quoted(&resume_argument(&session.destination.path)),
    );
    match output::as_json() {
        true => output::event(&serde_json::json!({
            "ended": "suspended",
            "code": SUSPENDED.number(),
            "snapshot": session.destination.path.to_string_lossy(),
            "waits_for": format::wait(wait, wakes),
            "wakes": wakes.map(format::time),
            "resume": resume,
        })),
        false => say!("{}; resume with: {resume}", sleeping(wait, wakes)),
    }
    Ok(())
}

/// Tells a program (`--json`) how the guest ended. A suspend has been told where it happened.
pub(crate) fn tell_end(done: Done) {
    if let (Done::Guest(code), true) = (done, output::as_json()) {
        output::event(&serde_json::json!({ "ended": "exited", "code": code }));
    }
}

fn sleeping(wait: &Wait, wakes: Option<Timestamp>) -> String {
    match wait {
        Wait::Yield | Wait::Host { .. } => "suspended".into(),
        wait => format!("asleep until {}", format::wait(wait, wakes)),
    }
}

/// The path as an argument of `dormouse resume`: with a `/` in it, so that it is taken neither for
/// a flag nor for a task.
fn resume_argument(path: &Path) -> String {
    let path = path.display().to_string();
    match path.contains('/') {
        true => path,
        false => format!("./{path}"),
    }
}
