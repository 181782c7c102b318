//! Why a component is refused.

use std::fmt;

use serde::{Deserialize, Serialize};

/// Why a component cannot be flattened to a core module.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, thiserror::Error)]
#[non_exhaustive]
pub enum ComponentError {
    /// The bytes are a core module.
    #[error("this is a core module and no component, so there is nothing to flatten")]
    NoComponent,
    /// It has nothing to run.
    #[error(
        "the component exports neither `wasi:cli/run` nor `wasi:http/incoming-handler`, so there is \
         nothing to run (it exports {exports}); build it as a command or as an HTTP proxy"
    )]
    NoRun {
        /// What it exports instead.
        exports: List,
    },
    /// It imports a core module.
    #[error(
        "the component imports the core module `{name}`, which dormouse does not provide; \
         put the module into the component"
    )]
    ImportedModule {
        /// The import's name.
        name: String,
    },
    /// It imports a function that the host does not provide.
    #[error(
        "the component imports `{function}` of `{interface}`, which dormouse does not provide; it \
         provides {offered}"
    )]
    NotOffered {
        /// The function's name.
        function: String,
        /// The interface.
        interface: String,
        /// The interfaces that the host provides.
        offered: List,
    },
    /// This crate was built without what flattens components.
    #[error(
        "this is a WebAssembly component, and this build of dormouse cannot flatten components (the \
         feature `components`); make it resumable with a build that can, and run the result here"
    )]
    LeftOut,
    /// It uses a part of the component model or of WebAssembly that cannot be suspended.
    #[error("the component uses {what} ({at}); {advice}")]
    Proposal {
        /// What it uses.
        what: String,
        /// Where, as the validation says it.
        at: String,
        /// What to do.
        advice: String,
    },
    /// It is valid, and the translation does not know something that it uses.
    #[error("the component cannot be flattened: {0}")]
    Untranslatable(String),
    /// Its instances are too large together.
    #[error(
        "the component would become a module of {bytes} bytes or more, because it instantiates \
         its modules several times; the limit for a component of its size is {limit} bytes"
    )]
    TooLarge {
        /// The size of all instances' modules, in bytes.
        bytes: u64,
        /// The most they may have, in bytes.
        limit: u64,
    },
    /// The work has taken too long.
    #[error("flattening the component took more than {limit_seconds} s, or the system ended it")]
    OutOfTime {
        /// The processor time that it may take, in seconds.
        limit_seconds: u64,
    },
    /// The work has taken too much memory.
    #[error("flattening the component took more than {limit_mib} MiB, or gave up")]
    OutOfMemory {
        /// The memory that it may take, in MiB.
        limit_mib: u64,
    },
    /// The work was ended by a signal: the component is nested too deeply, or there is a mistake in
    /// the translation.
    #[error(
        "flattening the component crashed (signal {signal}); if it is not nested very deeply, this \
         is a bug worth reporting"
    )]
    Crashed {
        /// The signal's number.
        signal: i32,
    },
    /// The system did not give a process to work in.
    #[error("flattening the component has no process to work in: {0}")]
    NoProcess(String),
    /// The translation contradicts itself.
    #[error("flattening the component went wrong: {0}; this is a bug worth reporting")]
    Internal(String),
}

/// Names in a message, such as "`a` and `b`".
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct List(pub Vec<String>);

/// How many names a message has.
const NAMED: usize = 40;

impl fmt::Display for List {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if self.0.is_empty() {
            return f.write_str("nothing");
        }
        for (position, name) in self.0.iter().take(NAMED).enumerate() {
            let before = if position == 0 { "" } else { ", " };
            write!(f, "{before}`{name}`")?;
        }
        match self.0.len().checked_sub(NAMED) {
            None | Some(0) => Ok(()),
            Some(more) => write!(f, " and {more} more"),
        }
    }
}
