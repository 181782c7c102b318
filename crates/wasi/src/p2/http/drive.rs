//! Exchanges get their connections, and go on.
//!
//! A connection is one of the guest's descriptors, under its grants. So a snapshot keeps it as it
//! keeps any connection; where it was lost, the exchange is told.

use std::collections::VecDeque;
use std::net::SocketAddr;

use dormouse_model::{FdInterest, Interest, Limit, MonotonicTime};

use super::serve;
use crate::errno::Errno;
use crate::guest::Ctx;
use crate::guest::table::{Descriptor, Table};
use crate::http::{Awaited, Exchange, Failure, Fields, Origin, Outgoing, Stage};
use crate::p2::connection::socket_of;
use crate::resources::Resources;
use crate::sock::{Grants, LookupError, Socket, host_addresses};

/// What one exchange needs to go on.
struct Driver<'a> {
    exchange: &'a mut Exchange,
    message: &'a mut Outgoing,
    table: &'a mut Table,
    resources: &'a mut Resources,
    now: MonotonicTime,
}

fn driver(ctx: &mut Ctx, exchange: u64) -> Option<Driver<'_>> {
    let (exchange, message) = ctx.component.http.pair_mut(exchange)?;
    Some(Driver {
        exchange,
        message,
        now: ctx.resources.clock.monotonic(),
        table: &mut ctx.table,
        resources: &mut ctx.resources,
    })
}

/// Lets all exchanges go on, and all connections of a server, as far as that needs no waiting.
pub(crate) fn drive_all(ctx: &mut Ctx) {
    serve::drive_all(ctx);
    for exchange in ctx.component.http.numbers() {
        drive(ctx, exchange);
    }
}

/// Lets an exchange go on, as far as that needs no waiting.
pub(crate) fn drive(ctx: &mut Ctx, exchange: u64) {
    if let Some(mut driver) = driver(ctx, exchange) {
        driver.drive();
        driver.close_if_over();
    }
}

/// Lets the exchange go on that sends this message.
pub(crate) fn drive_message(ctx: &mut Ctx, message: u64) {
    match ctx.component.http.sender_of(message) {
        Some(exchange) => drive(ctx, exchange),
        None => serve::drive_message(ctx, message),
    }
}

/// Receives until there is something of the body to read, as far as that needs no waiting. Gives
/// whether there is something, if only the end.
pub(crate) fn fill(ctx: &mut Ctx, exchange: u64) -> bool {
    let Some(mut driver) = driver(ctx, exchange) else {
        // A body that nobody has is at its end.
        return serve::fill(ctx, exchange).unwrap_or(true);
    };
    driver.fill();
    driver.close_if_over();
    driver.exchange.is_readable()
}

/// Receives a body that nobody reads, as far as that needs no waiting. Gives whether it is whole.
pub(crate) fn fill_to_end(ctx: &mut Ctx, exchange: u64) -> bool {
    let Some(mut driver) = driver(ctx, exchange) else {
        return serve::fill_to_end(ctx, exchange).unwrap_or(true);
    };
    loop {
        driver.exchange.discard();
        driver.fill();
        if driver.exchange.is_at_end() || !driver.exchange.is_readable() {
            break;
        }
    }
    driver.close_if_over();
    driver.exchange.is_at_end()
}

/// Takes bytes of a body that are there.
pub(crate) fn read(ctx: &mut Ctx, exchange: u64, length: u64) -> Result<Vec<u8>, Option<Failure>> {
    match ctx.component.http.get_mut(exchange) {
        Some(exchange) => exchange.read(length),
        None => serve::read(ctx, exchange, length).unwrap_or(Err(None)),
    }
}

/// Takes what comes behind a body, if it is there.
pub(crate) fn take_trailers(
    ctx: &mut Ctx,
    exchange: u64,
) -> Option<Result<Option<Fields>, Failure>> {
    match ctx.component.http.get_mut(exchange) {
        Some(exchange) => exchange.take_trailers(),
        None => serve::take_trailers(ctx, exchange),
    }
}

/// Ends an exchange that the guest has dropped.
pub(crate) fn close(ctx: &mut Ctx, exchange: u64) {
    if let Some(fd) = ctx.component.http.remove(exchange) {
        // A snapshot may have named any number.
        let _ = ctx.table.close(fd);
    }
}

/// Drops a message that nobody sends.
pub(crate) fn close_message(ctx: &mut Ctx, message: u64) {
    if ctx.component.server.sender_of(message).is_none() {
        ctx.component.http.remove_message(message);
    }
}

/// The guest gives the body of a message up.
pub(crate) fn abort(ctx: &mut Ctx, message: u64) {
    if let Some(message) = ctx.component.http.message_mut(message) {
        message.abort();
    }
    drive_message(ctx, message);
}

/// What the next bytes of a body wait for; nothing if there is no connection.
pub(crate) fn awaited_by_reader(ctx: &Ctx, exchange: u64) -> Option<(u32, Option<MonotonicTime>)> {
    match ctx.component.http.get(exchange) {
        Some(exchange) => Some((exchange.fd?, exchange.due())),
        None => serve::awaited_by_reader(ctx, exchange),
    }
}

/// What a wait of the guest's has to end by, so that exchanges and the connections of a server go
/// on: descriptors, and the time at which one of them has failed.
pub(crate) fn awaited(ctx: &Ctx) -> (Vec<FdInterest>, Option<MonotonicTime>) {
    let (mut fds, mut first) = serve::awaited(ctx);
    for (_, exchange, message) in ctx.component.http.pairs() {
        let Awaited { read, write, due } = exchange.awaited(message);
        let interests = [(read, Interest::Read), (write, Interest::Write)];
        for (_, interest) in interests.into_iter().filter(|(awaited, _)| *awaited) {
            fds.extend(exchange.fd.map(|fd| FdInterest { fd, interest }));
        }
        first = first.into_iter().chain(due).min();
    }
    (fds, first)
}

impl Driver<'_> {
    /// The connection, unless there is none or it was lost in a suspend.
    fn socket(&mut self) -> Option<&mut Socket> {
        if self.exchange.lacks_session() {
            return None;
        }
        let socket = socket_of(self.table, self.exchange.fd?).ok()?;
        socket.fd().is_some().then_some(socket)
    }

    fn drive(&mut self) {
        loop {
            if self.exchange.is_over(self.message) {
                return;
            }
            let has_connection = self.socket().is_some();
            match self.exchange.stage {
                Stage::Failed(_) => return,
                Stage::Start => self.begin(),
                _ if !has_connection => {
                    self.disconnect();
                    self.exchange.lost(self.message);
                }
                Stage::Connecting(_) => {
                    if !self.finish_connecting() {
                        return;
                    }
                }
                Stage::Head | Stage::Body(_) => {
                    if let Some(fd) = self.exchange.fd
                        && let Ok(socket) = socket_of(self.table, fd)
                    {
                        self.exchange.drive(socket, self.message, self.now);
                    }
                    return;
                }
            }
        }
    }

    fn fill(&mut self) {
        self.drive();
        if let Some(fd) = self.exchange.fd
            && let Ok(socket) = socket_of(self.table, fd)
        {
            self.exchange.fill(socket, self.message, self.now);
        }
    }

    /// Begins to connect.
    fn begin(&mut self) {
        match addresses(&self.exchange.origin, &self.resources.grants) {
            Ok(addresses) => {
                self.exchange.start(addresses, self.now);
                self.connect_next(Failure::ConnectionRefused);
            }
            Err(failure) => self.exchange.fail(failure, self.message),
        }
    }

    /// Begins to connect to the next of the addresses. `failure` is how the one before has failed.
    fn connect_next(&mut self, mut failure: Failure) {
        loop {
            let Some(address) = self.exchange.next_address() else {
                return self.exchange.fail(failure, self.message);
            };
            match self.connect(address) {
                Ok(fd) => {
                    self.exchange.fd = Some(fd);
                    return;
                }
                Err(error) => failure = error,
            }
        }
    }

    fn connect(&mut self, address: SocketAddr) -> Result<u32, Failure> {
        if self.table.check_room().is_err() {
            self.resources.quota.refuse(Limit::Files);
            return Err(Failure::TooManyConnections);
        }
        let socket = Socket::open(address.is_ipv6(), false);
        let mut socket = socket.map_err(|errno| match errno {
            Errno::MFILE | Errno::NFILE => Failure::TooManyConnections,
            _ => Failure::ConnectionRefused,
        })?;
        match socket.connect(address, &self.resources.grants) {
            Ok(()) | Err(Errno::INPROGRESS) => {}
            Err(Errno::ACCESS) => return Err(Failure::AddressDenied),
            Err(_) => return Err(Failure::ConnectionRefused),
        }
        let fd = self.table.insert(Descriptor::socket(socket, 0));
        let fd = fd.map_err(|_| Failure::TooManyConnections)?;
        self.resources.quota.grant();
        Ok(fd)
    }

    /// Whether the exchange can go on: it has its connection, or another one is being made, or it
    /// has failed.
    fn finish_connecting(&mut self) -> bool {
        let (now, is_late) = (self.now, self.exchange.is_late(self.now));
        let connected = match self.socket() {
            Some(socket) if socket.is_connecting() => socket.finish_connect(),
            _ => Ok(()),
        };
        match connected {
            Ok(()) => self.exchange.connected(self.message, now),
            Err(Errno::INPROGRESS) if is_late => {
                self.exchange.fail(Failure::ConnectTimeout, self.message);
            }
            Err(Errno::INPROGRESS) => return false,
            Err(_) => {
                self.disconnect();
                self.connect_next(Failure::ConnectionRefused);
                // The next connection may be there at once.
                return self.exchange.fd.is_some();
            }
        }
        true
    }

    fn disconnect(&mut self) {
        if let Some(fd) = self.exchange.disconnect() {
            // A snapshot may have named any number.
            let _ = self.table.close(fd);
        }
    }

    fn close_if_over(&mut self) {
        if self.exchange.is_over(self.message) {
            self.disconnect();
        }
    }
}

/// The addresses of a host, if the guest may look it up.
fn addresses(origin: &Origin, grants: &Grants) -> Result<VecDeque<SocketAddr>, Failure> {
    let found = host_addresses(&origin.host, grants);
    let found = found.map_err(|error| match error {
        LookupError::NotGranted => Failure::NameDenied,
        LookupError::NotName | LookupError::NotNumeric | LookupError::Resolver(_) => {
            Failure::NameUnresolvable
        }
    })?;
    let addresses = found.into_iter().map(|ip| SocketAddr::new(ip, origin.port));
    Ok(addresses.collect())
}
