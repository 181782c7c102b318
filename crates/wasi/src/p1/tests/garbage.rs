//! Every function with every sort of nonsense: an errno, never a panic.

use super::*;
use crate::tests::numbers::{Numbers, edge};

/// What a call may be given: small, at an edge, or anything.
fn argument(numbers: &mut Numbers) -> u64 {
    let number = numbers.next();
    match numbers.next() % 4 {
        0 => number % 8,
        1 => number % MEMORY as u64,
        2 => edge(number, MEMORY),
        _ => number,
    }
}

#[test]
fn no_argument_makes_a_call_panic() {
    let mut numbers = Numbers::new(0x5EED);
    let mut guest = Guest::new();
    for round in 0..30_000u32 {
        if round.is_multiple_of(500) {
            guest = Guest::with_input(Input::Bytes(b"some input".to_vec()));
            std::fs::write(guest.host.path().join("a"), "content").unwrap();
            guest.open("a", 0, READ | WRITE, 0).unwrap();
            numbers.fill(&mut guest.memory);
        }
        let all = Function::all();
        let function = all[numbers.below(all.len())];
        let mut arguments: Vec<u64> = function
            .params()
            .iter()
            .map(|_| argument(&mut numbers))
            .collect();
        if numbers.next().is_multiple_of(50) {
            arguments.pop();
        }
        match guest.call(function, &arguments) {
            Outcome::Block(wait) => {
                guest.ctx.is_ready(&wait);
                guest.ctx.remaining(&wait);
                guest.ctx.wakes_at(&wait);
                guest.ctx.sources(&wait);
                guest.again(function, &arguments, Some(&wait));
            }
            Outcome::Done(errno) => assert!(errno.raw() <= Errno::Aisystem.raw()),
            Outcome::Exit(_) => {}
        }
    }
}

#[test]
fn no_memory_at_all_is_a_fault() {
    let mut guest = Guest::new();
    guest.memory = Vec::new();
    let errno = guest.errno(Function::ClockTimeGet, &[0, 0, 0]);
    assert_eq!(errno, Errno::Fault);
    for function in Function::all() {
        let arguments = vec![0; function.params().len()];
        guest.call(*function, &arguments);
    }
}
