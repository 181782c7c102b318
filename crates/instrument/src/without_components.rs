//! The interface of `component` in a build that lacks it: components are refused.

use crate::error::{ComponentError, Error};

/// Refuses to flatten a component.
///
/// # Errors
/// [`ComponentError::LeftOut`].
pub fn flatten(_: &[u8]) -> Result<Vec<u8>, Error> {
    Err(ComponentError::LeftOut.into())
}
