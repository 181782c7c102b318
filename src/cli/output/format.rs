//! Times, sizes and waits, in words.

use std::time::SystemTime;

use crate::model::{Interest, Timestamp, Wait};

/// A moment in UTC.
pub(crate) fn time(time: Timestamp) -> String {
    let time = SystemTime::from(time);
    humantime::format_rfc3339_seconds(time).to_string()
}

/// What a task waits for.
pub(crate) fn wait(wait: &Wait, wakes: Option<Timestamp>) -> String {
    match wait {
        Wait::Yield => "nothing: it goes on at once".into(),
        Wait::Host { function } => format!("the host function {function}"),
        Wait::Poll { fds, .. } => {
            let mut parts = Vec::new();
            if let Some(wakes) = wakes {
                parts.push(time(wakes));
            }
            for wanted in fds {
                parts.push(match (wanted.fd, wanted.interest) {
                    (0, Interest::Read) => "input on stdin".into(),
                    (fd, Interest::Read) => format!("input on descriptor {fd}"),
                    (fd, Interest::Write) => format!("room on descriptor {fd}"),
                });
            }
            match parts.is_empty() {
                true => "a reader of a named pipe".into(),
                false => parts.join(" or "),
            }
        }
    }
}

/// Bytes with a unit.
pub(crate) fn bytes(count: u64) -> String {
    indicatif::BinaryBytes(count).to_string()
}

/// The beginning of a text, in so many characters; `…` stands for the rest.
#[cfg(feature = "server")]
pub(crate) fn shortened(text: &str, characters: usize) -> String {
    match text.chars().count() > characters {
        true => text.chars().take(characters - 1).chain(['…']).collect(),
        false => text.to_string(),
    }
}
