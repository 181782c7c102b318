//! Lists.

use std::ops::Range;

use super::image::{Image, Place};
use super::lifting::{Flat, Lifting};
use super::types::{ComponentType, Lift, Lower, PointerPair, layout_of};
use crate::p2::stop::{Called, trap};

/// A list of bytes in the guest's memory, which the call reads there.
#[derive(Clone, Copy, Debug)]
pub(crate) struct ByteList {
    at: u32,
    length: u32,
}

impl ByteList {
    /// How many bytes there are.
    pub(crate) fn len(self) -> usize {
        self.length as usize
    }

    /// Where in memory the bytes lie.
    pub(crate) fn range(self) -> Range<usize> {
        self.at as usize..self.at as usize + self.len()
    }

    /// A part of the list, which lies in it.
    pub(crate) fn part(self, range: Range<usize>) -> Self {
        // Both are below the length.
        Self {
            at: self.at + range.start as u32,
            length: range.len() as u32,
        }
    }

    fn new(from: &Lifting<'_>, (at, length): PointerPair) -> Called<Self> {
        from.check(at, length.into(), 1)?;
        Ok(Self { at, length })
    }
}

impl ComponentType for ByteList {
    layout_of!(PointerPair);

    fn describe() -> String {
        "list<u8>".into()
    }
}

impl Lift for ByteList {
    fn lift(from: &mut Lifting<'_>, flat: &mut Flat<'_>) -> Called<Self> {
        let pair = PointerPair::lift(from, flat)?;
        Self::new(from, pair)
    }

    fn load(from: &mut Lifting<'_>, at: u32) -> Called<Self> {
        let pair = PointerPair::load(from, at)?;
        Self::new(from, pair)
    }
}

impl<T: ComponentType> ComponentType for Vec<T> {
    layout_of!(PointerPair);

    fn describe() -> String {
        format!("list<{}>", T::describe())
    }
}

impl<T: Lift> Lift for Vec<T> {
    fn lift(from: &mut Lifting<'_>, flat: &mut Flat<'_>) -> Called<Self> {
        let pair = PointerPair::lift(from, flat)?;
        read(from, pair)
    }

    fn load(from: &mut Lifting<'_>, at: u32) -> Called<Self> {
        let pair = PointerPair::load(from, at)?;
        read(from, pair)
    }
}

fn read<T: Lift>(from: &mut Lifting<'_>, (at, length): PointerPair) -> Called<Vec<T>> {
    // No element is without a size, so that the memory's size limits the list.
    from.check_copied(at, u64::from(length) * u64::from(T::SIZE), T::ALIGN)?;
    (0..length)
        .map(|index| T::load(from, at + index * T::SIZE))
        .collect()
}

impl<T: Lower> Lower for Vec<T> {
    fn store(self, image: &mut Image<'_>, at: Place) -> Called<()> {
        let Ok(length) = u32::try_from(self.len() * T::SIZE as usize) else {
            return trap("a list is too long");
        };
        let length = length / T::SIZE.max(1);
        T::store_list(self, image, at)?;
        image.put(at.after(4), &length.to_le_bytes());
        Ok(())
    }
}
