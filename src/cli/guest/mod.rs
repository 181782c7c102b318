//! One guest in this process.

pub(crate) mod grants;
pub(crate) mod session;
