//! TLS between nodes: who is one stands in the database, and nobody else is believed or told anything.

use std::io::{self, Read, Write};
use std::net::{TcpListener, TcpStream};
use std::process::Command;
use std::sync::Arc;
use std::time::Duration;

use dormouse_test_support::postgres::Server;
use serde_json::{Value, json};
use tokio_rustls::rustls::client::danger::{
    HandshakeSignatureValid, ServerCertVerified, ServerCertVerifier,
};
use tokio_rustls::rustls::crypto::{CryptoProvider, ring};
use tokio_rustls::rustls::pki_types::{CertificateDer, PrivateKeyDer, ServerName, UnixTime};
use tokio_rustls::rustls::{
    ClientConfig, ClientConnection, DigitallySignedStruct, Error, ServerConfig, ServerConnection,
    SignatureScheme, StreamOwned,
};
use ureq::http::Method;

use crate::support::{Daemon, folder, text};

/// The protocol of nodes inside TLS.
const PROTOCOL: &[u8] = b"dormouse-node/1";

/// How long the other end may take.
const PATIENCE: Duration = Duration::from_secs(60);

/// Somebody with a certificate.
struct Somebody {
    certificate: CertificateDer<'static>,
    key: PrivateKeyDer<'static>,
}

/// Takes every certificate.
#[derive(Debug)]
struct Trustful(Arc<CryptoProvider>);

impl ServerCertVerifier for Trustful {
    fn verify_server_cert(
        &self,
        _: &CertificateDer<'_>,
        _: &[CertificateDer<'_>],
        _: &ServerName<'_>,
        _: &[u8],
        _: UnixTime,
    ) -> Result<ServerCertVerified, Error> {
        Ok(ServerCertVerified::assertion())
    }

    fn verify_tls12_signature(
        &self,
        _: &[u8],
        _: &CertificateDer<'_>,
        _: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, Error> {
        Ok(HandshakeSignatureValid::assertion())
    }

    fn verify_tls13_signature(
        &self,
        _: &[u8],
        _: &CertificateDer<'_>,
        _: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, Error> {
        Ok(HandshakeSignatureValid::assertion())
    }

    fn supported_verify_schemes(&self) -> Vec<SignatureScheme> {
        self.0.signature_verification_algorithms.supported_schemes()
    }
}

impl Somebody {
    fn new() -> Self {
        let made = rcgen::generate_simple_self_signed(vec!["somebody".into()]).expect("a key");
        let key = made.signing_key.serialize_der();
        Self {
            certificate: made.cert.der().clone(),
            key: PrivateKeyDer::try_from(key).expect("a key"),
        }
    }

    /// As `openssl x509 -fingerprint -sha256` gives it, without colons.
    fn fingerprint(&self) -> String {
        let digest = ::ring::digest::digest(&::ring::digest::SHA256, &self.certificate);
        digest
            .as_ref()
            .iter()
            .map(|byte| format!("{byte:02x}"))
            .collect()
    }

    /// What a node answers to a request of this one's.
    fn ask(&self, node: &Daemon, request: &str, caller: Option<&Value>) -> io::Result<String> {
        let chain = vec![self.certificate.clone()];
        speak(node, request, caller, Some((chain, self.key.clone_key())))
    }
}

/// Speaks as a node does, with a certificate or without.
fn speak(
    node: &Daemon,
    request: &str,
    caller: Option<&Value>,
    shown: Option<(Vec<CertificateDer<'static>>, PrivateKeyDer<'static>)>,
) -> io::Result<String> {
    let provider = Arc::new(ring::default_provider());
    let config = ClientConfig::builder_with_provider(provider.clone())
        .with_safe_default_protocol_versions()
        .expect("protocols")
        .dangerous()
        .with_custom_certificate_verifier(Arc::new(Trustful(provider)));
    let mut config = match shown {
        Some((chain, key)) => config.with_client_auth_cert(chain, key).expect("a key"),
        None => config.with_no_client_auth(),
    };
    config.alpn_protocols = vec![PROTOCOL.to_vec()];
    let name = ServerName::try_from("somebody").expect("a name");
    let connection = ClientConnection::new(Arc::new(config), name).expect("a connection");
    let stream = TcpStream::connect(&node.address)?;
    stream.set_read_timeout(Some(PATIENCE))?;
    let mut stream = StreamOwned::new(connection, stream);
    let caller = caller.map_or_else(String::new, |caller| {
        format!("dormouse-caller: {caller}\r\n")
    });
    write!(
        stream,
        "{request} HTTP/1.1\r\nhost: localhost\r\nconnection: close\r\n{caller}\r\n"
    )?;
    let mut answer = Vec::new();
    // The other end may not say goodbye.
    match stream.read_to_end(&mut answer) {
        Err(error) if answer.is_empty() => Err(error),
        _ => Ok(text(&answer)),
    }
}

/// Who asks, as nodes say it to each other.
fn caller(role: &str) -> Value {
    json!({
        "token": "somebody", "role": role, "tenant": 0, "tenant_name": "default",
        "acts_for": false,
    })
}

/// A node in a database of its own.
struct Place {
    folder: tempfile::TempDir,
    url: String,
    server: Server,
}

impl Place {
    fn new() -> Option<Self> {
        let server = Server::start(&["fsync=off"])?;
        Some(Self {
            folder: folder(),
            url: server.url(&server.create_database()),
            server,
        })
    }

    fn node(&self, name: &str, more: &[&str]) -> Daemon {
        let own = ["--store", &self.url, "--node", name];
        Daemon::start(&self.folder.path().join(name), &[&own, more].concat())
    }

    fn sql(&self, sql: &str) -> String {
        let name = self.url.rsplit('/').next().expect("a name");
        self.server.sql(name, sql)
    }

    /// Makes somebody a node for an hour; gives the number.
    fn admit(&self, fingerprint: &str, address: &str) -> String {
        let details = json!({"fingerprint": fingerprint, "address": address});
        self.sql(&format!(
            "INSERT INTO dormouse.nodes (name, home, lasts, expires, since, details)
             VALUES ('x', 0, '1 hour', now() + '1 hour', now(), '{details}') RETURNING id"
        ))
    }
}

#[test]
fn only_a_node_is_believed() {
    const LIST: &str = "GET /v1/tasks";
    let Some(place) = Place::new() else { return };
    let node = place.node("a", &[]);
    let (somebody, admin) = (Somebody::new(), caller("admin"));
    let is_refused =
        |answer: &str| answer.starts_with("HTTP/1.1 403 ") && answer.contains("no living node");
    let stranger = somebody.ask(&node, LIST, Some(&admin)).expect("an answer");
    assert!(is_refused(&stranger), "{stranger}");
    let nobody = speak(&node, LIST, Some(&admin), None);
    assert!(nobody.is_err(), "without a certificate: {nobody:?}");
    // By the way of people, who it is does not count either.
    let mut plain = TcpStream::connect(&node.address).expect("it listens");
    write!(
        plain,
        "{LIST} HTTP/1.1\r\nhost: localhost\r\nconnection: close\r\ndormouse-caller: {admin}\r\n\r\n"
    )
    .expect("it is sent");
    let mut answer = String::new();
    plain.read_to_string(&mut answer).expect("an answer");
    assert!(answer.starts_with("HTTP/1.1 401 "), "{answer}");
    let number = place.admit(&somebody.fingerprint(), "127.0.0.1:1");
    let answer = somebody.ask(&node, LIST, Some(&admin)).expect("an answer");
    assert!(answer.starts_with("HTTP/1.1 200 "), "{answer}");
    // It says who asks, and that one may do no more than its role allows.
    let silent = somebody.ask(&node, LIST, None).expect("an answer");
    assert!(silent.starts_with("HTTP/1.1 400 "), "{silent}");
    let reader = caller("read");
    let kill = somebody.ask(&node, "POST /v1/tasks/1/kill", Some(&reader));
    let kill = kill.expect("an answer");
    assert!(
        kill.starts_with("HTTP/1.1 403 ") && kill.contains("needs the role"),
        "{kill}"
    );
    // Its lease is over.
    place.sql(&format!(
        "UPDATE dormouse.nodes SET expires = now() - interval '1 s' WHERE id = {number}"
    ));
    node.until_that("the fenced one is refused", || {
        let answer = somebody.ask(&node, LIST, Some(&admin)).ok()?;
        is_refused(&answer).then_some(())
    });
}

/// Whoever listens where a node was, and has another certificate, is not asked.
#[test]
fn only_a_node_is_asked() {
    let Some(place) = Place::new() else { return };
    let node = place.node("a", &["--hibernate-after", "50ms"]);
    let id = node.submit("ex_sleeper", &["600", "600", "1"], json!({}));
    node.until(id, "hibernated");
    let (real, pretender) = (Somebody::new(), Somebody::new());
    let mut config = ServerConfig::builder_with_provider(Arc::new(ring::default_provider()))
        .with_safe_default_protocol_versions()
        .expect("protocols")
        .with_no_client_auth()
        .with_single_cert(vec![pretender.certificate], pretender.key)
        .expect("a certificate");
    config.alpn_protocols = vec![PROTOCOL.to_vec()];
    let config = Arc::new(config);
    let listener = TcpListener::bind("127.0.0.1:0").expect("a port");
    let address = listener.local_addr().expect("an address").to_string();
    let number = place.admit(&real.fingerprint(), &address);
    place.sql(&format!(
        "UPDATE dormouse.tasks SET owner = {number} WHERE id = {id}"
    ));
    let pretending = std::thread::spawn(move || {
        let (stream, _) = listener.accept().expect("it is called");
        stream.set_read_timeout(Some(PATIENCE)).expect("an option");
        let connection = ServerConnection::new(config).expect("a connection");
        let mut stream = StreamOwned::new(connection, stream);
        let mut told = Vec::new();
        let failed = stream.read_to_end(&mut told).expect_err("it is no node");
        (failed.to_string(), told)
    });
    let path = format!("/v1/tasks/{id}/pause");
    let (status, answer) = node.json(Method::POST, &path, &Value::Null);
    assert!(status >= 400, "{status}: {answer}");
    let (failed, told) = pretending.join().expect("it does not panic");
    assert!(told.is_empty(), "it was told {told:?}");
    assert!(failed.contains("AccessDenied"), "{failed}");
}

/// The certificate for people is apart from the nodes' own: a request that comes by `https` is passed on.
/// The two nodes have tokens of their own.
#[test]
fn nodes_with_tls_for_people_pass_requests_on() {
    let Some(place) = Place::new() else { return };
    let b = place.node("b", &["--hibernate-after", "1h"]);
    let id = b.submit("ex_sleeper", &["900", "900", "1"], json!({}));
    b.until(id, "parked");
    let made = rcgen::generate_simple_self_signed(vec!["127.0.0.1".into()]).expect("a key");
    let path = |name: &str| place.folder.path().join(name).display().to_string();
    let (cert, key) = (path("cert.pem"), path("key.pem"));
    std::fs::write(&cert, made.cert.pem()).expect("written");
    std::fs::write(&key, made.signing_key.serialize_pem()).expect("written");
    let a = place.node(
        "a",
        &[
            "--tls-cert",
            &cert,
            "--tls-key",
            &key,
            "--hibernate-after",
            "1h",
        ],
    );
    assert_ne!(a.token, b.token);
    let ask = |arguments: &[&str]| {
        let output = Command::new(env!("CARGO_BIN_EXE_dormouse"))
            .args(arguments)
            .env("DORMOUSE_URL", format!("https://{}@{}", a.token, a.address))
            .env("DORMOUSE_TLS_CA", &cert)
            .output()
            .expect("the binary runs");
        let told = text(&output.stderr);
        assert!(output.status.success(), "{arguments:?}: {told}");
        text(&output.stdout)
    };
    // The list is of what both have in memory. A node that takes long to answer is left out of it.
    b.until_that("the other one lists it", || {
        ask(&["ps", "--json"]).contains("parked").then_some(())
    });
    ask(&["pause", &id.to_string()]);
    assert_eq!(b.until(id, "paused")["state"], "paused");
    // The other way round, b speaks TLS to a node that has it for people, too.
    b.until_that("both are nodes", || {
        let (_, told) = b.json(Method::GET, "/v1/nodes", &Value::Null);
        let nodes = told["nodes"].as_array()?.iter();
        (nodes.filter(|node| node["alive"] == true).count() == 2).then_some(())
    });
    let number = place.sql("SELECT id FROM dormouse.nodes WHERE name = 'a'");
    place.sql(&format!(
        "UPDATE dormouse.tasks SET owner = {number} WHERE id = {id}"
    ));
    let (status, told) = b.json(
        Method::POST,
        &format!("/v1/tasks/{id}/resume"),
        &Value::Null,
    );
    assert_eq!(status, 200, "{told}");
    // Of a task that another node has, nobody else could have changed anything.
    b.until(id, "hibernated");
}

/// An address that nobody could connect to is refused.
#[test]
fn the_address_of_a_node_is_one() {
    let Some(place) = Place::new() else { return };
    let options = ["--store", &place.url, "--node-address"];
    for wrong in ["nonsense", ":7", "host:", "host:0", "host:x"] {
        let started = Daemon::try_start(
            &place.folder.path().join("a"),
            &[&options[..], &[wrong]].concat(),
        );
        let told = started.err().expect(wrong);
        assert!(told.contains("HOST:PORT"), "{wrong}: {told}");
    }
    let own = Daemon::try_start(
        &place.folder.path().join("b"),
        &["--node-address", "host:1"],
    );
    assert!(own.err().expect("it shares nothing").contains("--store"));
    let node = place.node("c", &["--node-address", "localhost:7"]);
    let (_, told) = node.json(Method::GET, "/v1/nodes", &Value::Null);
    assert_eq!(told["nodes"][0]["address"], "localhost:7");
}
