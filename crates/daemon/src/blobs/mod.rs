//! What the store keeps as blobs, and what of it is kept ready in memory.
//!
//! | file | what stands there |
//! | --- | --- |
//! | `programs` | resumable modules, compiled |
//! | `preparations` | modules that are being made ready now |
//! | `snapshot_bases` | which snapshot another one is compressed against |
//! | `large` | snapshots of large guests, which are stored chunk by chunk |

pub(crate) mod large;
pub(crate) mod preparations;
pub(crate) mod programs;
pub(crate) mod snapshot_bases;
