//! Arguments for calls that are to be answered with an error, whatever they are given.

/// Numbers that are the same on every run (xorshift64*).
pub(crate) struct Numbers(u64);

impl Numbers {
    pub(crate) fn new(seed: u64) -> Self {
        Self(seed)
    }

    pub(crate) fn next(&mut self) -> u64 {
        self.0 ^= self.0 >> 12;
        self.0 ^= self.0 << 25;
        self.0 ^= self.0 >> 27;
        self.0.wrapping_mul(0x2545_F491_4F6C_DD1D)
    }

    pub(crate) fn below(&mut self, count: usize) -> usize {
        self.next() as usize % count
    }

    /// Fills a memory with small numbers, half of them zero.
    pub(crate) fn fill(&mut self, memory: &mut [u8]) {
        for byte in memory {
            *byte = (self.next() % 5) as u8 * (self.next() % 2) as u8;
        }
    }
}

/// An address at which a memory of this size ends, or a number at which a type does.
pub(crate) fn edge(number: u64, memory: usize) -> u64 {
    let memory = memory as u64;
    let edges = [
        0,
        memory,
        memory - 1,
        memory - 8,
        u32::MAX as u64,
        i64::MAX as u64,
        u64::MAX,
        1 << 31,
    ];
    edges[number as usize % edges.len()]
}
