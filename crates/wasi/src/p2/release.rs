//! What becomes of a resource of the host's that its guest drops.

use super::http::drive;
use super::resource::{Resource, TcpSocket, Writing};
use super::stop::Called;
use crate::guest::Ctx;
use crate::guest::table::Kind;

/// Drops a resource. A pollable goes with its timer, and the last resource of a descriptor closes
/// it.
pub(crate) fn release(ctx: &mut Ctx, rep: u32) -> Called<()> {
    let resources = &mut ctx.component.resources;
    let timer = match resources.any(rep)? {
        Resource::Pollable(_) => {
            let parent = resources.parent(rep)?;
            matches!(resources.any(parent)?, Resource::Timer(_)).then_some(parent)
        }
        _ => None,
    };
    let dropped = resources.delete(rep)?;
    if let Some(timer) = timer {
        resources.delete(timer)?;
    }
    end_exchange(ctx, &dropped);
    if let Some(fd) = dropped.fd()
        && !lingers(ctx, rep, dropped)
    {
        close(ctx, fd);
    }
    Ok(())
}

/// Ends the exchange that nobody can read any more, or the message that nobody writes any more.
fn end_exchange(ctx: &mut Ctx, dropped: &Resource) {
    let exchange = match dropped {
        Resource::FutureIncomingResponse(future) => future.exchange,
        Resource::IncomingResponse(response) => response.exchange,
        Resource::IncomingBody(body) => Some(body.exchange),
        Resource::FutureTrailers(future) => future.exchange,
        _ => None,
    };
    let unsent = match dropped {
        Resource::OutgoingRequest(request) => request.message,
        Resource::OutgoingResponse(response) => response.message,
        _ => None,
    };
    if let Some(exchange) = exchange {
        drive::close(ctx, exchange);
    }
    if let Some(message) = unsent {
        drive::close_message(ctx, message);
    }
    if let Resource::OutgoingBody(body) = dropped {
        drive::abort(ctx, body.message);
    }
}

/// Whether a socket still has bytes to send. It stays open until they are sent.
fn lingers(ctx: &mut Ctx, rep: u32, dropped: Resource) -> bool {
    ctx.component.unsent.remove(&rep);
    match dropped {
        Resource::TcpSocket(TcpSocket {
            fd,
            writing: Writing::Sending { rest, .. },
            ..
        }) => {
            ctx.component.lingering.push((fd, rest.into()));
            true
        }
        _ => false,
    }
}

/// Closes a descriptor that no resource needs any more. What the host has given stays: the guest may
/// ask for it again.
fn close(ctx: &mut Ctx, fd: u32) {
    if ctx.component.resources.keeps_open(fd) {
        return;
    }
    let is_given = match ctx.table.get(fd).map(|open| &open.kind) {
        Ok(Kind::Stream(_)) | Err(_) => true,
        Ok(Kind::Dir(dir)) => dir.is_preopen,
        Ok(Kind::Memory(node)) => node.preopen_name().is_some(),
        Ok(Kind::Socket(socket)) => socket.given_address().is_some(),
        Ok(Kind::File(_)) => false,
    };
    if !is_given {
        // It is open.
        let _ = ctx.table.close(fd);
    }
}
