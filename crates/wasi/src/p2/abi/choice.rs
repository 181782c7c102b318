//! Macros for the enumerations and the flags that an interface defines.

/// An enumeration. Its cases have the names and the order of the interface's.
macro_rules! enumeration {
    ($(#[$meta:meta])* enum $name:ident { $($case:ident,)* }) => {
        $(#[$meta])*
        #[derive(Clone, Copy, Debug, PartialEq, Eq)]
        #[repr(u8)]
        #[allow(dead_code, reason = "the list is whole, so that the numbers are right")]
        pub(crate) enum $name { $($case),* }

        impl $name {
            const CASES: &[Self] = &[$(Self::$case),*];

            fn of(case: u32) -> $crate::p2::stop::Called<Self> {
                match Self::CASES.get(case as usize) {
                    Some(case) => Ok(*case),
                    None => $crate::p2::stop::trap(format!("unexpected discriminant: {case}")),
                }
            }
        }

        impl $crate::p2::abi::ComponentType for $name {
            $crate::p2::abi::layout_of!(u8);

            fn describe() -> String {
                let cases = [$($crate::p2::abi::kebab(stringify!($case))),*];
                format!("enum{{{}}}", cases.join(", "))
            }
        }

        impl $crate::p2::abi::Lift for $name {
            fn lift(
                _: &mut $crate::p2::abi::Lifting<'_>,
                flat: &mut $crate::p2::abi::Flat<'_>,
            ) -> $crate::p2::stop::Called<Self> {
                Self::of(flat.next() as u32)
            }

            fn load(
                from: &mut $crate::p2::abi::Lifting<'_>,
                at: u32,
            ) -> $crate::p2::stop::Called<Self> {
                let [case] = from.array(at);
                Self::of(case.into())
            }
        }

        impl $crate::p2::abi::Lower for $name {
            fn store(
                self,
                image: &mut $crate::p2::abi::Image<'_>,
                at: $crate::p2::abi::Place,
            ) -> $crate::p2::stop::Called<()> {
                image.put(at, &[self as u8]);
                Ok(())
            }
        }
    };
}

/// A set of flags, of which there are at most eight. They have the names and the order of the
/// interface's.
macro_rules! flags {
    ($(#[$meta:meta])* struct $name:ident { $($flag:ident = $bit:literal,)* }) => {
        $(#[$meta])*
        #[derive(Clone, Copy, Debug, PartialEq, Eq)]
        pub(crate) struct $name(u8);

        impl $name {
            $(pub(crate) const $flag: Self = Self(1 << $bit);)*
            const ALL: u8 = 0 $(| 1 << $bit)*;

            #[allow(dead_code, reason = "not every set is made here")]
            pub(crate) fn empty() -> Self {
                Self(0)
            }

            #[allow(dead_code, reason = "not every set is asked")]
            pub(crate) fn contains(self, other: Self) -> bool {
                self.0 & other.0 == other.0
            }

            #[allow(dead_code, reason = "not every set is made here")]
            pub(crate) fn with(self, other: Self, when: bool) -> Self {
                match when {
                    true => Self(self.0 | other.0),
                    false => self,
                }
            }
        }

        impl $crate::p2::abi::ComponentType for $name {
            $crate::p2::abi::layout_of!(u8);

            fn describe() -> String {
                let flags = [$(stringify!($flag).to_ascii_lowercase().replace('_', "-")),*];
                format!("flags{{{}}}", flags.join(", "))
            }
        }

        impl $crate::p2::abi::Lift for $name {
            fn lift(
                _: &mut $crate::p2::abi::Lifting<'_>,
                flat: &mut $crate::p2::abi::Flat<'_>,
            ) -> $crate::p2::stop::Called<Self> {
                // As the specification has it, the bits beyond do not count.
                Ok(Self(flat.next() as u8 & Self::ALL))
            }

            fn load(
                from: &mut $crate::p2::abi::Lifting<'_>,
                at: u32,
            ) -> $crate::p2::stop::Called<Self> {
                let [bits] = from.array(at);
                Ok(Self(bits & Self::ALL))
            }
        }

        impl $crate::p2::abi::Lower for $name {
            fn store(
                self,
                image: &mut $crate::p2::abi::Image<'_>,
                at: $crate::p2::abi::Place,
            ) -> $crate::p2::stop::Called<()> {
                image.put(at, &[self.0]);
                Ok(())
            }
        }
    };
}

#[allow(
    unused_imports,
    reason = "the interfaces of files and sockets use them"
)]
pub(crate) use {enumeration, flags};
