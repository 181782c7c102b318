//! What is submitted, and what is known of a task: the two things that a store keeps as bytes.
//!
//! Both are MessagePack arrays behind a byte that says which form they have, because a million tasks
//! would pay for names. A form that has been released is never edited.

use std::collections::BTreeSet;

use serde::{Deserialize, Serialize};

use crate::error::Error;
use crate::model::{Limits, OnLimit, Setting};
use crate::task::{Access, Clocks, Engine, Grants, Randomness, Rule, TmpDir};
use crate::time::restart::Restart;

/// What is submitted.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Spec {
    /// Arguments; the first is by custom the module's file name.
    pub args: Vec<String>,
    /// Environment variables.
    pub env: Vec<(String, String)>,
    /// Directories: the host's path and the guest's name for it.
    pub dirs: Vec<(String, String)>,
    /// The engine's name; `None` is the daemon's own choice.
    pub engine: Option<String>,
    /// A cron expression by which the task starts again and again.
    pub every: Option<String>,
    /// Go on even if files that the task has open were changed in the meantime.
    pub accept_changed_files: bool,
    /// Addresses to listen on; the guest finds the sockets from descriptor 3 on.
    #[serde(default)]
    pub listen: Vec<String>,
    /// What the guest may connect to, as `HOST:PORTS`.
    #[serde(default)]
    pub allow_connect: Vec<String>,
    /// Where the guest may bind sockets of its own, as `HOST:PORTS`.
    #[serde(default)]
    pub allow_listen: Vec<String>,
    /// Directories in memory: the guest's name for each, and how many bytes it may hold.
    #[serde(default)]
    pub tmpfs: Vec<(String, u64)>,
    /// Connections are carried to where the task moves; else they are reset then.
    #[serde(default)]
    pub proxy_streams: bool,
    /// Limits that are not as the daemon has them.
    #[serde(default)]
    pub limits: Vec<Setting>,
    /// What becomes of the task when it reaches one.
    #[serde(default)]
    pub on_limit: Option<OnLimit>,
    /// When it is started anew.
    #[serde(default)]
    pub restart: Option<Restart>,
    /// What else of its world is not as usual. Must stay the last field: it is left out where there is nothing.
    #[serde(default, skip_serializing_if = "World::is_usual")]
    pub world: World,
}

/// What a task's world is like.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct World {
    /// Guest names of directories of which it is said whether they may only be read.
    pub read_only: Vec<(String, bool)>,
    /// What its clocks tell: `host` or `virtual`.
    pub clocks: Option<String>,
    /// Where its random numbers come from: `host`, or a seed such as `seed=42`.
    pub random: Option<String>,
}

impl World {
    fn is_usual(&self) -> bool {
        *self == Self::default()
    }
}

impl Spec {
    /// The limits of the task, over those of the daemon.
    pub(crate) fn limits(&self, daemon: &Limits) -> Limits {
        let mut limits = daemon.with(self.limits.iter().copied());
        limits.on_limit = self.on_limit.or(limits.on_limit);
        limits
    }

    /// Takes other limits over.
    pub(super) fn take(&mut self, more: &LimitChanges) {
        for setting in &more.limits {
            self.limits.retain(|old| old.limit != setting.limit);
            self.limits.push(*setting);
        }
        self.on_limit = more.on_limit.or(self.on_limit);
    }

    /// Whether it may write to a directory.
    pub(super) fn access(&self, guest: &str) -> Access {
        let said = self.world.read_only.iter().find(|(name, _)| name == guest);
        match said {
            None => Access::Kept,
            Some((_, true)) => Access::ReadOnly,
            Some((_, false)) => Access::ReadWrite,
        }
    }

    /// What its clocks tell.
    pub(super) fn clocks(&self) -> Result<Option<Clocks>, Error> {
        let clocks = self.world.clocks.as_deref().map(str::parse);
        clocks.transpose().map_err(Error::Request)
    }

    /// Where its random numbers come from.
    pub(super) fn random(&self) -> Result<Option<Randomness>, Error> {
        let random = self.world.random.as_deref().map(str::parse);
        random.transpose().map_err(Error::Request)
    }

    /// The directories in memory.
    pub(super) fn tmpfs(&self) -> Vec<TmpDir> {
        let dirs = self.tmpfs.iter().cloned();
        dirs.map(|(guest, limit)| TmpDir { guest, limit }).collect()
    }

    /// What the guest may reach.
    ///
    /// # Errors
    /// Where a rule is none.
    pub(super) fn grants(&self) -> Result<Grants, Error> {
        let rules = |texts: &[String], field: &str| {
            let rules = texts.iter().enumerate().map(|(place, text)| {
                let rule = text.parse::<Rule>();
                rule.map_err(|error| Error::Request(error).at(format!("{field}[{place}]")))
            });
            rules.collect::<Result<Vec<_>, _>>()
        };
        Ok(Grants::new(
            rules(&self.allow_connect, "allow_connect")?,
            rules(&self.allow_listen, "allow_listen")?,
        ))
    }

    /// Refuses what no task can be given.
    pub(super) fn check(&self) -> Result<(), Error> {
        self.check_bounds()?;
        self.grants()?;
        self.clocks().map_err(|error| error.at("clocks"))?;
        self.random().map_err(|error| error.at("random"))?;
        check_limits(&self.limits)?;
        self.check_listen()?;
        self.check_dirs()
    }

    fn check_listen(&self) -> Result<(), Error> {
        for (place, address) in self.listen.iter().enumerate() {
            let parts = address.rsplit_once(':');
            let fits = |(host, port): (&str, &str)| !host.is_empty() && port.parse::<u16>().is_ok();
            if !parts.is_some_and(fits) {
                let text = format!("{address:?} is no address; write 127.0.0.1:8080 or [::1]:8080");
                return Err(Error::Request(text).at(format!("listen[{place}]")));
            }
        }
        Ok(())
    }

    /// Every directory has both its names, and the guest's is of one directory, in memory or not.
    fn check_dirs(&self) -> Result<(), Error> {
        let mut names = BTreeSet::new();
        let dirs = self.dirs.iter().enumerate();
        let dirs = dirs.map(|(place, (host, guest))| (format!("dirs[{place}]"), Some(host), guest));
        let tmpfs = self.tmpfs.iter().enumerate();
        let tmpfs = tmpfs.map(|(place, (guest, _))| (format!("tmpfs[{place}]"), None, guest));
        for (field, host, guest) in dirs.chain(tmpfs) {
            if host.is_some_and(String::is_empty) {
                let text = "a directory of the host's has no path".into();
                return Err(Error::Request(text).at(format!("{field}.host")));
            }
            let text = match (guest.is_empty(), names.insert(guest)) {
                (true, _) => "a directory has no name for the guest".into(),
                (false, false) => format!("two directories are to be called {guest}"),
                (false, true) => continue,
            };
            return Err(Error::Request(text).at(format!("{field}.guest")));
        }
        Ok(())
    }

    /// The engine to run on.
    pub(super) fn engine(&self, default: Engine) -> Result<Engine, Error> {
        match &self.engine {
            None => Ok(default),
            Some(name) => name
                .parse()
                .map_err(|error| Error::Request(error).at("engine")),
        }
    }
}

/// Other limits for a task that is paused.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct LimitChanges {
    /// Limits that it has from now on.
    pub limits: Vec<Setting>,
    /// What becomes of it when it reaches one.
    pub on_limit: Option<OnLimit>,
}

impl LimitChanges {
    pub(super) fn is_empty(&self) -> bool {
        *self == Self::default()
    }
}

/// Refuses limits that no task can have for itself.
pub(super) fn check_limits(limits: &[Setting]) -> Result<(), Error> {
    let of_process = limits.iter().find(|setting| setting.limit.is_of_process());
    match of_process {
        Some(setting) => {
            let limit = setting.limit;
            let text = format!(
                "the limit {limit} is one of the daemon's, for all tasks: `dormouse serve --limit {setting}`"
            );
            Err(Error::Request(text).at(format!("limits.{limit}")))
        }
        None => Ok(()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::stored::encoding::{from_bytes, to_bytes};

    #[test]
    fn what_is_stored_reads_back_and_is_short() {
        let spec = Spec {
            args: vec!["nap.wasm".into(), "7".into()],
            ..Spec::default()
        };
        let bytes = to_bytes(&spec).expect("encodes");
        assert!(bytes.len() < 29, "{}", bytes.len());
        assert_eq!(from_bytes::<Spec>(&bytes).expect("decodes"), spec);
        let unusual = Spec {
            world: World {
                clocks: Some("virtual".into()),
                ..World::default()
            },
            ..spec
        };
        let longer = to_bytes(&unusual).expect("encodes");
        assert_eq!(from_bytes::<Spec>(&longer).expect("decodes"), unusual);
        assert!(from_bytes::<Spec>(&[]).is_err());
        assert!(from_bytes::<Spec>(&[9, 1]).is_err());
        assert!(from_bytes::<Spec>(&bytes[..bytes.len() - 1]).is_err());
    }
}
