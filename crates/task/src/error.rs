//! What can go wrong in a task.

use std::io;
use std::path::PathBuf;

use crate::instrument;
use crate::model::error::{Error, ErrorKind};
use crate::model::{Digest, Limit, Limits, Reached};

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
    /// The guest trapped after a call was refused because of a limit.
    #[error("the guest trapped: {0}; before that, {1}")]
    AfterRefusal(String, Reached),
    /// The snapshot does not fit the module.
    #[error("the snapshot does not fit its module: {0}")]
    Mismatch(String),
    /// The snapshot's WASI state cannot be read.
    #[error("the snapshot's WASI state is not valid: {0}")]
    InvalidState(#[source] rmp_serde::decode::Error),
    /// The module in a snapshot or in a store is not what it was.
    #[error("the resumable module in the snapshot or the store is damaged: {0}")]
    DamagedModule(String),
    /// The module in a snapshot or in a store was not made by dormouse.
    #[error(
        "the module in the snapshot or the store is not one that dormouse has made resumable: {0}"
    )]
    ForgedModule(#[source] instrument::Error),
    /// A file with a resumable module is not what it was.
    #[error("the resumable module is damaged: {0}")]
    DamagedPrepared(String),
    /// A file says that it has a resumable module, and it is none.
    #[error("the module is not one that dormouse has made resumable, although it says so: {0}")]
    ForgedPrepared(#[source] instrument::Error),
    /// A resumable module was made in another way than is asked for.
    #[error(
        "the module has been made resumable before, by transform {transform} and {} checks; \
         leave out --transform and --preempt, or give the module as your compiler wrote it",
        if *preempt { "with" } else { "without" }
    )]
    PreparedOtherwise {
        /// How it was made resumable.
        transform: instrument::Transform,
        /// Whether it has checks, at which a guest that computes can be suspended.
        preempt: bool,
    },
    /// The WASI state cannot be serialized.
    #[error("cannot write down the guest's WASI state: {0}")]
    WasiState(#[source] rmp_serde::encode::Error),
    /// The guest's memory cannot be read.
    #[error("cannot read the guest's memory: {0}")]
    Memory(#[source] io::Error),
    /// What belongs to a resumable module cannot be made ready for the cache.
    #[error("cannot write down what belongs to the resumable module: {0}")]
    Manifest(#[source] rmp_serde::encode::Error),
    /// The resumable module cannot be compressed.
    #[error("cannot compress the resumable module: {0}")]
    Compress(#[source] io::Error),
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
        path: PathBuf,
        /// The system's answer.
        source: io::Error,
    },
    /// The limit of the cache's size cannot be read.
    #[error("DORMOUSE_CACHE_SIZE: {0}; `none` stands for no limit")]
    CacheSize(String),
    /// No module of this digest has been run here.
    #[error(
        "no module with the digest {0} is known here, or none that was made ready as is asked for \
         now (--preempt, --transform); give the module's path once"
    )]
    Unknown(Digest),
    /// The caller asked for something that the task's state does not allow.
    #[error("{0}")]
    State(&'static str),
    /// A component has broken a rule of the component model or of an interface.
    #[error("the guest trapped: {0}")]
    ComponentTrap(String),
    /// The program is to answer HTTP requests and cannot.
    #[error(
        "it is to answer HTTP requests, and exports no `wasi:http/incoming-handler`; give a \
         component that does, or leave the address out"
    )]
    NoHttpHandler,
    /// The program answers HTTP requests and does nothing else.
    #[error(
        "it exports `wasi:http/incoming-handler` and no `wasi:cli/run`: it answers HTTP requests. \
         Give it an address: dormouse serve-http --listen ADDRESS, or dormouse submit --http ADDRESS"
    )]
    OnlyHttpHandler,
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
            TaskError::Limit(_) | TaskError::AfterRefusal(..) => ErrorKind::Limit,
            TaskError::Stack(..) | TaskError::ComponentTrap(_) => ErrorKind::Trap,
            TaskError::Mismatch(_)
            | TaskError::InvalidState(_)
            | TaskError::DamagedModule(_)
            | TaskError::ForgedModule(_) => ErrorKind::Snapshot,
            TaskError::DamagedPrepared(_)
            | TaskError::ForgedPrepared(_)
            | TaskError::NoHttpHandler
            | TaskError::OnlyHttpHandler => ErrorKind::Module,
            TaskError::PreparedOtherwise { .. } => ErrorKind::Mismatch,
            TaskError::WasiState(_) | TaskError::Memory(_) => ErrorKind::Suspend,
            // The compressor fails where it gets no memory.
            TaskError::Compress(_) => return Self::passing(ErrorKind::Internal, error),
            TaskError::Manifest(_) => ErrorKind::Internal,
            TaskError::OtherModule { .. } | TaskError::OtherTransform { .. } => ErrorKind::Mismatch,
            TaskError::ModuleMissing(_) | TaskError::Unknown(_) => ErrorKind::Missing,
            // Somebody has just deleted the cache's directory; the next use makes it again.
            TaskError::Cache { source, .. } if source.kind() == io::ErrorKind::NotFound => {
                return Self::passing(ErrorKind::Write, error);
            }
            TaskError::Cache { .. } => ErrorKind::Write,
            TaskError::CacheSize(_) => ErrorKind::Request,
            TaskError::Killed | TaskError::Evicted => ErrorKind::Task,
            TaskError::State(_) | TaskError::HostFunction { .. } => ErrorKind::Internal,
        };
        Self::new(kind, error)
    }
}

/// Refuses a saved stack that is larger than the limit.
pub(super) fn check_stack(limits: &Limits, size: usize) -> Result<(), TaskError> {
    let size = size as u64;
    match size > limits.value(Limit::SuspendedStack) {
        true => Err(TaskError::Limit(
            limits.reached(Limit::SuspendedStack).with(size),
        )),
        false => Ok(()),
    }
}
