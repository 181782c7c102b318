//! `outgoing-request`.

use std::str::FromStr;

use super::{body, fields};
use crate::http::{Fields, MessageKind, is_path_with_query};
use crate::p2::abi::{Borrow, Own};
use crate::p2::call::Call;
use crate::p2::http_resource::{Method, Scheme};
use crate::p2::http_resource::{OutgoingBody, OutgoingRequest, Target};
use crate::p2::stop::Called;

type This = Borrow<OutgoingRequest>;

fn request<'a>(call: &'a mut Call<'_>, this: &This) -> Called<&'a mut OutgoingRequest> {
    call.component().resources.get_mut(this.rep)
}

pub(crate) fn new(call: &mut Call<'_>, (headers,): (Own<Fields>,)) -> Called<Own<OutgoingRequest>> {
    let headers = fields::take(call, headers)?.with_mutable(false);
    let target = Target {
        method: Method::Get(()),
        scheme: None,
        authority: None,
        path_with_query: None,
    };
    let request = OutgoingRequest {
        target: target.into(),
        headers,
        message: None,
    };
    call.component().resources.push(request).map(Own::new)
}

pub(crate) fn body(call: &mut Call<'_>, (this,): (This,)) -> Called<Result<Own<OutgoingBody>, ()>> {
    let request = request(call, &this)?;
    let length = request.headers.content_length();
    let (None, Ok(length)) = (request.message, length) else {
        return Ok(Err(()));
    };
    let (message, body) = body::new(call, MessageKind::Request, length)?;
    self::request(call, &this)?.message = Some(message);
    Ok(Ok(body))
}

pub(crate) fn method(call: &mut Call<'_>, (this,): (This,)) -> Called<Method> {
    Ok(request(call, &this)?.target.method.clone())
}

pub(crate) fn set_method(
    call: &mut Call<'_>,
    (this, method): (This, Method),
) -> Called<Result<(), ()>> {
    if let Method::Other(name) = &method
        && http::Method::from_str(name).is_err()
    {
        return Ok(Err(()));
    }
    request(call, &this)?.target.method = method;
    Ok(Ok(()))
}

pub(crate) fn path_with_query(call: &mut Call<'_>, (this,): (This,)) -> Called<Option<String>> {
    Ok(request(call, &this)?.target.path_with_query.clone())
}

pub(crate) fn set_path_with_query(
    call: &mut Call<'_>,
    (this, path): (This, Option<String>),
) -> Called<Result<(), ()>> {
    if path.as_ref().is_some_and(|path| !is_path_with_query(path)) {
        return Ok(Err(()));
    }
    request(call, &this)?.target.path_with_query = path;
    Ok(Ok(()))
}

pub(crate) fn scheme(call: &mut Call<'_>, (this,): (This,)) -> Called<Option<Scheme>> {
    Ok(request(call, &this)?.target.scheme.clone())
}

pub(crate) fn set_scheme(
    call: &mut Call<'_>,
    (this, scheme): (This, Option<Scheme>),
) -> Called<Result<(), ()>> {
    if let Some(Scheme::Other(name)) = &scheme
        && http::uri::Scheme::from_str(name).is_err()
    {
        return Ok(Err(()));
    }
    request(call, &this)?.target.scheme = scheme;
    Ok(Ok(()))
}

pub(crate) fn authority(call: &mut Call<'_>, (this,): (This,)) -> Called<Option<String>> {
    Ok(request(call, &this)?.target.authority.clone())
}

pub(crate) fn set_authority(
    call: &mut Call<'_>,
    (this, authority): (This, Option<String>),
) -> Called<Result<(), ()>> {
    if let Some(name) = &authority
        && http::uri::Authority::from_str(name).is_err()
    {
        return Ok(Err(()));
    }
    request(call, &this)?.target.authority = authority;
    Ok(Ok(()))
}

pub(crate) fn headers(call: &mut Call<'_>, (this,): (This,)) -> Called<Own<Fields>> {
    let headers = request(call, &this)?.headers.clone();
    fields::push(call, headers)
}
