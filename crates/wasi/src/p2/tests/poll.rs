//! Clocks and waiting.

use std::os::unix::net::UnixStream;
use std::time::Duration;

use super::*;
use dormouse_model::{Deadline, MonotonicTime};

const CLOCK: &str = "wasi:clocks/monotonic-clock";
const POLL: &str = "wasi:io/poll";

impl Guest {
    fn timer(&mut self, nanoseconds: u64) -> u64 {
        self.value(CLOCK, "subscribe-duration", &[nanoseconds])
    }

    /// The arguments of a poll of these pollables.
    fn pollables(&mut self, pollables: &[u64]) -> [u64; 3] {
        for (index, pollable) in (0..).zip(pollables) {
            self.put(DATA + index * 4, &(*pollable as u32).to_le_bytes());
        }
        [DATA.into(), pollables.len() as u64, RESULT.into()]
    }

    /// The places that a poll has given.
    fn found(&self) -> Vec<u32> {
        let (at, count) = (self.u32_at(RESULT), self.u32_at(RESULT + 4));
        (0..count)
            .map(|index| self.u32_at(at + index * 4))
            .collect()
    }
}

#[test]
fn clocks_show_the_hosts_time() {
    let mut guest = Guest::new();
    guest.done("wasi:clocks/wall-clock", "now", &[RESULT.into()]);
    assert_eq!(guest.u64_at(RESULT), 1_700_000_000);
    assert_eq!(guest.u32_at(RESULT + 8), 123_456_789);
    let before = guest.value(CLOCK, "now", &[]);
    guest.clock.advance(Duration::from_nanos(500));
    assert_eq!(guest.value(CLOCK, "now", &[]), before + 500);
    assert_eq!(guest.value(CLOCK, "resolution", &[]), 1);
}

#[test]
fn a_sleep_goes_on_over_a_suspend() {
    let mut guest = Guest::new();
    let pollable = guest.timer(1_000_000_000);
    guest.clock.advance(Duration::from_millis(300));
    assert_eq!(guest.value(POLL, "[method]pollable.ready", &[pollable]), 0);
    // The time counts from when the pollable was made.
    let wait = guest.wait(POLL, "[method]pollable.block", &[pollable]);
    assert_eq!(guest.ctx.remaining(&wait), Some(Duration::from_millis(700)));
    guest.clock.advance(Duration::from_millis(400));
    guest.sleep();
    assert_eq!(guest.ctx.remaining(&wait), Some(Duration::from_millis(300)));
    assert!(!guest.ctx.is_ready(&wait));
    let block = "[method]pollable.block";
    let again = guest.again(POLL, block, &[pollable], Some(&wait));
    assert_eq!(again, Outcome::Block(wait.clone()));
    guest.clock.advance(Duration::from_millis(300));
    assert!(guest.ctx.is_ready(&wait));
    let again = guest.again(POLL, block, &[pollable], Some(&wait));
    assert_eq!(again, Outcome::Done(None));
    assert_eq!(guest.value(POLL, "[method]pollable.ready", &[pollable]), 1);
}

#[test]
fn a_poll_tells_of_all_that_are_ready_in_the_order_of_what_they_wait_for() {
    let mut guest = Guest::new();
    let late = guest.timer(u64::MAX);
    let soon = guest.timer(10);
    let now = guest.timer(0);
    let arguments = guest.pollables(&[now, late, soon, now]);
    guest.done(POLL, "poll", &arguments);
    assert_eq!(guest.found(), [0, 3]);
    guest.clock.advance(Duration::from_nanos(10));
    guest.done(POLL, "poll", &arguments);
    assert_eq!(guest.found(), [2, 0, 3]);
    assert_eq!(
        guest.trap(POLL, "poll", &[DATA.into(), 0, RESULT.into()]),
        "empty poll list"
    );
    // No timer at all ends this.
    let arguments = guest.pollables(&[late]);
    let wait = guest.wait(POLL, "poll", &arguments);
    assert!(!guest.ctx.is_ready(&wait));
    let never = Deadline::Monotonic(MonotonicTime::from_nanos(u64::MAX));
    assert!(matches!(wait, Wait::Poll { deadline: Some(at), .. } if at == never));
}

#[test]
fn a_poll_waits_for_standard_input_and_a_timer() {
    let (mut ours, theirs) = UnixStream::pair().expect("a pair");
    let theirs = std::fs::File::from(std::os::fd::OwnedFd::from(theirs));
    let mut guest = Guest::with_input(Input::File(theirs));
    let stdin = guest.value("wasi:cli/stdin", "get-stdin", &[]);
    let input = guest.value(
        "wasi:io/streams",
        "[method]input-stream.subscribe",
        &[stdin],
    );
    let timer = guest.timer(1_000);
    let arguments = guest.pollables(&[timer, input]);
    let wait = guest.wait(POLL, "poll", &arguments);
    assert_eq!(guest.ctx.sources(&wait).len(), 1);
    assert!(!guest.ctx.is_ready(&wait));
    std::io::Write::write_all(&mut ours, b"x").expect("room");
    assert!(guest.ctx.is_ready(&wait));
    assert_eq!(
        guest.again(POLL, "poll", &arguments, Some(&wait)),
        Outcome::Done(None)
    );
    assert_eq!(guest.found(), [1]);
}

#[test]
fn virtual_time_moves_by_the_wait_and_no_further() {
    let mut guest = Guest::with(|_, bindings| bindings.clocks = Some(Clocks::Virtual));
    let before = guest.value(CLOCK, "now", &[]);
    let (short, long) = (guest.timer(5_000), guest.timer(9_000));
    let arguments = guest.pollables(&[long, short]);
    let wait = guest.wait(POLL, "poll", &arguments);
    // The host is late.
    guest.clock.advance(Duration::from_nanos(50_000));
    assert_eq!(
        guest.again(POLL, "poll", &arguments, Some(&wait)),
        Outcome::Done(None)
    );
    assert_eq!(guest.found(), [1]);
    let after = guest.value(CLOCK, "now", &[]);
    assert_eq!(
        after,
        before + 5_000 + 1_000,
        "the wait, and one reading of the clock"
    );
    // A guest that only asks comes to an end.
    let asked = (0..20).position(|_| guest.value(POLL, "[method]pollable.ready", &[long]) == 1);
    assert!(asked.is_some());
}

#[test]
fn random_numbers_are_those_of_the_seed() {
    let numbers = |seed| {
        let mut guest = Guest::with(|_, bindings| bindings.random = Some(Randomness::Seed(seed)));
        guest.done(
            "wasi:random/random",
            "get-random-bytes",
            &[5, RESULT.into()],
        );
        let bytes = guest.list_at(RESULT);
        guest.done(
            "wasi:random/insecure-seed",
            "insecure-seed",
            &[RESULT.into()],
        );
        let seed = (guest.u64_at(RESULT), guest.u64_at(RESULT + 8));
        guest.sleep();
        guest.done(
            "wasi:random/insecure-seed",
            "insecure-seed",
            &[RESULT.into()],
        );
        assert_eq!((guest.u64_at(RESULT), guest.u64_at(RESULT + 8)), seed);
        let number = guest.value("wasi:random/insecure", "get-insecure-random-u64", &[]);
        (bytes, seed, number)
    };
    assert_eq!(numbers(7), numbers(7));
    assert_ne!(numbers(7), numbers(8));
    assert_eq!(numbers(7).0[..4], [46, 203, 222, 17]);
    let mut guest = Guest::new();
    let too_many = guest.trap(
        "wasi:random/random",
        "get-random-bytes",
        &[1 << 40, RESULT.into()],
    );
    assert!(too_many.contains("exceeds limit"), "{too_many}");
}

#[test]
fn what_a_component_adds_to_a_snapshot_is_small() {
    let mut guest = Guest::new();
    guest.value("wasi:cli/stdin", "get-stdin", &[]);
    guest.value("wasi:cli/stdout", "get-stdout", &[]);
    guest.value("wasi:cli/stderr", "get-stderr", &[]);
    let preopens = "wasi:filesystem/preopens";
    guest.done(preopens, "get-directories", &[RESULT.into()]);
    let pollable = guest.timer(1_000_000_000);
    guest.wait(POLL, "[method]pollable.block", &[pollable]);
    let component = guest.state().expect("a state").component;
    let bytes = rmp_serde::to_vec_named(&component).expect("plain data");
    assert!(bytes.len() < 600, "{} bytes", bytes.len());
    // A core module's snapshot has nothing of it.
    let state = Guest::new().state().expect("a state");
    let bytes = rmp_serde::to_vec_named(&state).expect("plain data");
    assert_eq!(state.component, None);
    assert!(!bytes.windows(9).any(|part| part == b"component"));
}
