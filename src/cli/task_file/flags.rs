//! What a task file says, as flags.

use std::str::FromStr;

use toml::Spanned;

use super::{LoadedTaskFile, Mount};
use crate::cli::exit::Failure;
use crate::engine::EngineKind;
use crate::model::limits::parse_bytes;
use crate::model::{Limit, Limits, OnLimit};
use crate::task::Policy;
use crate::wasi::{Clocks, Randomness, Rule};

impl LoadedTaskFile {
    /// Refuses words that are wrong.
    pub(crate) fn check(&self) -> Result<(), Failure> {
        self.flags(true)?;
        self.flags(false).map(drop)
    }

    /// The file as flags, of `submit` or of `run`.
    pub(super) fn flags(&self, submit: bool) -> Result<Vec<String>, Failure> {
        let mut flags = Flags(Vec::new());
        self.program(&mut flags)?;
        self.host_grants(&mut flags)?;
        for setting in self.limits()? {
            flags.add("limit", setting.to_string());
        }
        flags.add_checked::<OnLimit>(self, "on-limit", self.file.on_limit.as_ref())?;
        flags.add_checked::<EngineKind>(self, "engine", self.file.engine.as_ref())?;
        self.check_daemon_task()?;
        match submit {
            true => self.daemon_task(&mut flags),
            false => self.suspension(&mut flags)?,
        }
        Ok(flags.0)
    }

    /// Variables and directories in memory, which the program starts with.
    fn program(&self, flags: &mut Flags) -> Result<(), Failure> {
        let file = &self.file;
        for (name, value) in &file.env {
            if name.is_empty() || name.contains('=') {
                let text = format!("{name:?} is no name of a variable");
                return Err(self.wrong(value.span(), text));
            }
            flags.add("env", format!("{name}={}", value.get_ref()));
        }
        for name in &file.env_from {
            if name.get_ref().contains('=') {
                let text = "this takes names alone; values go to [env]";
                return Err(self.wrong(name.span(), text));
            }
            flags.add("env", name.get_ref().clone());
        }
        for dir in &file.tmpfs {
            match &dir.size {
                Some(size) if parse_bytes(size.get_ref()).is_none() => {
                    return Err(self.wrong(size.span(), "this is no size; write 512K, 256M or 1G"));
                }
                Some(size) => flags.add("tmpfs", format!("{}={}", dir.guest, size.get_ref())),
                // Without a size, the flag would take what follows a `=` in the name for one.
                None if dir.guest.contains('=') => {
                    let limits = Limits::default().with(self.limits()?);
                    let size = limits.value(Limit::Tmpfs);
                    flags.add("tmpfs", format!("{}={size}", dir.guest));
                }
                None => flags.add("tmpfs", dir.guest.clone()),
            }
        }
        if let Some(digest) = &file.digest {
            flags.add("digest", digest.get_ref().clone());
        }
        if file.suspend.preempt {
            flags.0.push("--preempt".into());
        }
        Ok(())
    }

    /// Directories, network, clocks and random numbers of the host's.
    fn host_grants(&self, flags: &mut Flags) -> Result<(), Failure> {
        let file = &self.file;
        for mount in &file.mount {
            let Mount {
                host: given,
                guest,
                read_only,
            } = mount.get_ref();
            let host = self.host(given).display().to_string();
            if given.is_empty() || guest.is_empty() || host.contains("::") {
                let text = "a mount needs a `host`, without `::` in it, and a `guest`";
                return Err(self.wrong(mount.span(), text));
            }
            // One of the two always stands there: the flag would take the end of a name that is
            // like it for one.
            let access = if *read_only { "ro" } else { "rw" };
            flags.add("dir", format!("{host}::{guest}:{access}"));
        }
        for address in &file.network.listen {
            flags.add("tcplisten", address.get_ref().clone());
        }
        let rules = [
            ("allow-connect", &file.network.allow_connect),
            ("allow-listen", &file.network.allow_listen),
        ];
        for (flag, rules) in rules {
            for rule in rules {
                flags.add_checked::<Rule>(self, flag, Some(rule))?;
            }
        }
        flags.add_checked::<Clocks>(self, "clocks", file.clocks.as_ref())?;
        flags.add_checked::<Randomness>(self, "random", file.random.as_ref())
    }

    /// What only `submit` uses is checked for `run` too.
    fn check_daemon_task(&self) -> Result<(), Failure> {
        if let Some(name) = &self.file.name {
            crate::model::check_name(name.get_ref())
                .map_err(|error| self.wrong(name.span(), error))?;
        }
        #[cfg(feature = "server")]
        if let Some(restart) = &self.file.restart {
            self.parsed::<crate::daemon::Restart>(restart)?;
        }
        #[cfg(feature = "server")]
        if let Some(at) = &self.file.schedule.at {
            self.parsed::<crate::cli::parse::time::At>(at)?;
        }
        Ok(())
    }

    fn daemon_task(&self, flags: &mut Flags) {
        let words = [
            ("name", &self.file.name),
            ("at", &self.file.schedule.at),
            ("every", &self.file.schedule.every),
            ("restart", &self.file.restart),
        ];
        for (flag, word) in words {
            if let Some(word) = word {
                flags.add(flag, word.get_ref().clone());
            }
        }
    }

    fn suspension(&self, flags: &mut Flags) -> Result<(), Failure> {
        let suspend = &self.file.suspend;
        flags.add_checked::<Policy>(self, "suspend", suspend.policy.as_ref())?;
        if let Some(snapshot) = &suspend.snapshot {
            flags.add("snapshot", snapshot.display().to_string());
        }
        if suspend.slim {
            flags.0.push("--slim".into());
        }
        Ok(())
    }
}

/// Words of a command line.
struct Flags(Vec<String>);

impl Flags {
    fn add(&mut self, flag: &str, value: String) {
        self.0.push(format!("--{flag}={value}"));
    }

    /// Adds a value if there is one, once it has been parsed as what it should be: an error names
    /// its place in the file.
    fn add_checked<T>(
        &mut self,
        file: &LoadedTaskFile,
        flag: &str,
        word: Option<&Spanned<String>>,
    ) -> Result<(), Failure>
    where
        T: FromStr<Err: ToString>,
    {
        if let Some(word) = word {
            file.parsed::<T>(word)?;
            self.add(flag, word.get_ref().clone());
        }
        Ok(())
    }
}
