//! How a command makes modules resumable.

use crate::instrument::Transform;

/// The flag of all commands that rewrite modules.
#[derive(Debug, clap::Args)]
pub(crate) struct TransformFlag {
    /// How to make a module resumable: two-version (by Binaryen), native (without Binaryen, in much
    /// less time), auto (native where more than 512 KiB of code may be on the stack at a suspend,
    /// else two-version), plain (Binaryen's own output), or none (leaves it as it is, so that it
    /// cannot be suspended).
    #[arg(
        id = "transform",
        long = "transform",
        value_name = "NAME",
        default_value_t
    )]
    pub name: Transform,
}
