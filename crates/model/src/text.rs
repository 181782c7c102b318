//! Values that every form of a spec holds as one text.

use std::fmt;
use std::marker::PhantomData;
use std::str::FromStr;

use serde::de::{Deserialize, Deserializer, Error, Visitor};

/// No text of a value is longer, in bytes: an address, a rule, an engine's name.
pub const MOST_BYTES: usize = 512;

/// A value that is read from its text.
pub struct Text<T>(pub T);

impl<'de, T: FromStr<Err: fmt::Display>> Deserialize<'de> for Text<T> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_str(Reader(PhantomData)).map(Self)
    }
}

struct Reader<T>(PhantomData<T>);

impl<T: FromStr<Err: fmt::Display>> Visitor<'_> for Reader<T> {
    type Value = T;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a text")
    }

    fn visit_str<E: Error>(self, text: &str) -> Result<T, E> {
        if text.len() > MOST_BYTES {
            let expected = format!("a text of {MOST_BYTES} bytes at most");
            return Err(E::invalid_length(text.len(), &expected.as_str()));
        }
        text.parse().map_err(E::custom)
    }
}

/// For `#[serde(with = …)]`: a value that has its text only here, as digests are bytes elsewhere.
pub(crate) mod optional {
    use std::fmt;
    use std::str::FromStr;

    use serde::{Deserialize, Deserializer, Serializer};

    use super::Text;

    /// Writes the text.
    pub(crate) fn serialize<T: fmt::Display, S: Serializer>(
        value: &Option<T>,
        serializer: S,
    ) -> Result<S::Ok, S::Error> {
        match value {
            Some(value) => serializer.collect_str(value),
            None => serializer.serialize_none(),
        }
    }

    /// Reads the text.
    pub(crate) fn deserialize<'de, T: FromStr<Err: fmt::Display>, D: Deserializer<'de>>(
        deserializer: D,
    ) -> Result<Option<T>, D::Error> {
        let read = Option::<Text<T>>::deserialize(deserializer)?;
        Ok(read.map(|text| text.0))
    }
}

/// Gives types that read and write a text the same form in serde.
macro_rules! as_text {
    ($($type:ty),* $(,)?) => {$(
        impl serde::Serialize for $type {
            fn serialize<S: serde::Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
                serializer.collect_str(self)
            }
        }

        impl<'de> serde::Deserialize<'de> for $type {
            fn deserialize<D: serde::Deserializer<'de>>(
                deserializer: D,
            ) -> Result<Self, D::Error> {
                let read = <$crate::text::Text<Self> as serde::Deserialize>::deserialize;
                read(deserializer).map(|text| text.0)
            }
        }
    )*};
}
pub(crate) use as_text;
