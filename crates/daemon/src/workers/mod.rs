//! The threads that guests run on, and what they do with a task.
//!
//! | file | what stands there |
//! | --- | --- |
//! | `messages` | what a worker is asked for and what it reports |
//! | `pool` | the threads, and which job is next |
//! | `worker` | a job: load a task, run it to its next wait, freeze it |
//! | `revive` | how a task comes into memory |
//! | `ending` | what is stored of a guest that is over |
//! | `accept`, `connection` | tasks that have an instance for each HTTP request |
//! | `output` | what a guest has written and is not stored yet |
//! | `crash_marks` | which tasks were being run when the daemon died |

mod accept;
mod connection;
pub(crate) mod crash_marks;
mod ending;
#[cfg(test)]
mod faults;
pub(crate) mod guest;
pub(crate) mod messages;
pub(crate) mod output;
pub(crate) mod pool;
mod revive;
pub(crate) mod tenant_places;
mod traced;
pub(crate) mod worker;

#[cfg(test)]
mod tests;
