//! `poll_oneoff`: waits for the first of several subscriptions.

use std::time::Duration;

use dormouse_model::{Deadline, FdInterest, Interest, MonotonicTime, Wait};

use super::clock::clock_id;
use super::errno::Errno;
use super::memory::{Memory, Result, arg, at};
use crate::guest::Ctx;
use crate::guest::rights;
use crate::guest::table::Kind;
use crate::io::available;

/// The size of a `subscription` in bytes.
const SUBSCRIPTION_BYTES: u32 = 48;
/// The size of an `event` in bytes.
const EVENT_BYTES: u32 = 32;
/// `eventtype` of the specification.
const CLOCK: u8 = 0;
const FD_READ: u8 = 1;
const FD_WRITE: u8 = 2;
/// `subclockflags` of the specification.
const ABSTIME: u16 = 1;
/// `eventrwflags` of the specification.
const HANGUP: u16 = 1;
/// How many subscriptions one call takes, since each costs the host memory and system calls.
const MAX_SUBSCRIPTIONS: u32 = 1 << 16;

/// A subscription, decoded.
struct Subscription {
    userdata: u64,
    eventtype: u8,
    to: SubscribedTo,
}

enum SubscribedTo {
    /// A deadline; `None` on a clock that no guest can use.
    Deadline(Option<Deadline>),
    Fd(FdInterest),
}

/// An event to report.
struct Event {
    userdata: u64,
    errno: Errno,
    eventtype: u8,
    bytes: u64,
    flags: u16,
}

impl Ctx {
    /// `poll_oneoff`; gives the wait where nothing has happened yet. `again` says that this call
    /// has blocked before, so that its deadlines stand.
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
        memory.bytes(input, at(0, count, SUBSCRIPTION_BYTES)?)?;
        memory.bytes(output, at(0, count, EVENT_BYTES)?)?;
        memory.bytes(arg(a, 3), 4)?;
        let kept = self.poll.take().filter(|_| again);
        if kept.is_none() {
            self.resources.clock.begin_wait();
        }
        let subscriptions = (0..count)
            .map(|index| {
                let kept = kept.as_ref().and_then(|list| list.get(index as usize));
                self.subscription(memory, at(input, index, SUBSCRIPTION_BYTES)?, kept)
            })
            .collect::<Result<Vec<_>>>()?;

        let deadlines = subscriptions.iter().filter_map(|s| match s.to {
            SubscribedTo::Deadline(deadline) => deadline,
            SubscribedTo::Fd(_) => None,
        });
        let last = self.resources.clock.last_to_count(deadlines);
        let events = subscriptions.iter().filter_map(|s| self.event(s, last));
        let events: Vec<Event> = events.collect();
        if events.is_empty() {
            return Ok(Some(self.block(&subscriptions)));
        }
        if let Some(last) = last {
            self.resources.clock.end_wait(last);
        }
        for (index, event) in (0..).zip(&events) {
            memory.write(at(output, index, EVENT_BYTES)?, &event.encode())?;
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
        let eventtype = memory.u8(address + 8)?;
        let to = match eventtype {
            CLOCK => SubscribedTo::Deadline(match (clock_id(memory.u32(address + 16)?), kept) {
                (None, _) => None,
                (Some(_), Some(deadline)) => *deadline,
                (Some(clock), None) => {
                    let timeout = memory.u64(address + 24)?;
                    let absolute = memory.u16(address + 40)? & ABSTIME != 0;
                    Some(match absolute {
                        true => self.resources.clock.deadline(clock, timeout),
                        false => {
                            let timeout = Duration::from_nanos(timeout);
                            self.resources.clock.deadline_after(timeout)
                        }
                    })
                }
            }),
            FD_READ | FD_WRITE => SubscribedTo::Fd(FdInterest {
                fd: memory.u32(address + 16)?,
                interest: match eventtype {
                    FD_READ => Interest::Read,
                    _ => Interest::Write,
                },
            }),
            _ => return Err(Errno::Inval),
        };
        Ok(Subscription {
            userdata: memory.u64(address)?,
            eventtype,
            to,
        })
    }

    /// The event of a subscription, if it has happened. Deadlines later than `last` do not count.
    fn event(&self, subscription: &Subscription, last: Option<MonotonicTime>) -> Option<Event> {
        let event = |errno, bytes, flags| {
            Some(Event {
                userdata: subscription.userdata,
                errno,
                eventtype: subscription.eventtype,
                bytes,
                flags,
            })
        };
        match &subscription.to {
            SubscribedTo::Deadline(None) => event(Errno::Notsup, 0, 0),
            SubscribedTo::Deadline(Some(deadline))
                if !self.resources.clock.until(*deadline).is_zero()
                    || !is_counted(*deadline, last) =>
            {
                None
            }
            SubscribedTo::Deadline(Some(_)) => event(Errno::Success, 0, 0),
            SubscribedTo::Fd(wanted) => match self.fd_event(*wanted) {
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
        let bytes = match (wanted.interest, &descriptor.kind) {
            (Interest::Write, _) | (_, Kind::Dir(_)) => 0,
            (Interest::Read, Kind::Memory(open)) => open.available(),
            (Interest::Read, Kind::Stream(_)) => self.resources.streams.available(),
            // A pending connection counts as one readable byte.
            (Interest::Read, Kind::Socket(socket)) if socket.is_listening() => 1,
            (Interest::Read, Kind::Socket(socket)) => socket.fd().map_or(0, available),
            (Interest::Read, Kind::File(open)) => open.available()?,
        };
        let is = self.readiness(wanted.fd, wanted.interest);
        Ok((is.ready, bytes, if is.hangup { HANGUP } else { 0 }))
    }

    /// Keeps the deadlines for when the call is made again, and gives the wait.
    fn block(&mut self, subscriptions: &[Subscription]) -> Wait {
        let deadlines: Vec<Option<Deadline>> = subscriptions
            .iter()
            .map(|subscription| match subscription.to {
                SubscribedTo::Deadline(deadline) => deadline,
                SubscribedTo::Fd(_) => None,
            })
            .collect();
        let earliest = deadlines
            .iter()
            .flatten()
            .min_by_key(|deadline| self.resources.clock.until(**deadline))
            .copied();
        self.poll = Some(deadlines);
        Wait::Poll {
            deadline: earliest,
            fds: subscriptions
                .iter()
                .filter_map(|subscription| match subscription.to {
                    SubscribedTo::Fd(interest) => Some(interest),
                    SubscribedTo::Deadline(_) => None,
                })
                .collect(),
        }
    }
}

/// Whether a deadline that has passed counts, where later ones than `last` do not.
fn is_counted(deadline: Deadline, last: Option<MonotonicTime>) -> bool {
    match (deadline, last) {
        (_, None) => true,
        (Deadline::Monotonic(at), Some(last)) => at <= last,
        // Virtual time, where alone something does not count, makes no such deadlines.
        (Deadline::Realtime(_), Some(_)) => false,
    }
}

impl Event {
    fn encode(&self) -> [u8; EVENT_BYTES as usize] {
        let mut bytes = [0; EVENT_BYTES as usize];
        bytes[..8].copy_from_slice(&self.userdata.to_le_bytes());
        bytes[8..10].copy_from_slice(&self.errno.raw().to_le_bytes());
        bytes[10] = self.eventtype;
        bytes[16..24].copy_from_slice(&self.bytes.to_le_bytes());
        bytes[24..26].copy_from_slice(&self.flags.to_le_bytes());
        bytes
    }
}
