//! Words and numbers for people.

use std::fmt;
use std::io::{self, Write};
use std::sync::OnceLock;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use crate::model::{Interest, Wait};

/// The first line that could not be printed.
static FAILED: OnceLock<io::Error> = OnceLock::new();

/// Prints a line. A reader that has gone, as in `dormouse inspect … | head`, has seen enough:
/// `println!` would panic. Anything else is told at the end.
pub(super) fn line(text: fmt::Arguments<'_>) {
    print(&plain(text));
}

/// Prints a line as it is, for programs.
pub(super) fn print(text: &str) {
    match super::log::stdout().write_all(format!("{text}\n").as_bytes()) {
        Err(error) if error.kind() != io::ErrorKind::BrokenPipe => {
            let _ = FAILED.set(error);
        }
        _ => {}
    }
}

/// Why something could not be printed, if that is so.
pub(super) fn failed() -> Option<&'static io::Error> {
    FAILED.get()
}

/// Tells the user something, under our name. It is no reason to fail that nobody can hear it:
/// `eprintln!` would panic, after a snapshot has been written as before. It is one write: standard error has no
/// buffer, and the log, which writes there too, would come in between the parts of a line.
pub(super) fn tell(text: fmt::Arguments<'_>) {
    let line = format!("dormouse: {}\n", plain(text));
    let _ = io::stderr().write_all(line.as_bytes());
}

/// Without what a terminal obeys: names come out of modules and snapshots, whoever has made them.
fn plain(text: fmt::Arguments<'_>) -> String {
    let mut plain = String::new();
    for c in text.to_string().chars() {
        match c.is_control() && c != '\n' {
            true => plain.extend(c.escape_default()),
            false => plain.push(c),
        }
    }
    plain
}

/// Like `println!`, through [`line`].
macro_rules! out {
    ($($text:tt)*) => { $crate::cli::text::line(format_args!($($text)*)) };
}
pub(super) use out;

/// Like `eprintln!`, through [`tell`].
macro_rules! say {
    ($($text:tt)*) => { $crate::cli::text::tell(format_args!($($text)*)) };
}
pub(super) use say;

/// Nanoseconds since the Unix epoch as UTC.
pub(super) fn time(nanoseconds: u64) -> String {
    let time: SystemTime = UNIX_EPOCH + Duration::from_nanos(nanoseconds);
    humantime::format_rfc3339_seconds(time).to_string()
}

/// What a task waits for.
pub(super) fn wait(wait: &Wait, wakes: Option<u64>) -> String {
    match wait {
        Wait::Yield => "nothing: it goes on at once".into(),
        Wait::Host { function } => format!("the host function {function}"),
        Wait::Poll { fds, .. } => {
            let mut parts = Vec::new();
            if let Some(wakes) = wakes {
                parts.push(time(wakes));
            }
            for wanted in fds {
                let (fd, way) = (wanted.fd, wanted.interest);
                parts.push(match (fd, way) {
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
pub(super) fn bytes(count: u64) -> String {
    indicatif::BinaryBytes(count).to_string()
}
