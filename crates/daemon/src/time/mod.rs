//! When tasks go on.
//!
//! | file | what stands there |
//! | --- | --- |
//! | `clocks` | the daemon's steady clock, and how far the wall clock is ahead of it |
//! | `calendar` | when cron expressions hold in local time |
//! | `schedule` | when a task with a schedule starts next |
//! | `backoff` | waits of which each is twice as long as the one before |
//! | `restart` | whether and when a task that has ended is started anew |

pub(crate) mod backoff;
pub(crate) mod calendar;
pub(crate) mod clocks;
pub(crate) mod restart;
pub(crate) mod schedule;
