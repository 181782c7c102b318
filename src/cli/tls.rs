//! TLS to a daemon: whom a command trusts, and the layer of it in a connection.

use std::fmt;
use std::io::{self, Read, Write};
use std::path::Path;
use std::sync::Arc;

use rustls::client::danger::{HandshakeSignatureValid, ServerCertVerified, ServerCertVerifier};
use rustls::client::{WebPkiServerVerifier, verify_server_name};
use rustls::crypto::{self, CryptoProvider};
use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, ServerName, UnixTime};
use rustls::server::ParsedCertificate;
use rustls::{
    CertificateError, ClientConfig, ClientConnection, DigitallySignedStruct, Error, RootCertStore,
    SignatureScheme, StreamOwned,
};
use ureq::unversioned::transport::{
    Buffers, ConnectionDetails, Connector, Either, LazyBuffers, NextTimeout, Transport,
    TransportAdapter,
};

use super::exit::{Failure, NO_INPUT, USAGE};

/// Whom a command trusts to be the daemon that it asks.
pub(super) enum Trust<'a> {
    /// Whoever has a certificate for the daemon's name from an authority that this machine trusts.
    Machine,
    /// Whoever has a certificate for the daemon's name that is in a file, or from an authority that
    /// is.
    File(&'a Path),
    /// Whoever has the one certificate that is in a file, whatever its name is.
    Pinned(&'a Path),
}

/// Which certificates are taken.
#[derive(Debug)]
struct Verifier {
    /// These themselves, also where they are no authority's.
    known: Vec<CertificateDer<'static>>,
    /// Whether the name in one of these counts.
    with_name: bool,
    /// Those that were signed by an authority.
    authorities: Option<Arc<WebPkiServerVerifier>>,
    provider: Arc<CryptoProvider>,
}

impl Verifier {
    fn new(trust: &Trust<'_>) -> Result<Self, Failure> {
        let provider = Arc::new(crypto::ring::default_provider());
        let (known, with_name) = match trust {
            Trust::Machine => (Vec::new(), true),
            Trust::File(path) => (certificates(path)?, true),
            Trust::Pinned(path) => (certificates(path)?, false),
        };
        let mut roots = RootCertStore::empty();
        match trust {
            Trust::Machine => {
                let found = rustls_native_certs::load_native_certs();
                for error in &found.errors {
                    log::warn!("a certificate that this machine trusts cannot be read: {error}");
                }
                roots.add_parsable_certificates(found.certs);
            }
            Trust::File(_) => {
                roots.add_parsable_certificates(known.iter().cloned());
            }
            Trust::Pinned(_) => {}
        }
        // Without any authority there is no such verifier.
        let authorities =
            WebPkiServerVerifier::builder_with_provider(roots.into(), provider.clone()).build();
        Ok(Self {
            known,
            with_name,
            authorities: authorities.ok(),
            provider,
        })
    }
}

impl ServerCertVerifier for Verifier {
    fn verify_server_cert(
        &self,
        certificate: &CertificateDer<'_>,
        intermediates: &[CertificateDer<'_>],
        name: &ServerName<'_>,
        ocsp: &[u8],
        now: UnixTime,
    ) -> Result<ServerCertVerified, Error> {
        if self.known.iter().any(|known| known == certificate) {
            if self.with_name {
                verify_server_name(&ParsedCertificate::try_from(certificate)?, name)?;
            }
            return Ok(ServerCertVerified::assertion());
        }
        match &self.authorities {
            Some(authorities) => {
                authorities.verify_server_cert(certificate, intermediates, name, ocsp, now)
            }
            None => Err(CertificateError::UnknownIssuer.into()),
        }
    }

    fn verify_tls12_signature(
        &self,
        message: &[u8],
        certificate: &CertificateDer<'_>,
        signature: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, Error> {
        let algorithms = &self.provider.signature_verification_algorithms;
        crypto::verify_tls12_signature(message, certificate, signature, algorithms)
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
}

/// The certificates in a file.
fn certificates(path: &Path) -> Result<Vec<CertificateDer<'static>>, Failure> {
    let shown = path.display();
    let bytes = std::fs::read(path)
        .map_err(|error| Failure::new(NO_INPUT, format!("cannot read {shown}: {error}")))?;
    let found: Result<Vec<_>, _> = CertificateDer::pem_slice_iter(&bytes).collect();
    match found {
        Ok(found) if !found.is_empty() => Ok(found),
        _ => {
            let text = format!("there is no certificate in PEM in {shown}");
            Err(Failure::new(USAGE, text))
        }
    }
}

/// Puts TLS on connections to URLs that begin `https://`.
#[derive(Debug)]
pub(super) struct TlsConnector(Arc<ClientConfig>);

impl TlsConnector {
    pub(super) fn new(trust: &Trust<'_>) -> Result<Self, Failure> {
        let verifier = Verifier::new(trust)?;
        let internal = |error: Error| Failure::new(USAGE, format!("cannot speak TLS: {error}"));
        let config = ClientConfig::builder_with_provider(verifier.provider.clone())
            .with_safe_default_protocol_versions()
            .map_err(internal)?
            .dangerous()
            .with_custom_certificate_verifier(Arc::new(verifier))
            .with_no_client_auth();
        Ok(Self(Arc::new(config)))
    }
}

impl<In: Transport> Connector<In> for TlsConnector {
    type Out = Either<In, Session<In>>;

    fn connect(
        &self,
        details: &ConnectionDetails,
        chained: Option<In>,
    ) -> Result<Option<Self::Out>, ureq::Error> {
        let Some(transport) = chained else {
            return Ok(None);
        };
        if !details.needs_tls() || transport.is_tls() {
            return Ok(Some(Either::A(transport)));
        }
        let host = details.uri.host().unwrap_or_default();
        let bare = host
            .strip_prefix('[')
            .and_then(|host| host.strip_suffix(']'));
        let name = ServerName::try_from(bare.unwrap_or(host).to_owned()).map_err(io::Error::other);
        let connection = ClientConnection::new(self.0.clone(), name?).map_err(io::Error::other);
        let mut connection = connection?;
        let mut socket = TransportAdapter::new(transport, details.current_time.clone());
        socket.set_timeout(details.timeout);
        connection.complete_io(&mut socket)?;
        Ok(Some(Either::B(Session {
            buffers: LazyBuffers::new(
                details.config.input_buffer_size(),
                details.config.output_buffer_size(),
            ),
            stream: StreamOwned::new(connection, socket),
        })))
    }
}

/// A connection with TLS on it.
pub(super) struct Session<T: Transport> {
    buffers: LazyBuffers,
    stream: StreamOwned<ClientConnection, TransportAdapter<T>>,
}

impl<T: Transport> fmt::Debug for Session<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Session").finish_non_exhaustive()
    }
}

impl<T: Transport> Transport for Session<T> {
    fn buffers(&mut self) -> &mut dyn Buffers {
        &mut self.buffers
    }

    fn transmit_output(&mut self, amount: usize, timeout: NextTimeout) -> Result<(), ureq::Error> {
        self.stream.sock.set_timeout(timeout);
        let bytes = &self.buffers.output()[..amount];
        Ok(self.stream.write_all(bytes)?)
    }

    fn await_input(&mut self, timeout: NextTimeout) -> Result<bool, ureq::Error> {
        self.stream.sock.set_timeout(timeout);
        let read = self.stream.read(self.buffers.input_append_buf())?;
        self.buffers.input_appended(read);
        Ok(read > 0)
    }

    fn is_open(&mut self) -> bool {
        self.stream.sock.get_mut().is_open()
    }

    fn is_tls(&self) -> bool {
        true
    }
}

/// Why TLS failed, if it was that.
pub(super) fn reason(error: &ureq::Error) -> Option<&Error> {
    match error {
        ureq::Error::Io(error) => error.get_ref()?.downcast_ref(),
        _ => None,
    }
}
