//! The system's answers on two lists: those that pass by themselves, and those for which somebody
//! has to mend something. A task that meets one of the first is tried again, one that meets one of
//! the second is paused with the reason.

use std::error::Error;
use std::io;

use rustix::io::Errno;

/// Something is short, busy or cannot be reached now.
const PASSING: &[Errno] = &[
    // Interrupted, busy, or to be asked again.
    Errno::INTR,
    Errno::AGAIN,
    Errno::BUSY,
    Errno::TXTBSY,
    Errno::DEADLK,
    Errno::INPROGRESS,
    Errno::ALREADY,
    Errno::CANCELED,
    Errno::RESTART,
    // Memory, descriptors, room on a disk, locks, users' quotas and ports.
    Errno::NOMEM,
    Errno::NFILE,
    Errno::MFILE,
    Errno::NOSPC,
    Errno::DQUOT,
    Errno::NOLCK,
    Errno::USERS,
    Errno::NOBUFS,
    Errno::NOSR,
    Errno::ADDRNOTAVAIL,
    // A disk or a mount that does not answer, or lost its server.
    Errno::IO,
    Errno::REMOTEIO,
    Errno::STALE,
    Errno::COMM,
    Errno::NOLINK,
    Errno::TIME,
    Errno::TIMEDOUT,
    Errno::NETDOWN,
    Errno::NETUNREACH,
    Errno::NETRESET,
    Errno::CONNABORTED,
    Errno::CONNRESET,
    Errno::CONNREFUSED,
    Errno::NOTCONN,
    Errno::SHUTDOWN,
    Errno::PIPE,
    Errno::HOSTDOWN,
    Errno::HOSTUNREACH,
    // What a network mount says while its ticket is renewed.
    Errno::KEYEXPIRED,
];

/// Somebody has to mend something: a name, a right, a device, the kernel.
const LASTING: &[Errno] = &[
    // Names and what they lead to.
    Errno::NOENT,
    Errno::NOTDIR,
    Errno::ISDIR,
    Errno::EXIST,
    Errno::NOTEMPTY,
    Errno::LOOP,
    Errno::NAMETOOLONG,
    Errno::XDEV,
    Errno::MLINK,
    Errno::NOTUNIQ,
    Errno::ISNAM,
    Errno::NOTNAM,
    Errno::NAVAIL,
    Errno::FBIG,
    Errno::NODATA,
    Errno::DOTDOT,
    // Rights, and what may only be read.
    Errno::PERM,
    Errno::ACCESS,
    Errno::ROFS,
    Errno::NOKEY,
    Errno::KEYREVOKED,
    Errno::KEYREJECTED,
    // Devices and file systems that are of another kind, damaged, or not there.
    Errno::NODEV,
    Errno::NXIO,
    Errno::NOTBLK,
    Errno::NOTTY,
    Errno::NOMEDIUM,
    Errno::MEDIUMTYPE,
    Errno::UCLEAN,
    Errno::HWPOISON,
    Errno::REMCHG,
    Errno::REMOTE,
    Errno::NONET,
    Errno::NOPKG,
    Errno::ADV,
    Errno::SRMNT,
    Errno::MULTIHOP,
    Errno::NOSTR,
    Errno::UNATCH,
    Errno::NOCSI,
    Errno::CHRNG,
    Errno::L2NSYNC,
    Errno::L3HLT,
    Errno::L3RST,
    Errno::LNRNG,
    Errno::L2HLT,
    Errno::BADE,
    Errno::BADR,
    Errno::XFULL,
    Errno::NOANO,
    Errno::BADRQC,
    Errno::BADSLT,
    Errno::BADFD,
    Errno::BFONT,
    // Another program has the address, or the system does not know the kind of socket.
    Errno::ADDRINUSE,
    Errno::AFNOSUPPORT,
    Errno::PFNOSUPPORT,
    Errno::PROTO,
    Errno::PROTOTYPE,
    Errno::PROTONOSUPPORT,
    Errno::NOPROTOOPT,
    Errno::SOCKTNOSUPPORT,
    Errno::OPNOTSUPP,
    Errno::DESTADDRREQ,
    Errno::NOTSOCK,
    Errno::ISCONN,
    Errno::TOOMANYREFS,
    Errno::MSGSIZE,
    Errno::STRPIPE,
    Errno::BADMSG,
    Errno::NOMSG,
    Errno::IDRM,
    // What was asked cannot be done by this kernel, or is a fault of ours: trying again would not
    // help.
    Errno::NOSYS,
    Errno::INVAL,
    Errno::TOOBIG,
    Errno::NOEXEC,
    Errno::BADF,
    Errno::CHILD,
    Errno::SRCH,
    Errno::FAULT,
    Errno::SPIPE,
    Errno::DOM,
    Errno::RANGE,
    Errno::OVERFLOW,
    Errno::ILSEQ,
    Errno::LIBACC,
    Errno::LIBBAD,
    Errno::LIBSCN,
    Errno::LIBMAX,
    Errno::LIBEXEC,
    Errno::OWNERDEAD,
    Errno::NOTRECOVERABLE,
    Errno::RFKILL,
];

/// Whether the first answer of the system that lies below an error is one that passes. One that is
/// on neither list, of a later system, is taken for one that does: nothing is given up for it.
pub(super) fn passes(error: &(dyn Error + 'static)) -> bool {
    let mut cause = Some(error);
    while let Some(error) = cause {
        let io = error.downcast_ref::<io::Error>();
        if let Some(code) = io.and_then(io::Error::raw_os_error) {
            return !LASTING.contains(&Errno::from_raw_os_error(code));
        }
        if let Some(errno) = error.downcast_ref::<Errno>() {
            return !LASTING.contains(errno);
        }
        if let Some(io) = io
            && io.get_ref().is_none()
            && let io::ErrorKind::OutOfMemory | io::ErrorKind::StorageFull = io.kind()
        {
            return true;
        }
        // An error inside of an `io::Error` is not its source: only what lies below that one is.
        cause = match io.and_then(io::Error::get_ref) {
            Some(inside) => Some(inside),
            None => error.source(),
        };
    }
    false
}

/// Whether a text, such as those of an engine or of the dynamic linker, ends with an answer of the
/// system's that passes. Some libraries hand over nothing else.
pub fn names_passing(text: &str) -> bool {
    let ends = |line: &str| {
        PASSING.iter().any(|errno| {
            let io = io::Error::from(*errno).to_string();
            let words = io.split(" (os error").next().unwrap_or(&io);
            line.ends_with(words) || line.ends_with(&io)
        })
    };
    text.lines().map(str::trim_end).any(ends)
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The C library knows a text for each answer that there is.
    #[test]
    fn each_answer_of_the_system_is_on_one_list() {
        let known = (1..4096).filter(|code| {
            let text = io::Error::from_raw_os_error(*code).to_string();
            !text.starts_with("Unknown error")
        });
        let mut count = 0;
        for code in known {
            let errno = Errno::from_raw_os_error(code);
            let lists = [PASSING, LASTING].map(|list| list.iter().filter(|e| **e == errno).count());
            let text = io::Error::from(errno);
            assert_eq!(lists.iter().sum::<usize>(), 1, "{text}: {lists:?}");
            count += 1;
        }
        assert!(count > 120, "{count}");
    }

    #[test]
    fn answers_are_found_below_other_errors_and_in_texts() {
        let full = io::Error::from_raw_os_error(28);
        let wrapped = io::Error::new(
            full.kind(),
            tempfile::NamedTempFile::new_in("/nowhere")
                .err()
                .map_or(full, |error| error),
        );
        assert!(!passes(&wrapped), "no such directory");
        let open = io::Error::from(Errno::MFILE);
        assert!(passes(&io::Error::other(open)));
        assert!(!passes(&io::Error::other("something else")));
        assert!(passes(&Errno::STALE));
        assert!(names_passing(
            "x.so: cannot open shared object file: Too many open files"
        ));
        assert!(names_passing(
            "mmap failed\n\nCaused by:\n    Cannot allocate memory (os error 12)"
        ));
        assert!(!names_passing(
            "x.so: cannot open shared object file: No such file or directory"
        ));
    }
}
