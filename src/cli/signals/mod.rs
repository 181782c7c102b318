//! The signals that this process listens to: while it prepares a module, and while a guest runs.

pub(crate) mod guest;
mod hangup;
pub(crate) mod preparation;
