//! A component that makes requests by `wasi:http`, and is in the store while it waits for its peer.

use std::io::{Read, Write};
use std::net::TcpListener;
use std::sync::Arc;
use std::time::Duration;

use serde_json::json;
use tokio_rustls::rustls::pki_types::{PrivateKeyDer, PrivatePkcs8KeyDer};
use tokio_rustls::rustls::{ServerConfig, ServerConnection, StreamOwned};
use ureq::http::Method;

use crate::support::{Daemon, folder};
use dormouse_test_support::{component, engines, guest};

/// Receives until what has come ends with these bytes.
fn receive(peer: &mut impl Read, end: &str) -> String {
    let mut all = Vec::new();
    let mut byte = [0];
    while !all.ends_with(end.as_bytes()) {
        peer.read_exact(&mut byte).expect("the guest sends");
        all.extend(byte);
    }
    String::from_utf8(all).expect("a text")
}

/// The daemon keeps the connection, and each part of the answer wakes the guest.
#[test]
fn a_guest_sleeps_in_the_middle_of_an_exchange() {
    let module = std::fs::read(guest("p2_http")).expect("a guest");
    let module = component(&module).expect("a component");
    for engine in engines() {
        let peer = TcpListener::bind("127.0.0.1:0").expect("a listener");
        let address = peer.local_addr().expect("an address").to_string();
        let data = folder();
        let daemon = Daemon::start(data.path(), &["--hibernate-after", "20ms"]);
        let task = json!({
            "module": daemon.upload_bytes(&module, false),
            "program": "p2_http",
            "args": [address, "POST /first chunks:one,two", "GET /second"],
            "network": {"allow_connect": [address]},
            "engine": engine,
        });
        let (status, task) = daemon.json(Method::POST, "/v1/tasks", &task);
        assert_eq!(status, 201, "{task}");
        let id = task["id"].as_u64().expect("a number");
        let asleep = || daemon.until_asleep(id, Duration::from_millis(40));

        let (mut first, _) = peer.accept().expect("the guest");
        receive(&mut first, "3\r\none\r\n3\r\ntwo\r\n0\r\n\r\n");
        for part in [
            "HTTP/1.1 200 OK\r\ntransfer-enc",
            "oding: chunked\r\n\r\n",
            "5\r\nhel",
            "lo\r\n7\r\n, world\r\n0\r\nx-s",
            "um: 12\r\n\r\n",
        ] {
            asleep();
            first.write_all(part.as_bytes()).expect("it is sent");
        }
        let (mut second, _) = peer.accept().expect("the guest");
        assert!(receive(&mut second, "\r\n\r\n").starts_with("GET /second HTTP/1.1\r\n"));
        asleep();
        second
            .write_all(b"HTTP/1.1 404 Not Found\r\n\r\nnothing here")
            .expect("it is sent");
        asleep();
        drop(second);
        daemon.until(id, "exited");
        let output = daemon.output(id);
        for line in [
            "\"hello, world\" closed",
            "trailer x-sum: 12",
            "404",
            "\"nothing here\" closed",
        ] {
            assert!(
                output.contains(&format!("\n  {line}\n")),
                "{line}: {output}"
            );
        }
        assert!(daemon.task(id)["sleeps"].as_u64() >= Some(7));
        peer.set_nonblocking(true).expect("a mode");
        assert!(peer.accept().is_err(), "each request was made once");
    }
}

/// A session cannot be put to sleep, and a request that may not be made twice would be lost.
#[test]
fn a_session_of_tls_keeps_its_guest_in_memory() {
    let module = std::fs::read(guest("p2_http")).expect("a guest");
    let module = component(&module).expect("a component");
    let certified = rcgen::generate_simple_self_signed(["127.0.0.1".to_owned()]);
    let certified = certified.expect("a certificate");
    let data = folder();
    let trusted = data.path().join("trusted.pem");
    std::fs::write(&trusted, certified.cert.pem()).expect("a file");
    let key = PrivatePkcs8KeyDer::from(certified.signing_key.serialize_der());
    let config = ServerConfig::builder()
        .with_no_client_auth()
        .with_single_cert(vec![certified.cert.into()], PrivateKeyDer::from(key));
    let config = Arc::new(config.expect("a key that fits"));

    let peer = TcpListener::bind("127.0.0.1:0").expect("a listener");
    let address = peer.local_addr().expect("an address").to_string();
    let environment = [("SSL_CERT_FILE", trusted.to_str().expect("UTF-8"))];
    let options = ["--hibernate-after", "20ms"];
    let daemon = Daemon::try_start_in(&environment, data.path(), &options).expect("it starts");
    let task = json!({
        "module": daemon.upload_bytes(&module, false),
        "program": "p2_http",
        "args": [address, "POST /path chunks:one"],
        "env": {"SECURE": "1"},
        "network": {"allow_connect": [address]},
    });
    let (status, task) = daemon.json(Method::POST, "/v1/tasks", &task);
    assert_eq!(status, 201, "{task}");
    let id = task["id"].as_u64().expect("a number");
    let (stream, _) = peer.accept().expect("the guest");
    let session = ServerConnection::new(config).expect("a session");
    let mut stream = StreamOwned::new(session, stream);
    receive(&mut stream, "0\r\n\r\n");
    // Much longer than a guest without a session stays in memory.
    std::thread::sleep(Duration::from_secs(1));
    assert_ne!(daemon.task(id)["state"], "hibernated");
    let answer = b"HTTP/1.1 200 OK\r\ncontent-length: 5\r\n\r\nhello";
    stream.write_all(answer).expect("it is sent");
    daemon.until(id, "exited");
    let output = daemon.output(id);
    assert!(output.contains("\n  \"hello\" closed\n"), "{output}");
}
