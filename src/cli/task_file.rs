//! Task files: what a task is given, in TOML. Nothing that is not written there is given.
//!
//! A file is a [`TaskSpec`]. Flags of the command line are laid over it: one that can be given once
//! replaces what the file says, one that can be given many times adds to it.

use std::ops::Range;
use std::path::{Path, PathBuf};

use toml::Spanned;
use toml::de::{DeTable, DeValue};

use super::components::{self, WrongField};
use super::exit::{Code, Failure, NO_INPUT, USAGE};
use super::module_file::Source;
use super::output::say;
use crate::model::spec::Module;
use crate::model::{Limit, TaskSpec, check_name};
use crate::snapshot::Unseal;

/// A task file that was read.
#[derive(Debug)]
pub(crate) struct LoadedTaskFile {
    pub(crate) path: PathBuf,
    text: String,
    /// As it is written.
    pub(crate) spec: TaskSpec,
}

/// What a command's flags say, over its task file if it has one; gives the file too.
pub(crate) fn with_flags(
    config: Option<&Path>,
    flags: Result<TaskSpec, String>,
) -> Result<(TaskSpec, Option<LoadedTaskFile>), Failure> {
    let mut flags = flags.map_err(|error| Failure::new(USAGE, error))?;
    for name in std::mem::take(&mut flags.env_from) {
        let value = variable(&name);
        let value = value.map_err(|error| Failure::new(USAGE, format!("--env {name}: {error}")))?;
        flags.env.insert(name, value);
    }
    let Some(path) = config else {
        return Ok((flags, None));
    };
    let mut file = LoadedTaskFile::read(path)?;
    file.take_variables()?;
    file.take_paths()?;
    Ok((file.spec.clone().overlaid(flags), Some(file)))
}

/// The module to run: the one that is named, or what the file's components become.
/// Where keys to verify with are given, one of them must have signed it.
pub(crate) fn source(
    spec: &TaskSpec,
    file: Option<&LoadedTaskFile>,
    keys: &Unseal,
) -> Result<Source, Failure> {
    if let Some(file) = file.filter(|_| !spec.components.is_empty()) {
        if keys.verifies() {
            let text = "--verify-key is for a module's file, and the task file links components";
            return Err(Failure::new(USAGE, text));
        }
        let bytes = components::compose(spec).map_err(|wrong| file.wrong_field(wrong))?;
        return Source::linked(&file.path.to_string_lossy(), bytes).checked(spec.digest);
    }
    let module = spec.source().ok_or_else(|| {
        let text = match file {
            Some(file) => {
                let path = file.path.display();
                format!("{path} names no module, and none was given")
            }
            None => "give a module".into(),
        };
        Failure::new(USAGE, text)
    })?;
    Source::load(&module, keys)?.checked(spec.digest)
}

/// What the components of a task file become, and how many they are.
#[cfg(feature = "components")]
pub(crate) fn linked(path: &Path) -> Result<(Vec<u8>, usize), Failure> {
    let mut file = LoadedTaskFile::read(path)?;
    file.take_paths()?;
    let count = file.spec.components.len();
    if count == 0 {
        let text = format!("{} has no [[component]] to link", path.display());
        return Err(Failure::new(USAGE, text));
    }
    let bytes = components::compose(&file.spec).map_err(|wrong| file.wrong_field(wrong))?;
    Ok((bytes, count))
}

/// The value of a variable here.
fn variable(name: &str) -> Result<String, String> {
    std::env::var(name).map_err(|error| match error {
        std::env::VarError::NotPresent => format!("there is no variable {name} here"),
        std::env::VarError::NotUnicode(_) => format!("the variable {name} is not UTF-8"),
    })
}

impl LoadedTaskFile {
    /// Reads a task file, and refuses what no guest can be given.
    pub(crate) fn read(path: &Path) -> Result<Self, Failure> {
        let text = std::fs::read_to_string(path).map_err(|error| {
            Failure::new(NO_INPUT, format!("cannot read {}: {error}", path.display()))
        })?;
        let spec = parse(path, &text)?;
        let path = path.into();
        let config = Self { path, text, spec };
        config.check()?;
        Ok(config)
    }

    fn check(&self) -> Result<(), Failure> {
        let spec = &self.spec;
        components::check(spec).map_err(|wrong| self.wrong_field(wrong))?;
        if let Some(name) = &spec.name {
            check_name(name).map_err(|error| self.usage_failure(&["name"], error))?;
        }
        for (index, mount) in spec.mounts.iter().enumerate() {
            if mount.host.is_empty() || mount.guest.is_empty() {
                let text = "a mount needs a `host` and a `guest`";
                return Err(self.usage_failure(&["mounts", &index.to_string()], text));
            }
        }
        for name in spec.env.keys() {
            if name.is_empty() || name.contains('=') {
                let text = format!("{name:?} is no name of a variable");
                return Err(self.usage_failure(&["env", name], text));
            }
        }
        for (index, name) in spec.env_from.iter().enumerate() {
            if name.contains('=') {
                let text = "this takes names alone; values go to [env]";
                return Err(self.usage_failure(&["env_from", &index.to_string()], text));
            }
        }
        Ok(())
    }

    /// Takes the variables that are named without a value from here.
    fn take_variables(&mut self) -> Result<(), Failure> {
        for (index, name) in std::mem::take(&mut self.spec.env_from)
            .into_iter()
            .enumerate()
        {
            let value = variable(&name);
            let value = value
                .map_err(|error| self.usage_failure(&["env_from", &index.to_string()], error))?;
            self.spec.env.insert(name, value);
        }
        Ok(())
    }

    /// Paths of the host's are from the file's own folder.
    fn take_paths(&mut self) -> Result<(), Failure> {
        if let Some(Module::Path(path)) = &self.spec.module {
            self.spec.module = Some(Module::Path(self.utf8(path)?));
        }
        for index in 0..self.spec.components.len() {
            self.spec.components[index].path = self.utf8(&self.spec.components[index].path)?;
        }
        for index in 0..self.spec.mounts.len() {
            self.spec.mounts[index].host = self.utf8(&self.spec.mounts[index].host)?;
        }
        Ok(())
    }

    fn utf8(&self, path: &str) -> Result<String, Failure> {
        self.host(path)
            .into_os_string()
            .into_string()
            .map_err(|path| {
                let text = format!("the path {} is not UTF-8", path.display());
                Failure::new(USAGE, text)
            })
    }

    /// A path of the host's in the file: from the file's own folder.
    pub(crate) fn host(&self, path: &str) -> PathBuf {
        match self.path.parent() {
            Some(folder) => folder.join(path),
            None => path.into(),
        }
    }

    /// A failure at a place in the file.
    fn usage_failure(&self, field: &[&str], message: impl AsRef<str>) -> Failure {
        self.failure_at(USAGE, field, message.as_ref())
    }

    fn wrong_field(&self, wrong: WrongField) -> Failure {
        let field: Vec<&str> = wrong.field.iter().map(String::as_str).collect();
        self.failure_at(wrong.code, &field, &wrong.message)
    }

    fn failure_at(&self, code: Code, field: &[&str], message: &str) -> Failure {
        let span = self.span(field).unwrap_or_default();
        let (line, column) = line_and_column(&self.text, span.start);
        Failure::new(
            code,
            format!("{}:{line}:{column}: {message}", self.path.display()),
        )
    }

    /// The line of a field of the file; 0 where it is not there.
    pub(crate) fn line(&self, field: &[&str]) -> usize {
        self.span(field)
            .map_or(0, |span| line_and_column(&self.text, span.start).0)
    }

    /// The byte range of a field's value in the file. `field` is the path to it: keys of tables,
    /// and indices of arrays.
    fn span(&self, field: &[&str]) -> Option<Range<usize>> {
        let table = DeTable::parse(&self.text).ok()?;
        let (first, rest) = field.split_first()?;
        let mut found = entry(table.get_ref(), first)?.1;
        for part in rest {
            found = match (found.get_ref(), part.parse::<usize>()) {
                (DeValue::Table(table), _) => entry(table, part)?.1,
                (value, Ok(index)) => value.get(index)?,
                _ => return None,
            };
        }
        Some(found.span())
    }

    /// `run` starts a task once, now: whoever tries a file out so must not think that it is
    /// scheduled.
    pub(crate) fn tell_what_run_leaves_out(&self) {
        let schedule = &self.spec.schedule;
        let given = [
            ("restart", self.spec.restart.is_some()),
            ("place", !self.spec.place.is_empty()),
            ("schedule.at", schedule.at.is_some()),
            ("schedule.every", schedule.every.is_some()),
        ];
        let left_out = |key: &str, instead: &str| {
            let field: Vec<&str> = key.split('.').collect();
            say!(
                "{}:{}: `{key}` is for `dormouse submit`; {instead}",
                self.path.display(),
                self.line(&field)
            );
        };
        for (key, _) in given.into_iter().filter(|(_, given)| *given) {
            left_out(key, "`run` starts the task once, now");
        }
        if self.spec.network.per_request {
            left_out(
                "network.per_request",
                "here `serve-http --per-request` starts an instance for each request",
            );
        }
    }
}

type Entry<'a, 'i> = (
    &'a Spanned<std::borrow::Cow<'i, str>>,
    &'a Spanned<DeValue<'i>>,
);

/// A key of a table and its value. The key may be written with hyphens; a mount is `[[mount]]`,
/// too, and a component `[[component]]`.
fn entry<'a, 'i>(table: &'a DeTable<'i>, name: &str) -> Option<Entry<'a, 'i>> {
    let is = |key: &str| {
        let written = key == name || key.replace('-', "_") == name;
        let singular = [("mount", "mounts"), ("component", "components")];
        written || singular.contains(&(key, name))
    };
    table.iter().find(|(key, _)| is(key.get_ref().as_ref()))
}

fn parse(path: &Path, text: &str) -> Result<TaskSpec, Failure> {
    toml::from_str(text).map_err(|error| {
        let span = error.span().unwrap_or_default();
        let (line, column) = line_and_column(text, span.start);
        let message = error.message();
        let hint = match unknown(message) {
            Some((word, known)) => suggestion(word, known.into_iter()),
            None => limit_at(text, &span).unwrap_or_default(),
        };
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

/// The limit that was probably meant, if an unknown name of a limit stands here.
fn limit_at(text: &str, span: &Range<usize>) -> Option<String> {
    let table = DeTable::parse(text).ok()?;
    let limits = entry(table.get_ref(), "limits")?.1.get_ref().as_table()?;
    let mut names = limits.keys();
    let name = names.find(|name| name.span() == *span)?;
    let known = Limit::ALL.iter().map(|limit| limit.name());
    Some(suggestion(name.get_ref(), known))
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
fn line_and_column(text: &str, at: usize) -> (usize, usize) {
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
        let parsed = parse(Path::new("task.toml"), text);
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
    fn a_field_is_found_however_it_is_written() {
        let text = "env-from = [\"A\", \"B\"]\n[[mount]]\nhost = \"h\"\nguest = \"g\"\n[network]\nallow_connect = [\"*:1\"]\n";
        let config = LoadedTaskFile {
            path: "task.toml".into(),
            text: text.into(),
            spec: parse(Path::new("task.toml"), text).expect("a task file"),
        };
        let lines = [
            (&["env_from", "1"][..], 1),
            (&["mounts", "0"], 2),
            (&["mounts", "0", "guest"], 4),
            (&["network", "allow_connect", "0"], 6),
            (&["limits", "cpu"], 0),
        ];
        for (field, line) in lines {
            assert_eq!(config.line(field), line, "{field:?}");
        }
    }

    #[test]
    fn places_count_from_one() {
        assert_eq!(line_and_column("ab\ncd", 0), (1, 1));
        assert_eq!(line_and_column("ab\ncd", 4), (2, 2));
        assert_eq!(line_and_column("", 0), (1, 1));
    }
}
