//! The side of a server: `incoming-request`, `outgoing-response` and `response-outparam`.

use super::errors::ErrorCode;
use super::{body, fields, serve};
use crate::http::{Fields, MessageKind};
use crate::p2::abi::{Borrow, Own};
use crate::p2::call::Call;
use crate::p2::http_resource::{
    IncomingBody, IncomingRequest, OutgoingBody, OutgoingResponse, ResponseOutparam,
};
use crate::p2::http_resource::{Method, Scheme};
use crate::p2::stop::Called;

type Request = Borrow<IncomingRequest>;
type Response = Borrow<OutgoingResponse>;

fn request<'a>(call: &'a mut Call<'_>, this: &Request) -> Called<&'a mut IncomingRequest> {
    call.component().resources.get_mut(this.rep)
}

fn response<'a>(call: &'a mut Call<'_>, this: &Response) -> Called<&'a mut OutgoingResponse> {
    call.component().resources.get_mut(this.rep)
}

pub(crate) fn method(call: &mut Call<'_>, (this,): (Request,)) -> Called<Method> {
    Ok(request(call, &this)?.target.method.clone())
}

pub(crate) fn path_with_query(call: &mut Call<'_>, (this,): (Request,)) -> Called<Option<String>> {
    Ok(request(call, &this)?.target.path_with_query.clone())
}

pub(crate) fn scheme(call: &mut Call<'_>, (this,): (Request,)) -> Called<Option<Scheme>> {
    Ok(request(call, &this)?.target.scheme.clone())
}

pub(crate) fn authority(call: &mut Call<'_>, (this,): (Request,)) -> Called<Option<String>> {
    Ok(request(call, &this)?.target.authority.clone())
}

pub(crate) fn request_headers(call: &mut Call<'_>, (this,): (Request,)) -> Called<Own<Fields>> {
    let headers = request(call, &this)?.headers.clone();
    fields::push(call, headers)
}

pub(crate) fn consume(
    call: &mut Call<'_>,
    (this,): (Request,),
) -> Called<Result<Own<IncomingBody>, ()>> {
    match request(call, &this)?.exchange.take() {
        Some(exchange) => body::incoming(call, exchange).map(Ok),
        None => Ok(Err(())),
    }
}

pub(crate) fn new_response(
    call: &mut Call<'_>,
    (headers,): (Own<Fields>,),
) -> Called<Own<OutgoingResponse>> {
    let headers = fields::take(call, headers)?.with_mutable(false);
    let response = OutgoingResponse {
        status: 200,
        headers,
        message: None,
    };
    call.component().resources.push(response).map(Own::new)
}

pub(crate) fn status_code(call: &mut Call<'_>, (this,): (Response,)) -> Called<u16> {
    Ok(response(call, &this)?.status)
}

pub(crate) fn set_status_code(
    call: &mut Call<'_>,
    (this, status): (Response, u16),
) -> Called<Result<(), ()>> {
    let response = response(call, &this)?;
    match http::StatusCode::from_u16(status) {
        Ok(_) => {
            response.status = status;
            Ok(Ok(()))
        }
        Err(_) => Ok(Err(())),
    }
}

pub(crate) fn response_headers(call: &mut Call<'_>, (this,): (Response,)) -> Called<Own<Fields>> {
    let headers = response(call, &this)?.headers.clone();
    fields::push(call, headers)
}

pub(crate) fn response_body(
    call: &mut Call<'_>,
    (this,): (Response,),
) -> Called<Result<Own<OutgoingBody>, ()>> {
    let response = response(call, &this)?;
    let length = response.headers.content_length();
    let (None, Ok(length)) = (response.message, length) else {
        return Ok(Err(()));
    };
    let (message, body) = body::new(call, MessageKind::Response, length)?;
    self::response(call, &this)?.message = Some(message);
    Ok(Ok(body))
}

/// Answers a request. Where the guest does not say how, its peer is told that it has failed.
pub(crate) fn set(
    call: &mut Call<'_>,
    (param, response): (
        Own<ResponseOutparam>,
        Result<Own<OutgoingResponse>, ErrorCode>,
    ),
) -> Called<()> {
    let resources = &mut call.component().resources;
    let response = match response {
        Ok(response) => Ok(resources.take::<OutgoingResponse>(response.rep)?),
        Err(code) => Err(code),
    };
    let param: ResponseOutparam = resources.take(param.rep)?;
    serve::answer(call.ctx, param.exchange, response);
    Ok(())
}
