//! What becomes of a resource of the host's that its guest drops.

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
    if let Some(fd) = dropped.fd()
        && !lingers(ctx, rep, dropped)
    {
        close(ctx, fd);
    }
    Ok(())
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
