//! The threads that guests run on, and what they do with a task.
//!
//! | file | what stands there |
//! | --- | --- |
//! | `messages` | what a worker is asked for and what it reports |
//! | `pool` | the threads, and which job is next |
//! | `worker` | a job: load a task, run it to its next wait, freeze it |
//! | `revive` | how a task comes into memory |
//! | `output` | what a guest has written and is not stored yet |
//! | `crash_marks` | which tasks were being run when the daemon died |

pub(crate) mod crash_marks;
#[cfg(test)]
mod faults;
pub(crate) mod guest;
pub(crate) mod messages;
pub(crate) mod output;
pub(crate) mod pool;
mod revive;
pub(crate) mod worker;

#[cfg(test)]
mod tests;
