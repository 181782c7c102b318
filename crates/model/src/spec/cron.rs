//! Expressions of crontab(5), and nothing else but a field of seconds before its five.
//!
//! What other programs add (`L`, `W`, `#`, `?`, years, random times) is refused by name. So is what
//! would be read in two ways, such as `5/10` or a range that runs backwards.

use std::fmt;
use std::str::FromStr;

use crate::text::as_text;

/// An expression of crontab(5): at which times of which days something starts.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct CronExpression {
    fields: CronFields,
    /// As it was written.
    text: String,
}

as_text!(CronExpression);

/// What the fields of an expression allow. In each set the bit `n` says that `n` is in it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct CronFields {
    /// Of a minute.
    pub seconds: u64,
    /// Of an hour.
    pub minutes: u64,
    /// Of a day.
    pub hours: u64,
    /// Of a month, from 1 on.
    pub days: u64,
    /// Of a year, from 1 on.
    pub months: u64,
    /// Of a week: Sunday is 0.
    pub weekdays: u64,
    /// A day matches by its number or by its weekday; else only by both.
    pub either_day: bool,
    /// Neither seconds nor minutes nor hours hold a `*`.
    pub fixed: bool,
}

impl CronExpression {
    /// What its fields allow.
    pub fn fields(&self) -> &CronFields {
        &self.fields
    }

    /// As it was written.
    pub fn as_str(&self) -> &str {
        &self.text
    }
}

impl fmt::Display for CronExpression {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(&self.text)
    }
}

/// What a field may hold.
struct Field {
    name: &'static str,
    first: u32,
    last: u32,
    /// Names of values, the first of `first`.
    names: &'static [&'static str],
}

const SECOND: Field = Field::new("second", 0, 59, &[]);
const MINUTE: Field = Field::new("minute", 0, 59, &[]);
const HOUR: Field = Field::new("hour", 0, 23, &[]);
const DAY: Field = Field::new("day of the month", 1, 31, &[]);
const MONTHS: &[&str] = &[
    "jan", "feb", "mar", "apr", "may", "jun", "jul", "aug", "sep", "oct", "nov", "dec",
];
const MONTH: Field = Field::new("month", 1, 12, MONTHS);
const WEEKDAYS: &[&str] = &["sun", "mon", "tue", "wed", "thu", "fri", "sat"];
const WEEKDAY: Field = Field::new("day of the week", 0, 7, WEEKDAYS);

/// A field's set, and whether it holds a `*`.
type Set = (u64, bool);

impl Field {
    const fn new(
        name: &'static str,
        first: u32,
        last: u32,
        names: &'static [&'static str],
    ) -> Self {
        Self {
            name,
            first,
            last,
            names,
        }
    }

    fn set(&self, text: &str) -> Result<Set, String> {
        let foreign = |c: &char| !c.is_ascii_alphanumeric() && !"*-/,".contains(*c);
        if text.contains('?') {
            return Err(format!("the {} is {text:?}; write * for ?", self.name));
        }
        if let Some(c) = text.chars().find(foreign) {
            return Err(format!(
                "the {} is {text:?}, and crontab(5) has no {c:?}",
                self.name
            ));
        }
        if text.split([',', '-', '/']).any(is_last_or_working) {
            return Err(format!(
                "the {} is {text:?}, and crontab(5) has no L (last) and no W (nearest working day)",
                self.name
            ));
        }
        let mut set = 0;
        for member in text.split(',') {
            set |= self.member(text, member)?;
        }
        Ok((set, text.contains('*')))
    }

    /// One of the parts between commas.
    fn member(&self, text: &str, member: &str) -> Result<u64, String> {
        let name = self.name;
        if member.is_empty() {
            let where_ = match text.is_empty() {
                true => format!("the {name} is empty"),
                false => format!("the {name} is {text:?}, with nothing beside a comma"),
            };
            return Err(where_);
        }
        let (range, step) = match member.split_once('/') {
            None => (member, 1),
            Some((range, step)) => {
                let number: Option<u32> = digits(step).filter(|step| *step > 0);
                let step = number.ok_or_else(|| {
                    format!("the {name} is {text:?}, whose step {step:?} is no number from 1 on")
                })?;
                (range, step)
            }
        };
        let (first, last) = match (range, range.split_once('-')) {
            ("*", _) => (self.first, self.last),
            (_, Some((first, last))) => {
                let (start, end) = (self.value(text, first)?, self.value(text, last)?);
                // Sunday is the last day as well as the first.
                match end == 0 && start > 0 && digits::<u32>(last).is_none() {
                    true => (start, 7),
                    false => (start, end),
                }
            }
            (_, None) if member.contains('/') => {
                let value = self.value(text, range)?;
                return Err(format!(
                    "the {name} is {text:?}, where a step follows a single value; write \
                     {value}-{}/{step} or */{step}",
                    self.last
                ));
            }
            (single, None) => {
                let value = self.value(text, single)?;
                (value, value)
            }
        };
        if first > last {
            return Err(format!(
                "the {name} is {text:?}, and the range {range} runs backwards; write \
                 {first}-{},{}-{last}",
                self.last, self.first
            ));
        }
        let step = usize::try_from(step).unwrap_or(usize::MAX);
        let values = (first..=last).step_by(step);
        // 7 is Sunday too.
        let values = values.map(|value| match self.names.len() == 7 && value == 7 {
            true => 0,
            false => value,
        });
        Ok(values.fold(0, |set, value| set | 1 << value))
    }

    fn value(&self, text: &str, value: &str) -> Result<u32, String> {
        let named = self
            .names
            .iter()
            .position(|name| name.eq_ignore_ascii_case(value));
        let found = match named {
            Some(index) => u32::try_from(index).ok().map(|index| index + self.first),
            None => digits(value),
        };
        let fits = |value: &u32| (self.first..=self.last).contains(value);
        found.filter(fits).ok_or_else(|| {
            let or_names = match (self.names.first(), self.names.last()) {
                (Some(first), Some(last)) => format!(", or {first} to {last}"),
                _ => String::new(),
            };
            format!(
                "the {} is {text:?}, and {value:?} is none of {} to {}{or_names}",
                self.name, self.first, self.last
            )
        })
    }
}

/// Whether it is `L`, `W`, or both, behind a number or alone.
fn is_last_or_working(part: &str) -> bool {
    let number = part.trim_end_matches(['l', 'L', 'w', 'W']);
    number.len() < part.len() && number.bytes().all(|byte| byte.is_ascii_digit())
}

/// A number of digits alone: no sign, which Rust would take.
fn digits<T: FromStr>(text: &str) -> Option<T> {
    let plain = text.bytes().all(|byte| byte.is_ascii_digit());
    text.parse().ok().filter(|_| plain)
}

/// What stands for a nickname, or why there is nothing.
fn nickname(text: &str) -> Result<&'static str, String> {
    match text.to_ascii_lowercase().as_str() {
        "@yearly" | "@annually" => Ok("0 0 1 1 *"),
        "@monthly" => Ok("0 0 1 * *"),
        "@weekly" => Ok("0 0 * * 0"),
        "@daily" | "@midnight" => Ok("0 0 * * *"),
        "@hourly" => Ok("0 * * * *"),
        "@reboot" => Err(
            "@reboot names no time: a task is started when it is submitted, and goes on by itself \
             when the daemon starts; `--restart always` starts one anew that has ended"
                .into(),
        ),
        _ => Err(
            "of names there are @yearly, @annually, @monthly, @weekly, @daily, @midnight and @hourly"
                .into(),
        ),
    }
}

fn fields(text: &str) -> Result<CronFields, String> {
    let text = match text.trim() {
        name if name.starts_with('@') => nickname(name)?,
        fields => fields,
    };
    let fields: Vec<&str> = text.split_ascii_whitespace().collect();
    let (second, rest) = match fields.as_slice() {
        [minute, hour, day, month, weekday] => ("0", [minute, hour, day, month, weekday]),
        [second, minute, hour, day, month, weekday] => {
            (*second, [minute, hour, day, month, weekday])
        }
        [_, _, _, _, _, _, _] => {
            return Err("there are seven fields, and no field of years is known".into());
        }
        other => return Err(format!("it has {} fields", other.len())),
    };
    let [minute, hour, day, month, weekday] = rest;
    let (seconds, any_second) = SECOND.set(second)?;
    let (minutes, any_minute) = MINUTE.set(minute)?;
    let (hours, any_hour) = HOUR.set(hour)?;
    let (days, any_day) = DAY.set(day)?;
    let (months, _) = MONTH.set(month)?;
    let (weekdays, any_weekday) = WEEKDAY.set(weekday)?;
    Ok(CronFields {
        seconds,
        minutes,
        hours,
        days,
        months,
        weekdays,
        either_day: !any_day && !any_weekday,
        fixed: !any_second && !any_minute && !any_hour,
    })
}

impl FromStr for CronExpression {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let fields = fields(text).map_err(|wrong| {
            format!(
                "{text:?} is no cron expression: {wrong}. Write minute, hour, day of the month, \
                 month and day of the week, such as \"*/5 * * * *\", a second before them if it \
                 matters, or @hourly, @daily, @weekly, @monthly, @yearly"
            )
        })?;
        Ok(Self {
            fields,
            text: text.into(),
        })
    }
}
