//! What commands print: lines for people, or JSON for programs (`--json`).

pub(crate) mod escape;
pub(crate) mod format;
pub(crate) mod streams;
pub(crate) mod timings;

use std::fmt;
use std::io::{self, Write};
use std::sync::OnceLock;
use std::sync::atomic::{AtomicBool, Ordering};

use self::streams::stdout;
use super::exit::Failure;

/// Whether `--json` was given.
static AS_JSON: AtomicBool = AtomicBool::new(false);

/// From now on, what is printed is JSON.
pub(crate) fn set_json() {
    AS_JSON.store(true, Ordering::Relaxed);
}

/// Whether what is printed is JSON.
pub(crate) fn as_json() -> bool {
    AS_JSON.load(Ordering::Relaxed)
}

/// Why the first line that could not be printed was not.
static FAILED: OnceLock<io::Error> = OnceLock::new();

/// Prints a line. A reader that has gone, as in `dormouse inspect … | head`, has seen enough:
/// `println!` would panic. Any other error is reported when the command ends.
pub(crate) fn line(text: fmt::Arguments<'_>) {
    let _ = print(&escape::plain(&text.to_string()));
}

/// Prints a line as it is, for programs; says whether anybody can read it.
pub(crate) fn print(text: &str) -> bool {
    write(format!("{text}\n").as_bytes())
}

/// Writes bytes to standard output as they are; says whether anybody can read them.
pub(crate) fn write(bytes: &[u8]) -> bool {
    let mut stdout = stdout();
    match stdout.write_all(bytes).and_then(|()| stdout.flush()) {
        Ok(()) => return true,
        Err(error) if error.kind() == io::ErrorKind::BrokenPipe => {}
        Err(error) => drop(FAILED.set(error)),
    }
    false
}

/// Why something could not be printed, if that is so.
pub(crate) fn failed() -> Option<&'static io::Error> {
    FAILED.get()
}

/// Tells the user something, under our name. A standard error that is closed is no failure:
/// `eprintln!` would panic, after a snapshot has been written as before. It is one write: standard
/// error has no buffer, and lines of the log would come in between the parts of this one.
pub(crate) fn tell(text: fmt::Arguments<'_>) {
    match as_json() {
        true => event(&serde_json::json!({ "message": text.to_string() })),
        false => complain(&format!("dormouse: {text}\n")),
    }
}

/// Tells a program something on standard error, in one line.
pub(crate) fn event(value: &serde_json::Value) {
    let line = format!("{}\n", escape::json(&value.to_string()));
    let _ = io::stderr().write_all(line.as_bytes());
}

/// Says why the command failed.
pub(crate) fn failure(failure: &Failure) {
    match as_json() {
        true => event(&serde_json::json!({
            "error": failure.message,
            "code": failure.code.number(),
        })),
        false => tell(format_args!("{}", failure.message)),
    }
}

/// Prints a text on standard error without our name in front of it.
pub(crate) fn complain(text: &str) {
    let _ = io::stderr().write_all(escape::plain(text).as_bytes());
}

/// Prints what a command gives, as JSON.
pub(crate) fn result(value: &impl serde::Serialize) {
    // Our own structures have text for keys, and nothing in them fails.
    let json = serde_json::to_string_pretty(value).unwrap_or_default();
    let _ = print(&escape::json(&json));
}

/// Like `println!`, through [`line`].
macro_rules! out {
    ($($text:tt)*) => { $crate::cli::output::line(format_args!($($text)*)) };
}
pub(crate) use out;

/// Like `eprintln!`, through [`tell`].
macro_rules! say {
    ($($text:tt)*) => { $crate::cli::output::tell(format_args!($($text)*)) };
}
pub(crate) use say;
