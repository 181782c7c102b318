//! What can go wrong between a daemon and those who ask it for something.

use crate::model::error::{Error as Public, ErrorKind};
use crate::model::{Digest, TaskId, TaskState};

/// What can go wrong.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// No such task.
    #[error("there is no task {0}; `dormouse ps` lists them")]
    NoTask(String),
    /// Its state does not allow it.
    #[error("task {id} is {state} and cannot be {asked}")]
    State {
        /// The task.
        id: TaskId,
        /// Where it stands.
        state: TaskState,
        /// What was asked.
        asked: &'static str,
    },
    /// A task of this name is there.
    #[error("there is a task of the name {0:?} already; remove it, or take another name")]
    NameTaken(String),
    /// The module is not there.
    #[error("the daemon does not have module {0}; upload it first")]
    NoModule(String),
    /// No module of this digest has been here.
    #[error(
        "no module with the digest {0} is known here, or none that was made ready as is asked for now (--preempt); \
         submit it by its path once"
    )]
    Unknown(Digest),
    /// What was asked for is not well-formed.
    #[error("{0}")]
    Request(String),
    /// A field of what was submitted holds what it cannot.
    #[error("{error}")]
    Field {
        /// Which, such as `every`, `limits.cpu` or `dirs[0].guest`.
        field: String,
        /// Why.
        error: String,
    },
    /// A field of what was submitted is larger than a task may have it.
    #[error("{error}")]
    TooLarge {
        /// Which.
        field: String,
        /// Why.
        error: String,
    },
    /// An address to listen on cannot be had.
    #[error("cannot listen on {address}: {source}")]
    Listen {
        /// The address.
        address: String,
        /// The system's answer.
        source: std::io::Error,
    },
    /// A task cannot be serialized now.
    #[error("task {id} cannot be suspended now: {error}")]
    Unable {
        /// The task.
        id: TaskId,
        /// Why.
        error: String,
    },
    /// What was asked for has been done, and is not stored.
    #[error(
        "task {id} {what}, and that is not stored: {error}; it is stored as soon as it can be, and forgotten \
         if the daemon dies before"
    )]
    NotStored {
        /// The task.
        id: TaskId,
        /// What has been done.
        what: &'static str,
        /// Why it is not stored.
        error: String,
    },
    /// What the task has come to before is not stored.
    #[error("nothing can be asked of task {id} now: what it has come to cannot be stored: {error}")]
    Stuck {
        /// The task.
        id: TaskId,
        /// Why it is not stored.
        error: String,
    },
    /// What is stored cannot be read.
    #[error("a stored task is damaged: {0}")]
    Damaged(String),
    /// A task of which what is stored cannot be read.
    #[error(
        "task {id} is damaged in the store, and does not run: {reason}; a backup of the store has it as it was (`dormouse \
         store backup` makes them), `dormouse export {id}` gives a copy of its snapshot where that is whole, and `dormouse \
         rm {id}` removes it"
    )]
    DamagedTask {
        /// The task.
        id: TaskId,
        /// What cannot be read, and why.
        reason: String,
    },
    /// The task has not run, so that there is nothing to copy.
    #[error("task {0} has no snapshot: it has not been asleep yet")]
    NoSnapshot(TaskId),
    /// It can never be in memory here.
    #[error(transparent)]
    NoMemory(#[from] crate::memory::TooLarge),
    /// No such tenant.
    #[error("there is no tenant {0}; `dormouse tenant ls` lists them")]
    NoTenant(String),
    /// A tenant has something still.
    #[error("tenant {0} has tasks or tokens, or it is the default one; remove what it has first")]
    TenantInUse(String),
    /// A tenant has no room for more.
    #[error("tenant {tenant} has {has} {what} and may have {most}: its quota is used up")]
    Quota {
        /// The tenant.
        tenant: String,
        /// Of what the quota is.
        what: &'static str,
        /// The quota.
        most: u64,
        /// How much there is.
        has: u64,
    },
    /// A tenant may not give this to a task.
    #[error("{error}")]
    NotGranted {
        /// Which field asks for it.
        field: String,
        /// Why.
        error: String,
    },
    /// Another node has the task.
    #[error("task {0} has just been taken by another node; ask again")]
    Elsewhere(TaskId),
    /// The node that has a task does not answer.
    #[error(
        "task {id} is with node {node}, which does not answer: {error}; another node goes on with it when \
             that one's lease is over"
    )]
    NodeGone {
        /// The task.
        id: TaskId,
        /// The node's name.
        node: String,
        /// What went wrong.
        error: String,
    },
    /// Another node has the name that this one was given.
    #[error(
        "a node of the name {name:?} is there already, at {address}; give this one another name (--node)"
    )]
    NodeTaken {
        /// The name.
        name: String,
        /// Where the other one is.
        address: String,
    },
    /// A node's certificate cannot be made.
    #[error("cannot make the certificate by which other nodes know this one: {0}")]
    NodeCertificate(String),
    /// The daemon is going down.
    #[error("the daemon is shutting down")]
    Closing,
    /// The daemon is being emptied.
    #[error("the daemon is being emptied and takes no tasks; `dormouse drain --cancel` ends that")]
    Draining,
}

impl Error {
    /// The same error, of this field.
    pub(super) fn at(self, field: impl Into<String>) -> Self {
        match self {
            Self::Request(error) => Self::Field {
                field: field.into(),
                error,
            },
            other => other,
        }
    }

    /// The field of the submission that is wrong, where it is one.
    pub fn field(&self) -> Option<&str> {
        match self {
            Self::Field { field, .. }
            | Self::TooLarge { field, .. }
            | Self::NotGranted { field, .. } => Some(field),
            Self::NameTaken(_) => Some("name"),
            Self::NoModule(_) => Some("module"),
            _ => None,
        }
    }
}

impl From<Error> for Public {
    fn from(error: Error) -> Self {
        let kind = match error {
            Error::NoTask(_)
            | Error::State { .. }
            | Error::NoSnapshot(_)
            | Error::DamagedTask { .. }
            | Error::Unable { .. } => ErrorKind::Task,
            Error::NotStored { .. } | Error::Stuck { .. } => ErrorKind::Write,
            Error::NameTaken(_)
            | Error::NoModule(_)
            | Error::Request(_)
            | Error::Field { .. }
            | Error::NoTenant(_)
            | Error::TenantInUse(_)
            | Error::Listen { .. } => ErrorKind::Request,
            Error::TooLarge { .. } | Error::Quota { .. } | Error::NotGranted { .. } => {
                ErrorKind::Limit
            }
            Error::Unknown(_) | Error::NoMemory(_) => ErrorKind::Missing,
            Error::Damaged(_) | Error::NodeCertificate(_) => ErrorKind::Store,
            Error::Closing
            | Error::Draining
            | Error::Elsewhere(_)
            | Error::NodeGone { .. }
            | Error::NodeTaken { .. } => ErrorKind::Busy,
        };
        Self::new(kind, error)
    }
}
