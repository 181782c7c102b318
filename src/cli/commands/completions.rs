//! `dormouse completions`: scripts that complete commands and flags in a shell.

use clap::CommandFactory;

use crate::cli::args::{Args, Completions};
use crate::cli::exit::{Done, Failure, OK};
use crate::cli::output;

pub(crate) fn completions(command: &Completions) -> Result<Done, Failure> {
    let mut script = Vec::new();
    clap_complete::generate(command.shell, &mut Args::command(), "dormouse", &mut script);
    if output::as_json() {
        output::result(&serde_json::json!({
            "shell": command.shell.to_string(),
            "script": String::from_utf8_lossy(&script),
        }));
        return OK;
    }
    let _ = output::write(&script);
    OK
}
