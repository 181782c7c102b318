//! By what a daemon is known to others: a key and a certificate that it makes for itself.

use std::fs;
use std::io::Write;
use std::path::Path;

use crate::certificates::identity::Identity;
use crate::model::error::Error;
use crate::peers::error::PeerError;

/// Key and certificate, in this order, in the daemon's directory.
const FILE_NAME: &str = "peer.pem";

/// Reads by what this daemon is known to others from a directory, or makes it.
///
/// # Errors
/// If the file cannot be read, is damaged, or cannot be written.
pub(super) fn open(directory: &Path) -> Result<Identity, Error> {
    let path = directory.join(FILE_NAME);
    let failed = |why: String| PeerError::File {
        path: path.display().to_string(),
        why,
    };
    let pem = match fs::read(&path) {
        Ok(pem) => pem,
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => {
            let pem = Identity::made_pem().map_err(|error| failed(error.to_string()))?;
            write_private(&path, pem.as_bytes())?;
            pem.into_bytes()
        }
        Err(error) => return Err(failed(error.to_string()).into()),
    };
    Identity::of_pem(&pem).map_err(|error| {
        let text = format!("{error}; without it a new identity is made, which no peer knows");
        failed(text).into()
    })
}

/// Writes a file that only its owner can read, whole or not at all.
pub(super) fn write_private(path: &Path, bytes: &[u8]) -> Result<(), Error> {
    let directory = path.parent().unwrap_or(Path::new("."));
    let written = tempfile::Builder::new()
        .prefix(".dormouse-")
        .tempfile_in(directory)
        .and_then(|mut file| {
            file.write_all(bytes)?;
            file.as_file().sync_all()?;
            file.persist(path).map_err(|error| error.error)?;
            fs::File::open(directory)?.sync_all()
        });
    written.map_err(|error| {
        let (path, why) = (path.display().to_string(), error.to_string());
        PeerError::File { path, why }.into()
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_identity_is_made_once_and_is_nobody_elses() {
        use std::os::unix::fs::PermissionsExt;
        let folder = tempfile::tempdir().expect("a folder");
        let first = open(folder.path()).expect("it is made");
        let again = open(folder.path()).expect("it is read");
        assert_eq!(first.fingerprint(), again.fingerprint());
        let file = folder.path().join(FILE_NAME);
        let mode = fs::metadata(&file)
            .expect("it is there")
            .permissions()
            .mode();
        assert_eq!(mode & 0o777, 0o600);
        let other = tempfile::tempdir().expect("a folder");
        let other = open(other.path()).expect("it is made");
        assert_ne!(first.fingerprint(), other.fingerprint());
        fs::write(&file, "x").expect("it is written");
        assert!(open(folder.path()).is_err());
    }
}
