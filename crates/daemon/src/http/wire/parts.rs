//! Parts of a task as it is shown.

use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

use crate::http::wire::time;
use crate::task::{EngineKind, UnderWay, Work};

/// Where a task has gone.
#[derive(Clone, Debug, Serialize, Deserialize, ToSchema)]
pub struct MovedTo {
    /// Which daemon.
    pub daemon: String,
    /// Where that is.
    pub address: String,
    /// The task's ID there.
    pub task: u64,
}

impl From<crate::stored::status::MovedTo> for MovedTo {
    fn from(to: crate::stored::status::MovedTo) -> Self {
        Self {
            daemon: to.daemon,
            address: to.address,
            task: to.task,
        }
    }
}

/// How far a module is that is being made ready to run.
#[derive(Clone, Debug, Serialize, Deserialize, ToSchema)]
pub struct Preparing {
    /// The engine that its machine code is for; left out while it is made resumable.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schema(value_type = Option<String>)]
    pub engine: Option<EngineKind>,
    /// What is being done: reading, checks, analysis, lowering, asyncify, splitting, optimizing,
    /// writing, keeping; for an engine, compiling and loading.
    pub step: String,
    /// The share of that work that has been done, from 0 to 1, as far as can be told.
    pub share: f64,
    /// How many seconds are left of it, as far as can be told.
    pub left: f64,
}

impl From<UnderWay> for Preparing {
    fn from(under_way: UnderWay) -> Self {
        Self {
            engine: match under_way.work {
                Work::Rewriting => None,
                Work::Compiling(engine) => Some(engine),
            },
            share: under_way.share(),
            left: under_way.left().as_secs_f64(),
            step: under_way.step,
        }
    }
}

/// A module that is being made ready to run.
#[derive(Clone, Debug, Serialize, Deserialize, ToSchema)]
pub struct Preparation {
    /// The digest under which that was asked for: of the module as it was uploaded, or of its
    /// resumable form.
    pub module: String,
    /// How far it is.
    #[serde(flatten)]
    pub preparing: Preparing,
}

/// Why a task does not go on, or cannot be put to sleep, for now. It is tried again.
#[derive(Clone, Debug, Serialize, Deserialize, ToSchema)]
pub struct Trouble {
    /// Since when.
    pub since: String,
    /// How often it was tried.
    pub tries: u32,
    /// When it is tried again.
    pub next: String,
    /// What was wrong, the last time.
    pub error: String,
}

impl From<crate::daemon::info::Trouble> for Trouble {
    fn from(found: crate::daemon::info::Trouble) -> Self {
        Self {
            since: time(found.since),
            tries: found.tries,
            next: time(found.next),
            error: found.error,
        }
    }
}
