//! The types of the resources that components have handles of.

use std::fmt;

use serde::{Deserialize, Serialize};

use super::version::unversioned;

macro_rules! host_types {
    ($($variant:ident $interface:literal $name:literal;)*) => {
        /// A type of resources that the host has.
        #[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
        pub(crate) enum HostType { $($variant),* }

        impl HostType {
            /// Every type.
            pub(crate) const ALL: &[Self] = &[$(Self::$variant),*];

            /// The interface that defines it, without a version, and its name there.
            pub(crate) fn name(self) -> (&'static str, &'static str) {
                match self { $(Self::$variant => ($interface, $name)),* }
            }
        }
    };
}

host_types! {
    Error "wasi:io/error" "error";
    Pollable "wasi:io/poll" "pollable";
    InputStream "wasi:io/streams" "input-stream";
    OutputStream "wasi:io/streams" "output-stream";
    TerminalInput "wasi:cli/terminal-input" "terminal-input";
    TerminalOutput "wasi:cli/terminal-output" "terminal-output";
    Descriptor "wasi:filesystem/types" "descriptor";
    DirectoryEntryStream "wasi:filesystem/types" "directory-entry-stream";
    Network "wasi:sockets/network" "network";
    TcpSocket "wasi:sockets/tcp" "tcp-socket";
    UdpSocket "wasi:sockets/udp" "udp-socket";
    IncomingDatagramStream "wasi:sockets/udp" "incoming-datagram-stream";
    OutgoingDatagramStream "wasi:sockets/udp" "outgoing-datagram-stream";
    ResolveAddressStream "wasi:sockets/ip-name-lookup" "resolve-address-stream";
    Fields "wasi:http/types" "fields";
    IncomingRequest "wasi:http/types" "incoming-request";
    OutgoingRequest "wasi:http/types" "outgoing-request";
    RequestOptions "wasi:http/types" "request-options";
    ResponseOutparam "wasi:http/types" "response-outparam";
    IncomingResponse "wasi:http/types" "incoming-response";
    IncomingBody "wasi:http/types" "incoming-body";
    FutureTrailers "wasi:http/types" "future-trailers";
    OutgoingResponse "wasi:http/types" "outgoing-response";
    OutgoingBody "wasi:http/types" "outgoing-body";
    FutureIncomingResponse "wasi:http/types" "future-incoming-response";
}

impl HostType {
    /// The type of this name in this interface, whatever patch version of 0.2 the interface has.
    pub(crate) fn find(interface: &str, name: &str) -> Option<Self> {
        let interface = unversioned(interface)?;
        let mut all = Self::ALL.iter().copied();
        all.find(|ty| ty.name() == (interface, name))
    }
}

impl fmt::Display for HostType {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (interface, name) = self.name();
        write!(f, "{interface}/{name}")
    }
}

/// A type of resources.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub(crate) enum ResourceType {
    /// One of the host's.
    Host(HostType),
    /// One that a component defines, by its number.
    Guest(u32),
}

impl fmt::Display for ResourceType {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Host(ty) => ty.fmt(f),
            Self::Guest(number) => write!(f, "the guest's resource type {number}"),
        }
    }
}
