//! The one table of exit codes.

use std::process::ExitCode;

use crate::error::{Error, ErrorKind};
use crate::model::Reached;

/// An exit code of our own.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Code(u8);

impl Code {
    pub(crate) fn number(self) -> u8 {
        self.0
    }
}

impl From<Code> for ExitCode {
    fn from(code: Code) -> Self {
        Self::from(code.0)
    }
}

macro_rules! codes {
    ($($name:ident = $number:literal, $meaning:literal;)*) => {
        $(
            #[cfg_attr(not(feature = "server"), allow(dead_code, reason = "some are a daemon's"))]
            pub(crate) const $name: Code = Code($number);
        )*

        /// Every exit code of our own with its meaning, in the order of their numbers.
        pub(crate) const CODES: &[(u8, &str)] = &[$(($number, $meaning)),*];
    };
}

// `--help`, the manual and `docs/exit-codes.md` show these words; a test compares them.
codes! {
    USAGE = 64, "the command line is wrong";
    MODULE = 65, "the module cannot be run or made resumable";
    NO_INPUT = 66, "a file cannot be read";
    SNAPSHOT = 67, "the snapshot is damaged, or no snapshot";
    VERSION = 68, "the snapshot or the store has another format version";
    MISSING = 69, "something is missing here: a directory, an engine, a module";
    INTERNAL = 70, "an internal error";
    FILE = 71, "a file that the task has open is gone or was changed";
    MISMATCH = 72, "the snapshot belongs to another module or another transform";
    WRITE = 73, "a file cannot be written, or the daemon could not store what was asked, or at its end what its tasks had come to";
    DAEMON = 74, "the daemon cannot be reached, or its store cannot be used or is damaged";
    SUSPENDED = 75, "suspended: the snapshot was written";
    CANNOT_SUSPEND = 76, "the task cannot be suspended";
    DENIED = 77, "the daemon does not accept the token";
    NO_TASK = 78, "there is no such task, or its state does not allow what was asked";
    NOT_MOVED = 79, "a task could not be moved and stays where it was, or the other daemon of a move does not answer";
    LIMIT = 80, "a limit was reached, which the message names";
    UNTRUSTED = 81, "the snapshot or the module is not signed or encrypted as was asked, or no key opens it";
    AUDIT = 82, "`audit` has found something";
    NOT_YET = 83, "asked of a task that computes, and not done yet: if the daemon dies before, it is forgotten";
    DAMAGED = 84, "`cache verify` has found damage, and did not remove it";
    HUNG_UP = 129, "SIGHUP while a module was prepared: the guest had not started, and nothing was kept";
    INTERRUPTED = 130, "interrupted (Ctrl-C)";
    TRAP = 134, "the guest trapped";
    TERMINATED = 143, "SIGTERM while a module was prepared: the guest had not started, and nothing was kept";
}

/// The table, as `--help` ends with it.
pub(crate) fn table() -> String {
    let own = CODES.iter();
    let own = own.map(|(number, meaning)| format!("\n  {number:>3}  {meaning}"));
    let first = "Exit codes:\n  the guest's own, when it ends; or";
    std::iter::once(first.to_string()).chain(own).collect()
}

/// Why a command failed.
#[derive(Debug)]
pub(crate) struct Failure {
    pub(crate) code: Code,
    pub(crate) message: String,
}

impl Failure {
    pub(crate) fn new(code: Code, message: impl Into<String>) -> Self {
        Self {
            code,
            message: message.into(),
        }
    }

    /// Puts in front of the message what it is about, if the failure has this code.
    pub(crate) fn about(mut self, code: Code, what: &str) -> Self {
        if self.code == code {
            self.message = format!("{what}: {}", self.message);
        }
        self
    }
}

impl From<ErrorKind> for Code {
    fn from(kind: ErrorKind) -> Self {
        match kind {
            ErrorKind::Module => MODULE,
            ErrorKind::Snapshot => SNAPSHOT,
            ErrorKind::Version => VERSION,
            ErrorKind::Missing => MISSING,
            ErrorKind::File => FILE,
            ErrorKind::Mismatch => MISMATCH,
            ErrorKind::Write => WRITE,
            ErrorKind::Suspend => CANNOT_SUSPEND,
            ErrorKind::Trap => TRAP,
            ErrorKind::Read => NO_INPUT,
            ErrorKind::Store | ErrorKind::Busy => DAEMON,
            ErrorKind::Task => NO_TASK,
            ErrorKind::Request => USAGE,
            ErrorKind::Peer => NOT_MOVED,
            ErrorKind::Limit => LIMIT,
            ErrorKind::Trust => UNTRUSTED,
            ErrorKind::Internal => INTERNAL,
        }
    }
}

impl From<Error> for Failure {
    fn from(error: Error) -> Self {
        Self::new(error.kind().into(), error.to_string())
    }
}

impl From<Reached> for Failure {
    fn from(reached: Reached) -> Self {
        Error::new(ErrorKind::Limit, reached).into()
    }
}

/// How a command ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Done {
    /// The guest ended with this code; 0 stands for any command that did what it was asked.
    Guest(u32),
    /// The command ended with a code of our own.
    Own(Code),
}

/// What a command without a guest gives where it has done what it was asked.
pub(crate) const OK: Result<Done, Failure> = Ok(Done::Guest(0));

impl From<Done> for ExitCode {
    /// A guest's code that does not fit into a byte is cut, as by a shell.
    fn from(done: Done) -> Self {
        match done {
            Done::Guest(code) => Self::from(code as u8),
            Done::Own(code) => code.into(),
        }
    }
}
