//! What a call comes to.

use dormouse_model::Wait;

use super::errno::Errno;

/// What a call comes to.
#[derive(Debug, PartialEq, Eq)]
pub enum Outcome {
    /// It is done; the guest gets this number.
    Done(Errno),
    /// It cannot be done yet. The same call is to be made again when the wait is over.
    Block(Wait),
    /// The guest ends with this exit code.
    Exit(u32),
}
