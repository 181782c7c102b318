//! How much a task may take: the one list of limits, with their defaults and their words.
//!
//! A limit is given as `NAME=VALUE` everywhere: `cpu=10m`, `memory=512M`, `files=none`. What becomes of a
//! task that reaches one is decided by [`OnLimit`], but for limits of which a program can be told
//! ([`Limit::is_told`]).

use std::fmt;
use std::str::FromStr;
use std::time::Duration;

use serde::{Deserialize, Serialize};

/// What a limit's value is a number of.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Unit {
    /// Bytes: `512K`, `1G`.
    Bytes,
    /// Things.
    Count,
    /// Nanoseconds: `500ms`, `10s`, `5m`, `2h`, `1d`.
    Time,
}

macro_rules! limits {
    ($($variant:ident $name:literal $unit:ident $default:expr, $what:literal;)*) => {
        /// What can be limited.
        #[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
        #[serde(rename_all = "kebab-case")]
        pub enum Limit { $(#[doc = $what] $variant),* }

        impl Limit {
            /// All limits.
            pub const ALL: &[Self] = &[$(Self::$variant),*];

            /// Its name.
            pub fn name(self) -> &'static str {
                match self { $(Self::$variant => $name),* }
            }

            /// What its value counts.
            pub fn unit(self) -> Unit {
                match self { $(Self::$variant => Unit::$unit),* }
            }

            /// What it limits, in words.
            pub fn what(self) -> &'static str {
                match self { $(Self::$variant => $what),* }
            }

            fn default_value(self) -> u64 {
                match self { $(Self::$variant => $default),* }
            }
        }
    };
}

/// No limit.
const NONE: u64 = u64::MAX;

limits! {
    Memory "memory" Bytes 1 << 30, "bytes of each of the guest's memories";
    Table "table" Count 1 << 20, "elements of each of the guest's tables";
    Stack "stack" Bytes 8 << 20, "bytes of native stack that the guest's calls may take";
    SuspendedStack "suspended-stack" Bytes 32 << 20, "bytes that the guest's stack takes when it is suspended";
    Cpu "cpu" Time NONE, "CPU time of the guest, over all suspends";
    Time "time" Time NONE, "time since the task was first started, the time asleep counted in";
    Files "files" Count 1024, "descriptors open at once";
    FileSize "file-size" Bytes 4 << 30, "bytes of each file that the guest writes";
    Writes "writes" Bytes NONE, "bytes written to files in all";
    Output "output" Bytes NONE, "bytes written to standard output and standard error in all";
    Tmpfs "tmpfs" Bytes 64 << 20, "bytes of each directory in memory";
    Snapshot "snapshot" Bytes 8 << 30, "bytes of a snapshot, and of each of its sections unpacked";
    Module "module" Bytes 256 << 20, "bytes of the module";
    Functions "functions" Count 500_000, "functions of the module";
}

impl Limit {
    /// Whether the guest is told when it reaches the limit, by the error that a program expects there:
    /// -1 for memory, `EMFILE` for descriptors, `ENOSPC` in a directory in memory. Other limits end or
    /// pause the task.
    pub fn is_told(self) -> bool {
        matches!(self, Self::Memory | Self::Table | Self::Files | Self::Tmpfs)
    }

    /// Whether it holds for a process and not for one task: the engine wants to know it at its start.
    pub fn is_of_process(self) -> bool {
        matches!(self, Self::Stack | Self::Module | Self::Functions)
    }

    /// A value in words: `1G`, `10m`, `none`.
    pub fn show(self, value: u64) -> String {
        if value == NONE {
            return "none".into();
        }
        match self.unit() {
            Unit::Bytes => show_bytes(value),
            Unit::Count => value.to_string(),
            Unit::Time => show_time(value),
        }
    }

    fn read(self, text: &str) -> Option<u64> {
        if text.trim().eq_ignore_ascii_case("none") {
            return Some(NONE);
        }
        match self.unit() {
            Unit::Bytes => parse_bytes(text),
            Unit::Count => text.trim().replace('_', "").parse().ok(),
            Unit::Time => parse_time(text),
        }
    }
}

impl fmt::Display for Limit {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}

impl FromStr for Limit {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let found = Self::ALL.iter().find(|limit| limit.name() == text);
        found.copied().ok_or_else(|| {
            let names: Vec<&str> = Self::ALL.iter().map(|limit| limit.name()).collect();
            format!(
                "no limit is called {text:?}; there are {}",
                names.join(", ")
            )
        })
    }
}

/// What becomes of a task that reaches a limit.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum OnLimit {
    /// It ends.
    #[default]
    End,
    /// It is suspended as soon as it can be, to go on with a higher limit. It ends where it goes on for
    /// too long.
    Pause,
}

impl FromStr for OnLimit {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        match text {
            "end" => Ok(Self::End),
            "pause" => Ok(Self::Pause),
            _ => Err(format!("{text:?} is neither end nor pause")),
        }
    }
}

impl fmt::Display for OnLimit {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::End => "end",
            Self::Pause => "pause",
        })
    }
}

/// A limit with a value, as `NAME=VALUE`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Setting {
    /// Which.
    pub limit: Limit,
    /// Its value in the unit of the limit; `u64::MAX` is none.
    pub value: u64,
}

impl FromStr for Setting {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let (name, value) = text
            .split_once('=')
            .ok_or_else(|| format!("{text:?}: write NAME=VALUE, such as cpu=10m"))?;
        let limit: Limit = name.trim().parse()?;
        Self::new(limit, value)
    }
}

impl Setting {
    /// A limit with a value in words.
    ///
    /// # Errors
    /// Says what a value looks like.
    pub fn new(limit: Limit, value: &str) -> Result<Self, String> {
        let examples = match limit.unit() {
            Unit::Bytes => "512K, 256M or 1G",
            Unit::Count => "a number",
            Unit::Time => "500ms, 10s, 5m, 2h or 1d",
        };
        match limit.read(value) {
            Some(value) => Ok(Self { limit, value }),
            None => Err(format!(
                "{limit}: {value:?} is no value; write {examples}, or none"
            )),
        }
    }
}

impl fmt::Display for Setting {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}={}", self.limit, self.limit.show(self.value))
    }
}

/// All limits of one task, or of one process.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Limits {
    /// By the place in [`Limit::ALL`].
    values: [u64; Limit::ALL.len()],
    /// What becomes of a task that reaches one.
    pub on_limit: OnLimit,
}

impl Default for Limits {
    /// The limits that hold where nobody says otherwise.
    fn default() -> Self {
        let mut values = [NONE; Limit::ALL.len()];
        for (value, limit) in values.iter_mut().zip(Limit::ALL) {
            *value = limit.default_value();
        }
        Self {
            values,
            on_limit: OnLimit::default(),
        }
    }
}

impl Limits {
    /// The value of a limit; `u64::MAX` where there is none.
    pub fn value(&self, limit: Limit) -> u64 {
        // The list and the places are made of one table.
        self.values.get(limit as usize).copied().unwrap_or(NONE)
    }

    /// The value of a limit; `None` where there is none.
    pub fn get(&self, limit: Limit) -> Option<u64> {
        Some(self.value(limit)).filter(|value| *value != NONE)
    }

    /// Sets a limit; `None` lifts it.
    pub fn set(&mut self, limit: Limit, value: Option<u64>) {
        if let Some(place) = self.values.get_mut(limit as usize) {
            *place = value.unwrap_or(NONE);
        }
    }

    /// The same with these.
    pub fn with(mut self, settings: impl IntoIterator<Item = Setting>) -> Self {
        for setting in settings {
            self.set(setting.limit, Some(setting.value));
        }
        self
    }

    /// So far a task that is going to be paused may go beyond a limit.
    pub fn grace(&self, limit: Limit) -> u64 {
        let value = self.value(limit);
        let least = match limit.unit() {
            Unit::Bytes => 1 << 20,
            Unit::Count => 16,
            Unit::Time => 1_000_000_000,
        };
        value.saturating_add(least.max(value / 10))
    }

    /// What reaching a limit is called.
    pub fn reached(&self, limit: Limit) -> Reached {
        Reached {
            setting: Setting {
                limit,
                value: self.value(limit),
            },
            found: None,
            hard: false,
        }
    }
}

/// A limit that was reached.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Reached {
    /// Which, and its value.
    pub setting: Setting,
    /// How much it would have been, where that is known.
    pub found: Option<u64>,
    /// The task is not to be paused any more.
    hard: bool,
}

impl Reached {
    /// The same with how much it would have been.
    pub fn with(mut self, found: u64) -> Self {
        self.found = Some(found);
        self
    }

    /// The same for a task that goes on too long to be paused.
    pub fn hard(mut self) -> Self {
        self.hard = true;
        self
    }

    /// Whether the task ends, even if it was to be paused.
    pub fn is_hard(&self) -> bool {
        self.hard
    }
}

impl fmt::Display for Reached {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let limit = self.setting.limit;
        write!(
            f,
            "the limit {} was reached ({}",
            self.setting,
            limit.what()
        )?;
        if let Some(found) = self.found {
            write!(f, "; it would be {}", limit.show(found))?;
        }
        write!(
            f,
            "); raise it with --limit {limit}=VALUE, or lift it with --limit {limit}=none"
        )
    }
}

impl std::error::Error for Reached {}

/// A number of bytes: with K, M, G or T, of 1024 each.
pub fn parse_bytes(text: &str) -> Option<u64> {
    let upper = text.trim().to_ascii_uppercase();
    let plain = upper.trim_end_matches('B').trim_end_matches('I');
    let (number, shift) = match plain.as_bytes().last() {
        Some(b'K') => (&plain[..plain.len() - 1], 10),
        Some(b'M') => (&plain[..plain.len() - 1], 20),
        Some(b'G') => (&plain[..plain.len() - 1], 30),
        Some(b'T') => (&plain[..plain.len() - 1], 40),
        _ => (plain, 0),
    };
    let number: u64 = number.trim().replace('_', "").parse().ok()?;
    number.checked_mul(1 << shift)
}

fn show_bytes(bytes: u64) -> String {
    let units = [(40, "T"), (30, "G"), (20, "M"), (10, "K")];
    let whole = |shift: u32| bytes > 0 && bytes.is_multiple_of(1 << shift);
    match units.into_iter().find(|(shift, _)| whole(*shift)) {
        Some((shift, unit)) => format!("{}{unit}", bytes >> shift),
        None => bytes.to_string(),
    }
}

/// A number with a unit, in nanoseconds.
pub fn parse_time(text: &str) -> Option<u64> {
    let text = text.trim();
    let split = text.find(|c: char| !c.is_ascii_digit() && c != '.')?;
    let (number, unit) = text.split_at(split);
    let seconds = match unit.trim() {
        "ms" => 0.001,
        "s" => 1.0,
        "m" | "min" => 60.0,
        "h" => 3600.0,
        "d" => 86400.0,
        _ => return None,
    };
    let time = Duration::try_from_secs_f64(number.parse::<f64>().ok()? * seconds).ok()?;
    u64::try_from(time.as_nanos()).ok()
}

fn show_time(nanoseconds: u64) -> String {
    let units = [
        (86_400_000_000_000, "d"),
        (3_600_000_000_000, "h"),
        (60_000_000_000, "m"),
        (1_000_000_000, "s"),
        (1_000_000, "ms"),
    ];
    let whole = |unit: u64| nanoseconds > 0 && nanoseconds.is_multiple_of(unit);
    match units.into_iter().find(|(unit, _)| whole(*unit)) {
        Some((unit, name)) => format!("{}{name}", nanoseconds / unit),
        None => format!("{:.3}s", nanoseconds as f64 * 1e-9),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn settings_read_back_as_they_are_shown() {
        for text in [
            "memory=512K",
            "memory=3",
            "cpu=10m",
            "time=1500ms",
            "files=7",
            "tmpfs=none",
            "file-size=2T",
        ] {
            let setting: Setting = text.parse().expect(text);
            assert_eq!(setting.to_string(), text);
        }
        for limit in Limit::ALL {
            let default = Setting {
                limit: *limit,
                value: limit.default_value(),
            };
            assert_eq!(default.to_string().parse(), Ok(default));
            let json = serde_json::to_string(limit).expect("it encodes");
            assert_eq!(json, format!("{:?}", limit.name()));
        }
        for wrong in [
            "",
            "memory",
            "memory=",
            "memory=x",
            "cpu=5",
            "files=1K",
            "nothing=1",
            "time=-1s",
        ] {
            assert!(wrong.parse::<Setting>().is_err(), "{wrong}");
        }
    }

    #[test]
    fn a_message_names_the_limit_its_value_and_how_to_raise_it() {
        let limits = Limits::default().with(["cpu=2s".parse().expect("a setting")]);
        let text = limits.reached(Limit::Cpu).to_string();
        assert!(
            text.contains("cpu=2s") && text.contains("--limit cpu=none"),
            "{text}"
        );
    }
}
