//! TLS for the API: the certificate that clients are shown, which can be replaced while the daemon
//! runs.

use std::fs;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use base64::prelude::{BASE64_STANDARD, Engine as _};
use parking_lot::{Mutex, RwLock};
use tokio_rustls::rustls::crypto::{CryptoProvider, ring};
use tokio_rustls::rustls::pki_types::pem::PemObject;
use tokio_rustls::rustls::pki_types::{CertificateDer, PrivateKeyDer};
use tokio_rustls::rustls::server::{ClientHello, ResolvesServerCert};
use tokio_rustls::rustls::sign::CertifiedKey;
use tokio_rustls::rustls::{self, ServerConfig};

use crate::model::Digest;

/// The one protocol that is spoken inside TLS.
const ALPN_PROTOCOL: &[u8] = b"http/1.1";

/// Characters of a line of PEM.
const PEM_LINE_BYTES: usize = 64;

/// Why a certificate and its key cannot be used.
#[derive(Debug, thiserror::Error)]
pub enum CertificateError {
    /// A file cannot be read.
    #[error("cannot read {}: {source}", path.display())]
    Unreadable {
        /// The file.
        path: PathBuf,
        /// The system's answer.
        source: std::io::Error,
    },
    /// A file does not hold what it should.
    #[error("there is no {what} in PEM in {}", path.display())]
    Missing {
        /// The file.
        path: PathBuf,
        /// What is looked for.
        what: &'static str,
    },
    /// Certificate and key do not belong together, or are of a kind that is not known.
    #[error(
        "the key in {} cannot be used with the certificate in {}: {reason}",
        key.display(),
        certificate.display()
    )]
    Unusable {
        /// The file with the certificate.
        certificate: PathBuf,
        /// The file with its key.
        key: PathBuf,
        /// Why.
        reason: String,
    },
}

/// The certificate of the API with its key, in two files that may be replaced.
pub struct Certificate {
    chain_path: PathBuf,
    key_path: PathBuf,
    shown: Arc<Shown>,
    config: Arc<ServerConfig>,
    /// What was in the files when they were last read, whether it could be used or not.
    read: Mutex<Digest>,
}

/// What clients are shown that connect now.
#[derive(Debug)]
struct Shown(RwLock<Arc<CertifiedKey>>);

impl ResolvesServerCert for Shown {
    fn resolve(&self, _: ClientHello<'_>) -> Option<Arc<CertifiedKey>> {
        Some(self.0.read().clone())
    }
}

impl Certificate {
    /// Reads a certificate, with those between it and its authority behind it, and its key.
    ///
    /// # Errors
    /// If a file cannot be read, or the two do not belong together.
    pub fn read(chain: &Path, key: &Path) -> Result<Arc<Self>, CertificateError> {
        let provider = Arc::new(ring::default_provider());
        let (pair, digest) = contents(chain, key)?;
        let certified = certified(chain, key, &pair, &provider)?;
        let unusable = |error: rustls::Error| unusable(chain, key, &error);
        let shown = Arc::new(Shown(RwLock::new(Arc::new(certified))));
        let mut config = ServerConfig::builder_with_provider(provider)
            .with_safe_default_protocol_versions()
            .map_err(unusable)?
            .with_no_client_auth()
            .with_cert_resolver(shown.clone());
        config.alpn_protocols = vec![ALPN_PROTOCOL.to_vec()];
        Ok(Arc::new(Self {
            chain_path: chain.to_path_buf(),
            key_path: key.to_path_buf(),
            shown,
            config: Arc::new(config),
            read: Mutex::new(digest),
        }))
    }

    /// Reads the files again, where they have changed since they were last read; says whether
    /// clients are shown another certificate from now on.
    ///
    /// # Errors
    /// If what is there now cannot be used: clients are shown the certificate of before.
    pub fn reload(&self) -> Result<bool, CertificateError> {
        let (chain, key) = (&self.chain_path, &self.key_path);
        let (pair, digest) = contents(chain, key)?;
        if std::mem::replace(&mut *self.read.lock(), digest) == digest {
            return Ok(false);
        }
        let certified = certified(chain, key, &pair, self.config.crypto_provider())?;
        *self.shown.0.write() = Arc::new(certified);
        Ok(true)
    }

    /// The certificate itself, without those behind it, in PEM.
    pub fn leaf_pem(&self) -> String {
        let text = BASE64_STANDARD.encode(self.leaf());
        let lines = text.as_bytes().chunks(PEM_LINE_BYTES);
        let mut pem = String::from("-----BEGIN CERTIFICATE-----\n");
        for line in lines {
            pem.extend(line.iter().map(|byte| char::from(*byte)));
            pem.push('\n');
        }
        pem + "-----END CERTIFICATE-----\n"
    }

    fn leaf(&self) -> Vec<u8> {
        let shown = self.shown.0.read();
        shown
            .cert
            .first()
            .map_or_else(Vec::new, |leaf| leaf.to_vec())
    }

    pub(crate) fn config(&self) -> Arc<ServerConfig> {
        self.config.clone()
    }
}

impl std::fmt::Debug for Certificate {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Certificate")
            .field("chain", &self.chain_path)
            .field("key", &self.key_path)
            .finish_non_exhaustive()
    }
}

/// The bytes of both files, and a digest of them.
fn contents(chain: &Path, key: &Path) -> Result<([Vec<u8>; 2], Digest), CertificateError> {
    let read = |path: &Path| {
        fs::read(path).map_err(|source| CertificateError::Unreadable {
            path: path.to_path_buf(),
            source,
        })
    };
    let pair = [read(chain)?, read(key)?];
    let digests = pair.each_ref().map(|bytes| *Digest::of(bytes).as_bytes());
    Ok((pair, Digest::of(digests.as_flattened())))
}

fn certified(
    chain_path: &Path,
    key_path: &Path,
    [chain, key]: &[Vec<u8>; 2],
    provider: &CryptoProvider,
) -> Result<CertifiedKey, CertificateError> {
    let missing = |path: &Path, what| CertificateError::Missing {
        path: path.to_path_buf(),
        what,
    };
    let chain: Vec<_> = CertificateDer::pem_slice_iter(chain)
        .collect::<Result<_, _>>()
        .map_err(|_| missing(chain_path, "certificate"))?;
    if chain.is_empty() {
        return Err(missing(chain_path, "certificate"));
    }
    let key = PrivateKeyDer::from_pem_slice(key).map_err(|_| missing(key_path, "private key"))?;
    CertifiedKey::from_der(chain, key, provider)
        .map_err(|error| unusable(chain_path, key_path, &error))
}

fn unusable(certificate: &Path, key: &Path, error: &rustls::Error) -> CertificateError {
    CertificateError::Unusable {
        certificate: certificate.to_path_buf(),
        key: key.to_path_buf(),
        reason: error.to_string(),
    }
}

#[cfg(test)]
mod tests {
    use rcgen::generate_simple_self_signed;

    use super::*;

    /// A new certificate in the two files.
    fn write(folder: &Path, parts: [bool; 2]) -> Vec<u8> {
        let made = generate_simple_self_signed(vec!["box.example.com".into()]).expect("a key");
        if parts[0] {
            fs::write(folder.join("cert.pem"), made.cert.pem()).expect("written");
        }
        if parts[1] {
            let key = made.signing_key.serialize_pem();
            fs::write(folder.join("key.pem"), key).expect("written");
        }
        made.cert.der().to_vec()
    }

    #[test]
    fn a_pair_that_cannot_be_used_leaves_the_one_of_before() {
        let folder = tempfile::tempdir().expect("a directory");
        let (chain, key) = (
            folder.path().join("cert.pem"),
            folder.path().join("key.pem"),
        );
        let unreadable = Certificate::read(&chain, &key).expect_err("there are no files");
        assert!(matches!(unreadable, CertificateError::Unreadable { .. }));
        let first = write(folder.path(), [true, true]);
        let certificate = Certificate::read(&chain, &key).expect("a pair");
        assert_eq!(certificate.leaf(), first);
        let pem = CertificateDer::from_pem_slice(certificate.leaf_pem().as_bytes());
        assert_eq!(pem.expect("PEM").to_vec(), first);
        assert!(!certificate.reload().expect("the same files"));
        // Half of a new pair, as whoever replaces both leaves it in between.
        let second = write(folder.path(), [true, false]);
        let half = certificate.reload().expect_err("another key");
        assert!(matches!(half, CertificateError::Unusable { .. }), "{half}");
        assert_eq!(certificate.leaf(), first);
        assert!(!certificate.reload().expect("it has been said"));
        let third = write(folder.path(), [true, true]);
        assert!(certificate.reload().expect("a pair"));
        assert_eq!(certificate.leaf(), third);
        assert_ne!(third, second);
        fs::write(&chain, "no certificate").expect("written");
        let none = certificate.reload().expect_err("no certificate");
        assert!(matches!(none, CertificateError::Missing { .. }), "{none}");
        fs::remove_file(&chain).expect("removed");
        assert!(certificate.reload().is_err());
        assert_eq!(certificate.leaf(), third);
    }
}
