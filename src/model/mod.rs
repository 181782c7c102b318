//! The words that every other module uses: digests, values and waits. Plain data, no behaviour of
//! its own beyond construction and display.

mod digest;
mod environment;
pub mod limits;
pub mod shape;
#[cfg(feature = "server")]
mod task;
#[cfg(feature = "server")]
mod transfer;
mod value;
mod wait;

pub use digest::Digest;
pub use environment::{Unfit, check_environment};
pub use limits::{Limit, Limits, OnLimit, Reached, Setting, Used, duration};
pub use shape::Shape;
#[cfg(feature = "server")]
pub use task::{Event, TaskId, TaskState, check_name, check_pattern};
#[cfg(feature = "server")]
pub use transfer::TransferId;
pub use value::{ValType, Value};
pub use wait::{ClockId, Deadline, Ends, FdInterest, Interest, Wait, When};
