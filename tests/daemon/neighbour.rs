//! A daemon of another version: what it says is as crates/daemon/README.md has it, and none of it is
//! dormouse's own code.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use serde_json::{Value, json};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpListener;
use tokio_rustls::TlsAcceptor;
use tokio_rustls::rustls::ServerConfig;
use tokio_rustls::rustls::crypto::ring::default_provider;
use tokio_rustls::rustls::pki_types::PrivateKeyDer;
use tokio_rustls::rustls::version::TLS13;

/// Answers every first message with the same words, and counts whatever else it is asked.
pub struct Neighbour {
    pub address: String,
    pub fingerprint: String,
    pub asked: Arc<AtomicUsize>,
}

impl Neighbour {
    /// `hello` is what it says of itself.
    pub fn new(hello: Value) -> Self {
        let made = rcgen::generate_simple_self_signed(vec!["neighbour".into()]).expect("a key");
        let certificate = made.cert.der().clone();
        let digest = ring::digest::digest(&ring::digest::SHA256, &certificate);
        let hex: String = digest.as_ref().iter().map(|b| format!("{b:02x}")).collect();
        let key = PrivateKeyDer::try_from(made.signing_key.serialize_der()).expect("a key");
        let mut config = ServerConfig::builder_with_provider(Arc::new(default_provider()))
            .with_protocol_versions(&[&TLS13])
            .expect("TLS 1.3")
            .with_no_client_auth()
            .with_single_cert(vec![certificate], key)
            .expect("they fit");
        config.alpn_protocols = vec![b"dormouse-peer/1".to_vec()];
        let acceptor = TlsAcceptor::from(Arc::new(config));
        let listener = std::net::TcpListener::bind("127.0.0.1:0").expect("loopback");
        let address = listener.local_addr().expect("it is bound").to_string();
        listener.set_nonblocking(true).expect("a socket");
        let asked = Arc::new(AtomicUsize::new(0));
        let count = asked.clone();
        std::thread::spawn(move || {
            let runtime = tokio::runtime::Builder::new_current_thread()
                .enable_all()
                .build()
                .expect("a runtime");
            runtime.block_on(async {
                let listener = TcpListener::from_std(listener).expect("a listener");
                while let Ok((stream, _)) = listener.accept().await {
                    // Whoever does not like the answer goes.
                    let _ = answer(&acceptor, stream, &hello, &count).await;
                }
            });
        });
        Self {
            address,
            fingerprint: hex,
            asked,
        }
    }
}

async fn answer(
    acceptor: &TlsAcceptor,
    stream: tokio::net::TcpStream,
    hello: &Value,
    count: &AtomicUsize,
) -> std::io::Result<()> {
    let mut stream = acceptor.accept(stream).await?;
    loop {
        let length = stream.read_u32_le().await?;
        let body = stream.read_u64_le().await?;
        let mut message = vec![0; length as usize + body as usize];
        stream.read_exact(&mut message).await?;
        let said: Value = rmp_serde::from_slice(&message).map_err(std::io::Error::other)?;
        if said.get("Hello").is_none() {
            count.fetch_add(1, Ordering::Relaxed);
        }
        let answer = json!({ "Hello": hello });
        let answer = rmp_serde::to_vec_named(&answer).map_err(std::io::Error::other)?;
        stream.write_u32_le(answer.len() as u32).await?;
        stream.write_u64_le(0).await?;
        stream.write_all(&answer).await?;
        stream.flush().await?;
    }
}
