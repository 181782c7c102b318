//! A limit with its value, and the words of both.

use std::fmt;
use std::str::FromStr;
use std::time::Duration;

use super::limit::{Limit, NONE, Unit};
use super::units::{exact_time, parse_span};

/// No period of a limit is shorter.
const SHORTEST_PERIOD: Duration = Duration::from_secs(1);

/// A limit with a value, as `NAME=VALUE` or `NAME=VALUE/PERIOD`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Setting {
    /// Which.
    pub limit: Limit,
    /// Its value in the unit of the limit; `u64::MAX` is none.
    pub value: u64,
    /// The value is for each period of this length, counted from the task's start.
    pub period: Option<Duration>,
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
        let (amount, period) = match value.split_once('/') {
            Some((amount, period)) if limit.adds_up() => (amount, Some(period)),
            Some(_) => {
                return Err(format!(
                    "{limit}: {value:?} has a period, and only cpu, writes and output can have one"
                ));
            }
            None => (value, None),
        };
        let Some(amount) = limit.read(amount) else {
            let each = match limit.adds_up() {
                true => ", each of them also for a period such as /d or /12h",
                false => "",
            };
            return Err(format!(
                "{limit}: {value:?} is no value; write {examples}{each}, or none"
            ));
        };
        let period = match period {
            None => None,
            Some(_) if amount == NONE => {
                return Err(format!("{limit}: no limit has no period; write none"));
            }
            Some(text) => match read_period(text) {
                Some(period) => Some(period),
                None => {
                    return Err(format!(
                        "{limit}: {text:?} is no period; write d, h, or a time of a second at least, such as 12h"
                    ));
                }
            },
        };
        Ok(Self {
            limit,
            value: amount,
            period,
        })
    }

    /// Whether it lifts the limit.
    pub fn is_none(&self) -> bool {
        self.value == NONE
    }

    /// Its value in words, with the period, from which it is read back.
    pub fn shown(&self) -> String {
        let value = match self.limit.unit() {
            Unit::Time if !self.is_none() => exact_time(Duration::from_nanos(self.value)),
            _ => self.limit.show(self.value),
        };
        match self.period {
            Some(period) => format!("{value}/{}", show_period(period)),
            None => value,
        }
    }
}

/// A period: `d`, `12h`.
fn read_period(text: &str) -> Option<Duration> {
    let text = text.trim();
    let bare = text.chars().all(char::is_alphabetic);
    let period = match bare {
        true => parse_span(&format!("1{text}")),
        false => parse_span(text),
    };
    period.filter(|period| *period >= SHORTEST_PERIOD)
}

fn show_period(period: Duration) -> String {
    let text = exact_time(period);
    match text.strip_prefix('1') {
        Some(unit) if unit.chars().all(char::is_alphabetic) => unit.into(),
        _ => text,
    }
}

impl fmt::Display for Setting {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}={}", self.limit, self.shown())
    }
}
