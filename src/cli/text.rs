//! Words and numbers for people.

use std::fmt;
use std::io::{self, Write};
use std::sync::OnceLock;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use super::exit::Failure;
use crate::model::{Interest, Wait};

/// Whether `--json` was given.
static AS_JSON: AtomicBool = AtomicBool::new(false);

/// From now on, what is printed is JSON.
pub(super) fn set_json() {
    AS_JSON.store(true, Ordering::Relaxed);
}

/// Whether what is printed is JSON.
pub(super) fn as_json() -> bool {
    AS_JSON.load(Ordering::Relaxed)
}

/// The first line that could not be printed.
static FAILED: OnceLock<io::Error> = OnceLock::new();

/// Prints a line. A reader that has gone, as in `dormouse inspect … | head`, has seen enough:
/// `println!` would panic. Anything else is told at the end.
pub(super) fn line(text: fmt::Arguments<'_>) {
    let _ = print(&plain(text));
}

/// Prints a line as it is, for programs; says whether anybody can read it.
pub(super) fn print(text: &str) -> bool {
    let written = super::log::stdout().write_all(format!("{text}\n").as_bytes());
    match written {
        Ok(()) => return true,
        Err(error) if error.kind() == io::ErrorKind::BrokenPipe => {}
        Err(error) => drop(FAILED.set(error)),
    }
    false
}

/// Why something could not be printed, if that is so.
pub(super) fn failed() -> Option<&'static io::Error> {
    FAILED.get()
}

/// Tells the user something, under our name. It is no reason to fail that nobody can hear it:
/// `eprintln!` would panic, after a snapshot has been written as before. It is one write: standard error has no
/// buffer, and the log, which writes there too, would come in between the parts of a line.
pub(super) fn tell(text: fmt::Arguments<'_>) {
    match as_json() {
        true => event(&serde_json::json!({ "message": text.to_string() })),
        false => {
            let line = format!("dormouse: {}\n", plain(text));
            let _ = io::stderr().write_all(line.as_bytes());
        }
    }
}

/// Tells a program something on standard error, in one line.
pub(super) fn event(value: &serde_json::Value) {
    let line = format!("{}\n", escaped(&value.to_string()));
    let _ = io::stderr().write_all(line.as_bytes());
}

/// Why the command failed.
pub(super) fn failure(failure: &Failure) {
    match as_json() {
        true => event(&serde_json::json!({
            "error": failure.message,
            "code": failure.code.number(),
        })),
        false => tell(format_args!("{}", failure.message)),
    }
}

/// Without what a terminal obeys or what changes how the rest is shown: names come out of modules and snapshots,
/// whoever has made them.
fn plain(text: fmt::Arguments<'_>) -> String {
    let mut plain = String::new();
    for c in text.to_string().chars() {
        match c == '\n' || is_shown(c) {
            true => plain.push(c),
            false => plain.extend(c.escape_default()),
        }
    }
    plain
}

/// Whether a terminal shows all of it as it is.
pub(super) fn is_plain(text: &str) -> bool {
    text.chars().all(|c| c == '\n' || is_shown(c))
}

/// Tells the user something that says itself whose it is.
pub(super) fn complain(text: &str) {
    let _ = io::stderr().write_all(plain(format_args!("{text}")).as_bytes());
}

/// Whether a terminal shows this character, and does nothing else with it. Control characters are obeyed; format
/// characters such as U+202E reverse what follows, or are not seen at all.
fn is_shown(c: char) -> bool {
    if c.is_ascii() {
        return !c.is_ascii_control();
    }
    // What the standard library escapes in `{:?}`: all that is not printable. An accent that stands behind a letter is
    // printable.
    String::from_iter(['a', c]).escape_debug().nth(1) == Some(c)
}

/// What a command gives, as JSON.
pub(super) fn result(value: &impl serde::Serialize) {
    let _ = print(&json(value));
}

/// JSON for programs and for terminals: what a terminal does not show is escaped, which means the same.
fn json(value: &impl serde::Serialize) -> String {
    // Our own structures have text for keys, and nothing in them fails.
    escaped(&serde_json::to_string_pretty(value).unwrap_or_default())
}

/// JSON with what a terminal does not show escaped.
pub(super) fn escaped(text: &str) -> String {
    let mut escaped = String::with_capacity(text.len());
    let mut units = [0; 2];
    for c in text.chars() {
        match c == '\n' || is_shown(c) {
            true => escaped.push(c),
            false => {
                for unit in c.encode_utf16(&mut units) {
                    escaped.push_str(&format!("\\u{unit:04x}"));
                }
            }
        }
    }
    escaped
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

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_a_terminal_obeys_is_escaped_and_letters_are_not() {
        let told = |text: &str| plain(format_args!("{text}"));
        // Of each kind: C0, DEL, C1, bidirectional, zero width, separators, tags, private use.
        let hidden = [
            '\u{1b}',
            '\u{7f}',
            '\u{9b}',
            '\u{ad}',
            '\u{61c}',
            '\u{200b}',
            '\u{200d}',
            '\u{200e}',
            '\u{200f}',
            '\u{2028}',
            '\u{2029}',
            '\u{202a}',
            '\u{202b}',
            '\u{202c}',
            '\u{202d}',
            '\u{202e}',
            '\u{2060}',
            '\u{2066}',
            '\u{2067}',
            '\u{2068}',
            '\u{2069}',
            '\u{feff}',
            '\u{e0041}',
            '\u{e000}',
        ];
        for c in hidden {
            let text = told(&format!("a{c}b"));
            assert_eq!(text, format!("a{}b", c.escape_default()), "{c:?}");
            let written = json(&format!("a{c}b"));
            assert!(written.is_ascii(), "{written}");
            let read: String = serde_json::from_str(&written).expect("it is JSON");
            assert_eq!(read, format!("a{c}b"));
        }
        let shown = "plain 'a' \"b\" \\ é e\u{301} ß 日本 עברית العربية 😀\nnext";
        assert_eq!(told(shown), shown);
        let read: String = serde_json::from_str(&json(&shown)).expect("it is JSON");
        assert_eq!(read, shown);
    }
}
