//! The words that every other crate uses. Plain data, without behaviour of its own beyond
//! construction and display.
//!
//! # Example
//!
//! ```
//! use dormouse_model::clock::{Clock, SimClock};
//! use dormouse_model::{Limit, Limits, Timestamp};
//! use std::time::Duration;
//!
//! // Limits are named and written as on the command line.
//! let limits = Limits::default().with(["memory=64M".parse()?]);
//! assert_eq!(limits.value(Limit::Memory), 64 << 20);
//!
//! // Whatever reads a clock takes a `Clock`. This one moves only when it is told to.
//! let clock = SimClock::at(Timestamp::EPOCH);
//! clock.advance(Duration::from_secs(1));
//! assert_eq!(clock.realtime().seconds(), 1);
//! # Ok::<(), Box<dyn std::error::Error>>(())
//! ```

#![deny(missing_docs)]

mod access;
pub mod clock;
mod digest;
mod environment;
pub mod error;
pub mod limits;
pub mod lowered;
mod monotonic;
mod move_id;
pub mod shape;
pub mod spec;
mod task;
mod text;
mod timestamp;
mod trace;
mod value;
mod wait;

pub use access::{Role, TenantId};
pub use digest::Digest;
pub use environment::{Unfit, check_environment};
pub use limits::{Limit, Limits, OnLimit, Reached, Setting, Used};
pub use monotonic::MonotonicTime;
pub use move_id::MoveId;
pub use shape::Shape;
pub use spec::TaskSpec;
pub use task::{Event, TaskId, TaskState, check_name, check_pattern};
pub use timestamp::Timestamp;
pub use trace::{TaskTrace, TraceContext};
pub use value::{ValType, Value};
pub use wait::{ClockId, Deadline, Ends, FdInterest, Interest, Wait, When};
