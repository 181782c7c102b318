//! `dormouse moves`: the moves that are open.

use crate::cli::args::daemon::Moves;
use crate::cli::client::Client;
use crate::cli::exit::{Done, Failure, OK};
use crate::cli::output::{self, out, say};
use crate::daemon::http::peers as wire;

pub(super) fn moves(command: &Moves) -> Result<Done, Failure> {
    let client = Client::new(&command.remote)?;
    let open = open_moves(&client)?;
    if output::as_json() {
        output::result(&open);
        return OK;
    }
    for one in &open {
        let named = one.name.as_ref();
        let named = named.map_or_else(String::new, |name| format!(" ({name})"));
        let peer_task = one.peer_task;
        let peer_task = peer_task.map_or_else(String::new, |id| format!(", as its task {id}"));
        out!("task {}{named}", one.task);
        out!("  {}", meaning(&one.phase));
        let at = match one.address.is_empty() {
            true => "an address that it did not say",
            false => &one.address,
        };
        out!("  the other daemon is {} at {at}{peer_task}", one.peer);
        out!("  since {}", one.since);
        if let Some(why) = &one.why {
            out!("  {why}");
        }
    }
    let in_doubt = open.iter().filter(|one| one.in_doubt).count();
    if in_doubt > 0 {
        say!(
            "no daemon runs {in_doubt} of these tasks until the two have reached each other; if the other one does not come back: \
             `dormouse decide ID --keep` or `--drop`"
        );
    }
    OK
}

/// All open moves, page after page.
fn open_moves(client: &Client) -> Result<Vec<wire::Open>, Failure> {
    let mut open: Vec<wire::Open> = client.get("/v1/moves")?;
    let mut page = open.len();
    while page >= wire::MAX_MOVES
        && let Some(last) = open.last()
    {
        let more: Vec<wire::Open> = client.get(&format!("/v1/moves?after={}", last.task))?;
        page = more.len();
        open.extend(more);
    }
    Ok(open)
}

fn meaning(phase: &str) -> &str {
    match phase {
        "preparing" => "is on its way; this daemon decides",
        "aborted" => "stays here; the other daemon has to be told",
        "committed" => "is the other daemon's, which has not confirmed that it has it",
        "prepared" => "has arrived; the other daemon has not said that the move is committed",
        other => other,
    }
}
