//! Where a daemon keeps everything.

use std::path::PathBuf;

use xdg::BaseDirectories;

/// The directory that `serve` uses unless it is told another: `dormouse` in the user's data
/// directory (`XDG_DATA_HOME`, else `~/.local/share`).
pub(crate) fn data_directory() -> PathBuf {
    // A user without a home has the temporary directory.
    let data = BaseDirectories::new().get_data_home();
    data.unwrap_or_else(std::env::temp_dir).join("dormouse")
}

/// The certificate that this user's daemon shows, in PEM, in its data directory.
pub(crate) const TLS_FILE: &str = "tls.pem";
