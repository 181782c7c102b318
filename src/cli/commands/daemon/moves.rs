//! `dormouse moves`: the moves that are open.

use crate::cli::args::daemon::Moves;
use crate::cli::client::Client;
use crate::cli::exit::{Done, Failure, OK};
use crate::cli::output::{self, out, say};
use crate::daemon::http::peers as wire;

pub(super) fn moves(command: &Moves) -> Result<Done, Failure> {
    let client = Client::new(command.remote.url.as_deref())?;
    let open: Vec<wire::Open> = client.get("/v1/moves")?;
    if output::as_json() {
        output::result(&open);
        return OK;
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
    OK
}

fn meaning(step: &str) -> &str {
    match step {
        "giving" => "is on its way; this daemon decides",
        "returned" => "stays here; the other daemon has to be told",
        "given" => "was given away; the other daemon has not confirmed that it has it",
        "held" => "has arrived; the other daemon has not said that it gives it up",
        other => other,
    }
}
