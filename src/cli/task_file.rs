//! Task files: what a task is given, in TOML. Nothing that is not written there is given.
//!
//! Flags of the command line come after the file: one that can be given once replaces what the file
//! says, one that can be given many times adds to it. So the file becomes flags ([`flags`]) in
//! front of those that were given ([`expand`]).

pub(crate) mod expand;
mod flags;

use std::collections::BTreeMap;
use std::ops::Range;
use std::path::{Path, PathBuf};

use serde::Deserialize;
use serde::de::DeserializeOwned;
use toml::Spanned;

use super::exit::{Failure, NO_INPUT, USAGE};
use crate::model::{Limit, Setting};

/// A task file, as it is written.
#[derive(Debug, Default, Deserialize)]
#[serde(default, deny_unknown_fields, rename_all = "kebab-case")]
pub(crate) struct TaskFile {
    /// Path of the module, relative to the file's own folder, or `blake3:DIGEST`. If left out, the
    /// module is the one of `digest`.
    pub module: Option<Spanned<String>>,
    /// BLAKE3 of the module's bytes.
    pub digest: Option<Spanned<String>>,
    pub args: Vec<String>,
    pub name: Option<Spanned<String>>,
    pub engine: Option<Spanned<String>>,
    /// Variables and their values.
    pub env: BTreeMap<String, Spanned<String>>,
    /// Names of variables whose values come from the environment of `dormouse` itself.
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
pub(crate) struct Mount {
    pub host: String,
    pub guest: String,
    #[serde(default)]
    pub read_only: bool,
}

/// A directory in memory.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct Tmpfs {
    pub guest: String,
    pub size: Option<Spanned<String>>,
}

/// What the guest may reach.
#[derive(Debug, Default, Deserialize)]
#[serde(default, deny_unknown_fields, rename_all = "kebab-case")]
pub(crate) struct Network {
    /// Sockets that listen, which the guest finds from descriptor 3 on.
    pub listen: Vec<Spanned<String>>,
    pub allow_connect: Vec<Spanned<String>>,
    pub allow_listen: Vec<Spanned<String>>,
}

/// When the task is suspended.
#[derive(Debug, Default, Deserialize)]
#[serde(default, deny_unknown_fields, rename_all = "kebab-case")]
pub(crate) struct Suspend {
    pub policy: Option<Spanned<String>>,
    pub snapshot: Option<PathBuf>,
    pub slim: bool,
    pub preempt: bool,
}

/// When the task is started; for `submit` alone.
#[derive(Debug, Default, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub(crate) struct Schedule {
    pub at: Option<Spanned<String>>,
    pub every: Option<Spanned<String>>,
}

/// A task file that has been read.
#[derive(Debug)]
pub(crate) struct LoadedTaskFile {
    pub(crate) path: PathBuf,
    /// The text, for the places of errors.
    text: String,
    pub(crate) file: TaskFile,
}

impl LoadedTaskFile {
    /// Reads a task file.
    pub(crate) fn read(path: &Path) -> Result<Self, Failure> {
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

    /// A path of the host's in the file: relative to the file's own folder.
    pub(crate) fn host(&self, path: &str) -> PathBuf {
        match self.path.parent() {
            Some(folder) => folder.join(path),
            None => path.into(),
        }
    }

    /// A failure at a place in the file.
    pub(crate) fn wrong(&self, span: Range<usize>, message: impl AsRef<str>) -> Failure {
        let (line, column) = place(&self.text, span.start);
        let message = message.as_ref();
        Failure::new(
            USAGE,
            format!("{}:{line}:{column}: {message}", self.path.display()),
        )
    }

    /// Parses a string of the file; an error names its place.
    pub(crate) fn parsed<T>(&self, word: &Spanned<String>) -> Result<T, Failure>
    where
        T: std::str::FromStr<Err: ToString>,
    {
        let text = word.get_ref();
        text.parse()
            .map_err(|error: T::Err| self.wrong(word.span(), error.to_string()))
    }

    /// The line of a place in the file.
    pub(crate) fn line(&self, span: Range<usize>) -> usize {
        place(&self.text, span.start).0
    }

    /// The limits that it sets.
    pub(crate) fn limits(&self) -> Result<Vec<Setting>, Failure> {
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

/// The unknown key in serde's message, and the keys that are known.
fn unknown(message: &str) -> Option<(&str, Vec<&str>)> {
    let rest = message.strip_prefix("unknown field `")?;
    let mut words = rest.split('`').step_by(2);
    let word = words.next()?;
    let known = rest.split('`').skip(2).step_by(2).collect();
    Some((word, known))
}

/// The known word that is most like one that is unknown, as the end of a message.
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
