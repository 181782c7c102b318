//! What a pollable waits for, blocking on it, and what goes on meanwhile.

use dormouse_model::{Deadline, FdInterest, Interest, MonotonicTime, Wait};

use crate::guest::Ctx;
use crate::http::Exchange;
use crate::p2::call::Call;
use crate::p2::connection;
use crate::p2::http::drive;
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
    /// Bytes of a body: a descriptor, and the time by which they must have come.
    Body(FdInterest, Option<MonotonicTime>),
    /// Something that exchanges wait for by themselves, which every wait waits for.
    Exchanges,
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
pub(super) fn watched(call: &mut Call<'_>, rep: u32) -> Called<Watched> {
    let resources = &call.ctx.component.resources;
    let udp = |socket| resources.get::<UdpSocket>(socket).map(|socket| socket.fd);
    match resources.any(rep)? {
        Resource::Timer(timer) => Ok(Watched::Timer(timer.due)),
        Resource::InputStream(_) => of_input(call, rep),
        Resource::OutputStream(_) => of_output(call, rep),
        Resource::TcpSocket(socket) => Ok(of_socket(call, socket)),
        Resource::IncomingDatagramStream(stream) => udp(stream.socket).map(Watched::read),
        Resource::OutgoingDatagramStream(stream) => udp(stream.socket).map(Watched::write),
        Resource::FutureIncomingResponse(future) => Ok(match future.exchange {
            Some(exchange) => of_response(call, exchange),
            None => Watched::Ready,
        }),
        Resource::FutureTrailers(future) => Ok(match future.exchange {
            Some(exchange) => of_trailers(call, exchange),
            None => Watched::Ready,
        }),
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
pub(super) fn of_input(call: &mut Call<'_>, stream: u32) -> Called<Watched> {
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
        InputStream::Body(exchange) => {
            let exchange = *exchange;
            match drive::fill(call.ctx, exchange) {
                true => Watched::Ready,
                false => of_body(call, exchange),
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
        OutputStream::Message(message) => match call.ctx.component.http.room(*message) {
            Some(0) => Watched::Exchanges,
            Some(_) | None => Watched::Ready,
        },
    })
}

/// What a response waits for.
fn of_response(call: &Call<'_>, exchange: u64) -> Watched {
    let exchange = call.ctx.component.http.get(exchange);
    match exchange.is_none_or(Exchange::is_answered) {
        true => Watched::Ready,
        false => Watched::Exchanges,
    }
}

/// What trailers wait for. The rest of the body is thrown away.
fn of_trailers(call: &mut Call<'_>, exchange: u64) -> Watched {
    match drive::fill_to_end(call.ctx, exchange) {
        true => Watched::Ready,
        false => of_body(call, exchange),
    }
}

/// What more bytes of a body wait for.
fn of_body(call: &Call<'_>, exchange: u64) -> Watched {
    match drive::awaited_by_reader(call.ctx, exchange) {
        Some((fd, due)) => {
            let interest = Interest::Read;
            Watched::Body(FdInterest { fd, interest }, due)
        }
        None => Watched::Exchanges,
    }
}

/// Lets go on what goes on whenever the guest waits: bytes are sent that were written, and
/// exchanges come as far as they can.
pub(crate) fn go_on(ctx: &mut Ctx) {
    connection::send_all_rests(ctx);
    drive::drive_all(ctx);
}

/// Whether what is waited for has happened.
pub(super) fn is_ready(call: &Call<'_>, watched: Watched) -> bool {
    match watched {
        Watched::Ready => true,
        Watched::Timer(due) => call.ctx.resources.clock.shown_monotonic().as_nanos() >= due,
        Watched::Fd(wanted) => call.ctx.readiness(wanted.fd, wanted.interest).ready,
        // They have been looked at.
        Watched::Body(..) | Watched::Exchanges => false,
    }
}

/// Blocks until something has happened that is no timer.
pub(super) fn block(call: &Call<'_>, watched: Watched) -> Stop {
    match watched {
        // It has happened already: the call is only to be made again.
        Watched::Ready | Watched::Timer(_) => Stop::Block(Wait::Yield),
        Watched::Fd(_) | Watched::Body(..) | Watched::Exchanges => wait(call, None, &[watched]),
    }
}

/// A wait for a deadline or for what is watched. It also ends when there is room for what is still
/// to be sent, and by what exchanges wait for. A wait that nothing can end is the guest's end.
pub(super) fn wait(call: &Call<'_>, deadline: Option<Deadline>, all: &[Watched]) -> Stop {
    wait_in(call.ctx, deadline, all)
}

/// A wait for a deadline or for a descriptor, which ends as any other does.
pub(crate) fn wait_for(ctx: &Ctx, deadline: Option<Deadline>, fd: Option<FdInterest>) -> Stop {
    let watched: Vec<Watched> = fd.into_iter().map(Watched::Fd).collect();
    wait_in(ctx, deadline, &watched)
}

fn wait_in(ctx: &Ctx, deadline: Option<Deadline>, all: &[Watched]) -> Stop {
    let (exchanges, first) = drive::awaited(ctx);
    let wanted = all.iter().filter_map(|watched| match watched {
        Watched::Fd(wanted) | Watched::Body(wanted, _) => Some(*wanted),
        Watched::Ready | Watched::Timer(_) | Watched::Exchanges => None,
    });
    let mut fds: Vec<FdInterest> = wanted.collect();
    for more in connection::unsent(ctx).chain(exchanges) {
        if !fds.contains(&more) {
            fds.push(more);
        }
    }
    let due = all.iter().filter_map(|watched| match watched {
        Watched::Body(_, due) => *due,
        _ => None,
    });
    let due = due.chain(first).map(Deadline::Monotonic);
    let clock = &ctx.resources.clock;
    let deadline = due
        .chain(deadline)
        .min_by_key(|deadline| clock.until(*deadline));
    match deadline.is_none() && fds.is_empty() {
        true => Stop::Trap("a wait that nothing can end".into()),
        false => Stop::Block(Wait::Poll { deadline, fds }),
    }
}
