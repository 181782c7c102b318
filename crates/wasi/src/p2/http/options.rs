//! `request-options`.

use crate::http::Timeouts;
use crate::p2::abi::{Borrow, Own};
use crate::p2::call::Call;
use crate::p2::http_resource::RequestOptions;
use crate::p2::stop::Called;

type This = Borrow<RequestOptions>;

fn timeouts<'a>(call: &'a mut Call<'_>, this: &This) -> Called<&'a mut Timeouts> {
    let options: &mut RequestOptions = call.component().resources.get_mut(this.rep)?;
    Ok(&mut options.timeouts)
}

pub(crate) fn new(call: &mut Call<'_>, (): ()) -> Called<Own<RequestOptions>> {
    let resources = &mut call.component().resources;
    resources.push(RequestOptions::default()).map(Own::new)
}

pub(crate) fn connect_timeout(call: &mut Call<'_>, (this,): (This,)) -> Called<Option<u64>> {
    Ok(timeouts(call, &this)?.connect)
}

pub(crate) fn set_connect_timeout(
    call: &mut Call<'_>,
    (this, duration): (This, Option<u64>),
) -> Called<Result<(), ()>> {
    timeouts(call, &this)?.connect = duration;
    Ok(Ok(()))
}

pub(crate) fn first_byte_timeout(call: &mut Call<'_>, (this,): (This,)) -> Called<Option<u64>> {
    Ok(timeouts(call, &this)?.first_byte)
}

pub(crate) fn set_first_byte_timeout(
    call: &mut Call<'_>,
    (this, duration): (This, Option<u64>),
) -> Called<Result<(), ()>> {
    timeouts(call, &this)?.first_byte = duration;
    Ok(Ok(()))
}

pub(crate) fn between_bytes_timeout(call: &mut Call<'_>, (this,): (This,)) -> Called<Option<u64>> {
    Ok(timeouts(call, &this)?.between_bytes)
}

pub(crate) fn set_between_bytes_timeout(
    call: &mut Call<'_>,
    (this, duration): (This, Option<u64>),
) -> Called<Result<(), ()>> {
    timeouts(call, &this)?.between_bytes = duration;
    Ok(Ok(()))
}
