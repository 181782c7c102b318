//! `sock_getaddrinfo`: the host's own look-up, into structures that the guest has laid out.
//!
//! The guest passes a list of `addrinfo`, linked by `ai_next`, each with room for an address and a name:
//!
//! ```text
//!   addrinfo, 28 bytes: flags u16, family u8, socktype u8, protocol u8, (3), addrlen, addr,
//!                       canonname, canonname_len, next
//!   sockaddr, 12 bytes: family u8, (3), data_len, data
//!   data: the port, two bytes, the highest first; then as behind the port in C's structures
//! ```

use std::net::{IpAddr, SocketAddr};

use dns_lookup::{AddrInfoHints, LookupErrorKind};

use super::address::{INET4, INET6};
use super::calls::{DATAGRAM, STREAM};
use crate::abi::{Memory, Result, arg};
use crate::ctx::Ctx;
use crate::errno::Errno;

/// `aiflags` of WasmEdge.
const PASSIVE: u16 = 1 << 0;
const CANONICAL_NAME: u16 = 1 << 1;
const NUMERIC_HOST: u16 = 1 << 2;
const NUMERIC_SERVICE: u16 = 1 << 3;
const ALL_FLAGS: u16 = (1 << 7) - 1;

/// The same for the host (`netdb.h`).
const AI_PASSIVE: i32 = 1;

/// So many answers are looked at, whatever room the guest has.
const MAX_ANSWERS: u32 = 1024;

/// What the guest wants.
struct Hints {
    flags: u16,
    family: u8,
    kind: u8,
    protocol: u8,
}

impl Ctx {
    /// `sock_getaddrinfo`. Names that no rule grants are not asked for.
    pub(crate) fn sock_getaddrinfo(&mut self, a: &[u64], memory: &mut Memory<'_>) -> Result<()> {
        let node = text(memory, arg(a, 0), arg(a, 1))?;
        let service = text(memory, arg(a, 2), arg(a, 3))?;
        let hints = Hints::read(memory, arg(a, 4))?;
        let (list, room, result) = (memory.u32(arg(a, 5))?, arg(a, 6), arg(a, 7));
        memory.check_result(result)?;
        if node.is_empty() && service.is_empty() {
            return Err(Errno::Ainoname);
        }
        if room == 0 {
            return Err(Errno::Aimemory);
        }
        let found = self.look_up(&node, &service, &hints)?;
        let mut place = list;
        let mut count = 0;
        for address in found.into_iter().take(room.min(MAX_ANSWERS) as usize) {
            if place == 0 {
                break;
            }
            write(memory, place, &hints, address, &node)?;
            place = memory.u32(place.checked_add(24).ok_or(Errno::Fault)?)?;
            count += 1;
        }
        memory.write_u32(result, count)
    }

    fn look_up(&self, node: &str, service: &str, hints: &Hints) -> Result<Vec<SocketAddr>> {
        let numeric = node.parse::<IpAddr>().ok();
        if hints.flags & NUMERIC_HOST != 0 && numeric.is_none() && !node.is_empty() {
            return Err(Errno::Ainoname);
        }
        if hints.flags & NUMERIC_SERVICE != 0 && service.parse::<u16>().is_err() {
            return Err(Errno::Ainoname);
        }
        if !node.is_empty() && numeric.is_none() {
            self.grants.check_name(node)?;
        }
        let host_hints = AddrInfoHints {
            flags: match hints.flags & PASSIVE {
                0 => 0,
                _ => AI_PASSIVE,
            },
            address: match hints.family {
                INET4 => dns_lookup::AddrFamily::Inet.into(),
                INET6 => dns_lookup::AddrFamily::Inet6.into(),
                _ => 0,
            },
            // The same address once for each type is of no use to anybody.
            socktype: match u32::from(hints.kind) {
                DATAGRAM => dns_lookup::SockType::DGram.into(),
                _ => dns_lookup::SockType::Stream.into(),
            },
            protocol: 0,
        };
        let name = |text: &str| (!text.is_empty()).then(|| text.to_string());
        let (node_name, service_name) = (name(node), name(service));
        let found = dns_lookup::getaddrinfo(
            node_name.as_deref(),
            service_name.as_deref(),
            Some(host_hints),
        );
        let found: Vec<SocketAddr> = found
            .map_err(|error| match error.kind() {
                LookupErrorKind::Again => Errno::Aiagain,
                LookupErrorKind::Badflags => Errno::Aibadflag,
                LookupErrorKind::Fail => Errno::Aifail,
                LookupErrorKind::Family => Errno::Aifamily,
                LookupErrorKind::Memory => Errno::Aimemory,
                LookupErrorKind::NoData => Errno::Ainodata,
                LookupErrorKind::NoName => Errno::Ainoname,
                LookupErrorKind::Service => Errno::Aiservice,
                LookupErrorKind::Socktype => Errno::Aisocktype,
                _ => Errno::Aisystem,
            })?
            .filter_map(|info| Some(info.ok()?.sockaddr))
            .collect();
        let addresses: Vec<IpAddr> = found.iter().map(SocketAddr::ip).collect();
        self.grants.learn(node, &addresses);
        Ok(found)
    }
}

impl Hints {
    fn read(memory: &Memory<'_>, place: u32) -> Result<Self> {
        let bytes = memory.bytes(place, 28)?;
        let hints = Self {
            flags: u16::from_le_bytes([bytes[0], bytes[1]]),
            family: bytes[2],
            kind: bytes[3],
            protocol: bytes[4],
        };
        if hints.flags & !ALL_FLAGS != 0 {
            return Err(Errno::Aibadflag);
        }
        if hints.family > INET6 {
            return Err(Errno::Aifamily);
        }
        if hints.kind > 2 || hints.protocol > 2 {
            return Err(Errno::Aisocktype);
        }
        Ok(hints)
    }
}

/// A text, which some guests end with a zero byte.
fn text(memory: &Memory<'_>, place: u32, length: u32) -> Result<String> {
    let bytes = memory.bytes(place, length)?;
    let end = bytes
        .iter()
        .position(|byte| *byte == 0)
        .unwrap_or(bytes.len());
    let text = std::str::from_utf8(&bytes[..end]).map_err(|_| Errno::Ainoname)?;
    Ok(text.to_string())
}

/// Writes one answer into the structure at `place`.
fn write(
    memory: &mut Memory<'_>,
    place: u32,
    hints: &Hints,
    address: SocketAddr,
    node: &str,
) -> Result<()> {
    let entry = memory.bytes(place, 28)?.to_vec();
    let word =
        |at: usize| u32::from_le_bytes([entry[at], entry[at + 1], entry[at + 2], entry[at + 3]]);
    let (sockaddr, name, name_room) = (word(12), word(16), word(20));
    let mut data = address.port().to_be_bytes().to_vec();
    let (family, length) = match address {
        SocketAddr::V4(address) => {
            data.extend(address.ip().octets());
            data.extend([0; 8]);
            (INET4, 16u32)
        }
        SocketAddr::V6(address) => {
            data.extend([0; 4]);
            data.extend(address.ip().octets());
            data.extend(address.scope_id().to_le_bytes());
            (INET6, 28)
        }
    };
    memory.write(place, &hints.flags.to_le_bytes())?;
    let kind = if hints.kind == 0 {
        STREAM as u8
    } else {
        hints.kind
    };
    let protocol = match (hints.protocol, u32::from(kind)) {
        (0, DATAGRAM) => 2,
        (0, _) => 1,
        (protocol, _) => protocol,
    };
    memory.write(place + 2, &[family, kind, protocol])?;
    memory.write_u32(place + 8, length)?;
    let bytes = memory.bytes(sockaddr, 12)?;
    let at = u32::from_le_bytes([bytes[8], bytes[9], bytes[10], bytes[11]]);
    memory.write(sockaddr, &[family])?;
    memory.write_u32(sockaddr + 4, data.len() as u32)?;
    memory.write(at, &data)?;
    let name_length = match hints.flags & CANONICAL_NAME != 0 && node.len() < name_room as usize {
        true => {
            memory.write(name, &[node.as_bytes(), &[0]].concat())?;
            node.len() as u32
        }
        false => 0,
    };
    memory.write_u32(place + 20, name_length)
}
