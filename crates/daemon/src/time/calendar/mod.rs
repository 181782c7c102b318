//! When a task starts that has a schedule: expressions are those of crontab(5), in local time, and
//! over changes of that time they follow cron(8).
//!
//! ```text
//!   local time   01:00 ------ 02:00 | 03:00 ------      spring: the hour from 02:00 is skipped
//!                                   `- fixed times of that hour run here, once
//!   local time   01:00 ------ 02:00 | 01:00 ------ 02:00 ------      autumn: it comes twice
//!                fixed times and    | only expressions
//!                expressions with * | with *
//! ```
//!
//! A schedule has *fixed times* where neither its minutes nor its hours (nor its seconds) hold a
//! `*`.

use std::sync::OnceLock;
use std::time::Duration;

use jiff::civil::Date;
use jiff::tz::{Offset, TimeZone};

use crate::model::Timestamp;
use crate::model::spec::{CronExpression, CronFields};

const DAY_SECONDS: i64 = 86_400;

/// Greater changes are corrections of the clock, says cron(8): the new time counts at once.
const LARGEST_CHANGE_SECONDS: i64 = 3 * 3600;

/// In seconds; a store has no later times.
const LAST_SECOND: i64 = i64::MAX / 1_000_000_000;

/// The times at which a task starts, by its expression.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Calendar(CronFields);

impl From<&CronExpression> for Calendar {
    fn from(expression: &CronExpression) -> Self {
        Self(*expression.fields())
    }
}

impl Calendar {
    /// The first time after `now`. `None` where there is none any more.
    pub(crate) fn after(&self, now: Timestamp, zone: &TimeZone) -> Option<Timestamp> {
        // A change of the offset right at the next second counts as one that lies ahead.
        let mut since = i64::try_from(now.seconds()).ok()?;
        let mut from = since + 1;
        loop {
            let moment = jiff::Timestamp::from_second(since).ok()?;
            let offset = seconds(zone.to_offset(moment));
            let change = zone.following(moment).next();
            let change = change.map(|next| (next.timestamp().as_second(), seconds(next.offset())));
            let (end, offset_then) = change.unwrap_or((LAST_SECOND, offset));
            let mut local = from + offset;
            if self.0.fixed {
                local = local.max(repeated_until(zone, since)?);
            }
            if let Some(found) = self.local(local, end.min(LAST_SECOND) + offset) {
                return timestamp(found - offset);
            }
            if end >= LAST_SECOND {
                return None;
            }
            let skipped = (end + offset)..(end + offset_then);
            if self.0.fixed
                && skipped.end - skipped.start < LARGEST_CHANGE_SECONDS
                && self.local(skipped.start, skipped.end).is_some()
            {
                return timestamp(end);
            }
            (since, from) = (end, end);
        }
    }

    /// The first of its times in `from..end`, all in seconds of local time.
    fn local(&self, from: i64, end: i64) -> Option<i64> {
        let mut from = from;
        while from < end {
            let day = from.div_euclid(DAY_SECONDS);
            let date = date(day)?;
            if self.0.months & bit(date.month()) == 0 {
                let next = date.last_of_month().tomorrow().ok()?;
                from = number(next) * DAY_SECONDS;
                continue;
            }
            if self.has(date)
                && let Some(time) = self.time(from.rem_euclid(DAY_SECONDS))
            {
                return Some(day * DAY_SECONDS + time).filter(|found| *found < end);
            }
            from = (day + 1) * DAY_SECONDS;
        }
        None
    }

    fn has(&self, date: Date) -> bool {
        let day = self.0.days & bit(date.day()) != 0;
        let weekday = self.0.weekdays & bit(date.weekday().to_sunday_zero_offset()) != 0;
        match self.0.either_day {
            true => day || weekday,
            false => day && weekday,
        }
    }

    /// The first time of a day that is not before `from`, in seconds.
    fn time(&self, from: i64) -> Option<i64> {
        let (hour, minute, second) = (from / 3600, from / 60 % 60, from % 60);
        let in_minute = |hour: i64, minute: i64, from: i64| {
            next(self.0.seconds, from).map(|second| hour * 3600 + minute * 60 + second)
        };
        let in_hour = |hour: i64, from: i64| {
            let minute = next(self.0.minutes, from)?;
            in_minute(hour, minute, 0)
        };
        let has = |set: u64, value: i64| next(set, value) == Some(value);
        if has(self.0.hours, hour) {
            let this_minute = match has(self.0.minutes, minute) {
                true => in_minute(hour, minute, second),
                false => None,
            };
            if let Some(found) = this_minute.or_else(|| in_hour(hour, minute + 1)) {
                return Some(found);
            }
        }
        in_hour(next(self.0.hours, hour + 1)?, 0)
    }

    /// The time from which to look for the next start, where the last one was for the time `last`:
    /// the clock may have been set back since. As cron(8) has it, fixed times do not come again
    /// where it was less than three hours, and those with a `*` do. By less than a minute, none
    /// does.
    pub(crate) fn look_from(&self, now: Timestamp, last: Option<Timestamp>) -> Timestamp {
        let within = match self.0.fixed {
            true => Duration::from_secs(LARGEST_CHANGE_SECONDS.unsigned_abs()),
            false => Duration::from_secs(60),
        };
        match last {
            Some(last) if last > now && last.saturating_duration_since(now) < within => last,
            _ => now,
        }
    }
}

/// A moment by its seconds since the Unix epoch.
fn timestamp(seconds: i64) -> Option<Timestamp> {
    let nanoseconds = u64::try_from(seconds).ok()?.checked_mul(1_000_000_000)?;
    Some(Timestamp::from_nanos(nanoseconds))
}

/// The smallest member of a set that is not below `from`.
fn next(set: u64, from: i64) -> Option<i64> {
    let rest = set & u64::MAX.checked_shl(u32::try_from(from).ok()?)?;
    (rest != 0).then(|| i64::from(rest.trailing_zeros()))
}

fn bit(number: i8) -> u64 {
    u32::try_from(number)
        .ok()
        .and_then(|number| 1u64.checked_shl(number))
        .unwrap_or(0)
}

fn seconds(offset: Offset) -> i64 {
    i64::from(offset.seconds())
}

/// The day of this number, counted from 1970.
fn date(day: i64) -> Option<Date> {
    let noon = jiff::Timestamp::from_second(day.checked_mul(DAY_SECONDS)?).ok()?;
    Some(Offset::UTC.to_datetime(noon).date())
}

fn number(date: Date) -> i64 {
    let midnight = date.at(0, 0, 0, 0);
    let moment = Offset::UTC.to_timestamp(midnight);
    moment
        .map_or(i64::MAX, jiff::Timestamp::as_second)
        .div_euclid(DAY_SECONDS)
}

/// Until when local time repeats what it has shown, where it was set back a little before `moment`.
fn repeated_until(zone: &TimeZone, moment: i64) -> Option<i64> {
    // What precedes is strictly before.
    let after = jiff::Timestamp::from_second(moment + 1).ok()?;
    let Some(change) = zone.preceding(after).next() else {
        return Some(i64::MIN);
    };
    let at = change.timestamp().as_second();
    let before = jiff::Timestamp::from_second(at - 1).ok()?;
    let (before, now) = (seconds(zone.to_offset(before)), seconds(change.offset()));
    Some(
        match (1..LARGEST_CHANGE_SECONDS).contains(&(before - now)) {
            true => at + before,
            false => i64::MIN,
        },
    )
}

/// The local time zone, as `TZ` or `/etc/localtime` had it when this was first called: a daemon
/// does that as it starts.
pub(crate) fn zone() -> &'static TimeZone {
    static ZONE: OnceLock<TimeZone> = OnceLock::new();
    ZONE.get_or_init(|| match TimeZone::try_system() {
        Ok(zone) => {
            let name = zone.iana_name().unwrap_or("a local time without a name");
            log::info!("schedules follow {name}");
            zone
        }
        Err(error) => {
            let named = std::env::var_os("TZ").map(|name| format!("TZ={name:?}: "));
            let named = named.unwrap_or_default();
            log::warn!("{named}no time zone is known, schedules follow UTC: {error}");
            TimeZone::UTC
        }
    })
}

/// The first time after `now` at which an expression holds, in the local time zone. `None` where
/// there is none any more.
pub(crate) fn next_occurrence(expression: &CronExpression, now: Timestamp) -> Option<Timestamp> {
    Calendar::from(expression).after(now, zone())
}

#[cfg(test)]
mod tests;
