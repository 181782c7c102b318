//! `poll_oneoff`: several subscriptions, the first of which ends the wait.

use std::time::Duration;

use rustix::event::{PollFd, PollFlags, Timespec, poll};
use rustix::fs as os;

use super::abi::{Memory, Result, arg, at};
use super::clock::clock_id;
use super::ctx::Ctx;
use super::errno::Errno;
use super::fd::Kind;
use super::rights;
use super::streams::{available, readiness};
use crate::model::{ClockId, Deadline, FdInterest, Interest, Wait};

/// Bytes of a `subscription` and of an `event`.
const SUBSCRIPTION: u32 = 48;
const EVENT: u32 = 32;
const CLOCK: u8 = 0;
const FD_READ: u8 = 1;
const FD_WRITE: u8 = 2;
const ABSOLUTE: u16 = 1;
const HANGUP: u16 = 1;
/// How many subscriptions one call takes: each costs the host memory and system calls.
const MAX_SUBSCRIPTIONS: u32 = 1 << 16;
/// A wall clock can be set, so that a long wait looks at it again.
const LONGEST_NAP: Duration = Duration::from_secs(1);

/// A subscription, decoded.
struct Subscription {
    userdata: u64,
    tag: u8,
    what: What,
}

enum What {
    Clock(Option<Deadline>),
    Fd(FdInterest),
}

/// An event to report.
struct Event {
    userdata: u64,
    errno: Errno,
    tag: u8,
    bytes: u64,
    flags: u16,
}

impl Ctx {
    /// Gives the wait where nothing has happened yet. `again` says that this call has blocked
    /// before: its deadlines stand.
    pub(super) fn poll_oneoff(
        &mut self,
        a: &[u64],
        memory: &mut Memory<'_>,
        again: bool,
    ) -> Result<Option<Wait>> {
        let (input, output, count) = (arg(a, 0), arg(a, 1), arg(a, 2));
        if count == 0 || count > MAX_SUBSCRIPTIONS {
            return Err(Errno::Inval);
        }
        memory.bytes(input, at(0, count, SUBSCRIPTION)?)?;
        memory.bytes(output, at(0, count, EVENT)?)?;
        memory.bytes(arg(a, 3), 4)?;
        let kept = self.poll.take().filter(|_| again);
        if kept.is_none() {
            self.clock.begins_to_wait();
        }
        let subscriptions = (0..count)
            .map(|index| {
                let kept = kept.as_ref().and_then(|list| list.get(index as usize));
                self.subscription(memory, at(input, index, SUBSCRIPTION)?, kept)
            })
            .collect::<Result<Vec<_>>>()?;

        let deadlines = subscriptions.iter().filter_map(|s| match s.what {
            What::Clock(deadline) => deadline,
            What::Fd(_) => None,
        });
        let first = self.clock.first(deadlines);
        let events = subscriptions.iter().filter_map(|s| self.event(s, first));
        let events: Vec<Event> = events.collect();
        if events.is_empty() {
            return Ok(Some(self.block(&subscriptions)));
        }
        self.clock.passed(Deadline {
            clock: ClockId::Monotonic,
            at: first,
        });
        for (index, event) in (0..).zip(&events) {
            memory.write(at(output, index, EVENT)?, &event.encode())?;
        }
        memory.write_u32(arg(a, 3), events.len() as u32)?;
        Ok(None)
    }

    fn subscription(
        &self,
        memory: &Memory<'_>,
        address: u32,
        kept: Option<&Option<Deadline>>,
    ) -> Result<Subscription> {
        // The whole array lies in memory, so that these sums stay below 4 GiB.
        let tag = memory.u8(address + 8)?;
        let what = match tag {
            CLOCK => What::Clock(match (clock_id(memory.u32(address + 16)?), kept) {
                (None, _) => None,
                (Some(_), Some(deadline)) => *deadline,
                (Some(clock), None) => {
                    let timeout = memory.u64(address + 24)?;
                    let absolute = memory.u16(address + 40)? & ABSOLUTE != 0;
                    Some(match absolute {
                        true => self.clock.deadline(clock, timeout),
                        false => self.clock.after(timeout),
                    })
                }
            }),
            FD_READ | FD_WRITE => What::Fd(FdInterest {
                fd: memory.u32(address + 16)?,
                interest: match tag {
                    FD_READ => Interest::Read,
                    _ => Interest::Write,
                },
            }),
            _ => return Err(Errno::Inval),
        };
        Ok(Subscription {
            userdata: memory.u64(address)?,
            tag,
            what,
        })
    }

    /// What has happened to a subscription, if anything has. No deadline counts after the first.
    fn event(&self, subscription: &Subscription, first: u64) -> Option<Event> {
        let event = |errno, bytes, flags| {
            Some(Event {
                userdata: subscription.userdata,
                errno,
                tag: subscription.tag,
                bytes,
                flags,
            })
        };
        match &subscription.what {
            // A clock that no guest can use.
            What::Clock(None) => event(Errno::Notsup, 0, 0),
            What::Clock(Some(deadline))
                if self.clock.until(*deadline) > 0 || deadline.at > first =>
            {
                None
            }
            What::Clock(Some(_)) => event(Errno::Success, 0, 0),
            What::Fd(wanted) => match self.fd_event(*wanted) {
                Ok((false, ..)) => None,
                Ok((true, bytes, flags)) => event(Errno::Success, bytes, flags),
                Err(errno) => event(errno, 0, 0),
            },
        }
    }

    /// Whether a descriptor is ready, how many bytes can be read, and the event's flags.
    fn fd_event(&self, wanted: FdInterest) -> Result<(bool, u64, u16)> {
        let right = match wanted.interest {
            Interest::Read => rights::FD_READ,
            Interest::Write => rights::FD_WRITE,
        };
        self.table.with(wanted.fd, right)?;
        let descriptor = self.table.with(wanted.fd, rights::POLL_FD_READWRITE)?;
        let fd = self.waitable(wanted.fd);
        let bytes = match (wanted.interest, &descriptor.kind) {
            (Interest::Write, _) | (_, Kind::Dir(_)) => 0,
            (Interest::Read, Kind::Memory(open)) => open.available(),
            (Interest::Read, Kind::Stream(_)) => self.streams.available(),
            // Whoever has come is one.
            (Interest::Read, Kind::Socket(socket)) if socket.is_listening() => 1,
            (Interest::Read, Kind::Socket(_)) => fd.map_or(0, available),
            (Interest::Read, Kind::File(_)) if fd.is_some() => fd.map_or(0, available),
            (Interest::Read, Kind::File(open)) => {
                let size = u64::try_from(os::fstat(&open.file)?.st_size).unwrap_or(0);
                size.saturating_sub(os::tell(&open.file).unwrap_or(size))
            }
        };
        let (ready, hangup) = readiness(fd, wanted.interest);
        Ok((ready, bytes, if hangup { HANGUP } else { 0 }))
    }

    /// Keeps the deadlines and says what to wait for.
    fn block(&mut self, subscriptions: &[Subscription]) -> Wait {
        let deadlines: Vec<Option<Deadline>> = subscriptions
            .iter()
            .map(|subscription| match subscription.what {
                What::Clock(deadline) => deadline,
                What::Fd(_) => None,
            })
            .collect();
        let earliest = deadlines
            .iter()
            .flatten()
            .min_by_key(|deadline| self.clock.until(**deadline))
            .copied();
        self.poll = Some(deadlines);
        Wait::Poll {
            deadline: earliest,
            fds: subscriptions
                .iter()
                .filter_map(|subscription| match subscription.what {
                    What::Fd(interest) => Some(interest),
                    What::Clock(_) => None,
                })
                .collect(),
        }
    }
}

impl Ctx {
    /// Waits in place until a wait may be over, a few seconds at most: for a guest that cannot be
    /// suspended.
    pub fn nap(&self, wait: &Wait) {
        let sources = self.sources(wait);
        let mut fds: Vec<PollFd<'_>> = sources
            .iter()
            .map(|source| {
                let flags = match source.interest {
                    Interest::Read => PollFlags::IN,
                    Interest::Write => PollFlags::OUT,
                };
                PollFd::new(&source.fd, flags)
            })
            .collect();
        let left = self.remaining(wait).unwrap_or(LONGEST_NAP).min(LONGEST_NAP);
        let left = self.look_again(wait).map_or(left, |look| left.min(look));
        let timeout = Timespec {
            tv_sec: left.as_secs() as i64,
            tv_nsec: left.subsec_nanos().into(),
        };
        // An error is no news: the caller looks at what it waits for.
        let _ = poll(&mut fds, Some(&timeout));
    }
}

impl Event {
    fn encode(&self) -> [u8; EVENT as usize] {
        let mut bytes = [0; EVENT as usize];
        bytes[..8].copy_from_slice(&self.userdata.to_le_bytes());
        bytes[8..10].copy_from_slice(&self.errno.raw().to_le_bytes());
        bytes[10] = self.tag;
        bytes[16..24].copy_from_slice(&self.bytes.to_le_bytes());
        bytes[24..26].copy_from_slice(&self.flags.to_le_bytes());
        bytes
    }
}
