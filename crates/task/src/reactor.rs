//! A [`Wait`] as tokio futures.

use std::future::poll_fn;
use std::os::fd::{AsRawFd, OwnedFd};
use std::sync::Arc;
use std::time::Duration;

use tokio::io::unix::AsyncFd;

use super::error::TaskError;
use super::task::Task;
use crate::model::error::Error;
use crate::model::{Interest, Wait};

/// tokio's timers count milliseconds, so that a shorter sleep would last too long.
const TIMER_GRAIN: Duration = Duration::from_millis(1);

/// How long a timer runs at most. Timers do not count while the machine sleeps, so that a longer
/// wait looks at the clock again.
const LONGEST_NAP: Duration = Duration::from_secs(10);

/// How long a timer runs at most where a time of the wall clock is waited for: that clock can be
/// set.
const WALL_CLOCK_NAP: Duration = Duration::from_secs(1);

/// Completes when the task's wait is over. Harmless to drop and to call again.
pub async fn ready(task: &mut Task) -> Result<(), Error> {
    match task.wait() {
        None => Ok(()),
        Some(Wait::Yield) => {
            tokio::task::yield_now().await;
            Ok(())
        }
        Some(Wait::Host { function }) => host_function(task, function).await,
        Some(Wait::Poll { .. }) => {
            poll(task).await;
            Ok(())
        }
    }
}

async fn host_function(task: &mut Task, function: String) -> Result<(), Error> {
    let (_, future) = task
        .start_function()
        .ok_or_else(|| TaskError::HostFunction {
            function: function.clone(),
            message: "this host does not offer it".into(),
        })?;
    let reply = future
        .await
        .map_err(|message| TaskError::HostFunction { function, message })?;
    task.finish_function(reply);
    Ok(())
}

// The task is borrowed mutably, though nothing is changed: the future is `Send` only then.
async fn poll(task: &mut Task) {
    // A source that tokio cannot watch is left out: `is_ready` below looks at it after each nap.
    let sources: Vec<Watched<OwnedFd>> = task
        .sources()
        .unwrap_or_default()
        .into_iter()
        .filter_map(|(fd, interest)| watch(fd, interest))
        .collect();
    while !task.is_ready() {
        let longest = match task.ends().at {
            Some(_) => WALL_CLOCK_NAP,
            None => LONGEST_NAP,
        };
        let left = task.remaining().unwrap_or(longest).min(longest);
        let left = task.look_again().map_or(left, |look| left.min(look));
        if left < TIMER_GRAIN {
            std::thread::sleep(left);
            continue;
        }
        tokio::select! {
            () = tokio::time::sleep(left) => {}
            () = any_ready(&sources) => {}
        }
    }
}

/// How long a guest that waits for sockets keeps its thread, if no other guest wants that. A peer
/// that has just connected is about to send, and one that was answered may send more. Where it
/// does, neither the daemon's driver nor a second thread has to be woken.
const LINGER_TIME: Duration = Duration::from_millis(2);

/// How often a thread that lingers looks whether another guest wants it.
const LINGER_GRAIN: rustix::event::Timespec = rustix::event::Timespec {
    tv_sec: 0,
    tv_nsec: 250_000,
};

/// Waits a little, on this thread, for the sockets that a guest waits for, as long as no job waits
/// for a thread (`waiting` counts those). Says whether the guest's wait is over.
pub fn linger(task: &Task, waiting: &std::sync::atomic::AtomicUsize) -> bool {
    use rustix::event::{PollFd, PollFlags, poll};
    let (since, handle) = (std::time::Instant::now(), task.handle());
    let sources = match task.is_watchable() {
        true => task.sources().unwrap_or_default(),
        false => return false,
    };
    let polled = sources.iter().map(|(fd, interest)| {
        let flags = match interest {
            Interest::Read => PollFlags::IN,
            Interest::Write => PollFlags::OUT,
        };
        PollFd::new(fd, flags)
    });
    let mut polled: Vec<_> = polled.collect();
    let wanted = || waiting.load(std::sync::atomic::Ordering::Relaxed) > 0;
    while since.elapsed() < LINGER_TIME && !wanted() && !handle.is_asked() {
        match poll(&mut polled, Some(&LINGER_GRAIN)) {
            // Nothing happened yet. The guest may wait for a time as well, which `is_ready` sees.
            Ok(0) | Err(rustix::io::Errno::INTR) if !task.is_ready() => {}
            _ => return task.is_ready(),
        }
    }
    false
}

/// A descriptor that tokio watches.
pub type Watched<T> = (AsyncFd<T>, Interest);

/// A type that owns a descriptor, alone or with others: nothing else closes it.
pub trait Owns: AsRawFd {}

impl Owns for OwnedFd {}
impl Owns for Arc<OwnedFd> {}

/// A descriptor that tokio watches, if it can.
pub fn watch<T: Owns>(fd: T, interest: Interest) -> Option<Watched<T>> {
    let tokio_interest = match interest {
        Interest::Read => tokio::io::Interest::READABLE,
        Interest::Write => tokio::io::Interest::WRITABLE,
    };
    #[expect(unsafe_code, reason = "tokio asks for it")]
    // SAFETY: the `AsyncFd` owns the descriptor, so that nothing closes or replaces it meanwhile.
    let watched = unsafe { AsyncFd::register_with_interest(fd, tokio_interest) };
    Some((watched.ok()?, interest))
}

/// Completes when any of the sources is ready.
pub async fn any_ready<T: Owns>(sources: &[Watched<T>]) {
    poll_fn(|context| {
        for (fd, interest) in sources {
            let ready = match interest {
                Interest::Read => fd.poll_read_ready(context),
                Interest::Write => fd.poll_write_ready(context),
            };
            if let std::task::Poll::Ready(guard) = ready {
                // The guest's own call asks the system again, so that tokio may forget it.
                if let Ok(mut guard) = guard {
                    guard.clear_ready();
                }
                return std::task::Poll::Ready(());
            }
        }
        std::task::Poll::Pending
    })
    .await;
}
