//! Where a daemon keeps everything.

use std::path::PathBuf;

use etcetera::BaseStrategy;
use etcetera::base_strategy::Xdg;

/// The directory that `serve` uses unless it is told another: `dormouse` in the user's data
/// directory (`XDG_DATA_HOME`, else `~/.local/share`).
pub(crate) fn data_directory() -> PathBuf {
    // A user without a home has the temporary directory.
    let data = Xdg::new().map_or_else(|_| std::env::temp_dir(), |user| user.data_dir());
    data.join("dormouse")
}
