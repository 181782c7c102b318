//! What Binaryen cannot read, or asyncify cannot suspend, in terms of what they can.
//!
//! - [`exceptions`]: exceptions become ordinary results.
//! - [`block_parameters`]: parameters of blocks go through locals.
//! - [`segments`]: element segments become tables.
//! - [`references`]: references to functions become numbers.
//! - [`asyncify_input`]: what must not happen again on a resume becomes an export that the host
//!   calls; functions get names that follow them through Binaryen.
//! - [`tail_calls`]: tail calls that may be on the stack at a suspend become calls.
//! - [`hidden_bodies`]: bodies that Binaryen must not see are taken out, and put back afterwards.

pub(crate) mod asyncify_input;
pub(crate) mod block_parameters;
pub(crate) mod exceptions;
pub(crate) mod hidden_bodies;
pub(crate) mod references;
pub(crate) mod segments;
pub(crate) mod tail_calls;
