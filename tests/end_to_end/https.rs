//! Requests by HTTPS: what the guest prints and what its peer sees are what they are by HTTP, and a
//! session that was lost in a suspend is begun again where the request may be made again.

use std::io::{Read, Result as IoResult, Write};
use std::net::TcpStream;
use std::sync::Arc;

use libtest_mimic::{Failed, Trial};
use tokio_rustls::rustls::pki_types::{PrivateKeyDer, PrivatePkcs8KeyDer};
use tokio_rustls::rustls::{ServerConfig, ServerConnection, StreamOwned};

use dormouse_test_support::{check, engines, stderr};

use crate::http::{self, Peer, Program, REQUESTS, compare, expected};

pub fn trials() -> Vec<Trial> {
    let mut trials = Vec::new();
    for engine in engines() {
        let mut add = |name: &str, run: fn(&str) -> Result<(), String>| {
            let name = format!("https::{engine}::{name}");
            trials.push(Trial::test(name, move || run(engine).map_err(Failed::from)));
        };
        add("requests", requests);
        add("untrusted", untrusted);
        add("made_again", |engine| http::made_again(engine, secure));
        add("lost", |engine| http::lost(engine, secure));
    }
    trials
}

/// The peer's end of a connection, which says that it has ended.
struct Secure(StreamOwned<ServerConnection, TcpStream>);

impl Read for Secure {
    fn read(&mut self, buffer: &mut [u8]) -> IoResult<usize> {
        self.0.read(buffer)
    }
}

impl Write for Secure {
    fn write(&mut self, bytes: &[u8]) -> IoResult<usize> {
        self.0.write(bytes)
    }

    fn flush(&mut self) -> IoResult<()> {
        self.0.flush()
    }
}

impl Drop for Secure {
    fn drop(&mut self) {
        self.0.conn.send_close_notify();
        // The guest may have gone.
        let _ = self.0.flush();
    }
}

/// A guest that trusts the certificate of this peer.
fn secure() -> Result<(Program, Peer), String> {
    let mut program = Program::new()?;
    let certified = rcgen::generate_simple_self_signed(["127.0.0.1".to_owned()]);
    let certified = certified.expect("a certificate");
    let trusted = program.folder.path().join("trusted.pem");
    std::fs::write(&trusted, certified.cert.pem()).expect("a scratch file can be written");
    program.trusted = Some(trusted);
    let key = PrivatePkcs8KeyDer::from(certified.signing_key.serialize_der());
    let config = ServerConfig::builder()
        .with_no_client_auth()
        .with_single_cert(vec![certified.cert.into()], PrivateKeyDer::from(key));
    let config = Arc::new(config.expect("a key that fits"));
    let peer = Peer::with(move |stream| {
        let session = ServerConnection::new(config.clone()).map_err(std::io::Error::other)?;
        Ok(Secure(StreamOwned::new(session, stream)))
    });
    Ok((program, peer))
}

fn requests(engine: &str) -> Result<(), String> {
    let (program, peer) = secure()?;
    let (stdout, seen) = expected(&program, &REQUESTS)?;
    let output = program.run(&peer, &["--engine", engine], &REQUESTS);
    check(output.status.success(), || stderr(&output))?;
    compare("output", &String::from_utf8_lossy(&output.stdout), &stdout)?;
    compare(
        "requests",
        &peer.seen().join("\n---\n"),
        &seen.join("\n---\n"),
    )
}

/// A peer whose certificate nobody has said to trust.
fn untrusted(engine: &str) -> Result<(), String> {
    let (_, peer) = secure()?;
    let (program, _) = secure()?;
    let output = program.run(&peer, &["--engine", engine], &["GET /plain"]);
    let stdout = String::from_utf8_lossy(&output.stdout).into_owned();
    let refused = "GET /plain \n  ErrorCode::TlsCertificateError\n";
    check(stdout == refused, || stdout.clone())?;
    check(peer.seen().is_empty(), || peer.seen().join("\n---\n"))
}
