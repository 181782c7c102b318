//! Which daemon is asked.

#[derive(Debug, clap::Args)]
pub(crate) struct Remote {
    /// The daemon: http://TOKEN@HOST:PORT. If left out, DORMOUSE_URL, or the one that runs for this
    /// user.
    #[arg(long, value_name = "URL", value_hint = clap::ValueHint::Url)]
    pub url: Option<String>,
}
