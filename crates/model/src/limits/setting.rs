//! A limit with its value, and the words of both.

use std::fmt;
use std::str::FromStr;
use std::time::Duration;

use serde::{Deserialize, Serialize};

use super::{Limit, NONE, Unit};

/// A limit with a value, as `NAME=VALUE` or `NAME=VALUE/PERIOD`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Setting {
    /// Which.
    pub limit: Limit,
    /// Its value in the unit of the limit; `u64::MAX` is none.
    pub value: u64,
    /// The value is for each period of so many nanoseconds, counted from the task's start.
    #[serde(default)]
    pub period: Option<u64>,
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

    /// Its value in words, with the period.
    pub fn shown(&self) -> String {
        let value = self.limit.show(self.value);
        match self.period {
            Some(period) => format!("{value}/{}", show_period(period)),
            None => value,
        }
    }
}

/// A period: `d`, `12h`.
fn read_period(text: &str) -> Option<u64> {
    let text = text.trim();
    let bare = text.chars().all(char::is_alphabetic);
    let period = match bare {
        true => parse_time(&format!("1{text}")),
        false => parse_time(text),
    };
    period.filter(|period| *period >= 1_000_000_000)
}

fn show_period(period: u64) -> String {
    let text = show_time(period);
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

pub(super) fn show_bytes(bytes: u64) -> String {
    let units = [(40, "T"), (30, "G"), (20, "M"), (10, "K")];
    let whole = |shift: u32| bytes > 0 && bytes.is_multiple_of(1 << shift);
    match units.into_iter().find(|(shift, _)| whole(*shift)) {
        Some((shift, unit)) => format!("{}{unit}", bytes >> shift),
        None => bytes.to_string(),
    }
}

/// So many of a unit of time.
pub fn duration(number: &str, unit: &str) -> Option<Duration> {
    let seconds = match unit {
        "ms" => 0.001,
        "s" => 1.0,
        "m" | "min" => 60.0,
        "h" => 3600.0,
        "d" => 86400.0,
        _ => return None,
    };
    Duration::try_from_secs_f64(number.parse::<f64>().ok()? * seconds).ok()
}

/// A number with a unit, in nanoseconds.
pub fn parse_time(text: &str) -> Option<u64> {
    let text = text.trim();
    let split = text.find(|c: char| !c.is_ascii_digit() && c != '.')?;
    let (number, unit) = text.split_at(split);
    let time = duration(number, unit.trim())?;
    u64::try_from(time.as_nanos()).ok()
}

pub(super) fn show_time(nanoseconds: u64) -> String {
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
