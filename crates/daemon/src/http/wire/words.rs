//! Times and waits as they are written and read.

use crate::model::{Interest, Timestamp, Wait};

/// A time as RFC 3339 in UTC, to milliseconds.
pub(in crate::http) fn time(time: Timestamp) -> String {
    let nanoseconds = i64::try_from(time.as_nanos()).unwrap_or(i64::MAX);
    let time = jiff::Timestamp::from_nanosecond(nanoseconds.into());
    format!("{:.3}", time.unwrap_or(jiff::Timestamp::MAX))
}

/// A time from RFC 3339.
pub(in crate::http) fn read_time(text: &str) -> Result<Timestamp, String> {
    let wrong = || {
        format!(
            "{text:?} is no time; write RFC 3339, such as 2030-01-31T12:00:00Z, up to the year 2262"
        )
    };
    let time: jiff::Timestamp = text.parse().map_err(|_| wrong())?;
    let nanoseconds = i64::try_from(time.as_nanosecond()).map_err(|_| wrong())?;
    let nanoseconds = u64::try_from(nanoseconds).map_err(|_| wrong())?;
    Ok(Timestamp::from_nanos(nanoseconds))
}

/// What a wait is for, in words.
pub(super) fn wait(wait: &Wait) -> String {
    match wait {
        Wait::Yield => "its next turn".into(),
        Wait::Host { function } => format!("host function {function}"),
        Wait::Poll { deadline, fds } => {
            let mut parts: Vec<String> = fds
                .iter()
                .map(|fd| match fd.interest {
                    Interest::Read => format!("fd {} readable", fd.fd),
                    Interest::Write => format!("fd {} writable", fd.fd),
                })
                .collect();
            if deadline.is_some() {
                parts.push("time".into());
            }
            match parts.is_empty() {
                true => "a reader of a named pipe".into(),
                false => parts.join(" or "),
            }
        }
    }
}
