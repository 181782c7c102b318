//! What no guest can be given, wherever it is asked for.

use std::collections::BTreeSet;
use std::fmt;

use super::task::TaskSpec;

/// What is wrong with a spec.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Wrong {
    /// Which field it is, such as `mounts[0].guest`.
    pub field: String,
    /// Why.
    pub error: String,
}

impl fmt::Display for Wrong {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.error)
    }
}

impl std::error::Error for Wrong {}

impl TaskSpec {
    /// Refuses directories without a name, and two of one name, of the host's or in memory.
    ///
    /// # Errors
    /// Names the field.
    pub fn check_directories(&self) -> Result<(), Wrong> {
        let mut names = BTreeSet::new();
        let mounts = self.mounts.iter().enumerate();
        let mounts = mounts.map(|(index, mount)| {
            let host = Some(&mount.host);
            (format!("mounts[{index}]"), host, &mount.guest)
        });
        let tmpfs = self.tmpfs.iter().enumerate();
        let tmpfs = tmpfs.map(|(index, dir)| (format!("tmpfs[{index}]"), None, &dir.guest));
        for (field, host, guest) in mounts.chain(tmpfs) {
            if host.is_some_and(String::is_empty) {
                return Err(Wrong {
                    field: format!("{field}.host"),
                    error: "a directory of the host's has no path".into(),
                });
            }
            let error = match (guest.is_empty(), names.insert(guest)) {
                (true, _) => "a directory has no name for the guest".into(),
                (false, false) => {
                    format!("two directories are to be called {guest}: give one another name")
                }
                (false, true) => continue,
            };
            let field = format!("{field}.guest");
            return Err(Wrong { field, error });
        }
        Ok(())
    }

    /// Refuses instances for requests where no requests come.
    ///
    /// # Errors
    /// Names the field.
    pub fn check_requests(&self) -> Result<(), Wrong> {
        let network = &self.network;
        let (field, error) = match (&network.http, network.per_request) {
            (None, true) => (
                "per_request",
                "an instance for each request needs an address at which requests come: \
                 `network.http`, --http ADDRESS",
            ),
            (_, true) if !network.listen.is_empty() => (
                "listen",
                "many instances cannot share an address that each is to listen on",
            ),
            (_, false) if network.max_instances.is_some() => (
                "max_instances",
                "how many instances there may be is said where each request has one: \
                 `network.per_request`, --per-request",
            ),
            _ => return Ok(()),
        };
        Err(Wrong {
            field: format!("network.{field}"),
            error: error.into(),
        })
    }

    /// The first field that means something only to the process that runs the guest itself, and
    /// nothing to a daemon.
    pub fn not_for_a_daemon(&self) -> Option<&'static str> {
        let fields = [
            ("components", !self.components.is_empty()),
            ("digest", self.digest.is_some()),
            ("env_from", !self.env_from.is_empty()),
            ("suspend", !self.suspend.is_default()),
        ];
        let found = fields.into_iter().find(|(_, given)| *given);
        found.map(|(field, _)| field)
    }
}
