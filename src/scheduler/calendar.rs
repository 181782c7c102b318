//! When a task starts that has a schedule. Cron expressions are in the daemon's local time, as cron's
//! own are.

use chrono::{DateTime, Local};
use croner::Cron;

use super::Error;

/// The first time after `now` at which a cron expression holds; both in nanoseconds since the Unix
/// epoch. `None` where there is none any more.
///
/// # Errors
/// Where the expression is not one.
pub fn next(expression: &str, now: u64) -> Result<Option<u64>, Error> {
    let cron: Cron = expression.parse().map_err(|error| {
        Error::Request(format!(
            "{expression:?} is no cron expression ({error}); write five fields such as \
             \"*/5 * * * *\", or @hourly, @daily, @weekly, @monthly"
        ))
    })?;
    let now = DateTime::from_timestamp_nanos(i64::try_from(now).unwrap_or(i64::MAX));
    // The search ends at the year 5000: an expression such as 30 February never holds.
    let Ok(found) = cron.find_next_occurrence(&now.with_timezone(&Local), false) else {
        return Ok(None);
    };
    let nanoseconds = found.timestamp_nanos_opt();
    Ok(nanoseconds.and_then(|time| u64::try_from(time).ok()))
}

#[cfg(test)]
mod tests {
    use super::*;

    const SECOND: u64 = 1_000_000_000;

    #[test]
    fn the_next_minute_is_at_most_a_minute_away() {
        let now = 1_800_000_000 * SECOND + 5;
        let found = next("* * * * *", now).expect("parses").expect("holds");
        assert!(found > now && found <= now + 60 * SECOND);
        assert_eq!(found % (60 * SECOND), 0);
    }

    #[test]
    fn what_never_holds_has_no_time_and_nonsense_is_refused() {
        assert_eq!(next("0 0 30 2 *", 0).expect("parses"), None);
        assert!(next("whenever", 0).is_err());
        assert!(next("", 0).is_err());
    }
}
