//! Handles of the host's resources.
//!
//! A handle that is lent to the host is lent for one call, in which nothing else can happen to it. So
//! the host does not count such loans. It would have to if a function took both a loan and a resource
//! itself; none of WASI 0.2 does.

use std::marker::PhantomData;

use super::image::{Image, Place};
use super::lifting::{Flat, Lifting};
use super::types::{ComponentType, Lift, Lower, layout_of};
use crate::p2::host_type::{HostType, ResourceType};
use crate::p2::stop::Called;

/// A type of resources that the host has.
pub(crate) trait HostResource {
    /// Which one.
    const TYPE: HostType;
}

/// A resource that passes from one side to the other.
#[derive(Debug)]
pub(crate) struct Own<T> {
    /// Its number among the host's resources.
    pub(crate) rep: u32,
    of: PhantomData<T>,
}

/// A resource that is lent for one call.
#[derive(Debug)]
pub(crate) struct Borrow<T> {
    /// Its number among the host's resources.
    pub(crate) rep: u32,
    of: PhantomData<T>,
}

impl<T> Own<T> {
    pub(crate) fn new(rep: u32) -> Self {
        Self {
            rep,
            of: PhantomData,
        }
    }
}

macro_rules! handle {
    ($handle:ident $name:literal) => {
        impl<T: HostResource> ComponentType for $handle<T> {
            layout_of!(u32);

            fn describe() -> String {
                format!(concat!($name, "<{}>"), T::TYPE)
            }
        }
    };
}

handle!(Own "own");
handle!(Borrow "borrow");

impl<T: HostResource> Lift for Borrow<T> {
    fn lift(from: &mut Lifting<'_>, flat: &mut Flat<'_>) -> Called<Self> {
        let handle = u32::lift(from, flat)?;
        let ty = ResourceType::Host(T::TYPE);
        let rep = from.handles.rep(from.instance, ty, handle)?;
        Ok(Self {
            rep,
            of: PhantomData,
        })
    }

    fn load(from: &mut Lifting<'_>, at: u32) -> Called<Self> {
        let handle = u32::load(from, at)?;
        Self::lift(from, &mut Flat(&[handle.into()]))
    }
}

impl<T: HostResource> Lift for Own<T> {
    fn lift(from: &mut Lifting<'_>, flat: &mut Flat<'_>) -> Called<Self> {
        let handle = flat.next() as u32;
        let ty = ResourceType::Host(T::TYPE);
        from.handles
            .take_own(from.instance, ty, handle)
            .map(Self::new)
    }

    fn load(from: &mut Lifting<'_>, at: u32) -> Called<Self> {
        let handle = u32::from_le_bytes(from.array(at));
        Self::lift(from, &mut Flat(&[handle.into()]))
    }
}

impl<T: HostResource> Lower for Own<T> {
    fn store(self, image: &mut Image<'_>, at: Place) -> Called<()> {
        let ty = ResourceType::Host(T::TYPE);
        let handle = image.handles.insert_own(image.instance, ty, self.rep)?;
        handle.store(image, at)
    }
}
