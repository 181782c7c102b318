//! Numbers, `bool` and `char`.

use dormouse_model::ValType;

use super::image::{Image, Place};
use super::lifting::{Flat, Lifting};
use super::types::{ComponentType, Lift, Lower, layout_of};
use crate::p2::stop::{Called, trap};

macro_rules! integers {
    ($($ty:ident $name:literal $flat:ident;)*) => {$(
        impl ComponentType for $ty {
            const SIZE: u32 = size_of::<$ty>() as u32;
            const ALIGN: u32 = Self::SIZE;
            const FLAT: usize = 1;

            fn flatten(types: &mut Vec<ValType>) {
                types.push(ValType::$flat);
            }

            fn describe() -> String {
                $name.into()
            }
        }

        impl Lift for $ty {
            fn lift(_: &mut Lifting<'_>, flat: &mut Flat<'_>) -> Called<Self> {
                // As the specification has it, the bits beyond do not count.
                Ok(flat.next() as $ty)
            }

            fn load(from: &mut Lifting<'_>, at: u32) -> Called<Self> {
                Ok($ty::from_le_bytes(from.array(at)))
            }
        }
    )*};
}

/// [`Lower`] for numbers whose lists are stored number by number. A list of bytes is stored in one
/// piece.
macro_rules! stored {
    ($($ty:ident)*) => {$(
        impl Lower for $ty {
            fn store(self, image: &mut Image<'_>, at: Place) -> Called<()> {
                image.put(at, &self.to_le_bytes());
                Ok(())
            }
        }
    )*};
}

integers! {
    u8 "u8" I32;
    u16 "u16" I32;
    u32 "u32" I32;
    u64 "u64" I64;
    i8 "s8" I32;
    i16 "s16" I32;
    i32 "s32" I32;
    i64 "s64" I64;
}
stored!(u16 u32 u64 i8 i16 i32 i64);

impl Lower for u8 {
    fn store(self, image: &mut Image<'_>, at: Place) -> Called<()> {
        image.put(at, &[self]);
        Ok(())
    }

    fn store_list(list: Vec<Self>, image: &mut Image<'_>, at: Place) -> Called<()> {
        image.allocate_bytes(at, 1, list);
        Ok(())
    }
}

impl ComponentType for bool {
    layout_of!(u8);

    fn describe() -> String {
        "bool".into()
    }
}

impl Lift for bool {
    fn lift(_: &mut Lifting<'_>, flat: &mut Flat<'_>) -> Called<Self> {
        Ok(flat.next() as u32 != 0)
    }

    fn load(from: &mut Lifting<'_>, at: u32) -> Called<Self> {
        Ok(from.array(at) != [0])
    }
}

impl Lower for bool {
    fn store(self, image: &mut Image<'_>, at: Place) -> Called<()> {
        u8::from(self).store(image, at)
    }
}

impl ComponentType for char {
    layout_of!(u32);

    fn describe() -> String {
        "char".into()
    }
}

impl Lift for char {
    fn lift(from: &mut Lifting<'_>, flat: &mut Flat<'_>) -> Called<Self> {
        character(u32::lift(from, flat)?)
    }

    fn load(from: &mut Lifting<'_>, at: u32) -> Called<Self> {
        character(u32::load(from, at)?)
    }
}

fn character(number: u32) -> Called<char> {
    match char::from_u32(number) {
        Some(character) => Ok(character),
        None => trap(format!("{number:#x} is no character")),
    }
}

impl Lower for char {
    fn store(self, image: &mut Image<'_>, at: Place) -> Called<()> {
        u32::from(self).store(image, at)
    }
}
