//! The flags of `dormouse nodes`.

use super::remote::Remote;

#[derive(Debug, clap::Args)]
pub(crate) struct Nodes {
    #[command(flatten)]
    pub remote: Remote,
}
