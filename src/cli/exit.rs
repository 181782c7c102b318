//! The one table of exit codes.

use std::process::ExitCode;

use crate::error::{Error, ErrorKind};

/// An exit code of our own.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Code(u8);

impl Code {
    pub(super) fn number(self) -> u8 {
        self.0
    }
}

impl From<Code> for ExitCode {
    fn from(code: Code) -> Self {
        Self::from(code.0)
    }
}

pub(super) const USAGE: Code = Code(64);
pub(super) const MODULE: Code = Code(65);
pub(super) const NO_INPUT: Code = Code(66);
pub(super) const SNAPSHOT: Code = Code(67);
pub(super) const VERSION: Code = Code(68);
pub(super) const MISSING: Code = Code(69);
pub(super) const INTERNAL: Code = Code(70);
pub(super) const FILE: Code = Code(71);
pub(super) const MISMATCH: Code = Code(72);
pub(super) const WRITE: Code = Code(73);
pub(super) const DAEMON: Code = Code(74);
pub(super) const SUSPENDED: Code = Code(75);
pub(super) const CANNOT_SUSPEND: Code = Code(76);
#[cfg(feature = "server")]
pub(super) const DENIED: Code = Code(77);
pub(super) const NO_TASK: Code = Code(78);
pub(super) const NOT_MOVED: Code = Code(79);
pub(super) const LIMIT: Code = Code(80);
pub(super) const UNTRUSTED: Code = Code(81);
pub(super) const AUDIT: Code = Code(82);
#[cfg(feature = "server")]
pub(super) const NOT_YET: Code = Code(83);
pub(super) const HUNG_UP: Code = Code(129);
pub(super) const INTERRUPTED: Code = Code(130);
pub(super) const TRAP: Code = Code(134);
pub(super) const TERMINATED: Code = Code(143);

/// The table, as `--help` prints it.
pub(super) const TABLE: &str = "\
Exit codes:
  the guest's own, when it ends; or
   64  the command line is wrong
   65  the module cannot be run or made resumable
   66  a file cannot be read
   67  the snapshot is damaged, or no snapshot
   68  the snapshot has another format version
   69  something is missing here: a directory, an engine, a module
   70  an internal error
   71  a file that the task has open is gone or was changed
   72  the snapshot belongs to another module or another transform
   73  a file cannot be written, or the daemon could not store what was asked
   74  the daemon cannot be reached, or its store cannot be used or is damaged
   75  suspended: the snapshot was written
   76  the task cannot be suspended
   77  the daemon does not accept the token
   78  there is no such task, or its state does not allow what was asked
   79  a task could not be moved, and stays where it was; or the other daemon of a move does not answer
   80  a limit was reached
   81  the snapshot is not signed or encrypted as was asked, or no key opens it
   82  the audit has found something
   83  asked of a task, and not done yet: if the daemon dies before, it is forgotten
  129  SIGHUP before the guest had started: nothing was kept
  130  interrupted (Ctrl-C)
  134  the guest trapped
  143  SIGTERM before the guest had started: nothing was kept";

/// Why a command failed.
#[derive(Debug)]
pub(super) struct Failure {
    pub(super) code: Code,
    pub(super) message: String,
}

impl Failure {
    pub(super) fn new(code: Code, message: impl Into<String>) -> Self {
        Self {
            code,
            message: message.into(),
        }
    }

    /// Says what it is about, if this is its code.
    pub(super) fn about(mut self, code: Code, what: &str) -> Self {
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

/// How a command that runs a guest ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Done {
    /// The guest ended with this code.
    Guest(u32),
    /// We ended with a code of our own.
    Own(Code),
}

/// The process's exit code. Codes that do not fit into a byte are cut as by a shell.
pub(super) fn of_guest(done: Done) -> ExitCode {
    match done {
        Done::Guest(code) => ExitCode::from(code as u8),
        Done::Own(code) => code.into(),
    }
}
