//! `dormouse moves` and `decide`: moves that are open, and where a task is whose other daemon does not come back.

use ureq::http::Method;

use super::args::{Decide, Moves};
use super::client::{Client, segment};
use super::exit::{Done, Failure};
use super::text::{self, out, say};
use crate::server::peers as wire;

pub(super) fn moves(command: &Moves) -> Result<Done, Failure> {
    let client = Client::new(command.remote.url.as_deref())?;
    let open: Vec<wire::Open> = client.get("/v1/moves")?;
    if text::as_json() {
        text::result(&open);
        return Ok(Done::Guest(0));
    }
    for one in &open {
        let named = one.name.as_ref();
        let named = named.map_or_else(String::new, |name| format!(" ({name})"));
        let theirs = one.theirs;
        let theirs = theirs.map_or_else(String::new, |theirs| format!(", as its task {theirs}"));
        out!("task {}{named}", one.task);
        out!("  {}", meaning(&one.step));
        let at = match one.address.is_empty() {
            true => "an address that it did not say",
            false => &one.address,
        };
        out!("  the other daemon is {} at {at}{theirs}", one.peer);
        out!("  since {}", one.since);
        if let Some(why) = &one.why {
            out!("  {why}");
        }
    }
    let undecided = open.iter().filter(|one| one.undecided).count();
    if undecided > 0 {
        say!(
            "nobody runs {undecided} of these tasks until the daemons have spoken; if the other one does not come back: \
             `dormouse decide ID --keep` or `--drop`"
        );
    }
    Ok(Done::Guest(0))
}

fn meaning(step: &str) -> &str {
    match step {
        "giving" => "is on its way; this daemon decides",
        "returned" => "stays here; the other daemon has to be told",
        "given" => "was given away; the other daemon has not confirmed that it has it",
        "held" => "has come; the other daemon has not said that it gives it up",
        other => other,
    }
}

pub(super) fn decide(command: &Decide) -> Result<Done, Failure> {
    let client = Client::new(command.remote.url.as_deref())?;
    let wanted = wire::Decide {
        keep: command.keep,
        force: command.force,
    };
    let path = format!("/v1/tasks/{}/decide", segment(&command.id));
    let decided: wire::Decided = client.json(Method::POST, &path, Some(&wanted))?;
    if text::as_json() {
        text::result(&decided);
        return Ok(Done::Guest(0));
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
    Ok(Done::Guest(0))
}
