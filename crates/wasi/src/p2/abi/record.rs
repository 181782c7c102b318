//! A macro for the records that an interface defines.

/// A record. Its fields have the names and the order of the interface's. In front of it stands which
/// ways it passes: `Lift`, `Lower` or both.
macro_rules! record {
    ($($way:ident)*: $(#[$meta:meta])* struct $name:ident $fields:tt) => {
        $crate::p2::abi::record_impl! { Type: $(#[$meta])* $name $fields }
        $($crate::p2::abi::record_impl! { $way: $name $fields })*
    };
}

macro_rules! record_impl {
    (Type: $(#[$meta:meta])* $name:ident { $($field:ident: $ty:ty,)* }) => {
        $(#[$meta])*
        pub(crate) struct $name { $(pub(crate) $field: $ty,)* }

        impl $crate::p2::abi::ComponentType for $name {
            const SIZE: u32 = <($($ty,)*) as $crate::p2::abi::ComponentType>::SIZE;
            const ALIGN: u32 = <($($ty,)*) as $crate::p2::abi::ComponentType>::ALIGN;
            const FLAT: usize = <($($ty,)*) as $crate::p2::abi::ComponentType>::FLAT;

            fn flatten(types: &mut Vec<dormouse_model::ValType>) {
                <($($ty,)*) as $crate::p2::abi::ComponentType>::flatten(types);
            }

            fn describe() -> String {
                let fields = [$(format!(
                    "{}: {}",
                    $crate::p2::abi::kebab(stringify!($field)),
                    <$ty as $crate::p2::abi::ComponentType>::describe()
                )),*];
                format!("record{{{}}}", fields.join(", "))
            }
        }
    };
    (Lift: $name:ident { $($field:ident: $ty:ty,)* }) => {
        impl $crate::p2::abi::Lift for $name {
            fn lift(
                from: &mut $crate::p2::abi::Lifting<'_>,
                flat: &mut $crate::p2::abi::Flat<'_>,
            ) -> $crate::p2::stop::Called<Self> {
                let ($($field,)*) = $crate::p2::abi::Lift::lift(from, flat)?;
                Ok(Self { $($field),* })
            }

            fn load(
                from: &mut $crate::p2::abi::Lifting<'_>,
                at: u32,
            ) -> $crate::p2::stop::Called<Self> {
                let ($($field,)*) = $crate::p2::abi::Lift::load(from, at)?;
                Ok(Self { $($field),* })
            }
        }
    };
    (Lower: $name:ident { $($field:ident: $ty:ty,)* }) => {
        impl $crate::p2::abi::Lower for $name {
            fn store(
                self,
                image: &mut $crate::p2::abi::Image<'_>,
                at: $crate::p2::abi::Place,
            ) -> $crate::p2::stop::Called<()> {
                $crate::p2::abi::Lower::store(($(self.$field,)*), image, at)
            }
        }
    };
}

pub(crate) use {record, record_impl};
