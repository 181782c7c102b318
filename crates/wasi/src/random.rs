//! Where a guest's random numbers come from: the host, or a stream that a seed determines.

use std::fmt;
use std::str::FromStr;

use serde::{Deserialize, Serialize};

use crate::errno::{Errno, Result};

/// Where random numbers come from.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Randomness {
    /// The host's own: unpredictable, and not part of a snapshot.
    #[default]
    Host,
    /// A stream that this number determines, the same in every run. The numbers are no secret to
    /// anybody who knows the seed, so that they are unfit for keys.
    Seed(u64),
}

impl FromStr for Randomness {
    type Err = String;

    fn from_str(text: &str) -> std::result::Result<Self, String> {
        let seed = text.strip_prefix("seed=").map(str::parse);
        match (text, seed) {
            ("host", _) => Ok(Self::Host),
            (_, Some(Ok(seed))) => Ok(Self::Seed(seed)),
            _ => Err(format!(
                "{text:?} is neither host nor a seed such as seed=42"
            )),
        }
    }
}

impl fmt::Display for Randomness {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Host => f.write_str("host"),
            Self::Seed(seed) => write!(f, "seed={seed}"),
        }
    }
}

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
        // It must never change: a resumed guest goes on with it.
        assert_eq!(whole[..4], FIRST);
        assert_ne!(
            bytes(&mut Random::new(None), 32),
            bytes(&mut Random::new(None), 32)
        );
    }

    const FIRST: [u8; 4] = [46, 203, 222, 17];

    #[test]
    fn words_read_back() {
        for text in ["host", "seed=0", "seed=18446744073709551615"] {
            let read: Randomness = text.parse().expect(text);
            assert_eq!(read.to_string(), text);
        }
        for wrong in ["", "seed", "seed=", "seed=-1", "42"] {
            assert!(wrong.parse::<Randomness>().is_err(), "{wrong}");
        }
    }
}
