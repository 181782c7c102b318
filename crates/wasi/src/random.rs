//! Where a guest's random numbers come from: the host, or a stream that a seed determines.

use dormouse_model::spec::Randomness;
use serde::{Deserialize, Serialize};

use crate::errno::{Errno, Result};

/// A seeded stream in a snapshot: which one, and how far it has been read.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct SeededV1 {
    /// The seed.
    pub seed: u64,
    /// How many bytes of the stream the guest has got.
    pub used: u64,
}

/// A guest's source of random numbers: the seeded stream, or the host where there is none.
#[derive(Debug)]
pub(crate) struct Random(Option<SeededV1>);

impl Random {
    /// The source of a new guest.
    pub(crate) fn new(from: Option<Randomness>) -> Self {
        Self::restore(from, None)
    }

    /// The source of a resumed guest: what the bindings say now, or what the guest had before where
    /// they say nothing.
    pub(crate) fn restore(from: Option<Randomness>, saved: Option<SeededV1>) -> Self {
        Self(match from {
            None => saved,
            Some(Randomness::Host) => None,
            Some(Randomness::Seed(seed)) => match saved.filter(|saved| saved.seed == seed) {
                Some(saved) => Some(saved),
                None => Some(SeededV1 { seed, used: 0 }),
            },
        })
    }

    /// What a snapshot keeps; nothing where the numbers are the host's.
    pub(crate) fn save(&self) -> Option<SeededV1> {
        self.0
    }

    /// Fills a buffer with random bytes.
    pub(crate) fn fill(&mut self, buffer: &mut [u8]) -> Result<()> {
        let Some(stream) = &mut self.0 else {
            return getrandom::fill(buffer).map_err(|_| Errno::IO);
        };
        let key = blake3::derive_key("dormouse: a guest's random numbers, version 1", &[]);
        let mut hasher = blake3::Hasher::new_keyed(&key);
        hasher.update(&stream.seed.to_le_bytes());
        let mut bytes = hasher.finalize_xof();
        bytes.set_position(stream.used);
        bytes.fill(buffer);
        stream.used = stream.used.wrapping_add(buffer.len() as u64);
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_stream_goes_on_where_it_was_and_a_seed_determines_it() {
        let bytes = |random: &mut Random, count: usize| {
            let mut buffer = vec![0; count];
            random.fill(&mut buffer).expect("bytes");
            buffer
        };
        let whole = bytes(&mut Random::new(Some(Randomness::Seed(7))), 100);
        let mut first = Random::new(Some(Randomness::Seed(7)));
        let mut pieces = bytes(&mut first, 33);
        pieces.extend(bytes(&mut Random::restore(None, first.save()), 67));
        assert_eq!(pieces, whole);
        assert_ne!(
            bytes(&mut Random::new(Some(Randomness::Seed(8))), 100),
            whole
        );
        // It must never change: a resumed guest continues with it.
        assert_eq!(whole[..4], FIRST);
        assert_ne!(
            bytes(&mut Random::new(None), 32),
            bytes(&mut Random::new(None), 32)
        );
    }

    const FIRST: [u8; 4] = [46, 203, 222, 17];
}
