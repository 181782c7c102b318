//! The clocks of a guest: the host's time or virtual time. Both go on over a suspend.

mod deadlines;
mod guest_clock;
mod setting;

pub(crate) use deadlines::{deadlines, ends};
pub(crate) use guest_clock::GuestClock;
pub use guest_clock::{ClockV1, VirtualTimeV1};
pub use setting::Clocks;
