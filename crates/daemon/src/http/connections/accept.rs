//! Accepts connections until that is stopped, and counts those on which no request has arrived yet.
//!
//! hyper closes such a connection when it is told to end, and a client that was about to send a
//! request would be refused. So a daemon that hands its listener over stops accepting first, and
//! ends when a request has arrived on each connection.

use std::io;
use std::net::SocketAddr;
use std::pin::Pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::task::{Context, Poll};
use std::time::Duration;

use tokio::io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt, ReadBuf};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::watch;
use tokio_rustls::LazyConfigAcceptor;
use tokio_rustls::rustls::ServerConfig;
use tokio_rustls::rustls::server::Acceptor;
use tokio_rustls::server::TlsStream;

use crate::nodes::member::Member;
use crate::nodes::tls::{asks_as_node, shown};
use crate::tcp::set_client_options;

/// The first byte of whoever speaks TLS: the type of a record with a handshake.
const TLS_HANDSHAKE: u8 = 22;

/// What is answered to a client that speaks plain HTTP where TLS is spoken.
const SPEAK_TLS: &str = "HTTP/1.1 400 Bad Request\r\ncontent-type: application/json\r\n\
    connection: close\r\n\r\n\
    {\"error\":\"this daemon speaks TLS: ask it by a URL that begins https://\"}";

/// What is answered to a client that would be a node and is none.
const NO_NODE: &str = "HTTP/1.1 403 Forbidden\r\ncontent-type: application/json\r\n\
    dormouse-no-node: 1\r\nconnection: close\r\n\r\n\
    {\"error\":\"no living node of this store has your certificate\"}";

/// The header of that answer.
pub(crate) const NO_NODE_HEADER: &str = "dormouse-no-node";

/// Bytes of a request that is read before such an answer: what is not read would make the system reset
/// the connection before the answer is.
const REFUSED_REQUEST_BYTES: usize = 8 << 10;

/// How often it is checked whether requests have arrived on all connections.
const POLL_INTERVAL: Duration = Duration::from_millis(5);

/// Accepts connections.
pub struct Accepting {
    listener: TcpListener,
    stopped: watch::Receiver<bool>,
    silent: Arc<AtomicUsize>,
}

/// Stops the accepting.
pub struct Intake {
    stop: watch::Sender<bool>,
    silent: Arc<AtomicUsize>,
}

/// An accepted connection.
pub struct Connection {
    stream: Stream,
    /// Counts the connection while no byte has been read from it.
    silent: Option<Silent>,
    /// The node at the other end, if it is one.
    node: Option<OtherNode>,
}

/// Another node that shares the store, by its name. It has shown its certificate.
#[derive(Clone, Debug)]
pub(crate) struct OtherNode(pub(crate) String);

/// Who is spoken TLS with, and how.
#[derive(Clone, Default)]
pub(crate) struct Security {
    /// With all clients; without it, they speak plain HTTP.
    pub(crate) clients: Option<Arc<ServerConfig>>,
    /// This node, if it is one: other nodes show it their certificates.
    pub(crate) member: Option<Arc<Member>>,
}

/// The bytes of a connection, as the requests on it are read.
enum Stream {
    Plain(TcpStream),
    Tls(Box<TlsStream<TcpStream>>),
}

/// One connection of the count.
struct Silent(Arc<AtomicUsize>);

impl Drop for Silent {
    fn drop(&mut self) {
        self.0.fetch_sub(1, Ordering::Relaxed);
    }
}

impl Accepting {
    /// Accepts from a listener until [`Intake::stop`].
    pub fn new(listener: TcpListener) -> (Self, Intake) {
        let (stop, stopped) = watch::channel(false);
        let silent = Arc::new(AtomicUsize::new(0));
        let accepting = Self {
            listener,
            stopped,
            silent: silent.clone(),
        };
        (accepting, Intake { stop, silent })
    }
}
impl Intake {
    /// Accepts nothing from now on: clients that connect wait in the kernel's queue.
    pub fn stop(&self) {
        self.stop.send_replace(true);
    }

    /// Completes when a request has begun on every connection that was accepted.
    pub async fn all_asked(&self) {
        while self.silent.load(Ordering::Relaxed) > 0 {
            tokio::time::sleep(POLL_INTERVAL).await;
        }
    }
}

impl Accepting {
    /// The next connection.
    ///
    /// # Errors
    /// If the system has no more descriptors, or the connection has gone already.
    pub(crate) async fn accept(&mut self) -> io::Result<(Connection, SocketAddr)> {
        let stopped = &mut self.stopped;
        let stop = async {
            if stopped.wait_for(|stopped| *stopped).await.is_err() {
                // Nothing can stop it any more.
                std::future::pending::<()>().await;
            }
        };
        let accepted = tokio::select! {
            biased;
            () = stop => None,
            accepted = self.listener.accept() => Some(accepted),
        };
        let Some(accepted) = accepted else {
            return std::future::pending().await;
        };
        let (stream, address) = accepted?;
        set_client_options(&stream)?;
        self.silent.fetch_add(1, Ordering::Relaxed);
        let silent = Some(Silent(self.silent.clone()));
        let stream = Stream::Plain(stream);
        let connection = Connection {
            stream,
            silent,
            node: None,
        };
        Ok((connection, address))
    }
}

impl Connection {
    /// The same connection, with TLS on it if the client speaks that. It counts as silent until a byte
    /// of a request is read.
    ///
    /// # Errors
    /// If the client does not speak what it is to, or is not who it says.
    pub(crate) async fn secured(self, security: &Security) -> io::Result<Self> {
        let Stream::Plain(mut plain) = self.stream else {
            return Ok(self);
        };
        let connection = |stream| Self {
            stream,
            silent: self.silent,
            node: None,
        };
        if security.clients.is_none() && security.member.is_none() {
            return Ok(connection(Stream::Plain(plain)));
        }
        let mut first = [0];
        if plain.peek(&mut first).await? == 1 && first != [TLS_HANDSHAKE] {
            if security.clients.is_none() {
                return Ok(connection(Stream::Plain(plain)));
            }
            refuse(&mut plain, SPEAK_TLS).await?;
            return Err(io::Error::other("the client does not speak TLS"));
        }
        let began = LazyConfigAcceptor::new(Acceptor::default(), plain).await?;
        match (&security.member, &security.clients) {
            (Some(member), _) if asks_as_node(&began.client_hello()) => {
                let mut stream = began.into_stream(member.tls.server.clone()).await?;
                let fingerprint = shown(stream.get_ref().1);
                let node = match &fingerprint {
                    Some(fingerprint) => member.living(fingerprint).await,
                    None => None,
                };
                let Some(node) = node else {
                    refuse(&mut stream, NO_NODE).await?;
                    let shown = fingerprint.map(|shown| shown.to_string());
                    return Err(io::Error::other(format!(
                        "no living node has the certificate {}",
                        shown.unwrap_or_default()
                    )));
                };
                let mut connection = connection(Stream::Tls(Box::new(stream)));
                connection.node = Some(OtherNode(node));
                Ok(connection)
            }
            (_, Some(config)) => {
                let stream = began.into_stream(config.clone()).await?;
                Ok(connection(Stream::Tls(Box::new(stream))))
            }
            (_, None) => Err(io::Error::other("only nodes speak TLS here")),
        }
    }

    /// The node at the other end, if it is one.
    pub(crate) fn node(&self) -> Option<OtherNode> {
        self.node.clone()
    }
}

/// Answers what a client sends, whatever it is.
async fn refuse(
    stream: &mut (impl AsyncRead + AsyncWrite + Unpin),
    answer: &str,
) -> io::Result<()> {
    let mut request = vec![0; REFUSED_REQUEST_BYTES];
    let _ = stream.read(&mut request).await?;
    stream.write_all(answer.as_bytes()).await?;
    stream.shutdown().await
}

/// Does the same to the stream inside, whichever it is.
macro_rules! inside {
    ($self:expr, $stream:ident => $work:expr) => {
        match &mut $self.stream {
            Stream::Plain($stream) => {
                let $stream = Pin::new($stream);
                $work
            }
            Stream::Tls($stream) => {
                let $stream = Pin::new(&mut **$stream);
                $work
            }
        }
    };
}

impl AsyncRead for Connection {
    fn poll_read(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        buffer: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        let read = inside!(self, stream => stream.poll_read(context, buffer));
        if read.is_ready() {
            self.silent = None;
        }
        read
    }
}

impl AsyncWrite for Connection {
    fn poll_write(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        bytes: &[u8],
    ) -> Poll<io::Result<usize>> {
        inside!(self, stream => stream.poll_write(context, bytes))
    }

    fn poll_write_vectored(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        bytes: &[io::IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        inside!(self, stream => stream.poll_write_vectored(context, bytes))
    }

    fn is_write_vectored(&self) -> bool {
        match &self.stream {
            Stream::Plain(stream) => stream.is_write_vectored(),
            Stream::Tls(stream) => stream.is_write_vectored(),
        }
    }

    fn poll_flush(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        inside!(self, stream => stream.poll_flush(context))
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        inside!(self, stream => stream.poll_shutdown(context))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Otherwise the second part of an answer waits for the client's acknowledgement of the first.
    #[tokio::test]
    async fn small_answers_are_not_held_back() {
        let listener = TcpListener::bind("127.0.0.1:0").await.expect("loopback");
        let address = listener.local_addr().expect("an address");
        let (mut accepting, _intake) = Accepting::new(listener);
        let client = TcpStream::connect(address).await.expect("it listens");
        let (connection, from) = accepting.accept().await.expect("a connection");
        assert_eq!(from, client.local_addr().expect("an address"));
        let Stream::Plain(stream) = &connection.stream else {
            panic!("nobody has asked for TLS");
        };
        assert!(stream.nodelay().expect("a socket"));
    }
}
