//! Directories that the host gives to a guest.

use std::fs::File;
use std::io;
use std::os::unix::fs::OpenOptionsExt;
use std::path::{Path, PathBuf};

use cap_std::ambient_authority;
use cap_std::fs::Dir;
use dormouse_model::spec::Access;
use rustix::fs::OFlags;

use super::dir::OpenDir;
use crate::error::Error;

/// A directory that a guest may use.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct HostDir {
    /// Its name for the guest.
    pub guest: String,
    /// Its path on the host.
    pub host: PathBuf,
    /// Whether the guest may write there.
    pub access: Access,
}

/// A directory given by the host, opened.
pub(crate) struct Preopen {
    /// Its name for the guest.
    pub(crate) guest: String,
    pub(super) dir: Dir,
    /// The guest may only read there.
    pub(crate) read_only: bool,
    /// Its path on the host without symbolic links. Open files are looked for below it where the
    /// system does not tell the directory's path.
    pub(super) root: PathBuf,
}

impl Preopen {
    /// Opens a directory. `before` says whether it was read-only before the suspend.
    pub(crate) fn open(dir: HostDir, before: bool) -> Result<Self, Error> {
        let failed = |source| Error::OpenDir {
            path: dir.host.clone(),
            source,
        };
        Ok(Self {
            root: dir.host.canonicalize().map_err(failed)?,
            // A directory that cannot be listed can still be used by guests that know its files.
            dir: open_listable(&dir.host)
                .or_else(|_| Dir::open_ambient_dir(&dir.host, ambient_authority()))
                .map_err(failed)?,
            read_only: dir.access.is_read_only(before),
            guest: dir.guest,
        })
    }

    /// The open directory of a guest's descriptor for it.
    pub(crate) fn open_dir(&self) -> Result<OpenDir, Error> {
        let dir = self.dir.try_clone().map_err(|source| Error::Io {
            what: "open a directory for the guest once more",
            source,
        })?;
        Ok(OpenDir {
            dir,
            preopen: self.guest.clone(),
            path: ".".into(),
            is_preopen: true,
            read_only: self.read_only,
            listing: None,
        })
    }
}

/// The directory that the guest knows by this name.
pub(crate) fn find_preopen<'a>(preopens: &'a [Preopen], guest: &str) -> Result<&'a Preopen, Error> {
    let found = preopens.iter().find(|preopen| preopen.guest == guest);
    found.ok_or_else(|| Error::MissingPreopen {
        guests: vec![guest.to_string()],
    })
}

/// Fails if a preopened directory that the snapshot needs was not given; the error names every
/// missing one.
pub(crate) fn check_preopens_given<'a>(
    needed: impl Iterator<Item = &'a String>,
    given: &[HostDir],
) -> Result<(), Error> {
    let is_missing = |guest: &&String| given.iter().all(|dir| dir.guest != **guest);
    let mut guests: Vec<String> = needed.filter(is_missing).cloned().collect();
    guests.sort();
    guests.dedup();
    match guests.is_empty() {
        true => Ok(()),
        false => Err(Error::MissingPreopen { guests }),
    }
}

/// Opens a directory of the host's so that it can also be flushed and given times.
fn open_listable(path: &Path) -> io::Result<Dir> {
    let flags = OFlags::DIRECTORY.bits() as i32;
    let file = File::options().read(true).custom_flags(flags).open(path)?;
    Ok(Dir::from_std_file(file))
}
