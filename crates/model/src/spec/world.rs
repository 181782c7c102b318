//! What a guest learns of time and chance.

use std::fmt;
use std::str::FromStr;

use crate::text::as_text;

as_text!(Clocks, Randomness);

/// Which time a guest's clocks show.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Clocks {
    /// The host's time.
    #[default]
    Host,
    /// Virtual time, from which nothing of the host's time can be learnt. It begins at the same
    /// moment for every guest. Each reading moves it by a microsecond, and a wait for a deadline
    /// moves it to that deadline.
    Virtual,
}

impl FromStr for Clocks {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        match text {
            "host" => Ok(Self::Host),
            "virtual" => Ok(Self::Virtual),
            _ => Err(format!("{text:?} is neither host nor virtual")),
        }
    }
}

impl fmt::Display for Clocks {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Host => "host",
            Self::Virtual => "virtual",
        })
    }
}

/// Where random numbers come from.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Randomness {
    /// The host's own: unpredictable, and not part of a snapshot.
    #[default]
    Host,
    /// A pseudorandom stream that this seed determines, the same in every run. Whoever knows the
    /// seed can compute the random numbers, so that they are unfit for keys.
    Seed(u64),
}

impl FromStr for Randomness {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
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

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn clocks_read_back() {
        for text in ["host", "virtual"] {
            assert_eq!(text.parse::<Clocks>().expect(text).to_string(), text);
        }
        assert!("Host".parse::<Clocks>().is_err());
    }

    #[test]
    fn random_numbers_read_back() {
        for text in ["host", "seed=0", "seed=18446744073709551615"] {
            let read: Randomness = text.parse().expect(text);
            assert_eq!(read.to_string(), text);
        }
        for wrong in ["", "seed", "seed=", "seed=-1", "42"] {
            assert!(wrong.parse::<Randomness>().is_err(), "{wrong}");
        }
    }
}
