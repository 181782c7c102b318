//! Many tasks in a durable store: the driver, its workers and its journal, moves between daemons,
//! and the HTTP API with its dashboard ([`http`]).

use dormouse_model as model;
use dormouse_store as store;
use dormouse_task as task;

mod bases;
mod bounds;
mod budget;
mod calendar;
mod check;
mod commands;
mod complaints;
mod daemon;
mod damaged;
mod driver;
mod ending;
mod error;
#[cfg(test)]
#[path = "tests/faults.rs"]
mod faults;
mod guest;
mod handover;
mod history;
pub mod http;
mod info;
mod job;
mod journal;
mod marks;
mod metrics;
mod moving;
mod output;
mod programs;
mod queue;
mod restart;
mod schedule;
mod shared;
mod sockets;
mod spec;
mod time;
mod trouble;
mod upkeep;
mod workers;

pub use self::{
    calendar::next_occurrence,
    check::check as check_store,
    daemon::{Daemon, Options, Submission},
    ending::NotStored,
    error::Error,
    history::{History, Run},
    info::{Outputs, Piece, TaskInfo},
    metrics::Metrics,
    moving::{Blob, Claim, Considered, Formats, Grants, Inquiry, MovedTo, Note, Offer, Standing},
    output::Fresh,
    restart::Restart,
    shared::Moved,
    spec::{More, Spec, Status, World},
    trouble::Trouble,
};
pub use crate::task::{HeldSocket, Role};
pub use sockets::Kept;
