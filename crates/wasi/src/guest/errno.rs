//! The error numbers of preview1, with those that WasmEdge's extension adds for looking names up,
//! and the mapping of the operating system's to them.

use crate::errno::Errno as Os;

macro_rules! errnos {
    ($($name:ident)*) => {
        /// An error number of preview1, in the specification's order.
        #[derive(Clone, Copy, Debug, PartialEq, Eq)]
        #[repr(u16)]
        #[allow(missing_docs, reason = "the names are the specification's own")]
        #[allow(dead_code, reason = "the list is whole, so that the numbers are right")]
        pub enum Errno { $($name),* }
    };
}

errnos! {
    Success TooBig Acces Addrinuse Addrnotavail Afnosupport Again Already Badf Badmsg Busy Canceled
    Child Connaborted Connrefused Connreset Deadlk Destaddrreq Dom Dquot Exist Fault Fbig
    Hostunreach Idrm Ilseq Inprogress Intr Inval Io Isconn Isdir Loop Mfile Mlink Msgsize Multihop
    Nametoolong Netdown Netreset Netunreach Nfile Nobufs Nodev Noent Noexec Nolck Nolink Nomem
    Nomsg Noprotoopt Nospc Nosys Notconn Notdir Notempty Notrecoverable Notsock Notsup Notty Nxio
    Overflow Ownerdead Perm Pipe Proto Protonosupport Prototype Range Rofs Spipe Srch Stale Timedout
    Txtbsy Xdev Notcapable
    Aiaddrfamily Aiagain Aibadflag Aifail Aifamily Aimemory Ainodata Ainoname Aiservice Aisocktype
    Aisystem
}

impl Errno {
    /// The number.
    pub fn raw(self) -> u16 {
        self as u16
    }
}

impl From<Os> for Errno {
    fn from(errno: Os) -> Self {
        match errno {
            Os::TOOBIG => Self::TooBig,
            Os::ACCESS => Self::Acces,
            Os::ADDRINUSE => Self::Addrinuse,
            Os::ADDRNOTAVAIL => Self::Addrnotavail,
            Os::AFNOSUPPORT => Self::Afnosupport,
            Os::AGAIN => Self::Again,
            Os::ALREADY => Self::Already,
            Os::BADF => Self::Badf,
            Os::BUSY => Self::Busy,
            Os::CONNABORTED => Self::Connaborted,
            Os::CONNREFUSED => Self::Connrefused,
            Os::CONNRESET => Self::Connreset,
            Os::DEADLK => Self::Deadlk,
            Os::DESTADDRREQ => Self::Destaddrreq,
            Os::DQUOT => Self::Dquot,
            Os::EXIST => Self::Exist,
            Os::FBIG => Self::Fbig,
            Os::HOSTUNREACH => Self::Hostunreach,
            Os::ILSEQ => Self::Ilseq,
            Os::INPROGRESS => Self::Inprogress,
            Os::INTR => Self::Intr,
            Os::INVAL => Self::Inval,
            Os::ISCONN => Self::Isconn,
            Os::ISDIR => Self::Isdir,
            Os::LOOP => Self::Loop,
            Os::MFILE => Self::Mfile,
            Os::MLINK => Self::Mlink,
            Os::MSGSIZE => Self::Msgsize,
            Os::NAMETOOLONG => Self::Nametoolong,
            Os::NETDOWN => Self::Netdown,
            Os::NETRESET => Self::Netreset,
            Os::NETUNREACH => Self::Netunreach,
            Os::NFILE => Self::Nfile,
            Os::NOBUFS => Self::Nobufs,
            Os::NODEV => Self::Nodev,
            Os::NOENT => Self::Noent,
            Os::NOLCK => Self::Nolck,
            Os::NOMEM => Self::Nomem,
            Os::NOPROTOOPT => Self::Noprotoopt,
            Os::NOSPC => Self::Nospc,
            Os::NOSYS => Self::Nosys,
            Os::NOTCONN => Self::Notconn,
            Os::NOTDIR => Self::Notdir,
            Os::NOTEMPTY => Self::Notempty,
            Os::NOTSOCK => Self::Notsock,
            Os::NOTSUP => Self::Notsup,
            Os::NOTTY => Self::Notty,
            Os::NXIO => Self::Nxio,
            Os::OVERFLOW => Self::Overflow,
            Os::PERM => Self::Perm,
            Os::PIPE => Self::Pipe,
            Os::PROTO => Self::Proto,
            Os::PROTONOSUPPORT => Self::Protonosupport,
            Os::PROTOTYPE => Self::Prototype,
            Os::RANGE => Self::Range,
            Os::ROFS => Self::Rofs,
            Os::SPIPE => Self::Spipe,
            Os::STALE => Self::Stale,
            Os::TIMEDOUT => Self::Timedout,
            Os::TXTBSY => Self::Txtbsy,
            Os::XDEV => Self::Xdev,
            _ => Self::Io,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::Errno;

    /// Numbers from the specification, picked along the list.
    #[test]
    fn numbers_are_the_specifications() {
        let known = [
            (Errno::Success, 0),
            (Errno::Badf, 8),
            (Errno::Exist, 20),
            (Errno::Inval, 28),
            (Errno::Noent, 44),
            (Errno::Nosys, 52),
            (Errno::Notdir, 54),
            (Errno::Notsock, 57),
            (Errno::Perm, 63),
            (Errno::Xdev, 75),
            (Errno::Notcapable, 76),
            (Errno::Ainoname, 84),
            (Errno::Aisystem, 87),
        ];
        for (errno, number) in known {
            assert_eq!(errno.raw(), number, "{errno:?}");
        }
    }
}
