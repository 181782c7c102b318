//! The types of `wasi:sockets`.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr, SocketAddrV4, SocketAddrV6};

use crate::errno::Errno;
use crate::p2::abi::{enumeration, record, variant};

enumeration! {
    /// Why a call has failed.
    enum ErrorCode {
        Unknown,
        AccessDenied,
        NotSupported,
        InvalidArgument,
        OutOfMemory,
        Timeout,
        ConcurrencyConflict,
        NotInProgress,
        WouldBlock,
        InvalidState,
        NewSocketLimit,
        AddressNotBindable,
        AddressInUse,
        RemoteUnreachable,
        ConnectionRefused,
        ConnectionReset,
        ConnectionAborted,
        DatagramTooLarge,
        NameUnresolvable,
        TemporaryResolverFailure,
        PermanentResolverFailure,
    }
}

enumeration! {
    /// The family of an address.
    enum IpAddressFamily {
        Ipv4,
        Ipv6,
    }
}

type Ipv4Address = (u8, u8, u8, u8);
type Ipv6Address = (u16, u16, u16, u16, u16, u16, u16, u16);

variant! { Lower:
    /// An address.
    enum IpAddress {
        Ipv4(Ipv4Address) = 0,
        Ipv6(Ipv6Address) = 1,
    }
}

record! { Lift Lower:
    /// An IPv4 address with a port.
    struct Ipv4SocketAddress {
        port: u16,
        address: Ipv4Address,
    }
}

record! { Lift Lower:
    /// An IPv6 address with a port.
    struct Ipv6SocketAddress {
        port: u16,
        flow_info: u32,
        address: Ipv6Address,
        scope_id: u32,
    }
}

variant! { Lift Lower:
    /// An address with a port.
    enum IpSocketAddress {
        Ipv4(Ipv4SocketAddress) = 0,
        Ipv6(Ipv6SocketAddress) = 1,
    }
}

enumeration! {
    /// The direction of a connection that ends.
    enum ShutdownType {
        Receive,
        Send,
        Both,
    }
}

impl From<Errno> for ErrorCode {
    fn from(errno: Errno) -> Self {
        match errno {
            Errno::AGAIN | Errno::INTR => Self::WouldBlock,
            Errno::PERM | Errno::ACCESS => Self::AccessDenied,
            Errno::ADDRINUSE => Self::AddressInUse,
            Errno::ADDRNOTAVAIL => Self::AddressNotBindable,
            Errno::ALREADY => Self::ConcurrencyConflict,
            Errno::TIMEDOUT => Self::Timeout,
            Errno::CONNREFUSED => Self::ConnectionRefused,
            Errno::CONNRESET => Self::ConnectionReset,
            Errno::CONNABORTED => Self::ConnectionAborted,
            Errno::INVAL => Self::InvalidArgument,
            Errno::HOSTUNREACH
            | Errno::HOSTDOWN
            | Errno::NETDOWN
            | Errno::NETUNREACH
            | Errno::NONET => Self::RemoteUnreachable,
            Errno::ISCONN | Errno::NOTCONN | Errno::DESTADDRREQ => Self::InvalidState,
            Errno::NFILE | Errno::MFILE => Self::NewSocketLimit,
            Errno::MSGSIZE => Self::DatagramTooLarge,
            Errno::NOMEM | Errno::NOBUFS => Self::OutOfMemory,
            Errno::OPNOTSUPP
            | Errno::NOPROTOOPT
            | Errno::PFNOSUPPORT
            | Errno::PROTONOSUPPORT
            | Errno::PROTOTYPE
            | Errno::SOCKTNOSUPPORT
            | Errno::AFNOSUPPORT => Self::NotSupported,
            _ => Self::Unknown,
        }
    }
}

fn v4((a, b, c, d): Ipv4Address) -> Ipv4Addr {
    Ipv4Addr::new(a, b, c, d)
}

fn v6((a, b, c, d, e, f, g, h): Ipv6Address) -> Ipv6Addr {
    Ipv6Addr::new(a, b, c, d, e, f, g, h)
}

fn from_v4(address: Ipv4Addr) -> Ipv4Address {
    let [a, b, c, d] = address.octets();
    (a, b, c, d)
}

fn from_v6(address: Ipv6Addr) -> Ipv6Address {
    let [a, b, c, d, e, f, g, h] = address.segments();
    (a, b, c, d, e, f, g, h)
}

impl From<IpAddr> for IpAddress {
    fn from(address: IpAddr) -> Self {
        match address {
            IpAddr::V4(address) => Self::Ipv4(from_v4(address)),
            IpAddr::V6(address) => Self::Ipv6(from_v6(address)),
        }
    }
}

impl From<IpSocketAddress> for SocketAddr {
    fn from(address: IpSocketAddress) -> Self {
        match address {
            IpSocketAddress::Ipv4(given) => SocketAddrV4::new(v4(given.address), given.port).into(),
            IpSocketAddress::Ipv6(given) => {
                let (flow, scope) = (given.flow_info, given.scope_id);
                SocketAddrV6::new(v6(given.address), given.port, flow, scope).into()
            }
        }
    }
}

impl From<SocketAddr> for IpSocketAddress {
    fn from(address: SocketAddr) -> Self {
        match address {
            SocketAddr::V4(address) => Self::Ipv4(Ipv4SocketAddress {
                port: address.port(),
                address: from_v4(*address.ip()),
            }),
            SocketAddr::V6(address) => Self::Ipv6(Ipv6SocketAddress {
                port: address.port(),
                flow_info: address.flowinfo(),
                address: from_v6(*address.ip()),
                scope_id: address.scope_id(),
            }),
        }
    }
}

/// Whether a socket of this family can use the address at all. An IPv4 address that is written as
/// an IPv6 one, mapped or compatible, is not for IPv6 sockets.
pub(super) fn is_of_family(address: IpAddr, is_v6: bool) -> bool {
    match address {
        IpAddr::V4(_) => !is_v6,
        IpAddr::V6(address) => {
            let is_compatible = matches!(address.segments(), [0, 0, 0, 0, 0, 0, _, _])
                && !address.is_unspecified()
                && !address.is_loopback();
            is_v6 && !is_compatible && address.to_ipv4_mapped().is_none()
        }
    }
}

/// Whether a peer can have the address.
pub(super) fn is_of_peer(address: SocketAddr) -> bool {
    !address.ip().to_canonical().is_unspecified() && address.port() != 0
}

/// Whether an address is that of one host.
pub(super) fn is_unicast(address: IpAddr) -> bool {
    match address.to_canonical() {
        IpAddr::V4(address) => !address.is_multicast() && !address.is_broadcast(),
        IpAddr::V6(address) => !address.is_multicast(),
    }
}
