//! Who may do what: tenants, and the roles of tokens.

use std::fmt;
use std::str::FromStr;

use serde::{Deserialize, Serialize};

/// A tenant's number in a store. Tasks, names and quotas are a tenant's.
#[derive(
    Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize, Default,
)]
#[serde(transparent)]
pub struct TenantId(pub u64);

impl TenantId {
    /// Whose everything is where nobody has made tenants.
    pub const DEFAULT: Self = Self(0);

    /// The name of that one.
    pub const DEFAULT_NAME: &str = "default";
}

/// What whoever has a token may do. Each role may do all that the ones before it may.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Role {
    /// Read the numbers of the whole daemon, for Prometheus, and nothing else.
    Metrics,
    /// Look at tasks and their output.
    Read,
    /// Add tasks.
    Submit,
    /// Change the tasks that there are, remove them, and take copies of their memory.
    Operator,
    /// Whatever concerns the daemon itself, and the tasks of all tenants.
    Admin,
}

impl Role {
    /// All of them, the one that may do least first.
    pub const ALL: [Self; 5] = [
        Self::Metrics,
        Self::Read,
        Self::Submit,
        Self::Operator,
        Self::Admin,
    ];

    /// The role as one word.
    pub fn name(self) -> &'static str {
        match self {
            Self::Metrics => "metrics",
            Self::Read => "read",
            Self::Submit => "submit",
            Self::Operator => "operator",
            Self::Admin => "admin",
        }
    }
}

impl fmt::Display for Role {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}

impl FromStr for Role {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let found = Self::ALL.into_iter().find(|role| role.name() == text);
        found.ok_or_else(|| {
            format!("{text:?} is no role; there are metrics, read, submit, operator and admin")
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn roles_are_words_and_each_may_do_more_than_the_one_before() {
        for pair in Role::ALL.windows(2) {
            assert!(pair[0] < pair[1]);
        }
        for role in Role::ALL {
            assert_eq!(role.to_string().parse(), Ok(role));
        }
        assert!("root".parse::<Role>().is_err());
    }
}
