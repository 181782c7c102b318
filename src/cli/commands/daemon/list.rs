//! Lists of tasks, page by page.

use crate::cli::args::daemon::Filter;
use crate::cli::client::{Client, escaped};
use crate::cli::exit::Failure;
use crate::daemon::http::wire;

/// A page of the API has at most this many tasks.
const MAX_PAGE_TASKS: u64 = 1000;

/// The tasks that match, the newest first, up to `limit` of them. Where there are more, also the
/// lowest number among those given: `before` for the next list.
pub(super) fn list(
    client: &Client,
    filter: &Filter,
    before: Option<u64>,
    limit: u64,
) -> Result<(Vec<wire::Task>, Option<u64>), Failure> {
    let mut query = String::new();
    if let Some(states) = &filter.state {
        query.push_str(&format!("&state={}", escaped(&states.replace(' ', ""))));
    }
    if let Some(pattern) = &filter.name {
        query.push_str(&format!("&name={}", escaped(pattern)));
    }
    let page = |before: Option<u64>, limit: u64| -> Result<wire::Tasks, Failure> {
        let before = before.map_or_else(String::new, |before| format!("&before={before}"));
        client.get(&format!("/v1/tasks?limit={limit}{query}{before}"))
    };
    let mut tasks: Vec<wire::Task> = Vec::new();
    let mut next = before;
    loop {
        let left = limit - tasks.len() as u64;
        let found = page(next, left.clamp(1, MAX_PAGE_TASKS))?;
        if left == 0 {
            // The page after the last: there may be nothing on it.
            let more = !found.tasks.is_empty() || found.next.is_some();
            return Ok((tasks, next.filter(|_| more)));
        }
        tasks.extend(found.tasks);
        match found.next {
            Some(before) => next = Some(before),
            None => return Ok((tasks, None)),
        }
    }
}
