//! Whether a task that has ended is started anew.

use std::fmt;
use std::str::FromStr;

use crate::text::as_text;

/// When a task that has ended is started anew, from its beginning.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Restart {
    /// Not at all.
    #[default]
    Never,
    /// Where it has trapped, reached a limit, or ended with another code than 0.
    OnFailure,
    /// Whenever it has ended, unless it was killed.
    Always,
}

as_text!(Restart);

impl Restart {
    /// Whether a task that ended so is started anew.
    pub fn applies(self, failed: bool) -> bool {
        match self {
            Self::Never => false,
            Self::OnFailure => failed,
            Self::Always => true,
        }
    }
}

impl FromStr for Restart {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        match text {
            "never" => Ok(Self::Never),
            "on-failure" => Ok(Self::OnFailure),
            "always" => Ok(Self::Always),
            _ => Err(format!("{text:?} is none of never, on-failure, always")),
        }
    }
}

impl fmt::Display for Restart {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Never => "never",
            Self::OnFailure => "on-failure",
            Self::Always => "always",
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_read_back() {
        for restart in [Restart::Never, Restart::OnFailure, Restart::Always] {
            assert_eq!(restart.to_string().parse(), Ok(restart));
        }
    }
}
