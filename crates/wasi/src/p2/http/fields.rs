//! `fields`.

use super::errors::{HeaderError, changed};
use crate::http::Fields;
use crate::p2::abi::{Borrow, Own};
use crate::p2::call::Call;
use crate::p2::stop::Called;

/// Adds fields to the guest's resources.
pub(super) fn push(call: &mut Call<'_>, fields: Fields) -> Called<Own<Fields>> {
    call.component().resources.push(fields).map(Own::new)
}

/// Takes fields that the guest gives away.
pub(super) fn take(call: &mut Call<'_>, fields: Own<Fields>) -> Called<Fields> {
    call.component().resources.take(fields.rep)
}

fn get_ref<'a>(call: &'a mut Call<'_>, this: &Borrow<Fields>) -> Called<&'a Fields> {
    call.component().resources.get(this.rep)
}

fn get_mut<'a>(call: &'a mut Call<'_>, this: &Borrow<Fields>) -> Called<&'a mut Fields> {
    call.component().resources.get_mut(this.rep)
}

pub(crate) fn new(call: &mut Call<'_>, (): ()) -> Called<Own<Fields>> {
    push(call, Fields::new())
}

pub(crate) fn from_list(
    call: &mut Call<'_>,
    (entries,): (Vec<(String, Vec<u8>)>,),
) -> Called<Result<Own<Fields>, HeaderError>> {
    let mut fields = Fields::new();
    for (name, value) in entries {
        if let Err(error) = changed(fields.append(&name, value))? {
            return Ok(Err(error));
        }
    }
    push(call, fields).map(Ok)
}

pub(crate) fn get(
    call: &mut Call<'_>,
    (this, name): (Borrow<Fields>, String),
) -> Called<Vec<Vec<u8>>> {
    Ok(get_ref(call, &this)?.get(&name))
}

pub(crate) fn has(call: &mut Call<'_>, (this, name): (Borrow<Fields>, String)) -> Called<bool> {
    Ok(get_ref(call, &this)?.has(&name))
}

pub(crate) fn set(
    call: &mut Call<'_>,
    (this, name, values): (Borrow<Fields>, String, Vec<Vec<u8>>),
) -> Called<Result<(), HeaderError>> {
    changed(get_mut(call, &this)?.set(&name, values))
}

pub(crate) fn delete(
    call: &mut Call<'_>,
    (this, name): (Borrow<Fields>, String),
) -> Called<Result<(), HeaderError>> {
    changed(get_mut(call, &this)?.delete(&name))
}

pub(crate) fn append(
    call: &mut Call<'_>,
    (this, name, value): (Borrow<Fields>, String, Vec<u8>),
) -> Called<Result<(), HeaderError>> {
    changed(get_mut(call, &this)?.append(&name, value))
}

pub(crate) fn entries(
    call: &mut Call<'_>,
    (this,): (Borrow<Fields>,),
) -> Called<Vec<(String, Vec<u8>)>> {
    Ok(get_ref(call, &this)?.entries())
}

pub(crate) fn clone(call: &mut Call<'_>, (this,): (Borrow<Fields>,)) -> Called<Own<Fields>> {
    let fields = get_ref(call, &this)?.clone();
    push(call, fields.with_mutable(true))
}
