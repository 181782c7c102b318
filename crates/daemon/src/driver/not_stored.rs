//! What is not stored of tasks when a daemon ends.

use std::collections::BTreeMap;

use crate::model::TaskId;

/// At most this many of the tasks with one reason are named.
const MOST_NAMED_TASKS: usize = 20;

/// A task that was in memory when the daemon ended, and continues from what was stored before.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct NotStored {
    /// The task.
    pub id: TaskId,
    /// Why it could not be stored; `None` where it computed all the time, and could not be frozen.
    pub error: Option<String>,
}

impl NotStored {
    /// Which tasks could not be stored and why; `None` where all others than those that compute
    /// were.
    pub fn report(all: &[Self]) -> Option<String> {
        let mut reasons: BTreeMap<&str, Vec<TaskId>> = BTreeMap::new();
        for task in all {
            if let Some(error) = &task.error {
                reasons.entry(error).or_default().push(task.id);
            }
        }
        let count: usize = reasons.values().map(Vec::len).sum();
        let reasons = reasons.into_iter().map(|(error, mut ids)| {
            ids.sort_unstable();
            format!("{}: {error}", named(&ids))
        });
        let reasons: Vec<String> = reasons.collect();
        let state = match count {
            0 => return None,
            1 => "the state of 1 task is".to_string(),
            count => format!("the states of {count} tasks are"),
        };
        Some(format!(
            "{state} not stored: {}. At the next start they go on from what was stored before",
            reasons.join("; ")
        ))
    }
}

fn named(ids: &[TaskId]) -> String {
    let first: Vec<String> = ids
        .iter()
        .take(MOST_NAMED_TASKS)
        .map(TaskId::to_string)
        .collect();
    let word = if ids.len() == 1 { "task" } else { "tasks" };
    let more = match ids.len() - first.len() {
        0 => String::new(),
        more => format!(" and {more} more"),
    };
    format!("{word} {}{more}", first.join(", "))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn tasks_are_told_by_their_reason_and_those_that_compute_are_not() {
        let of = |id, error: Option<&str>| NotStored {
            id: TaskId(id),
            error: error.map(String::from),
        };
        assert_eq!(NotStored::report(&[]), None);
        assert_eq!(NotStored::report(&[of(1, None)]), None);
        let one =
            NotStored::report(&[of(7, Some("full")), of(1, None)]).expect("one is not stored");
        assert!(
            one.starts_with("the state of 1 task is not stored: task 7: full."),
            "{one}"
        );
        let mut many: Vec<NotStored> = (1..=30).rev().map(|id| of(id, Some("full"))).collect();
        many.push(of(99, Some("damaged")));
        let told = NotStored::report(&many).expect("none is stored");
        assert!(told.starts_with(
            "the states of 31 tasks are not stored: task 99: damaged; tasks 1, 2, 3,"
        ));
        assert!(told.contains("20 and 10 more: full."), "{told}");
    }
}
