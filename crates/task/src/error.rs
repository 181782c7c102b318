//! What can go wrong in a task.

use crate::model::error::{Error, ErrorKind};
use crate::model::{Digest, Reached};

/// What can go wrong in a task beside what its parts report.
#[derive(Debug, thiserror::Error)]
pub enum TaskError {
    /// The guest could not unwind.
    #[error(
        "the guest's stack is too deep to be suspended: asyncify's 32 MiB are full; \
         nothing was written ({0})"
    )]
    TooDeep(String),
    /// A limit was reached.
    #[error("{0}")]
    Limit(Reached),
    /// The guest's calls got too deep.
    #[error("{0}; {1}")]
    Stack(String, Reached),
    /// The guest trapped after it had been told of a limit.
    #[error("the guest trapped: {0}; before that, {1}")]
    Told(String, Reached),
    /// The snapshot does not fit the module.
    #[error("the snapshot does not fit its module: {0}")]
    Mismatch(String),
    /// Another module than the one in the snapshot.
    #[error(
        "the snapshot is of another module: it was taken of {}, and this is {}",
        wanted.short(),
        found.short()
    )]
    OtherModule {
        /// The digest in the snapshot.
        wanted: Digest,
        /// The digest of the module given.
        found: Digest,
    },
    /// The right module, made resumable in another way.
    #[error(
        "the module is the right one, but this dormouse {ours} makes it resumable in another way \
         than dormouse {theirs}, which took the snapshot; resume with that version, or with a \
         snapshot that contains its module"
    )]
    OtherTransform {
        /// The version of this build.
        ours: String,
        /// The version that took the snapshot.
        theirs: String,
    },
    /// The snapshot has no module, and none was found.
    #[error(
        "the snapshot does not contain its module {}, and the cache does not have it; \
         give the module with --module",
        .0.short()
    )]
    ModuleMissing(Digest),
    /// The cache of compiled code.
    #[error("cannot use the cache at {path}: {source}; set DORMOUSE_CACHE to another directory")]
    Cache {
        /// The file or directory.
        path: std::path::PathBuf,
        /// The system's answer.
        source: std::io::Error,
    },
    /// No module of this digest has been run here.
    #[error(
        "no module with the digest {0} is known here, or none that was made ready as is asked for now \
         (--preempt, --transform); give the module's path once"
    )]
    Unknown(Digest),
    /// The caller asked for something that the task's state does not allow.
    #[error("{0}")]
    State(&'static str),
    /// The guest was left where it stood.
    #[error("there was no memory for the guest to go on; it can go on from its last snapshot")]
    Evicted,
    /// The task was to end.
    #[error("the task was killed")]
    Killed,
    /// An asynchronous host function answered with an error.
    #[error("host function {function} failed: {message}")]
    HostFunction {
        /// The import as `module.name`.
        function: String,
        /// Its own message.
        message: String,
    },
}

impl From<TaskError> for Error {
    fn from(error: TaskError) -> Self {
        let kind = match &error {
            TaskError::TooDeep(_) => ErrorKind::Suspend,
            TaskError::Limit(_) | TaskError::Told(..) => ErrorKind::Limit,
            TaskError::Stack(..) => ErrorKind::Trap,
            TaskError::Mismatch(_) => ErrorKind::Snapshot,
            TaskError::OtherModule { .. } | TaskError::OtherTransform { .. } => ErrorKind::Mismatch,
            TaskError::ModuleMissing(_) | TaskError::Unknown(_) => ErrorKind::Missing,
            // Somebody has just deleted its directory again, which is made again at the next time.
            TaskError::Cache { source, .. } if source.kind() == std::io::ErrorKind::NotFound => {
                return Self::passing(ErrorKind::Write, error);
            }
            TaskError::Cache { .. } => ErrorKind::Write,
            TaskError::Killed | TaskError::Evicted => ErrorKind::Task,
            TaskError::State(_) | TaskError::HostFunction { .. } => ErrorKind::Internal,
        };
        Self::new(kind, error)
    }
}
