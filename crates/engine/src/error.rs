//! What can go wrong in an engine.

use std::io;
use std::path::PathBuf;

use super::EngineKind;
use crate::model::error::names_passing;

/// What can go wrong in an engine.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// This build does not contain the engine.
    #[error("this build of dormouse has no {0}; build it with `cargo build --features {0}`")]
    NotBuilt(EngineKind),
    /// The engine could not be set up.
    #[error("{0} could not be started: {1}")]
    Setup(EngineKind, String),
    /// The engine could not compile the module.
    #[error("{0} could not compile the module: {1}")]
    Compile(EngineKind, String),
    /// The process in which the engine compiles was ended, which the system does where memory is
    /// short.
    #[error(
        "{0} could not compile the module: signal {1} ended the compiler, which the system does where memory is short"
    )]
    Ended(EngineKind, i32),
    /// The engine does not know a proposal that the module uses.
    #[error("{0} cannot run this module: it does not know {1}")]
    Proposal(EngineKind, &'static str),
    /// The compiled code could not be written.
    #[error("cannot write machine code to {0}: {1}")]
    Write(PathBuf, #[source] io::Error),
    /// The host could not give an instance what it needs.
    #[error("{0} could not make an instance of the module: {1}")]
    Instance(EngineKind, String),
    /// The compiled code could not be loaded.
    #[error("{0} could not load the compiled module: {1}")]
    Load(EngineKind, String),
    /// The guest trapped.
    #[error("the guest trapped: {0}")]
    Trap(String),
    /// The guest's calls have used up its stack.
    #[error("the guest trapped: {0}")]
    Exhausted(String),
    /// The guest was aborted while it asked for memory: it was evicted or killed.
    #[error(transparent)]
    Aborted(#[from] Aborted),
    /// The engine has no way to hold a limit.
    #[error(
        "{0} cannot hold the limit {1} on this module; use the other engine, or leave it as it is by default"
    )]
    CannotLimit(EngineKind, &'static str),
    /// The guest's state could not be read or set: the instance lacks an export that its `Shape`
    /// lists, a value cannot be saved, or the engine refuses a value from a snapshot.
    #[error("{0} could not read or set the guest's state: {1}")]
    State(EngineKind, String),
}

/// The guest has to be aborted: it was evicted, because there is no memory for it now, or killed.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("there is no memory for the guest now")]
pub struct Aborted;

impl From<Error> for crate::model::error::Error {
    fn from(error: Error) -> Self {
        use crate::model::error::ErrorKind;
        let kind = match &error {
            Error::Trap(_) | Error::Exhausted(_) => ErrorKind::Trap,
            Error::NotBuilt(_) | Error::CannotLimit(..) => ErrorKind::Missing,
            Error::Proposal(..) => ErrorKind::Module,
            Error::Write(..) => ErrorKind::Write,
            Error::Setup(..)
            | Error::Compile(..)
            | Error::Ended(..)
            | Error::Instance(..)
            | Error::Load(..)
            | Error::Aborted(_)
            | Error::State(..) => ErrorKind::Internal,
        };
        let passes = match &error {
            // All places are taken, or memory is short: engines say no more than a text.
            Error::Instance(..) | Error::Ended(..) | Error::Aborted(_) => true,
            Error::Setup(_, text)
            | Error::Compile(_, text)
            | Error::Load(_, text)
            | Error::State(_, text) => names_passing(text),
            // By what the system has answered.
            Error::Write(..) => false,
            Error::NotBuilt(_)
            | Error::Proposal(..)
            | Error::Trap(_)
            | Error::Exhausted(_)
            | Error::CannotLimit(..) => false,
        };
        match passes {
            true => Self::passing(kind, error),
            false => Self::new(kind, error),
        }
    }
}
