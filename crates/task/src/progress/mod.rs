//! What is reported of the work on a module, and how long that will take.

mod observer;
mod reporter;
mod timings;
mod under_way;
mod work;

pub use observer::{
    LogObserver, Observer, Progress, WORTH_TELLING, awaited, begins, ended, not_optimized, quiet,
};
pub(super) use reporter::{Reporter, Step, Waiting};
pub use timings::{Timing, Timings};
pub use under_way::UnderWay;
pub use work::Work;
