//! What can be limited: the one list, with defaults and words.

use std::fmt;
use std::str::FromStr;
use std::time::Duration;

use serde::{Deserialize, Deserializer, Serialize, Serializer};

use super::units::{parse_bytes, parse_span, show_bytes, show_time};

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
    ($($variant:ident $name:literal $unit:ident $default:literal, $what:literal;)*) => {
        /// What can be limited.
        #[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
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

            /// Its value where nobody says otherwise, as it is written.
            pub(super) fn default_value(self) -> &'static str {
                match self { $(Self::$variant => $default),* }
            }
        }
    };
}

// Whatever is no name is quoted, however long it is: who shows the message cuts it.
impl Serialize for Limit {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_str(self.name())
    }
}

impl<'de> Deserialize<'de> for Limit {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let text = String::deserialize(deserializer)?;
        text.trim().parse().map_err(serde::de::Error::custom)
    }
}

/// The value of a limit that is none.
pub(super) const NONE: u64 = u64::MAX;

limits! {
    Memory "memory" Bytes "1G", "bytes of each of the guest's memories";
    Table "table" Count "1048576", "elements of each of the guest's tables";
    Stack "stack" Bytes "8M", "bytes of native stack that the guest's calls may take";
    SuspendedStack "suspended-stack" Bytes "32M", "bytes that the guest's stack takes when it is suspended";
    Cpu "cpu" Time "7d/14d", "CPU time of the guest";
    Time "time" Time "none", "time since the task was first started, the time asleep counted in";
    Files "files" Count "1024", "descriptors open at once";
    FileSize "file-size" Bytes "4G", "bytes of each file that the guest writes";
    Writes "writes" Bytes "1T/d", "bytes written to files";
    Output "output" Bytes "1T/d", "bytes written to standard output and standard error";
    Tmpfs "tmpfs" Bytes "64M", "bytes of each directory in memory";
    Snapshot "snapshot" Bytes "8G", "bytes of a snapshot, and of each of its sections unpacked";
    Module "module" Bytes "256M", "bytes of the module";
    Functions "functions" Count "500000", "functions of the module";
}

impl Limit {
    /// Whether the guest is told when it reaches the limit, by the error that a program expects
    /// there: -1 for memory, `EMFILE` for descriptors, `ENOSPC` in a directory in memory. Other
    /// limits end or pause the task.
    pub fn is_told(self) -> bool {
        matches!(self, Self::Memory | Self::Table | Self::Files | Self::Tmpfs)
    }

    /// Whether it holds for a process and not for one task: the engine wants to know it at its
    /// start.
    pub fn is_of_process(self) -> bool {
        matches!(self, Self::Stack | Self::Module | Self::Functions)
    }

    /// Whether what is used of it adds up for as long as the task lives, so that a limit may be one
    /// for each period.
    pub fn adds_up(self) -> bool {
        matches!(self, Self::Cpu | Self::Writes | Self::Output)
    }

    /// A value in words: `1G`, `10m`, `none`.
    pub fn show(self, value: u64) -> String {
        if value == NONE {
            return "none".into();
        }
        match self.unit() {
            Unit::Bytes => show_bytes(value),
            Unit::Count => value.to_string(),
            Unit::Time => show_time(Duration::from_nanos(value)),
        }
    }

    /// A value from words; `None` where they are no value.
    pub(super) fn read(self, text: &str) -> Option<u64> {
        if text.trim().eq_ignore_ascii_case("none") {
            return Some(NONE);
        }
        match self.unit() {
            Unit::Bytes => parse_bytes(text),
            Unit::Count => text.trim().replace('_', "").parse().ok(),
            Unit::Time => u64::try_from(parse_span(text)?.as_nanos()).ok(),
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
