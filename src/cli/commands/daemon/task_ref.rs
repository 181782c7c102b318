//! What `inspect` and `resume` are given: a file, or a daemon's task.

use std::path::Path;

use crate::cli::args::daemon::Remote;
use crate::cli::client::Client;
use crate::cli::exit::{DAEMON, Failure, NO_INPUT, NO_TASK};
use crate::model::check_name;

/// Which of the two a word means; help and messages say it.
pub(crate) const RULE: &str = "what has a '/' in it or begins with '.' is a file; digits alone are a task's number; \
     anything else is the file of that name here, if there is one, else the task of that name";

/// The task that a word means; `None` for a file.
///
/// # Errors
/// If it is neither a file nor a task.
pub(crate) fn parse<'a>(given: &'a Path, remote: &Remote) -> Result<Option<&'a str>, Failure> {
    let Some(text) = given.to_str().filter(|text| !text.is_empty()) else {
        return Ok(None);
    };
    if text.chars().all(|c| c.is_ascii_digit()) {
        return Ok(Some(text));
    }
    // A name has no '/' in it, and does not begin with '.'.
    if check_name(text).is_err() || given.exists() {
        return Ok(None);
    }
    // Where no daemon is known, a file is what is missing.
    Client::new(remote).map_err(|failure| match failure.code {
        DAEMON => Failure::new(
            NO_INPUT,
            format!("there is no file {text} here, and no daemon is known that could have a task of that name ({RULE})"),
        ),
        _ => failure,
    })?;
    Ok(Some(text))
}

/// Adds the rule to the message where there is no such task.
pub(crate) fn with_rule(failure: Failure) -> Failure {
    match failure.code == NO_TASK && failure.message.starts_with("there is no task") {
        true => Failure::new(NO_TASK, format!("{} ({RULE})", failure.message)),
        false => failure,
    }
}
