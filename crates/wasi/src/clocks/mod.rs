//! The clocks of a guest: the host's time or virtual time. Both go on over a suspend.
//!
//! # Time
//!
//! The wall clock is the host's. The monotonic clock is kept as a number: at a resume it continues from
//! where it stood, plus the time that has passed, and never less. Clocks that nobody sets tell how much
//! has passed (`dormouse_model::clock::passed_since`), as long as the one of the suspend is there at the
//! resume: a daemon's steady clock, else `CLOCK_BOOTTIME`, which counts while the machine is suspended,
//! with a digest of its boot id and time namespace. Snapshots hold both. In another daemon after a
//! reboot, or on another machine, the wall clock tells; where it stands earlier than it did at the
//! suspend, no time is known to have passed. Within a process the monotonic clock is `CLOCK_BOOTTIME` as
//! well.
//!
//! | what is waited for | follows |
//! | --- | --- |
//! | a relative time on any clock (`sleep`, `nanosleep`, `poll`) | the monotonic clock, as POSIX has it; setting the wall clock changes nothing. (wasi-libc's `sleep` names the wall clock, which makes no difference) |
//! | an absolute time on the monotonic clock | the monotonic clock |
//! | an absolute time on the wall clock | the wall clock, which is looked at each second |
//! | limits and periods of time, restarts, `--retain` | a steady clock |
//! | `--at`, `--every` | the wall clock |
//!
//! All deadlines of a `poll_oneoff` are looked at, since setting the wall clock may make another one the
//! first. A deadline in the past is over at once. Clocks of CPU time do not exist.
//!
//! A guest with a time of its own (`--clocks virtual`) sees another number than these. Deadlines are
//! still kept on the clock beneath: what a poll asks for is counted from the moment at which it is made,
//! and when it is over, the guest's own time moves by as much as the first deadline lay after that.

mod deadlines;
mod guest_clock;

pub(crate) use deadlines::{deadlines, ends};
pub(crate) use guest_clock::GuestClock;
pub use guest_clock::{ClockV1, VirtualTimeV1};
