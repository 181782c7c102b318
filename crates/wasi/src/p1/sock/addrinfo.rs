//! `sock_getaddrinfo`, which writes what it finds into structures that the guest has laid out.
//!
//! The guest passes a list of `addrinfo` that is linked by their last field. Each has room for an
//! address and a name:
//!
//! ```text
//!   addrinfo, 28 bytes: flags u16, family u8, socktype u8, protocol u8, (3), addrlen, addr,
//!                       canonname, canonname_len, next
//!   sockaddr, 12 bytes: family u8, (3), data_len, data
//!   data: the port in two bytes, the highest first; then what follows it in C's `sockaddr_in` and
//!         `sockaddr_in6`
//! ```

use std::net::SocketAddr;

use dns_lookup::LookupErrorKind;

use super::address::{self, INET4, INET6};
use super::descriptor::{DATAGRAM, STREAM};
use crate::guest::Ctx;
use crate::p1::errno::Errno;
use crate::p1::memory::{Memory, Result, arg};
use crate::sock::{Lookup, LookupError};

/// `aiflags` of WasmEdge.
const PASSIVE: u16 = 1 << 0;
const CANONICAL_NAME: u16 = 1 << 1;
const NUMERIC_HOST: u16 = 1 << 2;
const NUMERIC_SERVICE: u16 = 1 << 3;
const ALL_FLAGS: u16 = (1 << 7) - 1;

/// How many answers are written, whatever room the guest has.
const MAX_ANSWERS: u32 = 1024;

/// The `addrinfo` by which the guest says what it wants.
struct Hints {
    flags: u16,
    family: u8,
    socktype: u8,
    protocol: u8,
}

/// `sock_getaddrinfo`. The resolver is asked only for host names that the guest's grants let it
/// look up.
pub(in crate::p1) fn sock_getaddrinfo(ctx: &Ctx, a: &[u64], memory: &mut Memory<'_>) -> Result<()> {
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
    let lookup = Lookup {
        node: &node,
        service: &service,
        passive: hints.flags & PASSIVE != 0,
        numeric_node: hints.flags & NUMERIC_HOST != 0,
        numeric_service: hints.flags & NUMERIC_SERVICE != 0,
        family: address::family(hints.family),
        datagram: u32::from(hints.socktype) == DATAGRAM,
    };
    let found = lookup.resolve(&ctx.resources.grants)?;
    let mut info = list;
    let mut count = 0;
    for address in found.into_iter().take(room.min(MAX_ANSWERS) as usize) {
        if info == 0 {
            break;
        }
        write(memory, info, &hints, address, &node)?;
        info = memory.u32(info.checked_add(24).ok_or(Errno::Fault)?)?;
        count += 1;
    }
    memory.write_u32(result, count)
}

impl From<LookupError> for Errno {
    fn from(error: LookupError) -> Self {
        let kind = match error {
            LookupError::NotNumeric | LookupError::NotName => return Self::Ainoname,
            LookupError::NotGranted => return Self::Acces,
            LookupError::Resolver(kind) => kind,
        };
        match kind {
            LookupErrorKind::Again => Self::Aiagain,
            LookupErrorKind::Badflags => Self::Aibadflag,
            LookupErrorKind::Fail => Self::Aifail,
            LookupErrorKind::Family => Self::Aifamily,
            LookupErrorKind::Memory => Self::Aimemory,
            LookupErrorKind::NoData => Self::Ainodata,
            LookupErrorKind::NoName => Self::Ainoname,
            LookupErrorKind::Service => Self::Aiservice,
            LookupErrorKind::Socktype => Self::Aisocktype,
            _ => Self::Aisystem,
        }
    }
}

impl Hints {
    fn read(memory: &Memory<'_>, info: u32) -> Result<Self> {
        let bytes = memory.bytes(info, 28)?;
        let hints = Self {
            flags: u16::from_le_bytes([bytes[0], bytes[1]]),
            family: bytes[2],
            socktype: bytes[3],
            protocol: bytes[4],
        };
        if hints.flags & !ALL_FLAGS != 0 {
            return Err(Errno::Aibadflag);
        }
        if hints.family > INET6 {
            return Err(Errno::Aifamily);
        }
        if hints.socktype > 2 || hints.protocol > 2 {
            return Err(Errno::Aisocktype);
        }
        Ok(hints)
    }
}

/// A text, up to its zero byte if it has one: some guests count it in.
fn text(memory: &Memory<'_>, start: u32, length: u32) -> Result<String> {
    let bytes = memory.bytes(start, length)?;
    let end = bytes
        .iter()
        .position(|byte| *byte == 0)
        .unwrap_or(bytes.len());
    let text = std::str::from_utf8(&bytes[..end]).map_err(|_| Errno::Ainoname)?;
    Ok(text.to_string())
}

/// Writes one answer into the structure at `info`.
fn write(
    memory: &mut Memory<'_>,
    info: u32,
    hints: &Hints,
    address: SocketAddr,
    node: &str,
) -> Result<()> {
    let entry = memory.bytes(info, 28)?.to_vec();
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
    memory.write(info, &hints.flags.to_le_bytes())?;
    let socktype = match hints.socktype {
        0 => STREAM as u8,
        socktype => socktype,
    };
    let protocol = match (hints.protocol, u32::from(socktype)) {
        (0, DATAGRAM) => 2,
        (0, _) => 1,
        (protocol, _) => protocol,
    };
    memory.write(info + 2, &[family, socktype, protocol])?;
    memory.write_u32(info + 8, length)?;
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
    memory.write_u32(info + 20, name_length)
}
