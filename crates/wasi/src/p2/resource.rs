//! The host's resources: what the handles of components stand for. All of it is plain data.

use std::collections::VecDeque;
use std::net::{IpAddr, SocketAddr};

use serde::{Deserialize, Serialize};

use super::abi::HostResource;
use super::host_type::HostType;
use super::http_resource::{
    FutureIncomingResponse, FutureTrailers, IncomingBody, IncomingRequest, IncomingResponse,
    OutgoingBody, OutgoingRequest, OutgoingResponse, RequestOptions, ResponseOutparam,
};
use crate::fs::EntryV1;
use crate::http::{Failure, Fields};

macro_rules! resources {
    ($($name:ident,)*) => {
        /// A resource of the host's.
        #[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
        pub(crate) enum Resource {
            /// The deadline of a pollable. No handle stands for it.
            Timer(Timer),
            $($name($name),)*
        }

        $(
            impl HostResource for $name {
                const TYPE: HostType = HostType::$name;
            }

            impl From<$name> for Resource {
                fn from(resource: $name) -> Self {
                    Self::$name(resource)
                }
            }

            impl Kind for $name {
                fn of(resource: &Resource) -> Option<&Self> {
                    match resource {
                        Resource::$name(found) => Some(found),
                        _ => None,
                    }
                }

                fn of_mut(resource: &mut Resource) -> Option<&mut Self> {
                    match resource {
                        Resource::$name(found) => Some(found),
                        _ => None,
                    }
                }
            }
        )*
    };
}

/// One kind of resources.
pub(crate) trait Kind: HostResource + Into<Resource> {
    /// The resource, if it is of this kind.
    fn of(resource: &Resource) -> Option<&Self>;

    /// The resource, if it is of this kind.
    fn of_mut(resource: &mut Resource) -> Option<&mut Self>;
}

resources! {
    Error,
    Pollable,
    InputStream,
    OutputStream,
    TerminalInput,
    TerminalOutput,
    Descriptor,
    DirectoryEntryStream,
    Network,
    TcpSocket,
    UdpSocket,
    IncomingDatagramStream,
    OutgoingDatagramStream,
    ResolveAddressStream,
    Fields,
    IncomingRequest,
    OutgoingRequest,
    RequestOptions,
    ResponseOutparam,
    IncomingResponse,
    IncomingBody,
    FutureTrailers,
    OutgoingResponse,
    OutgoingBody,
    FutureIncomingResponse,
}

impl Resource {
    /// The guest's descriptor that it keeps open.
    pub(crate) fn fd(&self) -> Option<u32> {
        match self {
            Self::Descriptor(descriptor) => Some(descriptor.fd),
            Self::InputStream(InputStream::File(stream)) => Some(stream.fd),
            Self::OutputStream(OutputStream::File(stream)) => Some(stream.fd),
            Self::TcpSocket(socket) => Some(socket.fd),
            Self::UdpSocket(socket) => Some(socket.fd),
            _ => None,
        }
    }
}

/// A moment that is waited for.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Timer {
    /// When the guest's monotonic clock shows this many nanoseconds.
    pub(crate) due: u64,
}

/// An error of the system's, or of an exchange.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Error {
    /// Its number.
    pub(crate) errno: i32,
    /// It is an error of a socket's.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub(crate) of_socket: bool,
    /// Why an exchange has failed, if it is an error of one.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) http: Option<Failure>,
}

/// Something that a guest can wait for: its parent, which is a stream, a socket, a timer, a response
/// or trailers.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Pollable;

/// A stream to read from.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) enum InputStream {
    /// Standard input.
    Stdin,
    /// A file.
    File(FileInput),
    /// A connection: the TCP socket of this number.
    Tcp(u32),
    /// The body of a message that comes: its exchange.
    Body(u64),
}

/// A stream to write to.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) enum OutputStream {
    /// Standard output.
    Stdout,
    /// Standard error.
    Stderr,
    /// A file.
    File(FileOutput),
    /// A connection: the TCP socket of this number.
    Tcp(u32),
    /// The body of the message of this number.
    Message(u64),
}

/// That standard input is a terminal.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct TerminalInput;

/// That an output stream is a terminal.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct TerminalOutput;

/// How far a stream of a file's has come.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) enum Progress {
    /// It goes on.
    Open,
    /// The last write has failed with this error number, which the guest has not been told yet.
    Failed(i32),
    /// It is at its end.
    Closed,
}

/// A file that is read.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct FileInput {
    pub(crate) fd: u32,
    /// Where the next read happens, in bytes.
    pub(crate) position: u64,
    pub(crate) progress: Progress,
}

/// A file that is written.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct FileOutput {
    pub(crate) fd: u32,
    /// Where the next write happens, in bytes; `None` for the end of the file.
    pub(crate) position: Option<u64>,
    pub(crate) progress: Progress,
}

/// A file or a directory: one of the guest's descriptors.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Descriptor {
    pub(crate) fd: u32,
}

/// What is left of a listing of a directory.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct DirectoryEntryStream {
    pub(crate) entries: VecDeque<EntryV1>,
}

/// The network, as far as the guest may use it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Network;

/// A TCP socket: one of the guest's descriptors, with how far the calls on it have come.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct TcpSocket {
    pub(crate) fd: u32,
    /// The operation that has been started and not finished.
    pub(crate) operation: Option<TcpOperation>,
    /// How many pending connections it is going to have, if it listens.
    pub(crate) backlog: i32,
    /// The error number with which it failed to connect. Nothing can be done with it any more.
    pub(crate) failed: Option<i32>,
    pub(crate) reading: Reading,
    pub(crate) writing: Writing,
}

/// An operation on a TCP socket in two steps.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) enum TcpOperation {
    Bind,
    Connect,
    Listen,
}

/// How far the reading of a connection has come.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) enum Reading {
    /// There is no stream: there is no connection.
    None,
    Open,
    Ended,
}

/// How far the writing of a connection has come.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) enum Writing {
    /// There is no stream: there is no connection.
    None,
    /// So many bytes may be written.
    Open { permit: u32 },
    /// These bytes were written and are still to be sent. Then the direction ends, if `ends` says
    /// so.
    Sending {
        #[serde(with = "serde_bytes")]
        rest: Vec<u8>,
        ends: bool,
    },
    /// It is at its end, by an error if there is a number.
    Ended(Option<i32>),
}

/// A UDP socket: one of the guest's descriptors.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct UdpSocket {
    pub(crate) fd: u32,
    /// A bind has been started and not finished.
    pub(crate) binds: bool,
}

/// The datagrams that a socket receives.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct IncomingDatagramStream {
    /// The UDP socket's number.
    pub(crate) socket: u32,
    /// The peer from which alone they come.
    pub(crate) peer: Option<SocketAddr>,
}

/// The datagrams that a socket sends.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct OutgoingDatagramStream {
    /// The UDP socket's number.
    pub(crate) socket: u32,
    /// How many may be sent.
    pub(crate) permit: u32,
}

/// The addresses of a name that the guest has not asked for yet.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct ResolveAddressStream {
    pub(crate) addresses: VecDeque<IpAddr>,
}
