//! The canonical ABI: how values of an interface's types lie in a guest's memory and pass as core
//! values.
//!
//! A type of an interface is a type of Rust with [`ComponentType`]. [`Lift`] makes a value of what
//! the guest passes. [`Lower`] puts a value into an [`Image`] of what the guest gets, which
//! [`Pending`] then writes into memory that the guest allocates.
//!
//! A bad pointer, a bad discriminant, a text that is not valid and a wrong handle end the guest, as
//! the specification has it.

mod choice;
mod compound;
mod handle;
mod image;
mod lifting;
mod list;
mod parts;
mod record;
mod scalar;
mod text;
mod types;
mod variant;

#[allow(
    unused_imports,
    reason = "the interfaces of files and sockets use them"
)]
pub(crate) use choice::{enumeration, flags};
pub(crate) use handle::{Borrow, HostResource, Own};
pub(crate) use image::{Image, Pending, Place};
pub(crate) use lifting::{Flat, Lifting, check};
pub(crate) use list::ByteList;
pub(crate) use record::{record, record_impl};
pub(crate) use types::{
    ComponentType, Lift, Lower, MAX_FLAT_PARAMS, MAX_FLAT_RESULTS, align_to, join, kebab,
    layout_of, max, max_flat,
};
pub(crate) use variant::{variant, variant_impl};
