//! The words that every other module uses: digests, values and waits. Plain data, no behaviour of
//! its own beyond construction and display.

pub mod clock;
mod digest;
mod environment;
pub mod error;
pub mod limits;
mod move_id;
pub mod shape;
mod task;
mod timestamp;
mod value;
mod wait;

pub use digest::Digest;
pub use environment::{Unfit, check_environment};
pub use limits::{Limit, Limits, OnLimit, Reached, Setting, Used, duration};
pub use move_id::MoveId;
pub use shape::Shape;
pub use task::{Event, TaskId, TaskState, check_name, check_pattern};
pub use timestamp::Timestamp;
pub use value::{ValType, Value};
pub use wait::{ClockId, Deadline, Ends, FdInterest, Interest, Wait, When};
