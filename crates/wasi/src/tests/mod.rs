//! What the tests of both versions of WASI share.

pub(crate) mod numbers;
