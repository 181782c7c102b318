//! What travels over HTTP, as JSON. Times are RFC 3339 in UTC.
//!
//! | file | what stands there |
//! | --- | --- |
//! | this one | a task as it is shown, lists, statistics, and why a request failed |
//! | `submit` | what a client sends to submit a task |
//! | `accounts` | tokens and tenants |
//! | `parts`, `runs`, `output`, `budget` | parts of a task, its runs, its output; the daemon's memory |
//! | `bounds` | what keeps requests and lists from getting larger than they look |
//! | `words` | times and waits as they are written and read |

mod accounts;
mod bounds;
mod budget;
mod output;
mod parts;
mod runs;
mod submit;
mod words;

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

use crate::daemon::info::TaskInfo;
use crate::model::TaskSpec;
pub use crate::spec::LimitChanges as Resume;

pub use accounts::{AuditEntry, NewTenant, NewToken, Tenant, TenantRules, Token, Used};
pub(super) use bounds::{Batch, MOST_SUBMITTED};
pub use budget::Budget;
pub use output::Output;
pub use parts::{MovedTo, Preparation, Preparing, Trouble};
pub use runs::{Run, Runs};
pub use submit::Submit;
use words::wait;
pub(super) use words::{read_time, time};

/// A task.
#[derive(Clone, Debug, Serialize, Deserialize, ToSchema)]
pub struct Task {
    /// Its ID.
    pub id: u64,
    /// Its name.
    pub name: Option<String>,
    /// ready, running, parked, hibernated, paused, exited, failed; moving, arriving or moved.
    pub state: String,
    /// The name of the node that has it, where several share the store; left out where nobody has it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub node: Option<String>,
    /// Counts its stored changes.
    pub version: u64,
    /// Digest of its resumable module.
    pub module: String,
    /// What it was started with, but for its module and name, which stand above, and for the values
    /// of its environment variables, which are not told.
    pub spec: TaskSpec,
    /// Names of its environment variables.
    #[serde(default)]
    pub variables: Vec<String>,
    /// How often it was started anew, in a row.
    #[serde(default)]
    pub restarts: u32,
    /// When it was submitted.
    pub submitted: String,
    /// When its stored state last changed.
    pub changed: String,
    /// What it waits for, in words.
    pub waits_for: Option<String>,
    /// When it continues, or starts.
    pub wakes: Option<String>,
    /// How often it was started.
    pub runs: u64,
    /// How often it was put to sleep.
    pub sleeps: u64,
    /// What the guest ended with, the last time.
    pub exit_code: Option<u32>,
    /// Why it failed, or why it is paused.
    pub error: Option<String>,
    /// The task that it is a copy of: daemon, number and version.
    pub forked_from: Option<String>,
    /// The task that it was at another daemon before it came here: daemon, number and version.
    #[serde(default)]
    pub came_from: Option<String>,
    /// Tasks that answer the requests of connections which it has accepted, one for each.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub connections: Vec<u64>,
    /// The task that has accepted the connection whose requests it answers.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub accepted_by: Option<u64>,
    /// Where it has gone.
    #[serde(default)]
    pub moved_to: Option<MovedTo>,
    /// Bytes of its snapshot in the store. That of a guest with more than 8 MiB of changed memory
    /// is counted with what it shares with other tasks of its program, all others without.
    pub snapshot_bytes: u64,
    /// Bytes of its stored output.
    pub output_bytes: u64,
    /// Bytes of its memories, while it is in memory.
    pub memory: u64,
    /// Why it does not go on, or cannot be put to sleep, where that may pass by itself.
    #[serde(default)]
    pub trouble: Option<Trouble>,
    /// How far its module is, which is being made ready before the task goes on; left out where it
    /// is ready.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub preparing: Option<Preparing>,
    /// Bytes of memory that it waits for, because others have them.
    #[serde(default)]
    pub memory_wanted: Option<u64>,
    /// Why no node that is alive can run it; left out where one can, or has it. It goes on when one
    /// comes that can.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub unplaced: Option<String>,
    /// What of it cannot be read from the store, and what to do; left out where nothing is wrong.
    /// The task does not run, and what cannot be read is empty or zero here.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub damaged: Option<String>,
    /// In a list: arguments or names of variables are left out, because they are long. The task
    /// alone has them all.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub shortened: bool,
}

impl From<TaskInfo> for Task {
    fn from(info: TaskInfo) -> Self {
        let TaskInfo {
            mut spec, status, ..
        } = info;
        let accepts = spec.network.per_request;
        let variables = spec.env.drain(..).map(|(name, _)| name).collect();
        Self {
            id: info.id.0,
            name: info.name,
            state: info.state.to_string(),
            node: info.node,
            version: info.version,
            module: info.module.to_string(),
            spec,
            variables,
            restarts: status.restarts,
            submitted: time(status.submitted),
            changed: time(status.changed),
            waits_for: match (info.state.is_final(), info.memory_wanted) {
                (true, _) => None,
                (false, Some(bytes)) => Some(format!("{} MiB of memory", bytes.div_ceil(1 << 20))),
                (false, None) if accepts => status.wait.map(|_| "a connection".into()),
                (false, None) => status.wait.as_ref().map(wait),
            },
            wakes: info.wakes.map(time),
            runs: status.runs,
            sleeps: status.sleeps,
            exit_code: status.exit_code,
            error: status.error,
            forked_from: status.forked_from,
            came_from: status.came_from,
            connections: status.connections.into_iter().map(|id| id.0).collect(),
            accepted_by: status.accepted_by.map(|id| id.0),
            moved_to: status.moved_to.map(MovedTo::from),
            snapshot_bytes: info.snapshot_bytes,
            output_bytes: info.output_bytes,
            memory: info.memory,
            trouble: info.trouble.map(Trouble::from),
            preparing: info.preparing.map(Preparing::from),
            memory_wanted: info.memory_wanted,
            unplaced: info.unplaced,
            damaged: info.damaged,
            shortened: false,
        }
    }
}

/// Tasks, the newest first.
#[derive(Clone, Debug, Serialize, Deserialize, ToSchema)]
pub struct Tasks {
    /// The tasks.
    pub tasks: Vec<Task>,
    /// Give this as `before` for the next page; left out where there is none.
    pub next: Option<u64>,
}

/// What became of one task of a batch: its ID, or why it was refused.
#[derive(Clone, Debug, Serialize, Deserialize, ToSchema)]
pub struct Submitted {
    /// Its ID.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub id: Option<u64>,
    /// Why it was refused.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub error: Option<String>,
    /// Which sort of error that is, as in the answer to a request that failed.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub kind: Option<String>,
}

/// A limit that a task can have.
#[derive(Clone, Debug, Serialize, Deserialize, ToSchema)]
pub struct LimitInfo {
    /// Its name.
    pub name: String,
    /// What it limits.
    pub what: String,
    /// Its value in this daemon where a task does not say otherwise, such as `12h/d` or `none`.
    pub value: String,
}

/// A module that the daemon has.
#[derive(Clone, Debug, Serialize, Deserialize, ToSchema)]
pub struct Module {
    /// By this, tasks name it.
    pub module: String,
}

/// What the daemon does and holds. Whoever may see one tenant's tasks alone is told how many tasks
/// that has, and as `disk` what they take in the store; all that is the daemon's is 0.
#[derive(Clone, Debug, Default, Serialize, Deserialize, ToSchema)]
pub struct Stats {
    /// Version of dormouse.
    pub version: String,
    /// Which daemon this is.
    pub daemon: String,
    /// Its clock.
    pub now: String,
    /// Seconds since it was started.
    pub uptime: f64,
    /// How many tasks there are of each state.
    pub tasks: BTreeMap<String, u64>,
    /// Tasks that were submitted since the start.
    pub submitted: u64,
    /// Times that a task went on since the start.
    pub wakes: u64,
    /// Times that a task was put to sleep since the start.
    pub suspends: u64,
    /// Bytes of memory that the process uses.
    pub memory: u64,
    /// How its memory is parted.
    #[serde(default)]
    pub budget: Budget,
    /// Bytes of the memories of guests that wait in memory.
    pub warm_memory: u64,
    /// Bytes of the store on the disk.
    pub disk: u64,
    /// Modules and bases of snapshots in the store.
    pub blobs: u64,
    /// Their bytes.
    pub blob_bytes: u64,
    /// How many times smaller snapshots are stored than they are, since the start.
    pub dedup_ratio: f64,
}

/// How many tasks are due when.
#[derive(Clone, Debug, Serialize, Deserialize, ToSchema)]
pub struct Timeline {
    /// When the first span begins.
    pub from: String,
    /// Seconds in a span.
    pub step: f64,
    /// How many tasks are due in each span.
    pub counts: Vec<u64>,
}

/// A change of state.
#[derive(Clone, Debug, Serialize, Deserialize, ToSchema)]
pub struct Moved {
    /// The task.
    pub id: u64,
    /// Its state; left out where it was removed.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub state: Option<String>,
}

/// Why a request failed.
#[derive(Clone, Debug, Serialize, Deserialize, ToSchema)]
pub struct Problem {
    /// What is wrong, where, and what to do.
    pub error: String,
    /// Which field of the request it is, such as `schedule.every`, `limits.cpu` or
    /// `mounts[0].host`; left out where it is none.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub field: Option<String>,
    /// Which sort of error it is, in one word: `module`, `limit`, `missing`, `task`, `request`,
    /// `store` and so on. Left out where the request itself could not be read.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub kind: Option<String>,
}
