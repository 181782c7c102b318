//! The waits of calls that have blocked: when they are over, and which of the host's descriptors
//! tell.

use std::os::fd::BorrowedFd;
use std::time::Duration;

use dormouse_model::{Deadline, Ends, FdInterest, Interest, Timestamp, Wait};
use rustix::event::{PollFd, Timespec, poll};

use super::ctx::Ctx;
use super::table::Kind;
use crate::clocks;
use crate::io::{Readiness, poll_flags};
use crate::sock::{Asleep, Watch};

/// A host descriptor that a wait depends on.
#[derive(Debug)]
pub struct Source<'a> {
    /// The descriptor.
    pub fd: BorrowedFd<'a>,
    /// What it should become ready for.
    pub interest: Interest,
}

/// A wait without a deadline for one of the guest's descriptors.
pub(crate) fn for_fd(fd: u32, interest: Interest) -> Wait {
    Wait::Poll {
        deadline: None,
        fds: vec![FdInterest { fd, interest }],
    }
}

/// The wait for a reader of a named pipe. It has neither a deadline nor a descriptor, since nothing
/// tells that a reader has come.
pub(crate) fn for_fifo_reader() -> Wait {
    Wait::Poll {
        deadline: None,
        fds: Vec::new(),
    }
}

fn is_for_fifo_reader(wait: &Wait) -> bool {
    matches!(wait, Wait::Poll { deadline: None, fds } if fds.is_empty())
}

/// The longest time that [`Ctx::wait_briefly`] waits without looking at the clocks, since the wall
/// clock can be set.
const MAX_BRIEF_WAIT: Duration = Duration::from_secs(1);

impl Ctx {
    /// The host's descriptor that tells whether one of the guest's is ready. There is none for a
    /// kind of descriptor that never waits.
    pub(crate) fn waitable(&self, fd: u32) -> Option<BorrowedFd<'_>> {
        match &self.table.get(fd).ok()?.kind {
            Kind::Stream(stream) => self.resources.streams.fd(*stream),
            Kind::File(open) => open.waitable(),
            Kind::Dir(_) | Kind::Memory(_) => None,
            Kind::Socket(socket) => socket.fd(),
        }
    }

    /// Whether one of the guest's descriptors is ready.
    pub(crate) fn readiness(&self, fd: u32, interest: Interest) -> Readiness {
        Readiness::of(self.waitable(fd), interest)
    }

    /// Whether the wait is over, as far as is known without waiting.
    pub fn is_ready(&self, wait: &Wait) -> bool {
        match wait {
            Wait::Yield => true,
            Wait::Host { .. } => false,
            // After a resume nothing is known of the pipe: then the call itself has to look.
            wait if is_for_fifo_reader(wait) => self
                .opening
                .as_ref()
                .is_none_or(|opening| opening.is_over()),
            Wait::Poll { .. } => {
                let is_ready =
                    |wanted: &FdInterest| self.readiness(wanted.fd, wanted.interest).ready;
                self.remaining(wait).is_some_and(|left| left.is_zero())
                    || interests(wait).iter().any(is_ready)
            }
        }
    }

    /// The host's descriptors that end the wait.
    pub fn sources(&self, wait: &Wait) -> Vec<Source<'_>> {
        interests(wait)
            .iter()
            .filter_map(|wanted| {
                Some(Source {
                    fd: self.waitable(wanted.fd)?,
                    interest: wanted.interest,
                })
            })
            .collect()
    }

    /// The time until the wait's first deadline: zero once it has passed, `None` where there is
    /// none.
    pub fn remaining(&self, wait: &Wait) -> Option<Duration> {
        let left = self
            .deadlines(wait)
            .map(|deadline| self.resources.clock.until(deadline));
        left.min()
    }

    /// The time that the wait is going to last, as far as that is known: until its first deadline,
    /// unless it is a wait for the peer of an exchange or of a request, whose deadline is only a
    /// timeout.
    pub fn known_length(&self, wait: &Wait) -> Option<Duration> {
        let (http, server) = (&self.component.http, &self.component.server);
        let uses = |fd: u32| http.uses(fd) || server.uses(fd);
        let is_timeout = interests(wait).iter().any(|wanted| uses(wanted.fd));
        self.remaining(wait).filter(|_| !is_timeout)
    }

    /// The time by the wall clock at which the wait ends by its first deadline.
    pub fn wakes_at(&self, wait: &Wait) -> Option<Timestamp> {
        let times = self
            .deadlines(wait)
            .map(|deadline| self.resources.clock.on_wall(deadline));
        times.min()
    }

    /// When the wait ends by its deadlines, by each of the two clocks.
    pub fn ends(&self, wait: &Wait) -> Ends {
        clocks::ends(&self.resources.clock, self.deadlines(wait))
    }

    /// The time after which [`is_ready`](Self::is_ready) should be asked again, for a wait of which
    /// nothing tells that it is over.
    pub fn recheck_interval(&self, wait: &Wait) -> Option<Duration> {
        let opening = self.opening.as_ref();
        let opening = opening.filter(|_| is_for_fifo_reader(wait));
        opening.map(|opening| opening.interval())
    }

    /// Blocks the calling thread until the wait may be over, for a second at most. It is meant for
    /// a guest that cannot be suspended.
    pub fn wait_briefly(&self, wait: &Wait) {
        let sources = self.sources(wait);
        let mut fds: Vec<PollFd<'_>> = sources
            .iter()
            .map(|source| PollFd::new(&source.fd, poll_flags(source.interest)))
            .collect();
        let left = self
            .remaining(wait)
            .unwrap_or(MAX_BRIEF_WAIT)
            .min(MAX_BRIEF_WAIT);
        let left = self
            .recheck_interval(wait)
            .map_or(left, |interval| left.min(interval));
        let timeout = Timespec {
            tv_sec: left.as_secs() as i64,
            tv_nsec: left.subsec_nanos().into(),
        };
        // An error tells nothing: the caller looks at the wait again in any case.
        let _ = poll(&mut fds, Some(&timeout));
    }

    /// The sockets that the wait is for, if it is for sockets only, another process can watch them,
    /// and the guest loses nothing when it is put to sleep: a session of TLS would be lost.
    pub fn watches(&self, wait: &Wait) -> Option<Vec<Watch>> {
        match self.component.http.has_session() {
            true => None,
            false => self.watched_sockets(wait),
        }
    }

    /// The sockets that the wait is for, if it is for sockets only.
    fn watched_sockets(&self, wait: &Wait) -> Option<Vec<Watch>> {
        let watch = |wanted: &FdInterest| {
            let Kind::Socket(socket) = &self.table.get(wanted.fd).ok()?.kind else {
                return None;
            };
            Some(Watch {
                what: socket.watched()?,
                interest: wanted.interest,
            })
        };
        let watches: Option<Vec<Watch>> = interests(wait).iter().map(watch).collect();
        watches.filter(|watches| !watches.is_empty())
    }

    /// The sockets under the keys that the last [`save`](Ctx::save) gave them, and those among them
    /// that end the wait.
    pub fn asleep(&self, wait: &Wait) -> Asleep {
        let sockets = self.table.iter().filter_map(|(_, open)| match &open.kind {
            Kind::Socket(socket) => socket.hold(),
            _ => None,
        });
        Asleep {
            sockets: sockets.collect(),
            watches: self.watched_sockets(wait).unwrap_or_default(),
        }
    }

    fn deadlines(&self, wait: &Wait) -> impl Iterator<Item = Deadline> + Clone {
        clocks::deadlines(wait, self.poll.as_deref())
    }
}

fn interests(wait: &Wait) -> &[FdInterest] {
    match wait {
        Wait::Poll { fds, .. } => fds,
        Wait::Yield | Wait::Host { .. } => &[],
    }
}
