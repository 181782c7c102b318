//! Why an exchange has failed.

use std::fmt;

use serde::{Deserialize, Serialize};

/// Why an exchange has failed.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) enum Failure {
    /// The resolver knows no address of the host.
    NameUnresolvable,
    /// No rule lets the guest look the host's name up.
    NameDenied,
    /// No rule lets the guest connect to the host's address.
    AddressDenied,
    /// No connection was made.
    ConnectionRefused,
    /// The guest has as many descriptors as it may have.
    TooManyConnections,
    /// The connection was not made in time.
    ConnectTimeout,
    /// No byte came in time.
    ReadTimeout,
    /// The connection was lost in a suspend, before a response.
    ConnectionLost,
    /// The connection was lost in a suspend, in the middle of a response.
    ResponseLost,
    /// The peer has broken a rule of TLS.
    Tls,
    /// The peer's certificate is none that the host trusts.
    Certificate,
    /// The peer has refused the session, for a reason that TLS has this number for.
    TlsAlert(u8),
    /// The peer or the guest has broken a rule of HTTP, or the connection has ended too early.
    Protocol,
    /// The body of a request has not as many bytes as its head says, but this many.
    RequestBodySize(u64),
    /// The body of a response has not as many bytes as its head says, but this many.
    ResponseBodySize(u64),
}

impl fmt::Display for Failure {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::NameUnresolvable => f.write_str("the host's name has no address"),
            Self::NameDenied => f.write_str("the host's name may not be looked up"),
            Self::AddressDenied => f.write_str("the host's address may not be connected to"),
            Self::ConnectionRefused => f.write_str("the connection was refused"),
            Self::TooManyConnections => f.write_str("too many descriptors are open"),
            Self::ConnectTimeout => f.write_str("the connection was not made in time"),
            Self::ReadTimeout => f.write_str("no byte came in time"),
            Self::ConnectionLost => f.write_str("the connection was lost in a suspend"),
            Self::ResponseLost => f.write_str("the rest of the response was lost in a suspend"),
            Self::Tls => f.write_str("TLS protocol error"),
            Self::Certificate => f.write_str("the host's certificate is not trusted"),
            Self::TlsAlert(number) => write!(f, "the host refuses TLS, with alert {number}"),
            Self::Protocol => f.write_str("HTTP protocol error"),
            Self::RequestBodySize(size) => write!(f, "the request's body has {size} bytes"),
            Self::ResponseBodySize(size) => write!(f, "the response's body has {size} bytes"),
        }
    }
}
