//! The daemon's certificate: read at the start, and again when its files change or a SIGHUP comes.

use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use tokio::signal::unix::{SignalKind, signal};

use super::files::private;
use crate::cli::args::daemon::Serve;
use crate::cli::data_dir::TLS_FILE;
use crate::cli::exit::{Failure, INTERNAL, NO_INPUT, USAGE};
use crate::cli::output::say;
use crate::daemon::http::{Certificate, CertificateError};

/// How often the files are looked at.
const LOOK_EVERY: Duration = Duration::from_secs(1);

/// The certificate that the flags name, if they name one.
pub(super) fn read(command: &Serve) -> Result<Option<Arc<Certificate>>, Failure> {
    let (Some(chain), Some(key)) = (&command.tls_cert, &command.tls_key) else {
        return Ok(None);
    };
    let failed = |error: CertificateError| {
        let code = match &error {
            CertificateError::Unreadable { .. } => NO_INPUT,
            _ => USAGE,
        };
        Failure::new(code, error.to_string())
    };
    Certificate::read(chain, key).map(Some).map_err(failed)
}

/// Notes the certificate for this user's own commands, and takes another one when its files are
/// replaced. A pair that cannot be used is said once, and the one of before stays. Gives how the
/// daemon's URL begins.
pub(super) fn follow(certificate: Arc<Certificate>, data: &Path) -> Result<&'static str, Failure> {
    let failed = |e| Failure::new(INTERNAL, format!("cannot listen to signals: {e}"));
    let mut hangup = signal(SignalKind::hangup()).map_err(failed)?;
    let path = data.join(TLS_FILE);
    note(&certificate, &path);
    tokio::spawn(async move {
        let mut told = String::new();
        loop {
            let asked = tokio::select! {
                _ = hangup.recv() => true,
                () = tokio::time::sleep(LOOK_EVERY) => false,
            };
            let again = certificate.clone();
            let Ok(read) = tokio::task::spawn_blocking(move || again.reload()).await else {
                return;
            };
            match read {
                Ok(true) => {
                    told.clear();
                    note(&certificate, &path);
                    say!("the certificate was replaced; new connections are shown the new one");
                }
                Ok(false) if asked => say!("the certificate is the same as before"),
                Ok(false) => {}
                Err(error) => {
                    let text = error.to_string();
                    if asked || text != told {
                        say!("{text}; clients are shown the certificate of before");
                    }
                    told = text;
                }
            }
        }
    });
    Ok("https")
}

/// Writes the certificate down, by which this user's own commands know the daemon.
fn note(certificate: &Certificate, path: &Path) {
    if let Err(failure) = private(path, certificate.leaf_pem().as_bytes()) {
        log::warn!(
            "{}; commands need --tls-ca to trust this daemon",
            failure.message
        );
    }
}
