//! What a pollable waits for, and blocking on it.

use dormouse_model::{Deadline, FdInterest, Interest, Wait};

use crate::p2::call::Call;
use crate::p2::connection;
use crate::p2::resource::{
    InputStream, OutputStream, Reading, Resource, TcpOperation, TcpSocket, UdpSocket, Writing,
};
use crate::p2::stop::{Called, Stop, trap};

/// The descriptor of standard input.
const STDIN: u32 = 0;

/// What a pollable waits for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Watched {
    /// Nothing: it is always ready.
    Ready,
    /// The time when the guest's monotonic clock shows this many nanoseconds.
    Timer(u64),
    /// A descriptor.
    Fd(FdInterest),
}

impl Watched {
    fn read(fd: u32) -> Self {
        let interest = Interest::Read;
        Self::Fd(FdInterest { fd, interest })
    }

    fn write(fd: u32) -> Self {
        let interest = Interest::Write;
        Self::Fd(FdInterest { fd, interest })
    }
}

/// What a wait for a resource waits for.
pub(super) fn watched(call: &Call<'_>, rep: u32) -> Called<Watched> {
    let resources = &call.ctx.component.resources;
    let udp = |socket| resources.get::<UdpSocket>(socket).map(|socket| socket.fd);
    match resources.any(rep)? {
        Resource::Timer(timer) => Ok(Watched::Timer(timer.due)),
        Resource::InputStream(_) => of_input(call, rep),
        Resource::OutputStream(_) => of_output(call, rep),
        Resource::TcpSocket(socket) => Ok(of_socket(call, socket)),
        Resource::IncomingDatagramStream(stream) => udp(stream.socket).map(Watched::read),
        Resource::OutgoingDatagramStream(stream) => udp(stream.socket).map(Watched::write),
        // A name is looked up at once.
        Resource::UdpSocket(_) | Resource::ResolveAddressStream(_) => Ok(Watched::Ready),
        _ => trap("resource is of another type"),
    }
}

/// What the next step of an operation on a socket waits for.
fn of_socket(call: &Call<'_>, tcp: &TcpSocket) -> Watched {
    let Ok(socket) = connection::socket(call.ctx, tcp.fd) else {
        return Watched::Ready;
    };
    match tcp.operation {
        Some(TcpOperation::Connect) if socket.is_connecting() && tcp.failed.is_none() => {
            Watched::write(tcp.fd)
        }
        None if socket.is_listening() => Watched::read(tcp.fd),
        _ => Watched::Ready,
    }
}

/// What a read from a stream waits for.
pub(super) fn of_input(call: &Call<'_>, stream: u32) -> Called<Watched> {
    let resources = &call.ctx.component.resources;
    Ok(match resources.get::<InputStream>(stream)? {
        InputStream::Stdin => Watched::read(STDIN),
        InputStream::File(_) => Watched::Ready,
        InputStream::Tcp(socket) => {
            let socket: &TcpSocket = resources.get(*socket)?;
            match socket.reading {
                Reading::Open => Watched::read(socket.fd),
                Reading::None | Reading::Ended => Watched::Ready,
            }
        }
    })
}

/// What a write to a stream waits for.
pub(super) fn of_output(call: &Call<'_>, stream: u32) -> Called<Watched> {
    let resources = &call.ctx.component.resources;
    Ok(match resources.get::<OutputStream>(stream)? {
        OutputStream::Stdout | OutputStream::Stderr | OutputStream::File(_) => Watched::Ready,
        OutputStream::Tcp(socket) => {
            let socket: &TcpSocket = resources.get(*socket)?;
            match socket.writing {
                Writing::Open { .. } | Writing::Sending { .. } => Watched::write(socket.fd),
                Writing::None | Writing::Ended(_) => Watched::Ready,
            }
        }
    })
}

/// Whether what is waited for has happened.
pub(super) fn is_ready(call: &Call<'_>, watched: Watched) -> bool {
    match watched {
        Watched::Ready => true,
        Watched::Timer(due) => call.ctx.resources.clock.shown_monotonic().as_nanos() >= due,
        Watched::Fd(wanted) => call.ctx.readiness(wanted.fd, wanted.interest).ready,
    }
}

/// Blocks until something has happened that is no timer.
pub(super) fn block(call: &Call<'_>, watched: Watched) -> Stop {
    let fds = match watched {
        Watched::Fd(wanted) => vec![wanted],
        Watched::Ready | Watched::Timer(_) => Vec::new(),
    };
    match fds.is_empty() {
        // It has happened already: the call is only to be made again.
        true => Stop::Block(Wait::Yield),
        false => Stop::Block(wait(call, None, fds)),
    }
}

/// A wait for a deadline or for descriptors. It also ends when there is room for what is still to be
/// sent.
pub(super) fn wait(call: &Call<'_>, deadline: Option<Deadline>, mut fds: Vec<FdInterest>) -> Wait {
    for unsent in connection::unsent(call.ctx) {
        if !fds.contains(&unsent) {
            fds.push(unsent);
        }
    }
    Wait::Poll { deadline, fds }
}
