//! Lists of tasks of all nodes. The store says which tasks there are; how those stand that a node has
//! in memory, that node says.

use std::collections::{BTreeSet, HashMap};
use std::sync::Arc;
use std::time::Duration;

use axum::body::{Body, to_bytes};
use axum::extract::Request;
use tokio::task::JoinSet;

use super::forward::ask;
use super::served::Served;
use super::wire::{Task, Tasks};
use crate::access::caller::Caller;
use crate::nodes::info::NodeInfo;

/// A node that takes longer to answer is left out of a list: its tasks are shown as they are stored.
const ANSWER_WITHIN: Duration = Duration::from_millis(500);

/// Bytes of the largest answer that is read: a page of a list has 4 MiB of specs.
const LARGEST_ANSWER_BYTES: usize = 32 << 20;

/// The other nodes that are alive.
fn others(served: &Served) -> Vec<NodeInfo> {
    let nodes = served.daemon.nodes().into_iter();
    nodes.filter(|node| node.alive && !node.here).collect()
}

/// Asks nodes for lists, all at the same time.
async fn lists(
    served: &Arc<Served>,
    caller: &Arc<Caller>,
    asked: Vec<(NodeInfo, String)>,
) -> Vec<(NodeInfo, Tasks)> {
    let mut asking = JoinSet::new();
    for (node, path) in asked {
        let request = Request::builder().uri(path);
        let Ok(request) = request.body(Body::empty()) else {
            continue;
        };
        let (served, caller) = (served.clone(), caller.clone());
        asking.spawn(async move {
            let list = async {
                let answer = ask(&served, &caller, &node, request).await.ok()?;
                let body = to_bytes(answer.into_body(), LARGEST_ANSWER_BYTES).await;
                serde_json::from_slice::<Tasks>(&body.ok()?).ok()
            };
            let list = tokio::time::timeout(ANSWER_WITHIN, list).await;
            Some((node, list.ok().flatten()?))
        });
    }
    let mut found = Vec::new();
    while let Some(list) = asking.join_next().await {
        found.extend(list.ok().flatten());
    }
    found
}

/// Shows tasks that other nodes have in memory as they stand there.
pub(super) async fn complete(served: &Arc<Served>, caller: &Arc<Caller>, tasks: &mut [Task]) {
    let others = others(served);
    let asked = others.into_iter().filter_map(|node| {
        let theirs = tasks
            .iter()
            .filter(|task| task.node.as_ref() == Some(&node.name));
        let ids: Vec<String> = theirs.map(|task| task.id.to_string()).collect();
        let path = format!("/v1/tasks?limit=1000&loaded={}", ids.join(","));
        (!ids.is_empty()).then_some((node, path))
    });
    let mut known = HashMap::new();
    for (_, list) in lists(served, caller, asked.collect()).await {
        known.extend(list.tasks.into_iter().map(|task| (task.id, task)));
    }
    for task in tasks {
        if let Some(now) = known.remove(&task.id) {
            *task = now;
        }
    }
}

/// Adds what the other nodes have on the same page of a list of tasks in memory.
pub(super) async fn merge(
    served: &Arc<Served>,
    caller: &Arc<Caller>,
    query: &str,
    limit: usize,
    own: Tasks,
) -> Tasks {
    let path = format!("/v1/tasks?{query}");
    let asked = others(served).into_iter().map(|node| (node, path.clone()));
    let found = lists(served, caller, asked.collect()).await;
    let mut lists: Vec<Tasks> = found.into_iter().map(|(_, list)| list).collect();
    lists.push(own);
    // Beyond the end of a page that has a next one, there may be more.
    let cut = lists.iter().filter_map(|list| list.next).max();
    let mut tasks: Vec<Task> = lists.into_iter().flat_map(|list| list.tasks).collect();
    tasks.sort_by_key(|task| std::cmp::Reverse(task.id));
    let mut seen = BTreeSet::new();
    tasks.retain(|task| seen.insert(task.id) && cut.is_none_or(|cut| task.id >= cut));
    let more = tasks.len() > limit;
    tasks.truncate(limit);
    let last = tasks.last().map(|task| task.id);
    let next = match more {
        true => last,
        false => cut,
    };
    Tasks { tasks, next }
}
