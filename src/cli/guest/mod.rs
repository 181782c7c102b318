//! One guest in this process.

pub(crate) mod grants;
pub(crate) mod requests;
pub(crate) mod session;
