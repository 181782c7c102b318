//! The signals that a command listens to while it prepares a module, and while a guest runs. The
//! daemon's signals are in `commands/daemon/serve`.

pub(crate) mod guest;
mod hangup;
pub(crate) mod preparation;
