//! The values of flags, from text.

#[cfg(feature = "server")]
pub(crate) mod daemon;
pub(crate) mod guest;
pub(crate) mod time;
