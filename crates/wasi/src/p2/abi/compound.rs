//! `option`, `result` and tuples.

use dormouse_model::ValType;

use super::image::{Image, Place};
use super::lifting::{Flat, Lifting};
use super::types::{ComponentType, Lift, Lower, align_to, join, max, max_flat};
use crate::p2::stop::{Called, trap};

/// No value: what a function gives that has no result, and the payload of a case that has none.
impl ComponentType for () {
    const SIZE: u32 = 0;
    const ALIGN: u32 = 1;
    const FLAT: usize = 0;

    fn flatten(_: &mut Vec<ValType>) {}

    fn describe() -> String {
        "_".into()
    }
}

impl Lift for () {
    fn lift(_: &mut Lifting<'_>, _: &mut Flat<'_>) -> Called<Self> {
        Ok(())
    }

    fn load(_: &mut Lifting<'_>, _: u32) -> Called<Self> {
        Ok(())
    }
}

impl Lower for () {
    fn store(self, _: &mut Image<'_>, _: Place) -> Called<()> {
        Ok(())
    }
}

/// Where the payload of a variant lies behind its discriminant of one byte.
pub(crate) const fn payload_offset(align: u32) -> u32 {
    align_to(1, align)
}

impl<T: ComponentType> ComponentType for Option<T> {
    const SIZE: u32 = align_to(payload_offset(T::ALIGN) + T::SIZE, T::ALIGN);
    const ALIGN: u32 = T::ALIGN;
    const FLAT: usize = 1 + T::FLAT;

    fn flatten(types: &mut Vec<ValType>) {
        types.push(ValType::I32);
        T::flatten(types);
    }

    fn describe() -> String {
        format!("option<{}>", T::describe())
    }
}

impl<T: Lift> Lift for Option<T> {
    fn lift(from: &mut Lifting<'_>, flat: &mut Flat<'_>) -> Called<Self> {
        let case = flat.next() as u32;
        let mut payload = flat.take(T::FLAT);
        match case {
            0 => Ok(None),
            1 => T::lift(from, &mut payload).map(Some),
            case => bad_discriminant(case),
        }
    }

    fn load(from: &mut Lifting<'_>, at: u32) -> Called<Self> {
        match from.array(at) {
            [0] => Ok(None),
            [1] => T::load(from, at + payload_offset(T::ALIGN)).map(Some),
            [case] => bad_discriminant(case.into()),
        }
    }
}

impl<T: Lower> Lower for Option<T> {
    fn store(self, image: &mut Image<'_>, at: Place) -> Called<()> {
        image.put(at, &[u8::from(self.is_some())]);
        match self {
            None => Ok(()),
            Some(value) => value.store(image, at.after(payload_offset(T::ALIGN))),
        }
    }
}

impl<T: ComponentType, E: ComponentType> ComponentType for Result<T, E> {
    const SIZE: u32 = align_to(
        payload_offset(Self::ALIGN) + max(T::SIZE, E::SIZE),
        Self::ALIGN,
    );
    const ALIGN: u32 = max(T::ALIGN, E::ALIGN);
    const FLAT: usize = 1 + max_flat(T::FLAT, E::FLAT);

    fn flatten(types: &mut Vec<ValType>) {
        join(types, &[T::flatten, E::flatten]);
    }

    fn describe() -> String {
        format!("result<{}, {}>", T::describe(), E::describe())
    }
}

impl<T: Lift, E: Lift> Lift for Result<T, E> {
    fn lift(from: &mut Lifting<'_>, flat: &mut Flat<'_>) -> Called<Self> {
        let case = flat.next() as u32;
        let mut payload = flat.take(Self::FLAT - 1);
        match case {
            0 => T::lift(from, &mut payload).map(Ok),
            1 => E::lift(from, &mut payload).map(Err),
            case => bad_discriminant(case),
        }
    }

    fn load(from: &mut Lifting<'_>, at: u32) -> Called<Self> {
        let payload = at + payload_offset(Self::ALIGN);
        match from.array(at) {
            [0] => T::load(from, payload).map(Ok),
            [1] => E::load(from, payload).map(Err),
            [case] => bad_discriminant(case.into()),
        }
    }
}

impl<T: Lower, E: Lower> Lower for Result<T, E> {
    fn store(self, image: &mut Image<'_>, at: Place) -> Called<()> {
        image.put(at, &[u8::from(self.is_err())]);
        let payload = at.after(payload_offset(Self::ALIGN));
        match self {
            Ok(value) => value.store(image, payload),
            Err(error) => error.store(image, payload),
        }
    }
}

/// The end of a guest that passes a case which there is not.
pub(crate) fn bad_discriminant<T>(case: u32) -> Called<T> {
    trap(format!("unexpected discriminant: {case}"))
}

macro_rules! tuple {
    ($($ty:ident $value:ident)*) => {
        impl<$($ty: ComponentType),*> ComponentType for ($($ty,)*) {
            const SIZE: u32 = {
                let mut size = 0;
                $(size = align_to(size, $ty::ALIGN) + $ty::SIZE;)*
                align_to(size, Self::ALIGN)
            };
            const ALIGN: u32 = {
                let mut align = 1;
                $(align = max(align, $ty::ALIGN);)*
                align
            };
            const FLAT: usize = 0 $(+ $ty::FLAT)*;

            fn flatten(types: &mut Vec<ValType>) {
                $($ty::flatten(types);)*
            }

            fn describe() -> String {
                format!("tuple<{}>", [$($ty::describe()),*].join(", "))
            }
        }

        impl<$($ty: Lift),*> Lift for ($($ty,)*) {
            fn lift(from: &mut Lifting<'_>, flat: &mut Flat<'_>) -> Called<Self> {
                Ok(($($ty::lift(from, flat)?,)*))
            }

            #[allow(unused_assignments, reason = "nothing follows the last field")]
            fn load(from: &mut Lifting<'_>, at: u32) -> Called<Self> {
                let mut at = at;
                $(
                    at = align_to(at, $ty::ALIGN);
                    let $value = $ty::load(from, at)?;
                    at += $ty::SIZE;
                )*
                Ok(($($value,)*))
            }
        }

        impl<$($ty: Lower),*> Lower for ($($ty,)*) {
            #[allow(unused_assignments, reason = "nothing follows the last field")]
            fn store(self, image: &mut Image<'_>, at: Place) -> Called<()> {
                let ($($value,)*) = self;
                let mut offset = 0;
                $(
                    offset = align_to(offset, $ty::ALIGN);
                    $value.store(image, at.after(offset))?;
                    offset += $ty::SIZE;
                )*
                Ok(())
            }
        }
    };
}

tuple!(A a);
tuple!(A a B b);
tuple!(A a B b C c);
tuple!(A a B b C c D d);
tuple!(A a B b C c D d E e);
tuple!(A a B b C c D d E e F f);
tuple!(A a B b C c D d E e F f G g H h);
