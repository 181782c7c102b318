//! Moves every task away.

use std::collections::VecDeque;
use std::sync::{Arc, Mutex, PoisonError};

use tokio::sync::mpsc;

use super::link::Link;
use super::migrate::{Migrated, Wishes};
use super::{PeerError, Peers};
use crate::model::error::Error;
use crate::model::{TaskId, TaskState};
use crate::store::Filter;

/// So many tasks are on their way at once.
const AT_ONCE: usize = 4;

/// What became of one task.
pub(super) type Drained = (TaskId, Result<Migrated, Error>);

impl Peers {
    /// Moves every task that is not over to one of the targets, and takes no new ones meanwhile and afterwards.
    /// Each task is told of when it has gone, or cannot go. Gives how many there are.
    pub(super) async fn drain(
        self: &Arc<Self>,
        targets: Vec<String>,
        wishes: Wishes,
        told: mpsc::Sender<Drained>,
    ) -> Result<usize, Error> {
        // Somebody must be there before new tasks are refused.
        for target in &targets {
            Link::open(self, target, None).await?;
        }
        self.daemon.set_draining(true);
        let mut tasks = VecDeque::new();
        let mut before = None;
        loop {
            let filter = Filter {
                states: vec![
                    TaskState::Ready,
                    TaskState::Running,
                    TaskState::Parked,
                    TaskState::Hibernated,
                    TaskState::Paused,
                ],
                name: None,
                before,
                limit: 1000,
            };
            let (page, next) = self.daemon.list(filter).await?;
            tasks.extend(page.into_iter().map(|task| task.id));
            before = next;
            if before.is_none() {
                break;
            }
        }
        let count = tasks.len();
        let (tasks, targets) = (Arc::new(Mutex::new(tasks)), Arc::new(targets));
        for number in 0..AT_ONCE.min(count) {
            let (peers, tasks, targets) = (self.clone(), tasks.clone(), targets.clone());
            let (wishes, told) = (wishes.clone(), told.clone());
            tokio::spawn(async move {
                let next = || {
                    tasks
                        .lock()
                        .unwrap_or_else(PoisonError::into_inner)
                        .pop_back()
                };
                let mut links: Vec<Option<Link>> = targets.iter().map(|_| None).collect();
                let mut turn = number;
                while let Some(id) = next() {
                    turn += 1;
                    let moved = peers.away(id, &targets, turn, &mut links, &wishes).await;
                    // Whoever asked has gone; the tasks go all the same.
                    let _ = told.send((id, moved)).await;
                }
            });
        }
        Ok(count)
    }

    /// Moves a task to the first target that takes it, beginning with another one each time.
    async fn away(
        self: &Arc<Self>,
        id: TaskId,
        targets: &[String],
        turn: usize,
        links: &mut [Option<Link>],
        wishes: &Wishes,
    ) -> Result<Migrated, Error> {
        let mut failed: Option<Error> = None;
        for place in (0..targets.len()).map(|step| (turn + step) % targets.len()) {
            if links[place].is_none() {
                match Link::open(self, &targets[place], None).await {
                    Ok(link) => links[place] = Some(link),
                    Err(error) => {
                        failed = Some(error.into());
                        continue;
                    }
                }
            }
            let Some(link) = &mut links[place] else {
                continue;
            };
            match self.migrate(link, id, wishes).await {
                Ok(moved) => return Ok(moved),
                Err(error) => {
                    // What is left on a link after a failure belongs to no question.
                    links[place] = None;
                    failed = Some(error);
                }
            }
        }
        Err(failed.unwrap_or_else(|| PeerError::Request("no daemon to move to".into()).into()))
    }
}
