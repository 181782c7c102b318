//! Moves all tasks to other daemons.

use std::collections::VecDeque;
use std::sync::Arc;

use parking_lot::Mutex;
use tokio::sync::mpsc;

use crate::model::error::Error;
use crate::model::{TaskId, TaskState};
use crate::peers::client::Link;
use crate::peers::error::PeerError;
use crate::peers::network::Peers;
use crate::peers::send_task::{MoveOptions, MovedTask};
use crate::store::Filter;

/// At most this many tasks are being moved at once.
const TASKS_AT_ONCE: usize = 4;

/// What became of one task.
pub(crate) type Drained = (TaskId, Result<MovedTask, Error>);

impl Peers {
    /// Moves every task that is not over to one of the targets. The daemon takes no new tasks
    /// meanwhile and afterwards. `told` is sent each task when it was moved or cannot be. Returns
    /// how many tasks there are.
    pub(crate) async fn drain(
        self: &Arc<Self>,
        targets: Vec<String>,
        options: MoveOptions,
        told: mpsc::Sender<Drained>,
    ) -> Result<usize, Error> {
        // The targets must answer before new tasks are refused.
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
                before,
                limit: 1000,
                ..Filter::default()
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
        for number in 0..TASKS_AT_ONCE.min(count) {
            let (peers, tasks, targets) = (self.clone(), tasks.clone(), targets.clone());
            let (options, told) = (options.clone(), told.clone());
            tokio::spawn(async move {
                let next = || tasks.lock().pop_back();
                let mut links: Vec<Option<Link>> = targets.iter().map(|_| None).collect();
                let mut turn = number;
                while let Some(id) = next() {
                    turn += 1;
                    let moved = peers.away(id, &targets, turn, &mut links, &options).await;
                    // An error means that the caller no longer waits; the tasks are moved all the
                    // same.
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
        options: &MoveOptions,
    ) -> Result<MovedTask, Error> {
        let mut failed: Option<Error> = None;
        for index in (0..targets.len()).map(|step| (turn + step) % targets.len()) {
            if links[index].is_none() {
                match Link::open(self, &targets[index], None).await {
                    Ok(link) => links[index] = Some(link),
                    Err(error) => {
                        failed = Some(error.into());
                        continue;
                    }
                }
            }
            let Some(link) = &mut links[index] else {
                continue;
            };
            match self.move_task(link, id, options).await {
                Ok(moved) => return Ok(moved),
                Err(error) => {
                    // An answer that is still on its way after a failure belongs to no request, so
                    // that the link is not used again.
                    links[index] = None;
                    failed = Some(error);
                }
            }
        }
        Err(failed.unwrap_or_else(|| PeerError::Request("no daemon to move to".into()).into()))
    }
}
