//! The interface of `binaryen` in a build that lacks it: its transforms are refused.

use crate::error::Error;

/// Refuses to run asyncify.
pub(crate) fn asyncify(_: &[u8], _: &[String], _: &[String]) -> Result<Vec<u8>, Error> {
    Err(Error::WithoutBinaryen)
}

/// Refuses to run asyncify as its users run it.
pub(crate) fn reference(_: &[u8], _: &[String]) -> Result<Vec<u8>, Error> {
    Err(Error::WithoutBinaryen)
}

/// Refuses to optimize.
pub(crate) fn optimize(_: &[u8]) -> Result<Vec<u8>, Error> {
    Err(Error::WithoutBinaryen)
}
