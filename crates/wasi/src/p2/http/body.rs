//! Bodies: `incoming-body` with `future-trailers`, and `outgoing-body`.

use super::errors::ErrorCode;
use super::{drive, fields};
use crate::http::{Fields, MessageKind, Outgoing};
use crate::p2::abi::{Borrow, Own};
use crate::p2::call::Call;
use crate::p2::http_resource::{FutureTrailers, IncomingBody, OutgoingBody};
use crate::p2::resource::{InputStream, OutputStream, Pollable};
use crate::p2::stop::Called;

/// A new message, and the body that the guest writes.
pub(super) fn new(
    call: &mut Call<'_>,
    kind: MessageKind,
    length: Option<u64>,
) -> Called<(u64, Own<OutgoingBody>)> {
    let component = call.component();
    let message = component.http.add_message(Outgoing::new(kind, length));
    let body = component.resources.push(OutgoingBody {
        message,
        has_stream: false,
    })?;
    Ok((message, Own::new(body)))
}

/// The body of a message that has come.
pub(super) fn incoming(call: &mut Call<'_>, exchange: u64) -> Called<Own<IncomingBody>> {
    let body = IncomingBody {
        exchange,
        has_stream: false,
    };
    call.component().resources.push(body).map(Own::new)
}

pub(crate) fn write(
    call: &mut Call<'_>,
    (this,): (Borrow<OutgoingBody>,),
) -> Called<Result<Own<OutputStream>, ()>> {
    let resources = &mut call.component().resources;
    let body: &mut OutgoingBody = resources.get_mut(this.rep)?;
    if std::mem::replace(&mut body.has_stream, true) {
        return Ok(Err(()));
    }
    let stream = OutputStream::Message(body.message);
    let stream = resources.push_child(stream, this.rep)?;
    Ok(Ok(Own::new(stream)))
}

pub(crate) fn finish_outgoing(
    call: &mut Call<'_>,
    (this, trailers): (Own<OutgoingBody>, Option<Own<Fields>>),
) -> Called<Result<(), ErrorCode>> {
    let body: OutgoingBody = call.component().resources.take(this.rep)?;
    let trailers = trailers.map(|trailers| fields::take(call, trailers));
    let trailers = trailers.transpose()?;
    let finished = match call.component().http.message_mut(body.message) {
        Some(message) => message.finish(trailers),
        // Nobody takes it any more.
        None => Ok(()),
    };
    drive::drive_message(call.ctx, body.message);
    Ok(finished.map_err(ErrorCode::from))
}

pub(crate) fn stream(
    call: &mut Call<'_>,
    (this,): (Borrow<IncomingBody>,),
) -> Called<Result<Own<InputStream>, ()>> {
    let resources = &mut call.component().resources;
    let body: &mut IncomingBody = resources.get_mut(this.rep)?;
    if std::mem::replace(&mut body.has_stream, true) {
        return Ok(Err(()));
    }
    let stream = InputStream::Body(body.exchange);
    let stream = resources.push_child(stream, this.rep)?;
    Ok(Ok(Own::new(stream)))
}

pub(crate) fn finish_incoming(
    call: &mut Call<'_>,
    (this,): (Own<IncomingBody>,),
) -> Called<Own<FutureTrailers>> {
    let resources = &mut call.component().resources;
    let body: IncomingBody = resources.take(this.rep)?;
    let trailers = FutureTrailers {
        exchange: Some(body.exchange),
    };
    resources.push(trailers).map(Own::new)
}

pub(crate) fn subscribe_trailers(
    call: &mut Call<'_>,
    (this,): (Borrow<FutureTrailers>,),
) -> Called<Own<Pollable>> {
    let resources = &mut call.component().resources;
    resources.get::<FutureTrailers>(this.rep)?;
    resources.push_child(Pollable, this.rep).map(Own::new)
}

/// What comes behind a body, once it is there; then an error if it was taken before.
type Trailers = Option<Result<Result<Option<Own<Fields>>, ErrorCode>, ()>>;

pub(crate) fn get_trailers(
    call: &mut Call<'_>,
    (this,): (Borrow<FutureTrailers>,),
) -> Called<Trailers> {
    let future: &FutureTrailers = call.ctx.component.resources.get(this.rep)?;
    let Some(number) = future.exchange else {
        return Ok(Some(Err(())));
    };
    if !drive::fill_to_end(call.ctx, number) {
        return Ok(None);
    }
    let taken = drive::take_trailers(call.ctx, number);
    let future: &mut FutureTrailers = call.component().resources.get_mut(this.rep)?;
    future.exchange = None;
    drive::close(call.ctx, number);
    Ok(Some(Ok(match taken {
        Some(Ok(Some(trailers))) => Ok(Some(fields::push(call, trailers)?)),
        Some(Ok(None)) | None => Ok(None),
        Some(Err(failure)) => Err(failure.into()),
    })))
}
