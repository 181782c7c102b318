//! Which time a guest's clocks show.

use std::fmt;
use std::str::FromStr;

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

#[cfg(test)]
mod tests {
    use super::Clocks;

    #[test]
    fn words_read_back() {
        for text in ["host", "virtual"] {
            assert_eq!(text.parse::<Clocks>().expect(text).to_string(), text);
        }
        assert!("Host".parse::<Clocks>().is_err());
    }
}
