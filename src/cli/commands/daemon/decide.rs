//! `dormouse decide`: says where a task is whose move is open and whose other daemon does not
//! answer.

use ureq::http::Method;

use crate::cli::args::daemon::Decide;
use crate::cli::client::{Client, escaped};
use crate::cli::exit::{Done, Failure, OK};
use crate::cli::output::{self, say};
use crate::daemon::http::peers as wire;

pub(super) fn decide(command: &Decide) -> Result<Done, Failure> {
    let client = Client::new(&command.remote)?;
    let wanted = wire::Decide {
        keep: command.keep,
        force: command.force,
    };
    let path = format!("/v1/tasks/{}/decide", escaped(&command.id));
    let decided: wire::Decided = client.json(Method::POST, &path, Some(&wanted))?;
    if output::as_json() {
        output::result(&decided);
        return OK;
    }
    let id = decided.task;
    match (decided.kept, decided.forced) {
        (true, false) => say!("the other daemon has answered: task {id} is here, and goes on"),
        (false, false) => say!("the other daemon has answered: task {id} is that one's"),
        (true, true) => say!(
            "task {id} is here, and goes on; do not let the other daemon run it: if that comes back, the two find out as \
             soon as they reach each other, and one of them sets it aside"
        ),
        (false, true) => say!("task {id} is the other daemon's, and goes from here"),
    }
    OK
}
