//! How much a task may take.
//!
//! A limit is given as `NAME=VALUE` everywhere: `cpu=10m`, `memory=512M`, `files=none`; or as
//! `NAME=VALUE/PERIOD`, where what is used adds up over months: `cpu=12h/d`. What becomes of a task
//! that reaches one is decided by [`OnLimit`], but for limits of which a program can be told
//! ([`Limit::is_told`]).

use std::fmt;
use std::str::FromStr;
use std::time::Duration;

use crate::text::as_text;

mod limit;
mod setting;
mod units;
mod used;

use limit::NONE;
pub use limit::{Limit, Unit};
pub use setting::Setting;
use units::show_time;
pub(crate) use units::{exact_time, show_bytes};
pub use units::{parse_bytes, parse_span};
pub use used::Used;

/// What is different in a daemon, where nobody watches.
const DAEMON: [(Limit, &str); 3] = [
    (Limit::Cpu, "12h/d"),
    (Limit::Writes, "64G/d"),
    (Limit::Output, "4G/d"),
];

as_text!(OnLimit);

/// What becomes of a task that reaches a limit.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum OnLimit {
    /// It ends.
    #[default]
    End,
    /// It is suspended as soon as it can be, to go on with a higher limit. It ends where it
    /// continues for too long.
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

/// All limits of one task, or of one process.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Limits {
    /// By the place in [`Limit::ALL`].
    values: [u64; Limit::ALL.len()],
    periods: [Option<Duration>; Limit::ALL.len()],
    /// What becomes of a task that reaches one. `None`: one with a period pauses it, since it may
    /// go on in the next; any other ends it.
    pub on_limit: Option<OnLimit>,
}

impl Default for Limits {
    /// The limits that hold where nobody says otherwise.
    fn default() -> Self {
        let none = Self {
            values: [NONE; Limit::ALL.len()],
            periods: [None; Limit::ALL.len()],
            on_limit: None,
        };
        none.with_words(
            Limit::ALL
                .iter()
                .map(|limit| (*limit, limit.default_value())),
        )
    }
}

impl Limits {
    /// The limits that hold in a daemon where nobody says otherwise.
    pub fn daemon() -> Self {
        Self::default().with_words(DAEMON)
    }

    /// The same with those of our own tables, whose words a test reads.
    fn with_words(self, words: impl IntoIterator<Item = (Limit, &'static str)>) -> Self {
        let settings = words.into_iter();
        self.with(settings.filter_map(|(limit, value)| Setting::new(limit, value).ok()))
    }

    /// The value of a limit; `u64::MAX` where there is none.
    pub fn value(&self, limit: Limit) -> u64 {
        // The list and the places are made of one table.
        self.values.get(limit as usize).copied().unwrap_or(NONE)
    }

    /// The value of a limit; `None` where there is none.
    pub fn get(&self, limit: Limit) -> Option<u64> {
        Some(self.value(limit)).filter(|value| *value != NONE)
    }

    /// The period for which the value of a limit is.
    pub fn period(&self, limit: Limit) -> Option<Duration> {
        self.periods.get(limit as usize).copied().flatten()
    }

    /// Sets a limit, without a period; `None` lifts it.
    pub fn set(&mut self, limit: Limit, value: Option<u64>) {
        let value = value.unwrap_or(NONE);
        *self = self.with([Setting {
            limit,
            value,
            period: None,
        }]);
    }

    /// The same with these.
    pub fn with(mut self, settings: impl IntoIterator<Item = Setting>) -> Self {
        for setting in settings {
            let index = setting.limit as usize;
            if let (Some(value), Some(period)) =
                (self.values.get_mut(index), self.periods.get_mut(index))
            {
                (*value, *period) = (setting.value, setting.period);
            }
        }
        self
    }

    /// A limit with its value.
    pub fn setting(&self, limit: Limit) -> Setting {
        Setting {
            limit,
            value: self.value(limit),
            period: self.period(limit),
        }
    }

    /// Whether a task that reaches this limit is to be paused.
    pub fn pauses(&self, limit: Limit) -> bool {
        match self.on_limit {
            Some(on_limit) => on_limit == OnLimit::Pause,
            None => self.period(limit).is_some(),
        }
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
            setting: self.setting(limit),
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

    /// The same for a task that continues too long to be paused.
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
        match self.setting.period {
            Some(period) => write!(f, " in each {} since its start", show_time(period))?,
            None if limit.adds_up() => f.write_str(" over all suspends")?,
            None => {}
        }
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

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn settings_read_back_as_they_are_shown() {
        for text in [
            "memory=512K",
            "memory=3",
            "cpu=10m",
            "cpu=12h/d",
            "cpu=90m/36h",
            "output=1T/30s",
            "time=1500ms",
            "files=7",
            "tmpfs=none",
            "file-size=2T",
        ] {
            let setting: Setting = text.parse().expect(text);
            assert_eq!(setting.to_string(), text);
        }
        for limit in Limit::ALL {
            for limits in [Limits::default(), Limits::daemon()] {
                let default = limits.setting(*limit);
                assert_eq!(default.to_string().parse(), Ok(default));
            }
            let words = format!("{limit}={}", limit.default_value());
            assert_eq!(Limits::default().setting(*limit).to_string(), words);
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
            "time=1s/d",
            "cpu=none/d",
            "cpu=1s/",
            "cpu=1s/10ms",
            "cpu=/d",
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
