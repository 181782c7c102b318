//! A certificate that a daemon makes for itself, and by which others know it.

use rcgen::{CertificateParams, KeyPair};
use tokio_rustls::rustls::pki_types::pem::{Error as PemError, PemObject};
use tokio_rustls::rustls::pki_types::{CertificateDer, PrivateKeyDer, PrivatePkcs8KeyDer};

use crate::model::Digest;

/// A certificate with its key.
#[derive(Debug)]
pub(crate) struct Identity {
    certificate: CertificateDer<'static>,
    key: PrivateKeyDer<'static>,
    fingerprint: Digest,
}

impl Identity {
    /// A new one.
    ///
    /// # Errors
    /// If the system gives no random numbers.
    pub(crate) fn made() -> Result<Self, rcgen::Error> {
        let (certificate, key) = made()?;
        let certificate = certificate.der().clone();
        Ok(Self {
            fingerprint: fingerprint(&certificate),
            certificate,
            key: PrivatePkcs8KeyDer::from(key.serialize_der()).into(),
        })
    }

    /// Reads key and certificate.
    ///
    /// # Errors
    /// If one of them is not there.
    pub(crate) fn of_pem(pem: &[u8]) -> Result<Self, PemError> {
        let certificate = CertificateDer::from_pem_slice(pem)?;
        Ok(Self {
            fingerprint: fingerprint(&certificate),
            certificate,
            key: PrivateKeyDer::from_pem_slice(pem)?,
        })
    }

    /// Key and certificate of a new one, in this order.
    ///
    /// # Errors
    /// If the system gives no random numbers.
    pub(crate) fn made_pem() -> Result<String, rcgen::Error> {
        let (certificate, key) = made()?;
        Ok(format!("{}{}", key.serialize_pem(), certificate.pem()))
    }

    pub(crate) fn fingerprint(&self) -> Digest {
        self.fingerprint
    }

    pub(crate) fn chain(&self) -> Vec<CertificateDer<'static>> {
        vec![self.certificate.clone()]
    }

    pub(crate) fn key(&self) -> PrivateKeyDer<'static> {
        self.key.clone_key()
    }
}

/// The SHA-256 of a certificate, as `openssl x509 -fingerprint -sha256` gives it.
pub(crate) fn fingerprint(certificate: &CertificateDer<'_>) -> Digest {
    let digest = ring::digest::digest(&ring::digest::SHA256, certificate);
    let mut bytes = [0; 32];
    bytes.copy_from_slice(digest.as_ref());
    Digest::from_bytes(bytes)
}

fn made() -> Result<(rcgen::Certificate, KeyPair), rcgen::Error> {
    let key = KeyPair::generate()?;
    let mut parameters = CertificateParams::new(vec!["dormouse".to_string()])?;
    let name = rcgen::DnType::CommonName;
    parameters.distinguished_name.push(name, "dormouse");
    // The certificate is pinned: nobody renews it, and its dates say nothing.
    parameters.not_before = rcgen::date_time_ymd(2000, 1, 1);
    parameters.not_after = rcgen::date_time_ymd(4096, 1, 1);
    Ok((parameters.self_signed(&key)?, key))
}
