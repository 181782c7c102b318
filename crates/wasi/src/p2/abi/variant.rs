//! A macro for the variants that an interface defines.

/// A variant whose cases have at most one payload. They have the names and the order of the
/// interface's; a case without a payload has the payload `()`.
/// In front of it stands which ways it passes: `Lift`, `Lower` or both.
macro_rules! variant {
    ($($way:ident)*: $(#[$meta:meta])* enum $name:ident $cases:tt) => {
        $crate::p2::abi::variant_impl! { Type: $(#[$meta])* $name $cases }
        $($crate::p2::abi::variant_impl! { $way: $name $cases })*
    };
}

macro_rules! variant_impl {
    (Type: $(#[$meta:meta])* $name:ident { $($case:ident($ty:ty) = $number:literal,)* }) => {
        $(#[$meta])*
        pub(crate) enum $name { $($case($ty)),* }

        impl $crate::p2::abi::ComponentType for $name {
            const SIZE: u32 = {
                let mut size = 0;
                $(size = $crate::p2::abi::max(
                    size,
                    <$ty as $crate::p2::abi::ComponentType>::SIZE,
                );)*
                let offset = $crate::p2::abi::align_to(1, Self::ALIGN);
                $crate::p2::abi::align_to(offset + size, Self::ALIGN)
            };
            const ALIGN: u32 = {
                let mut align = 1;
                $(align = $crate::p2::abi::max(
                    align,
                    <$ty as $crate::p2::abi::ComponentType>::ALIGN,
                );)*
                align
            };
            const FLAT: usize = {
                let mut flat = 0;
                $(flat = $crate::p2::abi::max_flat(
                    flat,
                    <$ty as $crate::p2::abi::ComponentType>::FLAT,
                );)*
                1 + flat
            };

            fn flatten(types: &mut Vec<dormouse_model::ValType>) {
                $crate::p2::abi::join(
                    types,
                    &[$(<$ty as $crate::p2::abi::ComponentType>::flatten),*],
                );
            }

            fn describe() -> String {
                let cases = [$({
                    let name = $crate::p2::abi::kebab(stringify!($case));
                    match <$ty as $crate::p2::abi::ComponentType>::describe() {
                        none if none == "_" => name,
                        payload => format!("{name}({payload})"),
                    }
                }),*];
                format!("variant{{{}}}", cases.join(", "))
            }
        }
    };
    (Lift: $name:ident { $($case:ident($ty:ty) = $number:literal,)* }) => {
        impl $crate::p2::abi::Lift for $name {
            fn lift(
                from: &mut $crate::p2::abi::Lifting<'_>,
                flat: &mut $crate::p2::abi::Flat<'_>,
            ) -> $crate::p2::stop::Called<Self> {
                let case = flat.next() as u32;
                let mut payload =
                    flat.take(<Self as $crate::p2::abi::ComponentType>::FLAT - 1);
                match case {
                    $($number => $crate::p2::abi::Lift::lift(from, &mut payload).map(Self::$case),)*
                    case => $crate::p2::stop::trap(format!("unexpected discriminant: {case}")),
                }
            }

            fn load(
                from: &mut $crate::p2::abi::Lifting<'_>,
                at: u32,
            ) -> $crate::p2::stop::Called<Self> {
                let align = <Self as $crate::p2::abi::ComponentType>::ALIGN;
                let payload = at + $crate::p2::abi::align_to(1, align);
                let [case] = from.array(at);
                match case {
                    $($number => $crate::p2::abi::Lift::load(from, payload).map(Self::$case),)*
                    case => $crate::p2::stop::trap(format!("unexpected discriminant: {case}")),
                }
            }
        }
    };
    (Lower: $name:ident { $($case:ident($ty:ty) = $number:literal,)* }) => {
        impl $crate::p2::abi::Lower for $name {
            fn store(
                self,
                image: &mut $crate::p2::abi::Image<'_>,
                at: $crate::p2::abi::Place,
            ) -> $crate::p2::stop::Called<()> {
                let align = <Self as $crate::p2::abi::ComponentType>::ALIGN;
                let payload = at.after($crate::p2::abi::align_to(1, align));
                match self {
                    $(Self::$case(value) => {
                        image.put(at, &[$number]);
                        $crate::p2::abi::Lower::store(value, image, payload)
                    })*
                }
            }
        }
    };
}

pub(crate) use {variant, variant_impl};
