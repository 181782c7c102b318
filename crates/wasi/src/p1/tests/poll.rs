//! `poll_oneoff` against a clock that moves when told to.

use std::io::Write;
use std::os::fd::OwnedFd;

use super::*;
use std::time::Duration;

use dormouse_model::{Deadline, FdInterest, Interest, Timestamp};

const REALTIME: u32 = 0;
const MONOTONIC: u32 = 1;
const ABSOLUTE: u16 = 1;
const EVENTS: u32 = 40_000;

enum Subscription {
    Clock(u32, u64, u16),
    Read(u32),
    Write(u32),
}
use Subscription::{Clock, Read, Write as ToWrite};

/// Userdata, errno, type, bytes, flags.
type Event = (u64, u16, u8, u64, u16);

impl Guest {
    fn subscribe(&mut self, subscriptions: &[Subscription]) -> [u64; 4] {
        for (index, subscription) in (0u32..).zip(subscriptions) {
            let mut bytes = [0; 48];
            bytes[..8].copy_from_slice(&u64::from(100 + index).to_le_bytes());
            match subscription {
                Clock(id, timeout, flags) => {
                    bytes[16..20].copy_from_slice(&id.to_le_bytes());
                    bytes[24..32].copy_from_slice(&timeout.to_le_bytes());
                    bytes[40..42].copy_from_slice(&flags.to_le_bytes());
                }
                Read(fd) => {
                    bytes[8] = 1;
                    bytes[16..20].copy_from_slice(&fd.to_le_bytes());
                }
                ToWrite(fd) => {
                    bytes[8] = 2;
                    bytes[16..20].copy_from_slice(&fd.to_le_bytes());
                }
            }
            self.put(DATA + index * 48, &bytes);
        }
        let count = subscriptions.len() as u64;
        [u64::from(DATA), u64::from(EVENTS), count, u64::from(RESULT)]
    }

    fn poll(&mut self, subscriptions: &[Subscription], woken: Option<&Wait>) -> Outcome {
        let arguments = self.subscribe(subscriptions);
        self.again(Function::PollOneoff, &arguments, woken)
    }

    fn blocks(&mut self, subscriptions: &[Subscription], woken: Option<&Wait>) -> Wait {
        match self.poll(subscriptions, woken) {
            Outcome::Block(wait) => wait,
            other => panic!("the poll gave {other:?}"),
        }
    }

    fn events(&mut self, subscriptions: &[Subscription], woken: Option<&Wait>) -> Vec<Event> {
        let outcome = self.poll(subscriptions, woken);
        assert_eq!(outcome, Outcome::Done(Errno::Success));
        let u16_at = |at: u32| u16::from_le_bytes(self.bytes(at, 2).try_into().unwrap());
        (0..self.u32_at(RESULT))
            .map(|index| {
                let at = EVENTS + index * 32;
                (
                    self.u64_at(at),
                    u16_at(at + 8),
                    self.bytes(at + 10, 1)[0],
                    self.u64_at(at + 16),
                    u16_at(at + 24),
                )
            })
            .collect()
    }

    fn left(&self, wait: &Wait) -> u64 {
        let left = self.ctx.remaining(wait).expect("a deadline");
        left.as_nanos() as u64
    }
}

#[test]
fn nothing_to_wait_for_is_an_error() {
    let mut guest = Guest::new();
    assert_eq!(guest.poll(&[], None), Outcome::Done(Errno::Inval));
}

#[test]
fn a_relative_timer_does_not_start_again() {
    let mut guest = Guest::new();
    let timer = [Clock(MONOTONIC, 1000, 0)];
    let wait = guest.blocks(&timer, None);
    assert_eq!(guest.left(&wait), 1000);
    let wakes = guest.ctx.wakes_at(&wait);
    assert_eq!(
        wakes,
        Some(Timestamp::from_nanos(1_700_000_000_000_001_000))
    );
    guest.clock.advance(Duration::from_nanos(400));
    assert!(!guest.ctx.is_ready(&wait));
    let wait = guest.blocks(&timer, Some(&wait));
    assert_eq!(guest.left(&wait), 600);
    guest.clock.advance(Duration::from_nanos(600));
    assert!(guest.ctx.is_ready(&wait));
    assert_eq!(guest.events(&timer, Some(&wait)), [(100, 0, 0, 0, 0)]);
    // Another poll of the same form is another wait.
    let wait = guest.blocks(&timer, None);
    assert_eq!(guest.left(&wait), 1000);
}

/// The deadline that was the first when the wait began was the only one that was looked at.
#[test]
fn the_first_deadline_is_another_when_the_wall_clock_is_set() {
    let mut guest = Guest::new();
    let noon = 1_700_000_000_000_000_000;
    let timers = [
        Clock(REALTIME, noon + 1000, ABSOLUTE),
        Clock(MONOTONIC, 2000, 0),
    ];
    let wait = guest.blocks(&timers, None);
    assert_eq!(guest.left(&wait), 1000);
    let ends = guest.ctx.ends(&wait);
    let wall = Timestamp::from_nanos(noon + 1000);
    assert_eq!(
        (ends.after, ends.at),
        (Some(Duration::from_nanos(2000)), Some(wall))
    );
    guest.clock.set_realtime(Timestamp::from_nanos(noon - 5000));
    assert_eq!(guest.left(&wait), 2000);
    let state = guest.state().unwrap();
    guest.go_on(state, RestoreOptions::default()).unwrap();
    assert_eq!(
        guest.left(&wait),
        2000,
        "it sleeps as long as it would have"
    );
    guest.clock.advance(Duration::from_nanos(2000));
    assert!(guest.ctx.is_ready(&wait));
    assert_eq!(guest.events(&timers, Some(&wait)), [(101, 0, 0, 0, 0)]);
}

#[test]
fn several_timers_keep_their_deadlines_over_a_suspend() {
    let mut guest = Guest::new();
    let (reader, mut writer) = std::io::pipe().unwrap();
    guest.ctx.resources.streams.stdin = Input::File(OwnedFd::from(reader).into());
    let timers = [Clock(MONOTONIC, 9000, 0), Read(0), Clock(REALTIME, 5000, 0)];
    let wait = guest.blocks(&timers, None);
    assert_eq!(guest.left(&wait), 5000);
    let state = guest.state().unwrap();
    // Asleep for a while: only the wall clock tells.
    guest.clock = Arc::new(SimClock::at(Timestamp::from_nanos(
        1_700_000_000_000_002_000,
    )));
    guest.go_on(state, RestoreOptions::default()).unwrap();
    let (reader, other_writer) = std::io::pipe().unwrap();
    guest.ctx.resources.streams.stdin = Input::File(OwnedFd::from(reader).into());
    let wait = guest.blocks(&timers, Some(&wait));
    assert_eq!(guest.left(&wait), 3000);
    guest.clock.advance(Duration::from_nanos(7000));
    let events = guest.events(&timers, Some(&wait));
    assert_eq!(events, [(100, 0, 0, 0, 0), (102, 0, 0, 0, 0)]);
    writer.write_all(b"nobody reads this any more").unwrap_err();
    drop(other_writer);
}

#[test]
fn absolute_deadlines_follow_their_clock() {
    let mut guest = Guest::new();
    let wall = [Clock(REALTIME, 1_700_000_000_000_000_500, ABSOLUTE)];
    let wait = guest.blocks(&wall, None);
    guest
        .clock
        .set_realtime(Timestamp::from_nanos(1_700_000_000_000_000_500));
    assert!(guest.ctx.is_ready(&wait));
    let past = [Clock(MONOTONIC, 0, ABSOLUTE)];
    assert_eq!(guest.events(&past, None).len(), 1);
    let never = [Clock(MONOTONIC, u64::MAX, 0)];
    let wait = guest.blocks(&never, None);
    assert!(!guest.ctx.is_ready(&wait));
}

/// POSIX: setting the clock does not affect relative sleeps.
#[test]
fn a_relative_timer_does_not_follow_the_administrator() {
    let mut guest = Guest::new();
    let timer = [Clock(REALTIME, 1000, 0)];
    let wait = guest.blocks(&timer, None);
    guest.clock.set_realtime(Timestamp::from_nanos(5));
    assert_eq!(guest.left(&wait), 1000);
    guest
        .clock
        .set_realtime(Timestamp::from_nanos(1_800_000_000_000_000_000));
    assert!(!guest.ctx.is_ready(&wait));
}

#[test]
fn errors_are_events_of_their_own() {
    let mut guest = Guest::new();
    let subscriptions = [Clock(MONOTONIC, 1000, 0), Read(77), Read(ROOT), ToWrite(1)];
    let events = guest.events(&subscriptions, None);
    let badf = Errno::Badf.raw();
    let expected = [
        (101, badf, 1, 0, 0),
        (102, badf, 1, 0, 0),
        (103, 0, 2, 0, 0),
    ];
    assert_eq!(events, expected);
    let events = guest.events(&[Clock(2, 0, 0)], None);
    assert_eq!(events, [(100, Errno::Notsup.raw(), 0, 0, 0)]);
}

#[test]
fn a_stream_is_ready_only_in_its_direction() {
    let mut guest = Guest::new();
    let (reader, _writer) = std::io::pipe().unwrap();
    guest.ctx.resources.streams.stdin = Input::File(OwnedFd::from(reader).into());
    let badf = Errno::Badf.raw();
    assert_eq!(guest.events(&[ToWrite(0)], None), [(100, badf, 2, 0, 0)]);
    assert_eq!(guest.events(&[Read(1)], None), [(100, badf, 1, 0, 0)]);
}

#[test]
fn files_are_always_ready() {
    let mut guest = Guest::new();
    std::fs::write(guest.host.path().join("a"), "12345").unwrap();
    let fd = guest
        .open("a", 0, READ | WRITE | rights::POLL_FD_READWRITE, 0)
        .unwrap();
    assert_eq!(guest.seek(fd, 2, 0), Errno::Success);
    let events = guest.events(&[Read(fd)], None);
    assert_eq!(events, [(100, 0, 1, 3, 0)]);
}

#[test]
fn input_wakes_and_its_end_is_told() {
    let mut guest = Guest::new();
    let (reader, mut writer) = std::io::pipe().unwrap();
    guest.ctx.resources.streams.stdin = Input::File(OwnedFd::from(reader).into());
    let both = [Read(0), Clock(MONOTONIC, 1000, 0)];
    let wait = guest.blocks(&both, None);
    let Wait::Poll { deadline, fds } = &wait else {
        panic!("{wait:?}");
    };
    assert!(matches!(deadline, Some(Deadline::Monotonic(_))));
    let interest = Interest::Read;
    assert_eq!(fds, &[FdInterest { fd: 0, interest }]);
    writer.write_all(b"abc").unwrap();
    assert!(guest.ctx.is_ready(&wait));
    assert_eq!(guest.events(&both, Some(&wait)), [(100, 0, 1, 3, 0)]);
    drop(writer);
    assert_eq!(guest.read(0, 3).unwrap(), b"abc");
    assert_eq!(guest.events(&both, None), [(100, 0, 1, 0, 1)]);
}

#[test]
fn an_absurd_number_of_subscriptions_is_refused() {
    let mut guest = Guest::new();
    let count = 100_000u64;
    guest.memory = vec![0; 48 * 100_000 + 100];
    let arguments = [64, 64, count, 0];
    assert_eq!(guest.errno(Function::PollOneoff, &arguments), Errno::Inval);
}

#[test]
fn a_turn_is_given_up_once() {
    let mut guest = Guest::new();
    let given_up = guest.call(Function::SchedYield, &[]);
    assert_eq!(given_up, Outcome::Block(Wait::Yield));
    assert!(guest.ctx.is_ready(&Wait::Yield));
    let woken = guest.again(Function::SchedYield, &[], Some(&Wait::Yield));
    assert_eq!(woken, Outcome::Done(Errno::Success));
}
