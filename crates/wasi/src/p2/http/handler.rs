//! `outgoing-handler`, and the response that comes.

use super::drive;
use super::errors::ErrorCode;
use crate::http::{Exchange, MessageKind, Outgoing, Request, RequestError, ResponseHead, Timeouts};
use crate::p2::abi::{Borrow, Own};
use crate::p2::call::Call;
use crate::p2::http_resource::{
    FutureIncomingResponse, IncomingResponse, OutgoingRequest, RequestOptions,
};
use crate::p2::http_resource::{Method, Scheme};
use crate::p2::resource::Pollable;
use crate::p2::stop::Called;

pub(crate) fn handle(
    call: &mut Call<'_>,
    (request, options): (Own<OutgoingRequest>, Option<Own<RequestOptions>>),
) -> Called<Result<Own<FutureIncomingResponse>, ErrorCode>> {
    let resources = &mut call.component().resources;
    let timeouts = match options {
        Some(options) => resources.take::<RequestOptions>(options.rep)?.timeouts,
        None => Timeouts::default(),
    };
    let request: OutgoingRequest = resources.take(request.rep)?;
    let message = request.message;
    let exchange = match begin(call, request, timeouts) {
        Ok(exchange) => exchange,
        Err(code) => {
            if let Some(message) = message {
                drive::close_message(call.ctx, message);
            }
            return Ok(Err(code));
        }
    };
    drive::drive(call.ctx, exchange);
    let future = FutureIncomingResponse {
        exchange: Some(exchange),
    };
    let future = call.component().resources.push(future)?;
    Ok(Ok(Own::new(future)))
}

/// Makes an exchange of a request.
fn begin(
    call: &mut Call<'_>,
    request: OutgoingRequest,
    timeouts: Timeouts,
) -> Result<u64, ErrorCode> {
    let length = request.headers.content_length();
    let length = length.map_err(|_| {
        ErrorCode::InternalError(Some("invalid `content-length` header value".into()))
    })?;
    if request.message.is_none() && length.is_some_and(|length| length > 0) {
        return Err(ErrorCode::HttpRequestBodySize(Some(0)));
    }
    let target = *request.target;
    let head = Request {
        method: method(target.method)?,
        scheme: scheme(target.scheme)?,
        authority: target.authority.as_deref().unwrap_or_default(),
        path_with_query: target.path_with_query.as_deref(),
        fields: &request.headers,
        has_body: request.message.is_some(),
        traceparent: call.ctx.resources.traceparent,
    };
    let head = head.head().map_err(|error| match error {
        RequestError::Uri => ErrorCode::HttpRequestUriInvalid(()),
        RequestError::Protocol => ErrorCode::HttpProtocolError(()),
    })?;
    let http = &mut call.component().http;
    let number = match request.message {
        Some(message) => message,
        None => http.add_message(Outgoing::without_body(MessageKind::Request)),
    };
    let Some(message) = http.message_mut(number) else {
        return Err(ErrorCode::InternalError(None));
    };
    let exchange = Exchange::new(head, timeouts, (number, message));
    Ok(http.add(exchange))
}

fn method(method: Method) -> Result<http::Method, ErrorCode> {
    Ok(match method {
        Method::Get(()) => http::Method::GET,
        Method::Head(()) => http::Method::HEAD,
        Method::Post(()) => http::Method::POST,
        Method::Put(()) => http::Method::PUT,
        Method::Delete(()) => http::Method::DELETE,
        Method::Connect(()) => http::Method::CONNECT,
        Method::Options(()) => http::Method::OPTIONS,
        Method::Trace(()) => http::Method::TRACE,
        Method::Patch(()) => http::Method::PATCH,
        Method::Other(name) => {
            let method = http::Method::from_bytes(name.as_bytes());
            return method.map_err(|_| ErrorCode::HttpRequestMethodInvalid(()));
        }
    })
}

/// A request that does not say goes by HTTPS, as with Wasmtime.
fn scheme(scheme: Option<Scheme>) -> Result<http::uri::Scheme, ErrorCode> {
    let scheme = match scheme {
        None | Some(Scheme::Https(())) => Ok(http::uri::Scheme::HTTPS),
        Some(Scheme::Http(())) => Ok(http::uri::Scheme::HTTP),
        Some(Scheme::Other(name)) => http::uri::Scheme::try_from(name.as_str()),
    };
    let known = [http::uri::Scheme::HTTP, http::uri::Scheme::HTTPS];
    let scheme = scheme.ok().filter(|scheme| known.contains(scheme));
    scheme.ok_or(ErrorCode::HttpProtocolError(()))
}

pub(crate) fn subscribe(
    call: &mut Call<'_>,
    (this,): (Borrow<FutureIncomingResponse>,),
) -> Called<Own<Pollable>> {
    let resources = &mut call.component().resources;
    resources.get::<FutureIncomingResponse>(this.rep)?;
    resources.push_child(Pollable, this.rep).map(Own::new)
}

/// What a response comes to, once it is there; then an error if it was taken before.
type Response = Option<Result<Result<Own<IncomingResponse>, ErrorCode>, ()>>;

pub(crate) fn get(
    call: &mut Call<'_>,
    (this,): (Borrow<FutureIncomingResponse>,),
) -> Called<Response> {
    let future: &FutureIncomingResponse = call.ctx.component.resources.get(this.rep)?;
    let Some(number) = future.exchange else {
        return Ok(Some(Err(())));
    };
    drive::drive(call.ctx, number);
    let component = call.component();
    let Some(exchange) = component.http.get_mut(number) else {
        return Ok(Some(Err(())));
    };
    let Some(taken) = exchange.take_head() else {
        return Ok(None);
    };
    let future: &mut FutureIncomingResponse = component.resources.get_mut(this.rep)?;
    future.exchange = None;
    let ResponseHead { status, fields } = match taken {
        Ok(head) => head,
        Err(failure) => {
            drive::close(call.ctx, number);
            return Ok(Some(Ok(Err(failure.into()))));
        }
    };
    let response = component.resources.push(IncomingResponse {
        status,
        headers: fields,
        exchange: Some(number),
    })?;
    Ok(Some(Ok(Ok(Own::new(response)))))
}
