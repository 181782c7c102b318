//! A guest that answers requests: its connections go on, and it is given one request after another.
//!
//! The listener and the connections are the guest's descriptors. So a snapshot keeps them as it
//! keeps any; where a connection was lost, it is closed, or the request on it goes on without it.

use std::time::Duration;

use dormouse_model::{Deadline, FdInterest, Interest, Limit, MonotonicTime};

use super::errors::ErrorCode;
use crate::errno::Errno;
use crate::guest::Ctx;
use crate::guest::table::Descriptor;
use crate::http::{
    Answer, Connection, Date, Failure, Fields, HttpConnection, MessageKind, Outgoing,
    ReceivedRequest, Single,
};
use crate::p2::connection::{socket, socket_of};
use crate::p2::handles::Handles;
use crate::p2::host_type::{HostType, ResourceType};
use crate::p2::http_resource::{
    IncomingRequest, Method, OutgoingResponse, ResponseOutparam, Scheme, Target,
};
use crate::p2::stop::{Called, trap};
use crate::sock::Socket;

/// After this time a server that has no descriptor for a connection tries again.
const ACCEPT_AGAIN: Duration = Duration::from_secs(1);

/// What the guest is given in place of a request where none comes any more.
const NO_MORE: u64 = u64::MAX;

/// Gives the handles of the next request and of where its response goes, in the table of this
/// instance, if one has come. The request before has been handled.
pub(crate) fn next_request(ctx: &mut Ctx, instance: u32) -> Called<Option<u64>> {
    if !ctx.component.server.is_serving() {
        return trap("it only answers HTTP requests, and has no address to listen on");
    }
    end_request(ctx);
    drive_all(ctx);
    receive_all(ctx);
    accept_all(ctx)?;
    if ctx.component.server.is_over() {
        return Ok(Some(NO_MORE));
    }
    let now = ctx.resources.clock.monotonic();
    let component = &mut ctx.component;
    if component.server.single != Some(Single::Given)
        && let Some(connection) = component.server.first_request()
    {
        let number = component.http.number();
        if let Some(request) = connection.take(number, now) {
            component.server.single = component.server.single.map(|_| Single::Given);
            return hand_over(ctx, instance, number, request).map(Some);
        }
    }
    Ok(None)
}

/// What the next request waits for, beside the connections that there are: the listener, and when it
/// is looked at again.
pub(crate) fn awaited_by_listener(ctx: &Ctx) -> (Option<FdInterest>, Option<Deadline>) {
    let listener = accepts(ctx).map(|fd| FdInterest {
        fd,
        interest: Interest::Read,
    });
    let again = ctx.component.server.accept_at.map(Deadline::Monotonic);
    (listener, again)
}

/// The handles of a request and of where its response goes.
fn hand_over(ctx: &mut Ctx, instance: u32, number: u64, request: ReceivedRequest) -> Called<u64> {
    let component = &mut ctx.component;
    let target = Target {
        method: method(request.method),
        scheme: Some(Scheme::Http(())),
        authority: request.authority,
        path_with_query: request.path_with_query,
    };
    let request = component.resources.push(IncomingRequest {
        target: target.into(),
        headers: request.fields,
        exchange: Some(number),
    })?;
    let response = ResponseOutparam { exchange: number };
    let response = component.resources.push(response)?;
    let handles = &mut component.handles;
    let own = |handles: &mut Handles, ty: HostType, rep: u32| {
        handles.insert_own(instance, ResourceType::Host(ty), rep)
    };
    let request = own(handles, HostType::IncomingRequest, request)?;
    let response = own(handles, HostType::ResponseOutparam, response)?;
    Ok(u64::from(request) << 32 | u64::from(response))
}

fn method(name: String) -> Method {
    match name.as_str() {
        "GET" => Method::Get(()),
        "HEAD" => Method::Head(()),
        "POST" => Method::Post(()),
        "PUT" => Method::Put(()),
        "DELETE" => Method::Delete(()),
        "CONNECT" => Method::Connect(()),
        "OPTIONS" => Method::Options(()),
        "TRACE" => Method::Trace(()),
        "PATCH" => Method::Patch(()),
        _ => Method::Other(name),
    }
}

/// The listener, if a connection can be accepted now.
fn accepts(ctx: &Ctx) -> Option<u32> {
    let server = &ctx.component.server;
    let has_room = server.has_room() || server.idle().is_some();
    let is_paused = server.accept_at.is_some();
    server.listener.filter(|_| has_room && !is_paused)
}

/// The guest answers a request.
pub(super) fn answer(ctx: &mut Ctx, request: u64, response: Result<OutgoingResponse, ErrorCode>) {
    let date = date(ctx);
    let component = &mut ctx.component;
    let written = response.as_ref().ok().and_then(|found| found.message);
    let Some(fd) = component.server.fd_of(request) else {
        // It comes too late.
        return written.map_or((), |message| component.http.remove_message(message));
    };
    let Some(connection) = component.server.get_mut(fd) else {
        return;
    };
    match response {
        Ok(response) => {
            let message = written.unwrap_or_else(|| {
                let empty = Outgoing::without_body(MessageKind::Response);
                component.http.add_message(empty)
            });
            let answer = Answer {
                status: response.status,
                fields: &response.headers,
                has_body: written.is_some(),
                date,
            };
            if let Some(found) = component.http.message_mut(message) {
                connection.answer(&answer, (message, found));
            }
        }
        Err(code) => {
            log::warn!("a request is answered with 500: the guest says {code:?}");
            connection.fail(date);
        }
    }
    drive(ctx, fd);
}

/// Ends the request that the guest has handled.
fn end_request(ctx: &mut Ctx) {
    let date = date(ctx);
    for fd in ctx.component.server.fds() {
        let Some(connection) = ctx.component.server.get_mut(fd) else {
            continue;
        };
        if !connection.is_handled() {
            continue;
        }
        let message = connection.message();
        if !connection.returned(date) {
            log::warn!("a request was not answered: the guest has returned without a response");
        }
        let message = message.and_then(|message| ctx.component.http.message_mut(message));
        if let Some(message) = message {
            message.abort();
        }
    }
}

impl Ctx {
    /// The guest has ended. Where it was in the middle of an HTTP request, the peer is told that it
    /// has failed, as far as that needs no waiting.
    pub fn end(&mut self) {
        end_request(self);
        drive_all(self);
    }

    /// Whether the guest waits for the one request that it is to answer, of which nothing has come.
    pub fn awaits_request(&self) -> bool {
        let server = &self.component.server;
        let mut all = server.connections().iter();
        server.single == Some(Single::Awaited) && all.all(Connection::is_idle)
    }

    /// The connection of a guest that has answered the one request that it was to answer, if it can
    /// be used again.
    pub fn take_http_connection(&mut self) -> Option<HttpConnection> {
        let state = self.component.server.take_at_rest()?;
        let socket = socket(self, state.fd).ok()?.clone();
        // It was there.
        let _ = self.table.close(state.fd);
        Some(HttpConnection::of(socket, state))
    }
}

/// Lets all connections go on, as far as that needs no waiting.
pub(crate) fn drive_all(ctx: &mut Ctx) {
    for fd in ctx.component.server.fds() {
        drive(ctx, fd);
    }
}

/// Lets the connection go on that sends this message.
pub(crate) fn drive_message(ctx: &mut Ctx, message: u64) {
    if let Some(fd) = ctx.component.server.sender_of(message) {
        drive(ctx, fd);
    }
}

/// Lets a connection go on, as far as that needs no waiting.
fn drive(ctx: &mut Ctx, fd: u32) {
    let now = ctx.resources.clock.monotonic();
    let component = &mut ctx.component;
    let Some(connection) = component.server.get_mut(fd) else {
        return;
    };
    let number = connection.message();
    let mut message = number.and_then(|number| component.http.message_mut(number));
    let goes_on = match usable(&mut ctx.table, fd) {
        Some(socket) => connection.drive(socket, message.as_deref_mut(), now),
        None => false,
    };
    if !goes_on && connection.is_handled() {
        // The guest goes on, and is told when it reads or writes.
        connection.lost(message);
        return;
    }
    let sent = number.filter(|_| connection.message() != number || !goes_on);
    if let Some(message) = sent {
        component.http.remove_message(message);
    }
    if !goes_on {
        close(ctx, fd);
    }
}

/// The socket of a connection, unless it was lost in a suspend.
fn usable(table: &mut crate::guest::table::Table, fd: u32) -> Option<&mut Socket> {
    let socket = socket_of(table, fd).ok()?;
    socket.fd().is_some().then_some(socket)
}

fn close(ctx: &mut Ctx, fd: u32) {
    ctx.component.server.remove(fd);
    // A snapshot may have named any number.
    let _ = ctx.table.close(fd);
}

/// Receives the heads of requests, as far as that needs no waiting.
fn receive_all(ctx: &mut Ctx) {
    for fd in ctx.component.server.fds() {
        receive(ctx, fd);
    }
}

fn receive(ctx: &mut Ctx, fd: u32) {
    let (now, date) = (ctx.resources.clock.monotonic(), date(ctx));
    let server = &mut ctx.component.server;
    let Some(connection) = server.get_mut(fd) else {
        return;
    };
    let had_request = connection.has_request();
    let goes_on = match usable(&mut ctx.table, fd) {
        Some(socket) => connection.receive(socket, now, date),
        None => false,
    };
    if !goes_on {
        return close(ctx, fd);
    }
    if connection.has_request() && !had_request {
        let turn = server.count_request();
        if let Some(connection) = server.get_mut(fd) {
            connection.turn = turn;
        }
    }
    // A request may have been refused.
    drive(ctx, fd);
}

/// Accepts all connections that are pending.
fn accept_all(ctx: &mut Ctx) -> Called<()> {
    let now = ctx.resources.clock.monotonic();
    let server = &mut ctx.component.server;
    server.accept_at = server.accept_at.filter(|at| *at > now);
    while let Some(listener) = accepts(ctx) {
        let Ok(socket) = socket(ctx, listener) else {
            return trap("its listener is gone");
        };
        match socket.accept() {
            Ok(accepted) => add(ctx, accepted)?,
            Err(Errno::AGAIN) => break,
            Err(errno) => {
                log::warn!("cannot accept a connection: {errno}");
                ctx.component.server.accept_at = Some(now.saturating_add(ACCEPT_AGAIN));
            }
        }
    }
    Ok(())
}

/// Adds a connection. If there are as many as there may be, the one goes that has been idle for
/// longest.
fn add(ctx: &mut Ctx, accepted: Socket) -> Called<()> {
    accepted.send_at_once();
    let has_descriptor = ctx.table.check_room().is_ok();
    if !has_descriptor {
        ctx.resources.quota.refuse(Limit::Files);
    }
    if !has_descriptor || !ctx.component.server.has_room() {
        match ctx.component.server.idle() {
            Some(idle) => close(ctx, idle),
            None if !has_descriptor && ctx.component.server.connections().is_empty() => {
                return trap("it has no descriptor for a connection (limit files)");
            }
            // It is refused: the peer sees the end of the connection.
            None => return Ok(()),
        }
    }
    let now = ctx.resources.clock.monotonic();
    let fd = ctx.table.insert(Descriptor::socket(accepted, 0));
    let Ok(fd) = fd else {
        return Ok(());
    };
    ctx.resources.quota.grant();
    ctx.component.server.add(Connection::new(fd, now));
    receive(ctx, fd);
    Ok(())
}

/// The date of a head that is written now.
fn date(ctx: &Ctx) -> Date {
    Date(ctx.resources.clock.wall())
}

/// What a wait of the guest's has to end by, so that the connections go on: descriptors, and the
/// time at which one of them is given up.
pub(crate) fn awaited(ctx: &Ctx) -> (Vec<FdInterest>, Option<MonotonicTime>) {
    let server = &ctx.component.server;
    let wants_requests = !server.is_handling();
    let mut fds = Vec::new();
    let mut first: Option<MonotonicTime> = None;
    for connection in server.connections() {
        let message = connection.message();
        let message = message.and_then(|message| ctx.component.http.message(message));
        let awaited = connection.awaited(message, wants_requests);
        let (fd, interests) = (
            connection.fd,
            [
                (awaited.read, Interest::Read),
                (awaited.write, Interest::Write),
            ],
        );
        let wanted = interests.into_iter().filter(|(wanted, _)| *wanted);
        fds.extend(wanted.map(|(_, interest)| FdInterest { fd, interest }));
        first = first.into_iter().chain(awaited.due).min();
    }
    (fds, first)
}

/// Receives until there is something of a request's body to read, as far as that needs no waiting.
/// Gives whether there is something, if only the end; `None` if this is no request under way.
pub(crate) fn fill(ctx: &mut Ctx, request: u64) -> Option<bool> {
    let fd = ctx.component.server.fd_of(request)?;
    drive(ctx, fd);
    let now = ctx.resources.clock.monotonic();
    let connection = ctx.component.server.get_mut(fd)?;
    if let Some(socket) = usable(&mut ctx.table, fd) {
        connection.fill(socket, now);
    }
    Some(connection.is_readable())
}

/// Receives a body that nobody reads, as far as that needs no waiting. Gives whether it is whole;
/// `None` if this is no request under way.
pub(crate) fn fill_to_end(ctx: &mut Ctx, request: u64) -> Option<bool> {
    let fd = ctx.component.server.fd_of(request)?;
    loop {
        ctx.component.server.get_mut(fd)?.discard();
        let is_readable = fill(ctx, request)?;
        let is_at_end = ctx.component.server.get_mut(fd)?.is_at_end();
        if is_at_end || !is_readable {
            return Some(is_at_end);
        }
    }
}

/// The connection on which a request is under way.
fn handled(ctx: &mut Ctx, request: u64) -> Option<&mut Connection> {
    let server = &mut ctx.component.server;
    let fd = server.fd_of(request)?;
    server.get_mut(fd)
}

/// Takes bytes of a request's body; `None` if this is no request under way.
pub(crate) fn read(
    ctx: &mut Ctx,
    request: u64,
    length: u64,
) -> Option<Result<Vec<u8>, Option<Failure>>> {
    handled(ctx, request).map(|connection| connection.read(length))
}

/// Takes what comes behind a request's body, if it is there.
pub(crate) fn take_trailers(
    ctx: &mut Ctx,
    request: u64,
) -> Option<Result<Option<Fields>, Failure>> {
    handled(ctx, request)?.take_trailers()
}

/// What the next bytes of a request's body wait for; nothing if there is no connection.
pub(crate) fn awaited_by_reader(ctx: &Ctx, request: u64) -> Option<(u32, Option<MonotonicTime>)> {
    let server = &ctx.component.server;
    let fd = server.fd_of(request)?;
    let mut all = server.connections().iter();
    let connection = all.find(|connection| connection.fd == fd)?;
    Some((fd, connection.receive_due()))
}
