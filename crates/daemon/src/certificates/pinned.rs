//! TLS 1.3 in which both ends show a certificate and are known by its fingerprint alone. No
//! authority, no name and no date counts.

use std::sync::Arc;

use parking_lot::Mutex;
use tokio_rustls::rustls::client::danger::{
    HandshakeSignatureValid, ServerCertVerified, ServerCertVerifier,
};
use tokio_rustls::rustls::crypto::{self, CryptoProvider};
use tokio_rustls::rustls::pki_types::{CertificateDer, ServerName, UnixTime};
use tokio_rustls::rustls::server::danger::{ClientCertVerified, ClientCertVerifier};
use tokio_rustls::rustls::version::TLS13;
use tokio_rustls::rustls::{
    CertificateError, ClientConfig, DigitallySignedStruct, DistinguishedName, Error, ServerConfig,
    SignatureScheme,
};

use super::identity::{Identity, fingerprint};
use crate::model::Digest;

/// How a certificate is refused whose fingerprint is not known.
pub(crate) const UNKNOWN_FINGERPRINT: CertificateError =
    CertificateError::ApplicationVerificationFailure;

/// Says whether a fingerprint is known.
type Known = Box<dyn Fn(&Digest) -> bool + Send + Sync>;

/// Checks a certificate's fingerprint, and that the other end has its key.
pub(crate) struct Pinned {
    provider: Arc<CryptoProvider>,
    known: Known,
    seen: Mutex<Option<Digest>>,
}

impl Pinned {
    pub(crate) fn new(known: impl Fn(&Digest) -> bool + Send + Sync + 'static) -> Arc<Self> {
        Arc::new(Self {
            provider: Arc::new(crypto::ring::default_provider()),
            known: Box::new(known),
            seen: Mutex::default(),
        })
    }

    /// The fingerprint that was shown last, known or not.
    pub(crate) fn seen(&self) -> Option<Digest> {
        *self.seen.lock()
    }

    fn check(&self, certificate: &CertificateDer<'_>) -> Result<(), Error> {
        let shown = fingerprint(certificate);
        *self.seen.lock() = Some(shown);
        match (self.known)(&shown) {
            true => Ok(()),
            // The other end is sent the alert "access denied".
            false => Err(UNKNOWN_FINGERPRINT.into()),
        }
    }
}

impl std::fmt::Debug for Pinned {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Pinned").finish_non_exhaustive()
    }
}

/// What clients and servers check alike: whether the other end has the key of its certificate. Only
/// TLS 1.3 is spoken.
macro_rules! verify_signatures {
    () => {
        fn verify_tls12_signature(
            &self,
            _: &[u8],
            _: &CertificateDer<'_>,
            _: &DigitallySignedStruct,
        ) -> Result<HandshakeSignatureValid, Error> {
            Err(Error::General("TLS 1.2 is not spoken here".into()))
        }

        fn verify_tls13_signature(
            &self,
            message: &[u8],
            certificate: &CertificateDer<'_>,
            signature: &DigitallySignedStruct,
        ) -> Result<HandshakeSignatureValid, Error> {
            let algorithms = &self.provider.signature_verification_algorithms;
            crypto::verify_tls13_signature(message, certificate, signature, algorithms)
        }

        fn supported_verify_schemes(&self) -> Vec<SignatureScheme> {
            let algorithms = &self.provider.signature_verification_algorithms;
            algorithms.supported_schemes()
        }
    };
}

impl ServerCertVerifier for Pinned {
    fn verify_server_cert(
        &self,
        certificate: &CertificateDer<'_>,
        _: &[CertificateDer<'_>],
        _: &ServerName<'_>,
        _: &[u8],
        _: UnixTime,
    ) -> Result<ServerCertVerified, Error> {
        self.check(certificate)
            .map(|()| ServerCertVerified::assertion())
    }

    verify_signatures!();
}

impl ClientCertVerifier for Pinned {
    fn root_hint_subjects(&self) -> &[DistinguishedName] {
        &[]
    }

    fn verify_client_cert(
        &self,
        certificate: &CertificateDer<'_>,
        _: &[CertificateDer<'_>],
        _: UnixTime,
    ) -> Result<ClientCertVerified, Error> {
        self.check(certificate)
            .map(|()| ClientCertVerified::assertion())
    }

    verify_signatures!();
}

/// For the end that connects. `protocol` is what is spoken inside TLS, with its version.
pub(crate) fn client(
    identity: &Identity,
    pinned: Arc<Pinned>,
    protocol: &[u8],
) -> Result<Arc<ClientConfig>, Error> {
    let mut config = ClientConfig::builder_with_provider(pinned.provider.clone())
        .with_protocol_versions(&[&TLS13])?
        .dangerous()
        .with_custom_certificate_verifier(pinned)
        .with_client_auth_cert(identity.chain(), identity.key())?;
    config.alpn_protocols = vec![protocol.to_vec()];
    Ok(Arc::new(config))
}

/// For the end that accepts.
pub(crate) fn server(
    identity: &Identity,
    pinned: Arc<Pinned>,
    protocol: &[u8],
) -> Result<Arc<ServerConfig>, Error> {
    let mut config = ServerConfig::builder_with_provider(pinned.provider.clone())
        .with_protocol_versions(&[&TLS13])?
        .with_client_cert_verifier(pinned)
        .with_single_cert(identity.chain(), identity.key())?;
    config.alpn_protocols = vec![protocol.to_vec()];
    // No session is resumed: a peer that connects again is checked again, since it may not be known
    // any longer.
    config.send_tls13_tickets = 0;
    Ok(Arc::new(config))
}
