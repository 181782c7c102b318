//! TLS over a connection. A session cannot be data: it is lost in a suspend, and with it the
//! connection.

use std::io::{Error, ErrorKind, Read, Result as IoResult, Write};
use std::sync::{Arc, OnceLock};

use rustls::pki_types::ServerName;
use rustls::{ClientConfig, ClientConnection, RootCertStore};

use super::failure::Failure;
use super::stream::Stream;
use crate::sock::Socket;

/// The session of a connection, if it has one.
#[derive(Debug, Default)]
pub(super) struct Session(Option<Box<ClientConnection>>);

/// What is written down has no session.
impl Clone for Session {
    fn clone(&self) -> Self {
        Self(None)
    }
}

/// Two exchanges are the same if what is written down of them is.
impl PartialEq for Session {
    fn eq(&self, _: &Self) -> bool {
        true
    }
}

impl Eq for Session {}

impl Session {
    /// A new session with a host.
    pub(super) fn begin(host: &str) -> Result<Self, Failure> {
        let bare = host
            .strip_prefix('[')
            .and_then(|host| host.strip_suffix(']'));
        let name = ServerName::try_from(bare.unwrap_or(host).to_owned());
        let name = name.map_err(|_| Failure::NameUnresolvable)?;
        let connection = ClientConnection::new(config()?, name);
        let connection = connection.map_err(|error| failure(&error))?;
        Ok(Self(Some(connection.into())))
    }

    /// Whether there is one.
    pub(super) fn is_open(&self) -> bool {
        self.0.is_some()
    }

    /// Whether the two ends have not agreed yet.
    pub(super) fn is_handshaking(&self) -> bool {
        let session = self.0.as_ref();
        session.is_some_and(|session| session.is_handshaking())
    }

    /// Whether it has something to send.
    pub(super) fn wants_to_send(&self) -> bool {
        self.0.as_ref().is_some_and(|session| session.wants_write())
    }

    /// Takes bytes to be sent, sends what there is room for, and gives how many were taken.
    pub(super) fn send(&mut self, socket: &mut Socket, bytes: &[u8]) -> IoResult<usize> {
        let Some(session) = &mut self.0 else {
            return Stream(socket).write(bytes);
        };
        // It keeps what it has taken, also where there is no room for it yet.
        let taken = session.writer().write(bytes)?;
        match (self.flush(socket), taken) {
            (Ok(()), 0) => Err(ErrorKind::WouldBlock.into()),
            (Err(error), 0) => Err(error),
            (Err(error), _) if error.kind() != ErrorKind::WouldBlock => Err(error),
            (Ok(()) | Err(_), taken) => Ok(taken),
        }
    }

    /// Sends what the session itself has to send.
    pub(super) fn flush(&mut self, socket: &mut Socket) -> IoResult<()> {
        if let Some(session) = &mut self.0 {
            while session.wants_write() {
                session.write_tls(&mut Stream(socket))?;
            }
        }
        Ok(())
    }

    /// Receives what there is. No bytes are the end.
    pub(super) fn receive(&mut self, socket: &mut Socket, buffer: &mut [u8]) -> IoResult<usize> {
        let Some(session) = &mut self.0 else {
            return Stream(socket).read(buffer);
        };
        loop {
            match session.reader().read(buffer) {
                Err(error) if error.kind() == ErrorKind::WouldBlock => {}
                read => return read,
            }
            let count = session.read_tls(&mut Stream(socket))?;
            let processed = session.process_new_packets();
            // An alert, or the next step of the handshake. There may be no room for it yet.
            let _ = session.write_tls(&mut Stream(socket));
            processed.map_err(Error::other)?;
            if count == 0 && session.is_handshaking() {
                return Err(ErrorKind::UnexpectedEof.into());
            }
        }
    }
}

/// The failure behind an error of a stream's.
pub(super) fn stream_failure(error: &Error) -> Failure {
    let tls = error.get_ref().and_then(|error| error.downcast_ref());
    tls.map_or(Failure::Protocol, failure)
}

fn failure(error: &rustls::Error) -> Failure {
    match error {
        rustls::Error::InvalidCertificate(_) => Failure::Certificate,
        rustls::Error::AlertReceived(alert) => Failure::TlsAlert((*alert).into()),
        _ => Failure::Tls,
    }
}

/// What all sessions have in common: the certificates that the host trusts.
fn config() -> Result<Arc<ClientConfig>, Failure> {
    static CONFIG: OnceLock<Option<Arc<ClientConfig>>> = OnceLock::new();
    let config = CONFIG.get_or_init(|| {
        let found = rustls_native_certs::load_native_certs();
        for error in &found.errors {
            log::warn!("a certificate that the host trusts cannot be read: {error}");
        }
        let mut roots = RootCertStore::empty();
        roots.add_parsable_certificates(found.certs);
        let provider = rustls::crypto::ring::default_provider();
        let builder = ClientConfig::builder_with_provider(provider.into());
        let builder = builder.with_safe_default_protocol_versions().ok()?;
        let config = builder.with_root_certificates(roots).with_no_client_auth();
        Some(config.into())
    });
    config.clone().ok_or(Failure::Tls)
}
