//! By what a daemon is known to others: a key and a certificate that it makes for itself.

use std::fs;
use std::io::Write;
use std::path::Path;

use rcgen::{CertificateParams, KeyPair};
use tokio_rustls::rustls::pki_types::pem::PemObject;
use tokio_rustls::rustls::pki_types::{CertificateDer, PrivateKeyDer};

use crate::model::Digest;
use crate::model::error::Error;
use crate::peers::error::PeerError;

/// Key and certificate, in this order, in the daemon's directory.
const FILE_NAME: &str = "peer.pem";

/// By what a daemon is known to others.
#[derive(Debug)]
pub struct Identity {
    certificate: CertificateDer<'static>,
    key: PrivateKeyDer<'static>,
    fingerprint: Digest,
}

impl Identity {
    /// Reads it from a directory, or makes it.
    ///
    /// # Errors
    /// If the file cannot be read, is damaged, or cannot be written.
    pub fn open(directory: &Path) -> Result<Self, Error> {
        let path = directory.join(FILE_NAME);
        let failed = |why: String| PeerError::File {
            path: path.display().to_string(),
            why,
        };
        let pem = match fs::read(&path) {
            Ok(pem) => pem,
            Err(error) if error.kind() == std::io::ErrorKind::NotFound => {
                let pem = made().map_err(|error| failed(error.to_string()))?;
                write_private(&path, pem.as_bytes())?;
                pem.into_bytes()
            }
            Err(error) => return Err(failed(error.to_string()).into()),
        };
        let damaged = |error| {
            let text = format!("{error}; without it a new identity is made, which no peer knows");
            failed(text)
        };
        let certificate = CertificateDer::from_pem_slice(&pem).map_err(damaged)?;
        let key = PrivateKeyDer::from_pem_slice(&pem).map_err(damaged)?;
        Ok(Self {
            fingerprint: fingerprint(&certificate),
            certificate,
            key,
        })
    }

    pub(super) fn fingerprint(&self) -> Digest {
        self.fingerprint
    }

    pub(super) fn chain(&self) -> Vec<CertificateDer<'static>> {
        vec![self.certificate.clone()]
    }

    pub(super) fn key(&self) -> PrivateKeyDer<'static> {
        self.key.clone_key()
    }
}

/// The SHA-256 of a certificate, as `openssl x509 -fingerprint -sha256` gives it.
pub(super) fn fingerprint(certificate: &CertificateDer<'_>) -> Digest {
    let digest = ring::digest::digest(&ring::digest::SHA256, certificate);
    let mut bytes = [0; 32];
    bytes.copy_from_slice(digest.as_ref());
    Digest::from_bytes(bytes)
}

fn made() -> Result<String, rcgen::Error> {
    let key = KeyPair::generate()?;
    let mut parameters = CertificateParams::new(vec!["dormouse".to_string()])?;
    let name = rcgen::DnType::CommonName;
    parameters.distinguished_name.push(name, "dormouse");
    // The certificate is pinned: nobody renews it, and its dates say nothing.
    parameters.not_before = rcgen::date_time_ymd(2000, 1, 1);
    parameters.not_after = rcgen::date_time_ymd(4096, 1, 1);
    let certificate = parameters.self_signed(&key)?;
    Ok(format!("{}{}", key.serialize_pem(), certificate.pem()))
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
        let first = Identity::open(folder.path()).expect("it is made");
        let again = Identity::open(folder.path()).expect("it is read");
        assert_eq!(first.fingerprint(), again.fingerprint());
        let file = folder.path().join(FILE_NAME);
        let mode = fs::metadata(&file)
            .expect("it is there")
            .permissions()
            .mode();
        assert_eq!(mode & 0o777, 0o600);
        let other = tempfile::tempdir().expect("a folder");
        let other = Identity::open(other.path()).expect("it is made");
        assert_ne!(first.fingerprint(), other.fingerprint());
        fs::write(&file, "x").expect("it is written");
        assert!(Identity::open(folder.path()).is_err());
    }
}
