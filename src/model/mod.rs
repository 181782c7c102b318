//! The words that every other module uses: digests, values and waits. Plain data, no behaviour of
//! its own beyond construction and display.

mod digest;
pub mod limits;
pub mod shape;
#[cfg(feature = "server")]
mod task;
mod value;
mod wait;

pub use digest::Digest;
pub use shape::Shape;
#[cfg(feature = "server")]
pub use task::{Event, TaskId, TaskState};
pub use value::{ValType, Value};
pub use wait::{ClockId, Deadline, FdInterest, Interest, Wait};
