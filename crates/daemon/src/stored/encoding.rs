//! How values are written as bytes for the store: MessagePack behind a byte that says which form it
//! has.

use serde::{Serialize, de::DeserializeOwned};

use crate::error::Error;

/// The version of the encoding that this build writes and reads.
pub(crate) const FORMAT_VERSION: u8 = 1;

/// A value as the store keeps it. Structs are arrays, because a million tasks would pay for names;
/// a [`Status`](crate::stored::status::Status) is a map of numbered fields.
pub(crate) fn to_bytes(value: &impl Serialize) -> Result<Vec<u8>, Error> {
    let mut bytes = vec![FORMAT_VERSION];
    rmp_serde::encode::write(&mut bytes, value).map_err(|e| Error::Damaged(e.to_string()))?;
    Ok(bytes)
}

/// A value as the store keeps it, with the names of its fields: what a task was submitted with is
/// a map without the fields that have their default. Its module, its name and its start have
/// columns of their own in the store.
pub(crate) fn to_named_bytes(value: &impl Serialize) -> Result<Vec<u8>, Error> {
    let mut bytes = vec![FORMAT_VERSION];
    rmp_serde::encode::write_named(&mut bytes, value).map_err(|e| Error::Damaged(e.to_string()))?;
    Ok(bytes)
}

/// A value from what the store has kept.
pub(crate) fn from_bytes<T: DeserializeOwned>(bytes: &[u8]) -> Result<T, Error> {
    decode(bytes).map_err(Error::Damaged)
}

/// The same; an error is the reason alone.
pub(crate) fn decode<T: DeserializeOwned>(bytes: &[u8]) -> Result<T, String> {
    match bytes.split_first() {
        Some((&FORMAT_VERSION, rest)) => {
            rmp_serde::from_slice(rest).map_err(|error| error.to_string())
        }
        Some((form, _)) => Err(format!(
            "a task is stored in form {form}, and this build knows form {FORMAT_VERSION}"
        )),
        None => Err("a task is stored without content".into()),
    }
}
