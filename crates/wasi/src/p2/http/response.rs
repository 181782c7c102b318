//! `incoming-response`, and errors by their codes.

use super::errors::ErrorCode;
use super::{body, fields};
use crate::http::Fields;
use crate::p2::abi::{Borrow, Own};
use crate::p2::call::Call;
use crate::p2::http_resource::{IncomingBody, IncomingResponse};
use crate::p2::resource::Error;
use crate::p2::stop::Called;

type This = Borrow<IncomingResponse>;

fn response<'a>(call: &'a mut Call<'_>, this: &This) -> Called<&'a mut IncomingResponse> {
    call.component().resources.get_mut(this.rep)
}

pub(crate) fn status(call: &mut Call<'_>, (this,): (This,)) -> Called<u16> {
    Ok(response(call, &this)?.status)
}

pub(crate) fn headers(call: &mut Call<'_>, (this,): (This,)) -> Called<Own<Fields>> {
    let headers = response(call, &this)?.headers.clone();
    fields::push(call, headers)
}

pub(crate) fn consume(
    call: &mut Call<'_>,
    (this,): (This,),
) -> Called<Result<Own<IncomingBody>, ()>> {
    match response(call, &this)?.exchange.take() {
        Some(exchange) => body::incoming(call, exchange).map(Ok),
        None => Ok(Err(())),
    }
}

pub(crate) fn http_error_code(
    call: &mut Call<'_>,
    (error,): (Borrow<Error>,),
) -> Called<Option<ErrorCode>> {
    let error: &Error = call.component().resources.get(error.rep)?;
    Ok(error.http.map(ErrorCode::from))
}
