//! The types of interfaces.

use dormouse_model::ValType;

use super::image::{Image, Place};
use super::lifting::{Flat, Lifting};
use crate::p2::stop::Called;

/// How many core values parameters pass as. Beyond that they are passed in memory.
pub(crate) const MAX_FLAT_PARAMS: usize = 16;
/// How many core values a result passes as. Beyond that it is written to memory.
pub(crate) const MAX_FLAT_RESULTS: usize = 1;

/// A type of an interface's.
pub(crate) trait ComponentType: Sized {
    /// How many bytes a value takes in memory.
    const SIZE: u32;
    /// What the address of a value in memory is a multiple of.
    const ALIGN: u32;
    /// How many core values a value passes as.
    const FLAT: usize;

    /// Adds the types of these core values.
    fn flatten(types: &mut Vec<ValType>);

    /// The type as an interface's text has it, with all names of types resolved.
    fn describe() -> String;
}

/// In an implementation of [`ComponentType`]: the layout of another type, as which this one lies in
/// memory and passes.
macro_rules! layout_of {
    ($other:ty) => {
        const SIZE: u32 = <$other as $crate::p2::abi::ComponentType>::SIZE;
        const ALIGN: u32 = <$other as $crate::p2::abi::ComponentType>::ALIGN;
        const FLAT: usize = <$other as $crate::p2::abi::ComponentType>::FLAT;

        fn flatten(types: &mut Vec<dormouse_model::ValType>) {
            <$other as $crate::p2::abi::ComponentType>::flatten(types);
        }
    };
}

pub(crate) use layout_of;

/// The address of the first element of a list or a text, and how many elements it has.
pub(crate) type PointerPair = (u32, u32);

/// A value that a guest can pass.
pub(crate) trait Lift: ComponentType {
    /// Takes a value from core values.
    fn lift(from: &mut Lifting<'_>, flat: &mut Flat<'_>) -> Called<Self>;

    /// Reads a value from memory. The address is aligned, and the value lies in memory.
    fn load(from: &mut Lifting<'_>, at: u32) -> Called<Self>;
}

/// A value that a guest can be given.
pub(crate) trait Lower: ComponentType {
    /// Puts a value into an image. There is room for it at the place.
    fn store(self, image: &mut Image<'_>, at: Place) -> Called<()>;

    /// Puts a list of values into a block of its own, whose address goes to the place.
    fn store_list(list: Vec<Self>, image: &mut Image<'_>, at: Place) -> Called<()> {
        let size = list.len() * Self::SIZE as usize;
        let block = image.allocate(at, Self::ALIGN, size);
        for (index, item) in list.into_iter().enumerate() {
            let offset = index * Self::SIZE as usize;
            item.store(image, Place { block, offset })?;
        }
        Ok(())
    }
}

/// The next multiple of an alignment.
pub(crate) const fn align_to(offset: u32, align: u32) -> u32 {
    offset.next_multiple_of(align)
}

/// The larger of two numbers, for constants.
pub(crate) const fn max(left: u32, right: u32) -> u32 {
    if left > right { left } else { right }
}

/// The larger of two numbers, for constants.
pub(crate) const fn max_flat(left: usize, right: usize) -> usize {
    if left > right { left } else { right }
}

/// A name as interfaces write it: `LastOperationFailed` and `last_operation_failed` are both
/// `last-operation-failed`.
pub(crate) fn kebab(name: &str) -> String {
    let mut kebab = String::new();
    for letter in name.trim_start_matches("r#").chars() {
        if letter.is_ascii_uppercase() && !kebab.is_empty() {
            kebab.push('-');
        }
        kebab.push(match letter {
            '_' => '-',
            letter => letter.to_ascii_lowercase(),
        });
    }
    kebab
}

/// The types of the core values of a variant's cases, joined: each place has a type that holds what
/// any of the cases has there.
pub(crate) fn join(types: &mut Vec<ValType>, cases: &[fn(&mut Vec<ValType>)]) {
    let mut joined: Vec<ValType> = Vec::new();
    for flatten in cases {
        let mut case = Vec::new();
        flatten(&mut case);
        for (position, ty) in case.into_iter().enumerate() {
            match joined.get_mut(position) {
                None => joined.push(ty),
                Some(known) if *known == ty => {}
                Some(known) => {
                    let is_32 = |ty| matches!(ty, ValType::I32 | ValType::F32);
                    *known = match is_32(*known) && is_32(ty) {
                        true => ValType::I32,
                        false => ValType::I64,
                    };
                }
            }
        }
    }
    types.push(ValType::I32);
    types.extend(joined);
}
