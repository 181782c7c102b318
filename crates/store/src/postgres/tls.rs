//! TLS to the server, as `sslmode`, `sslrootcert`, `sslcert` and `sslkey` in a URL ask for it. They
//! mean what they mean to libpq, but that no file is looked for that is not named.
//!
//! | `sslmode` | encrypted | the certificate was signed by an authority in `sslrootcert` | and is for the host's name |
//! | --- | --- | --- | --- |
//! | `disable` | no | | |
//! | `prefer`, or none | where the server can | where `sslrootcert` is given | no |
//! | `require` | yes | where `sslrootcert` is given | no |
//! | `verify-ca` | yes | yes | no |
//! | `verify-full` | yes | yes | yes |

use std::error::Error as _;
use std::sync::Arc;

use percent_encoding::percent_decode_str;
use rustls::client::danger::{HandshakeSignatureValid, ServerCertVerified, ServerCertVerifier};
use rustls::client::{verify_server_cert_signed_by_trust_anchor, verify_server_name};
use rustls::crypto::{self, CryptoProvider};
use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, PrivateKeyDer, ServerName, UnixTime};
use rustls::server::ParsedCertificate;
use rustls::{ClientConfig, DigitallySignedStruct, RootCertStore, SignatureScheme};
use tokio::task::JoinHandle;
use tokio_postgres::config::{Host, SslMode};
use tokio_postgres::tls::TlsStream;
use tokio_postgres::{Client, Config, Connection, NoTls, Socket};
use tokio_postgres_rustls::MakeRustlsConnect;

use super::attend::Attendant;
use crate::error::Error;

/// The value of `sslrootcert` that stands for the authorities that the machine trusts.
const SYSTEM: &str = "system";

/// How a connection is secured, the weaker first.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord)]
enum Mode {
    Disable,
    #[default]
    Prefer,
    Require,
    VerifyCa,
    VerifyFull,
}

impl Mode {
    fn parse(text: &str) -> Result<Self, Error> {
        match text {
            "disable" => Ok(Self::Disable),
            "prefer" => Ok(Self::Prefer),
            "require" => Ok(Self::Require),
            "verify-ca" => Ok(Self::VerifyCa),
            "verify-full" => Ok(Self::VerifyFull),
            _ => refused(format!(
                "sslmode={text} is not known here; it is disable, prefer, require, verify-ca or \
                 verify-full"
            )),
        }
    }
}

/// What a URL asks for.
#[derive(Debug, Default)]
pub(super) struct Asked {
    mode: Option<Mode>,
    /// The file with the authorities, or [`SYSTEM`].
    authorities: Option<String>,
    /// The file with this side's certificate, and those between it and its authority.
    certificate: Option<String>,
    /// The file with its key.
    key: Option<String>,
}

fn refused<T>(text: String) -> Result<T, Error> {
    Err(Error::Database(text))
}

/// Takes what is about TLS out of a URL.
///
/// # Errors
/// If a value is not known.
pub(super) fn take(url: &str) -> Result<(String, Asked), Error> {
    let mut asked = Asked::default();
    // What stands before is a user and a password.
    let start = url.find('@').unwrap_or(0);
    let Some(query) = url.split_at(start).1.find('?') else {
        return Ok((url.into(), asked));
    };
    let (address, query) = url.split_at(start + query);
    let mut others = Vec::new();
    for parameter in query.trim_start_matches('?').split('&') {
        let (name, value) = parameter.split_once('=').unwrap_or((parameter, ""));
        let value = percent_decode_str(value).decode_utf8_lossy().into_owned();
        match name {
            "sslmode" => asked.mode = Some(Mode::parse(&value)?),
            "sslrootcert" => asked.authorities = Some(value),
            "sslcert" => asked.certificate = Some(value),
            "sslkey" => asked.key = Some(value),
            _ => others.push(parameter),
        }
    }
    let url = match others.is_empty() {
        true => address.into(),
        false => format!("{address}?{}", others.join("&")),
    };
    Ok((url, asked))
}

impl Asked {
    /// What makes connections of a configuration, which is told how.
    ///
    /// # Errors
    /// If a file cannot be used, or what is asked for makes no sense.
    pub(super) fn connector(self, config: &mut Config) -> Result<Connector, Error> {
        let is_socket = |host: &Host| matches!(host, Host::Unix(_));
        let sockets = config.get_hosts().iter().filter(|host| is_socket(host));
        let (sockets, hosts) = (sockets.count(), config.get_hosts().len());
        let mode = match self.mode {
            // As to libpq: nobody is in between.
            _ if sockets > 0 && sockets == hosts => Mode::Disable,
            Some(mode) => mode,
            None if self.authorities.as_deref() == Some(SYSTEM) => Mode::VerifyFull,
            None => Mode::default(),
        };
        if mode == Mode::Disable {
            config.ssl_mode(SslMode::Disable);
            return Ok(Connector(None));
        }
        if sockets > 0 {
            return refused("the URL names sockets and hosts; name one sort of them".into());
        }
        // A certificate may be for an address.
        if hosts == 0 {
            for address in config.get_hostaddrs().to_vec() {
                config.host(address.to_string());
            }
        }
        config.ssl_mode(match mode {
            Mode::Prefer => SslMode::Prefer,
            _ => SslMode::Require,
        });
        let tls = self.tls(mode)?;
        Ok(Connector(Some(MakeRustlsConnect::new(tls))))
    }

    fn tls(&self, mode: Mode) -> Result<ClientConfig, Error> {
        let provider = Arc::new(crypto::ring::default_provider());
        let verifier = Arc::new(self.verifier(mode, provider.clone())?);
        let failed = |error: rustls::Error| Error::Database(format!("TLS: {error}"));
        let builder = ClientConfig::builder_with_provider(provider)
            .with_safe_default_protocol_versions()
            .map_err(failed)?
            .dangerous()
            .with_custom_certificate_verifier(verifier);
        match (&self.certificate, &self.key) {
            (None, None) => Ok(builder.with_no_client_auth()),
            (Some(certificate), Some(key)) => {
                let chain = certificates("sslcert", certificate)?;
                let pem = read("sslkey", key)?;
                let Ok(parsed) = PrivateKeyDer::from_pem_slice(&pem) else {
                    return refused(format!("sslkey: there is no private key in PEM in {key}"));
                };
                let built = builder.with_client_auth_cert(chain, parsed);
                built.map_err(|error| {
                    let text = format!("sslcert and sslkey: {certificate} and {key}: {error}");
                    Error::Database(text)
                })
            }
            _ => refused("sslcert and sslkey come together: give both files".into()),
        }
    }

    fn verifier(&self, mode: Mode, provider: Arc<CryptoProvider>) -> Result<Verifier, Error> {
        let mut verifier = Verifier {
            with_authority: true,
            with_name: mode == Mode::VerifyFull,
            known: Vec::new(),
            authorities: RootCertStore::empty(),
            provider,
        };
        match self.authorities.as_deref() {
            None if mode >= Mode::VerifyCa => refused(
                "sslmode=verify-ca and verify-full need sslrootcert=FILE with the authorities that \
                 count, or sslrootcert=system for those of this machine"
                    .into(),
            ),
            None => {
                verifier.with_authority = false;
                Ok(verifier)
            }
            Some(SYSTEM) if mode < Mode::VerifyFull => refused(
                "sslrootcert=system needs sslmode=verify-full: anybody can get a certificate from \
                 such an authority"
                    .into(),
            ),
            Some(SYSTEM) => {
                let found = rustls_native_certs::load_native_certs();
                verifier.authorities.add_parsable_certificates(found.certs);
                match verifier.authorities.is_empty() {
                    true => refused("sslrootcert=system: this machine trusts no authority".into()),
                    false => Ok(verifier),
                }
            }
            Some(path) => {
                verifier.known = certificates("sslrootcert", path)?;
                let known = verifier.known.iter().cloned();
                verifier.authorities.add_parsable_certificates(known);
                Ok(verifier)
            }
        }
    }
}

fn read(parameter: &str, path: &str) -> Result<Vec<u8>, Error> {
    std::fs::read(path)
        .map_err(|error| Error::Database(format!("{parameter}: cannot read {path}: {error}")))
}

fn certificates(parameter: &str, path: &str) -> Result<Vec<CertificateDer<'static>>, Error> {
    let pem = read(parameter, path)?;
    let found: Result<Vec<_>, _> = CertificateDer::pem_slice_iter(&pem).collect();
    match found {
        Ok(found) if !found.is_empty() => Ok(found),
        _ => refused(format!(
            "{parameter}: there is no certificate in PEM in {path}"
        )),
    }
}

/// Which certificates of a server are taken.
#[derive(Debug)]
struct Verifier {
    /// Whether an authority must have signed it.
    with_authority: bool,
    /// Whether it must be for the host's name.
    with_name: bool,
    /// These are taken themselves, too, as PostgreSQL's manual has people sign one.
    known: Vec<CertificateDer<'static>>,
    authorities: RootCertStore,
    provider: Arc<CryptoProvider>,
}

impl ServerCertVerifier for Verifier {
    fn verify_server_cert(
        &self,
        certificate: &CertificateDer<'_>,
        intermediates: &[CertificateDer<'_>],
        name: &ServerName<'_>,
        _: &[u8],
        now: UnixTime,
    ) -> Result<ServerCertVerified, rustls::Error> {
        if self.with_authority {
            let parsed = ParsedCertificate::try_from(certificate)?;
            if !self.known.contains(certificate) {
                verify_server_cert_signed_by_trust_anchor(
                    &parsed,
                    &self.authorities,
                    intermediates,
                    now,
                    self.provider.signature_verification_algorithms.all,
                )?;
            }
            if self.with_name {
                verify_server_name(&parsed, name)?;
            }
        }
        Ok(ServerCertVerified::assertion())
    }

    fn verify_tls12_signature(
        &self,
        message: &[u8],
        certificate: &CertificateDer<'_>,
        signature: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, rustls::Error> {
        let algorithms = &self.provider.signature_verification_algorithms;
        crypto::verify_tls12_signature(message, certificate, signature, algorithms)
    }

    fn verify_tls13_signature(
        &self,
        message: &[u8],
        certificate: &CertificateDer<'_>,
        signature: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, rustls::Error> {
        let algorithms = &self.provider.signature_verification_algorithms;
        crypto::verify_tls13_signature(message, certificate, signature, algorithms)
    }

    fn supported_verify_schemes(&self) -> Vec<SignatureScheme> {
        let algorithms = &self.provider.signature_verification_algorithms;
        algorithms.supported_schemes()
    }
}

/// Makes connections to one host.
#[derive(Clone)]
pub(super) struct Connector(Option<MakeRustlsConnect>);

impl Connector {
    /// A connection, and the task in which it is attended to.
    pub(super) async fn connect(
        &self,
        config: &Config,
        attendant: &Attendant,
    ) -> Result<(Client, JoinHandle<()>), tokio_postgres::Error> {
        let Some(tls) = self.0.clone() else {
            return Ok(attended(config.connect(NoTls).await?, attendant));
        };
        match config.connect(tls).await {
            Ok(connected) => Ok(attended(connected, attendant)),
            // As libpq does: it says that it can speak TLS, and then the two do not agree.
            Err(error) if config.get_ssl_mode() == SslMode::Prefer && is_of_tls(&error) => {
                log::debug!("the store's server is asked without TLS: {error}");
                let mut plain = config.clone();
                plain.ssl_mode(SslMode::Disable);
                Ok(attended(plain.connect(NoTls).await?, attendant))
            }
            Err(error) => Err(error),
        }
    }
}

fn attended<T: TlsStream + Unpin + Send + 'static>(
    (client, connection): (Client, Connection<Socket, T>),
    attendant: &Attendant,
) -> (Client, JoinHandle<()>) {
    let attending = tokio::spawn(attendant.clone().attend(connection));
    (client, attending)
}

/// Whether it was the handshake that failed.
fn is_of_tls(error: &tokio_postgres::Error) -> bool {
    let source = error.source().and_then(|source| source.downcast_ref());
    let inner = source.and_then(std::io::Error::get_ref);
    inner.is_some_and(|inner| inner.is::<rustls::Error>())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn configured(url: &str) -> Result<(Config, Connector), Error> {
        let (url, asked) = take(url)?;
        let mut config = url.parse().expect("it names a database");
        let connector = asked.connector(&mut config)?;
        Ok((config, connector))
    }

    #[test]
    fn what_is_about_tls_is_taken_out_of_the_url() {
        let url = "postgres://me:a?b@db:77/tasks?sslmode=verify-full&options=-c%20a%3Db&\
                   sslrootcert=%2Fetc%2Fca.pem&sslcert=a&sslkey=b";
        let (rest, asked) = take(url).expect("it is one");
        assert_eq!(rest, "postgres://me:a?b@db:77/tasks?options=-c%20a%3Db");
        assert_eq!(asked.mode, Some(Mode::VerifyFull));
        assert_eq!(asked.authorities.as_deref(), Some("/etc/ca.pem"));
        let own = (asked.certificate.as_deref(), asked.key.as_deref());
        assert_eq!(own, (Some("a"), Some("b")));
        for same in ["postgres://me@db/tasks", "nonsense"] {
            assert_eq!(take(same).expect("nothing").0, same);
        }
        let only = take("postgres:///tasks?sslmode=disable").expect("it is one");
        assert_eq!(only.0, "postgres:///tasks");
    }

    #[test]
    fn what_makes_no_sense_is_refused() {
        let empty = tempfile::NamedTempFile::new().expect("a file");
        let empty = empty.path().display();
        for (parameters, told) in [
            ("sslmode=allow".into(), "sslmode=allow is not known"),
            ("sslmode=verify-ca".into(), "need sslrootcert=FILE"),
            ("sslmode=verify-full".into(), "need sslrootcert=FILE"),
            (
                "sslmode=verify-ca&sslrootcert=system".into(),
                "needs sslmode=verify-full",
            ),
            (
                "sslmode=require&sslrootcert=/nowhere/ca".into(),
                "sslrootcert: cannot read /nowhere/ca",
            ),
            (
                format!("sslrootcert={empty}"),
                "sslrootcert: there is no certificate",
            ),
            ("sslcert=a".into(), "give both files"),
            ("sslkey=a".into(), "give both files"),
        ] {
            let url = format!("postgres://me:secret@db/tasks?{parameters}");
            let refused = configured(&url).map(drop);
            let text = refused.expect_err(&url).to_string();
            assert!(text.contains(told), "{url}: {text}");
            assert!(!text.contains("secret"), "{text}");
        }
    }

    /// Nobody is between the two ends of a socket.
    #[test]
    fn sockets_are_not_encrypted() {
        let url = "postgres://me@%2Ftmp/tasks?sslmode=verify-full";
        let (config, connector) = configured(url).expect("it is one");
        assert_eq!(config.get_ssl_mode(), SslMode::Disable);
        assert!(connector.0.is_none());
        let mixed = "postgres://me@%2Ftmp,db/tasks?sslmode=require";
        assert!(configured(mixed).is_err());
    }
}
