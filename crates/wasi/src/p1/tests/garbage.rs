//! Every function with every sort of nonsense: an errno, never a panic.

use super::*;

/// Numbers that are the same on every run (xorshift64*).
struct Numbers(u64);

impl Numbers {
    fn next(&mut self) -> u64 {
        self.0 ^= self.0 >> 12;
        self.0 ^= self.0 << 25;
        self.0 ^= self.0 >> 27;
        self.0.wrapping_mul(0x2545_F491_4F6C_DD1D)
    }

    /// What a call may be given: small, at an edge, or anything.
    fn argument(&mut self) -> u64 {
        const EDGES: [u64; 8] = [
            0,
            MEMORY as u64,
            MEMORY as u64 - 1,
            MEMORY as u64 - 8,
            u32::MAX as u64,
            i64::MAX as u64,
            u64::MAX,
            1 << 31,
        ];
        let number = self.next();
        match self.next() % 4 {
            0 => number % 8,
            1 => number % MEMORY as u64,
            2 => EDGES[number as usize % EDGES.len()],
            _ => number,
        }
    }
}

#[test]
fn no_argument_makes_a_call_panic() {
    let mut numbers = Numbers(0x5EED);
    let mut guest = Guest::new();
    for round in 0..30_000u32 {
        if round.is_multiple_of(500) {
            guest = Guest::with_input(Input::Bytes(b"some input".to_vec()));
            std::fs::write(guest.host.path().join("a"), "content").unwrap();
            guest.open("a", 0, READ | WRITE, 0).unwrap();
            for byte in &mut guest.memory {
                *byte = (numbers.next() % 5) as u8 * (numbers.next() % 2) as u8;
            }
        }
        let all = Function::all();
        let function = all[numbers.next() as usize % all.len()];
        let mut arguments: Vec<u64> = function
            .params()
            .iter()
            .map(|_| numbers.argument())
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
