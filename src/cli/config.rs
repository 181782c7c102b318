//! Task files: what a task is given, in TOML. Nothing that is not written there is given.
//!
//! Flags of the command line come after the file: one that can be given once replaces what the file says, one
//! that can be given many times adds to it. So the file becomes flags in front of those that were given.

use std::collections::BTreeMap;
use std::ffi::OsString;
use std::ops::Range;
use std::path::{Path, PathBuf};

use serde::Deserialize;
use serde::de::DeserializeOwned;
use toml::Spanned;

use super::args::{Args, Command};
use super::exit::{Failure, NO_INPUT, USAGE};
use super::run::BY_DIGEST;
use super::text::say;
use crate::engine::EngineKind;
use crate::model::limits::parse_bytes;
use crate::model::{Limit, Limits, OnLimit, Setting};
use crate::scheduler::Policy;
use crate::wasi::{Clocks, Randomness, Rule};

/// A task file, as it is written.
#[derive(Debug, Default, Deserialize)]
#[serde(default, deny_unknown_fields, rename_all = "kebab-case")]
pub(super) struct TaskFile {
    /// Path of the module, from the file's own folder, or `blake3:DIGEST`. Left out, it is the one of `digest`.
    pub module: Option<Spanned<String>>,
    /// BLAKE3 of the module as it is.
    pub digest: Option<Spanned<String>>,
    pub args: Vec<String>,
    pub name: Option<Spanned<String>>,
    pub engine: Option<Spanned<String>>,
    /// Variables and their values.
    pub env: BTreeMap<String, Spanned<String>>,
    /// Names of variables that are taken from whoever runs dormouse.
    pub env_from: Vec<Spanned<String>>,
    pub mount: Vec<Spanned<Mount>>,
    pub tmpfs: Vec<Tmpfs>,
    pub network: Network,
    /// What its clocks tell.
    pub clocks: Option<Spanned<String>>,
    /// Where its random numbers come from.
    pub random: Option<Spanned<String>>,
    pub limits: BTreeMap<Spanned<String>, Spanned<toml::Value>>,
    pub on_limit: Option<Spanned<String>>,
    pub suspend: Suspend,
    pub restart: Option<Spanned<String>>,
    pub schedule: Schedule,
}

/// A directory of the host's.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields, rename_all = "kebab-case")]
pub(super) struct Mount {
    pub host: String,
    pub guest: String,
    #[serde(default)]
    pub read_only: bool,
}

/// A directory in memory.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Tmpfs {
    pub guest: String,
    pub size: Option<Spanned<String>>,
}

/// What the guest may reach.
#[derive(Debug, Default, Deserialize)]
#[serde(default, deny_unknown_fields, rename_all = "kebab-case")]
pub(super) struct Network {
    /// Sockets that listen, which the guest finds from descriptor 3 on.
    pub listen: Vec<Spanned<String>>,
    pub allow_connect: Vec<Spanned<String>>,
    pub allow_listen: Vec<Spanned<String>>,
}

/// When it is suspended.
#[derive(Debug, Default, Deserialize)]
#[serde(default, deny_unknown_fields, rename_all = "kebab-case")]
pub(super) struct Suspend {
    pub policy: Option<Spanned<String>>,
    pub snapshot: Option<PathBuf>,
    pub slim: bool,
    pub preempt: bool,
}

/// When it is started; for `submit` alone.
#[derive(Debug, Default, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub(super) struct Schedule {
    pub at: Option<Spanned<String>>,
    pub every: Option<Spanned<String>>,
}

/// A task file that was read.
#[derive(Debug)]
pub(super) struct Config {
    pub(super) path: PathBuf,
    text: String,
    pub(super) file: TaskFile,
}

impl Config {
    /// Reads a task file.
    pub(super) fn read(path: &Path) -> Result<Self, Failure> {
        let text = std::fs::read_to_string(path).map_err(|error| {
            Failure::new(NO_INPUT, format!("cannot read {}: {error}", path.display()))
        })?;
        let file = parse(path, &text)?;
        Ok(Self {
            path: path.into(),
            text,
            file,
        })
    }

    /// A path of the host's in the file: from the file's own folder.
    pub(super) fn host(&self, path: &str) -> PathBuf {
        match self.path.parent() {
            Some(folder) => folder.join(path),
            None => path.into(),
        }
    }

    /// A failure at a place in the file.
    pub(super) fn wrong(&self, span: Range<usize>, message: impl AsRef<str>) -> Failure {
        let (line, column) = place(&self.text, span.start);
        let message = message.as_ref();
        Failure::new(
            USAGE,
            format!("{}:{line}:{column}: {message}", self.path.display()),
        )
    }

    /// A word in the file, as what it should be.
    pub(super) fn word<T>(&self, word: &Spanned<String>) -> Result<T, Failure>
    where
        T: std::str::FromStr<Err: ToString>,
    {
        let text = word.get_ref();
        text.parse()
            .map_err(|error: T::Err| self.wrong(word.span(), error.to_string()))
    }

    /// The line of a place in the file.
    pub(super) fn line(&self, span: Range<usize>) -> usize {
        place(&self.text, span.start).0
    }

    /// The limits that it sets.
    pub(super) fn limits(&self) -> Result<Vec<Setting>, Failure> {
        let one = |(name, value): (&Spanned<String>, &Spanned<toml::Value>)| {
            let names = || Limit::ALL.iter().map(|limit| limit.name());
            let limit: Limit = name.get_ref().parse().map_err(|error: String| {
                let hint = suggestion(name.get_ref(), names());
                self.wrong(name.span(), format!("{error}{hint}"))
            })?;
            let text = match value.get_ref() {
                toml::Value::Integer(number) => number.to_string(),
                toml::Value::String(text) => text.clone(),
                other => other.type_str().to_string(),
            };
            Setting::new(limit, &text).map_err(|error| self.wrong(value.span(), error))
        };
        self.file.limits.iter().map(one).collect()
    }
}

/// The words of a command line whose `--config` has been replaced by what the file says; `None` where there is
/// none.
pub(super) fn expand(args: &Args, words: &[OsString]) -> Result<Option<Vec<OsString>>, Failure> {
    let (path, given, name) = match &args.command {
        Command::Run(run) => (&run.config, run.command.len(), "run"),
        #[cfg(feature = "server")]
        Command::Submit(submit) => (&submit.config, submit.command.len(), "submit"),
        _ => return Ok(None),
    };
    let Some(path) = path else { return Ok(None) };
    let config = Config::read(path)?;
    if name == "run" {
        config.tell_what_run_leaves_out();
    }
    for variable in &config.file.env_from {
        if std::env::var_os(variable.get_ref()).is_none() {
            let text = format!("there is no variable {} here", variable.get_ref());
            return Err(config.wrong(variable.span(), text));
        }
    }
    // The module and its arguments are the last words.
    let (head, tail) = words.split_at(words.len().saturating_sub(given));
    let mut made = Vec::new();
    let mut head = head.iter();
    for word in head.by_ref() {
        made.push(word.clone());
        if word == name {
            break;
        }
    }
    made.extend(
        config
            .flags(name == "submit")?
            .into_iter()
            .map(OsString::from),
    );
    while let Some(word) = head.next() {
        match word.to_str() {
            Some("--config") => drop(head.next()),
            Some(text) if text.starts_with("--config=") => {}
            _ => made.push(word.clone()),
        }
    }
    let module = match (&config.file.module, &config.file.digest) {
        (Some(module), _) if module.get_ref().starts_with(BY_DIGEST) => {
            Some(module.get_ref().into())
        }
        (Some(module), _) => Some(config.host(module.get_ref()).into()),
        (None, Some(digest)) => Some(format!("{BY_DIGEST}{}", digest.get_ref()).into()),
        (None, None) => None,
    };
    match (module, tail.is_empty()) {
        (_, false) => made.extend(tail.iter().cloned()),
        (Some(module), true) => {
            made.push(module);
            made.extend(config.file.args.iter().map(OsString::from));
        }
        (None, true) => {
            let text = format!("{} names no module, and none was given", path.display());
            return Err(Failure::new(USAGE, text));
        }
    }
    Ok(Some(made))
}

impl Config {
    /// `run` starts a task once, now: whoever tries a file out so must not think that it is scheduled.
    fn tell_what_run_leaves_out(&self) {
        let Schedule { at, every } = &self.file.schedule;
        let given = [
            ("restart", self.file.restart.as_ref()),
            ("schedule.at", at.as_ref()),
            ("schedule.every", every.as_ref()),
        ];
        for (key, word) in given {
            if let Some(word) = word {
                say!(
                    "{}:{}: `{key}` is for `dormouse submit`; `run` starts the task once, now",
                    self.path.display(),
                    self.line(word.span())
                );
            }
        }
    }

    /// Refuses words that are wrong.
    pub(super) fn check(&self) -> Result<(), Failure> {
        self.flags(true)?;
        self.flags(false).map(drop)
    }

    /// The file as flags, of `submit` or of `run`.
    fn flags(&self, submit: bool) -> Result<Vec<String>, Failure> {
        let file = &self.file;
        let mut flags = Vec::new();
        let mut add = |flag: &str, value: String| flags.push(format!("--{flag}={value}"));
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
            // Said in any case, so that no name is taken for it.
            let access = if *read_only { "ro" } else { "rw" };
            add("dir", format!("{host}::{guest}:{access}"));
        }
        for (name, value) in &file.env {
            if name.is_empty() || name.contains('=') {
                let text = format!("{name:?} is no name of a variable");
                return Err(self.wrong(value.span(), text));
            }
            add("env", format!("{name}={}", value.get_ref()));
        }
        for name in &file.env_from {
            match name.get_ref().contains('=') {
                true => {
                    return Err(
                        self.wrong(name.span(), "this takes names alone; values go to [env]")
                    );
                }
                false => add("env", name.get_ref().clone()),
            }
        }
        for dir in &file.tmpfs {
            match &dir.size {
                Some(size) if parse_bytes(size.get_ref()).is_none() => {
                    return Err(self.wrong(size.span(), "this is no size; write 512K, 256M or 1G"));
                }
                Some(size) => add("tmpfs", format!("{}={}", dir.guest, size.get_ref())),
                // A `=` in the name is none before a size.
                None if dir.guest.contains('=') => {
                    let limits = Limits::default().with(self.limits()?);
                    let size = limits.value(Limit::Tmpfs);
                    add("tmpfs", format!("{}={size}", dir.guest));
                }
                None => add("tmpfs", dir.guest.clone()),
            }
        }
        for address in &file.network.listen {
            add("tcplisten", address.get_ref().clone());
        }
        let reach = [
            ("allow-connect", &file.network.allow_connect),
            ("allow-listen", &file.network.allow_listen),
        ];
        for (flag, rules) in reach {
            for rule in rules {
                self.word::<Rule>(rule)?;
                add(flag, rule.get_ref().clone());
            }
        }
        if let Some(clocks) = &file.clocks {
            self.word::<Clocks>(clocks)?;
            add("clocks", clocks.get_ref().clone());
        }
        if let Some(random) = &file.random {
            self.word::<Randomness>(random)?;
            add("random", random.get_ref().clone());
        }
        for setting in self.limits()? {
            add("limit", setting.to_string());
        }
        if let Some(on_limit) = &file.on_limit {
            self.word::<OnLimit>(on_limit)?;
            add("on-limit", on_limit.get_ref().clone());
        }
        if let Some(engine) = &file.engine {
            self.word::<EngineKind>(engine)?;
            add("engine", engine.get_ref().clone());
        }
        if let Some(name) = &file.name {
            crate::model::check_name(name.get_ref())
                .map_err(|error| self.wrong(name.span(), error))?;
        }
        if let Some(digest) = &file.digest {
            add("digest", digest.get_ref().clone());
        }
        #[cfg(feature = "server")]
        if let Some(restart) = &file.restart {
            self.word::<crate::scheduler::Restart>(restart)?;
        }
        #[cfg(feature = "server")]
        if let Some(at) = &file.schedule.at {
            self.word::<super::time::At>(at)?;
        }
        if submit {
            let words = [
                (
                    "name",
                    file.name.as_ref().map(|word| word.get_ref().clone()),
                ),
                (
                    "at",
                    file.schedule.at.as_ref().map(|word| word.get_ref().clone()),
                ),
                (
                    "every",
                    file.schedule
                        .every
                        .as_ref()
                        .map(|word| word.get_ref().clone()),
                ),
                (
                    "restart",
                    file.restart.as_ref().map(|word| word.get_ref().clone()),
                ),
            ];
            for (flag, word) in words {
                if let Some(word) = word {
                    add(flag, word);
                }
            }
        } else {
            if let Some(policy) = &file.suspend.policy {
                self.word::<Policy>(policy)?;
                add("suspend", policy.get_ref().clone());
            }
            if let Some(snapshot) = &file.suspend.snapshot {
                add("snapshot", snapshot.display().to_string());
            }
            if file.suspend.slim {
                flags.push("--slim".into());
            }
        }
        if file.suspend.preempt {
            flags.push("--preempt".into());
        }
        Ok(flags)
    }
}

fn parse<T: DeserializeOwned>(path: &Path, text: &str) -> Result<T, Failure> {
    toml::from_str(text).map_err(|error| {
        let (line, column) = error.span().map_or((1, 1), |span| place(text, span.start));
        let message = error.message();
        let hint = unknown(message).map_or(String::new(), |(word, known)| {
            suggestion(word, known.into_iter())
        });
        Failure::new(
            USAGE,
            format!("{}:{line}:{column}: {message}{hint}", path.display()),
        )
    })
}

/// From serde's message about an unknown key: the key and those that there are.
fn unknown(message: &str) -> Option<(&str, Vec<&str>)> {
    let rest = message.strip_prefix("unknown field `")?;
    let mut words = rest.split('`').step_by(2);
    let word = words.next()?;
    let known = rest.split('`').skip(2).step_by(2).collect();
    Some((word, known))
}

/// The word that was meant, probably.
fn suggestion<'a>(word: &str, known: impl Iterator<Item = &'a str>) -> String {
    let best = known
        .map(|known| (strsim::jaro_winkler(word, known), known))
        .max_by(|left, right| left.0.total_cmp(&right.0));
    match best {
        Some((likeness, known)) if likeness > 0.75 => format!("; did you mean `{known}`?"),
        _ => String::new(),
    }
}

/// Line and column, from 1 on.
fn place(text: &str, at: usize) -> (usize, usize) {
    let before = text.get(..at).unwrap_or(text);
    let line = before.matches('\n').count() + 1;
    let column = before
        .rsplit('\n')
        .next()
        .map_or(0, |line| line.chars().count())
        + 1;
    (line, column)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn fails(text: &str) -> String {
        let parsed = parse::<TaskFile>(Path::new("task.toml"), text);
        parsed.expect_err(text).message
    }

    #[test]
    fn unknown_keys_are_named_with_their_place_and_what_was_meant() {
        let text = fails("module = \"x.wasm\"\n[suspend]\npolcy = \"never\"\n");
        assert!(text.starts_with("task.toml:3:1: "), "{text}");
        assert!(text.contains("did you mean `policy`?"), "{text}");
        let text = fails("[[mount]]\nhost = \"/\"\nguest = \"/\"\nwritable = true\n");
        assert!(text.contains("task.toml:4:1"), "{text}");
        assert!(fails("modul = 1").contains("did you mean `module`?"));
        assert!(fails("args = 3").contains("task.toml:1:8"));
        assert!(fails("args = [").contains("task.toml:1:"));
    }

    #[test]
    fn places_count_from_one() {
        assert_eq!(place("ab\ncd", 0), (1, 1));
        assert_eq!(place("ab\ncd", 4), (2, 2));
        assert_eq!(place("", 0), (1, 1));
    }
}
