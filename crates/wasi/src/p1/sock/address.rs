//! Addresses in the guest's memory, as WasmEdge's extension lays them out.
//!
//! A guest passes a pointer to `{buffer, length}`. Four bytes are an IPv4 address, sixteen an IPv6
//! address. In the second form of the calls an address has 128 bytes and begins with two bytes for
//! its family. Ports are passed beside the addresses, as plain numbers.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};

use crate::p1::errno::Errno;
use crate::p1::memory::{Memory, Result};
use crate::sock::Family;

/// `address_family` of WasmEdge.
pub(super) const INET4: u8 = 1;
pub(super) const INET6: u8 = 2;
/// The length of an address with its family, in bytes.
const STORAGE: u32 = 128;
/// `AF_INET`, which the first form of `sock_recv_from` gives.
const AF_INET: u16 = 2;

/// Reads an address.
pub(super) fn read(memory: &Memory<'_>, at: u32, port: u32) -> Result<SocketAddr> {
    let (buffer, length) = buffer(memory, at)?;
    let port = u16::try_from(port).map_err(|_| Errno::Inval)?;
    let bytes = memory.bytes(buffer, length)?;
    let ip = match length {
        4 => ip(INET4, bytes),
        16 => ip(INET6, bytes),
        STORAGE => ip(bytes[0], &bytes[2..]),
        _ => None,
    };
    Ok(SocketAddr::new(ip.ok_or(Errno::Inval)?, port))
}

/// The family of this number.
pub(super) fn family(number: u8) -> Option<Family> {
    match number {
        INET4 => Some(Family::V4),
        INET6 => Some(Family::V6),
        _ => None,
    }
}

fn ip(family: u8, bytes: &[u8]) -> Option<IpAddr> {
    match family {
        INET4 => {
            let octets: [u8; 4] = bytes.get(..4)?.try_into().ok()?;
            Some(Ipv4Addr::from(octets).into())
        }
        INET6 => {
            let octets: [u8; 16] = bytes.get(..16)?.try_into().ok()?;
            Some(Ipv6Addr::from(octets).into())
        }
        _ => None,
    }
}

/// The buffer of an address and its length, from the pointer to both.
fn buffer(memory: &Memory<'_>, at: u32) -> Result<(u32, u32)> {
    let entry = memory.bytes(at, 8)?;
    let word =
        |at: usize| u32::from_le_bytes([entry[at], entry[at + 1], entry[at + 2], entry[at + 3]]);
    let (buffer, length) = (word(0), word(4));
    memory.bytes(buffer, length)?;
    Ok((buffer, length))
}

/// Writes an address in the first form of `sock_getlocaladdr` and `sock_getpeeraddr`: its bytes
/// alone, and at another place 4 or 6 for its kind.
pub(super) fn write_plain(
    memory: &mut Memory<'_>,
    at: u32,
    kind: u32,
    port: u32,
    address: SocketAddr,
) -> Result<()> {
    let (buffer, length) = buffer(memory, at)?;
    memory.check_result(kind)?;
    memory.check_result(port)?;
    if length != 4 && length != 16 {
        return Err(Errno::Inval);
    }
    let octets = octets(address.ip());
    if octets.len() > length as usize {
        return Err(Errno::Nomem);
    }
    memory.write(buffer, &octets)?;
    memory.write_u32(kind, if address.is_ipv4() { 4 } else { 6 })?;
    memory.write_u32(port, address.port().into())
}

/// Writes an address in the second form, with its family.
pub(super) fn write_storage(
    memory: &mut Memory<'_>,
    at: u32,
    port: u32,
    address: SocketAddr,
) -> Result<()> {
    let (buffer, length) = buffer(memory, at)?;
    memory.check_result(port)?;
    if length != STORAGE {
        return Err(Errno::Inval);
    }
    write_family(memory, buffer, address)?;
    memory.write_u32(port, address.port().into())
}

fn write_family(memory: &mut Memory<'_>, buffer: u32, address: SocketAddr) -> Result<()> {
    let family = if address.is_ipv4() { INET4 } else { INET6 };
    let mut bytes = vec![family, 0];
    bytes.extend(octets(address.ip()));
    memory.write(buffer, &bytes)
}

/// Fails where the sender of a datagram could not be written, before the call receives it.
pub(super) fn check_sender(memory: &Memory<'_>, at: u32, port: Option<u32>) -> Result<()> {
    let (_, length) = buffer(memory, at)?;
    if let Some(port) = port {
        memory.bytes(port, 2)?;
    }
    match length {
        4 | 16 => Ok(()),
        STORAGE if port.is_some() => Ok(()),
        _ => Err(Errno::Inval),
    }
}

/// Writes the sender of a datagram. Only the second form has a place for the port. The first one
/// writes an IPv4 address into sixteen bytes as C's `sockaddr_in`, as the libraries of such guests
/// read it.
pub(super) fn write_sender(
    memory: &mut Memory<'_>,
    at: u32,
    port: Option<u32>,
    address: SocketAddr,
) -> Result<()> {
    let (buffer, length) = buffer(memory, at)?;
    let octets = octets(address.ip());
    if let Some(port) = port {
        memory.write(port, &address.port().to_le_bytes())?;
    }
    match (length, port) {
        (STORAGE, Some(_)) => write_family(memory, buffer, address),
        (16, None) if address.is_ipv4() => {
            let mut bytes = AF_INET.to_le_bytes().to_vec();
            bytes.extend(address.port().to_le_bytes());
            bytes.extend(octets);
            memory.write(buffer, &bytes)
        }
        _ if octets.len() <= length as usize => memory.write(buffer, &octets),
        _ => Ok(()),
    }
}

fn octets(ip: IpAddr) -> Vec<u8> {
    match ip {
        IpAddr::V4(ip) => ip.octets().to_vec(),
        IpAddr::V6(ip) => ip.octets().to_vec(),
    }
}
