//! Which daemon is asked.

use std::path::PathBuf;

#[derive(Debug, clap::Args)]
pub(crate) struct Remote {
    /// The daemon: http://TOKEN@HOST:PORT, with https where it speaks TLS. If left out, DORMOUSE_URL,
    /// or the one that runs for this user.
    #[arg(long, value_name = "URL", value_hint = clap::ValueHint::Url)]
    pub url: Option<String>,
    /// Whom to trust where the daemon speaks TLS: certificates in PEM. If left out, DORMOUSE_TLS_CA,
    /// or those that this machine trusts.
    #[arg(long, value_name = "PEM")]
    pub tls_ca: Option<PathBuf>,
    /// Act for this tenant, as an admin: see its tasks alone, and add tasks of its.
    #[arg(long, value_name = "NAME")]
    pub tenant: Option<String>,
}
