//! A struct as a MessagePack map from numbers of fields to values.
//!
//! A million sleepers pay for every byte that is stored of each, so that names would cost too much.
//! A number costs one byte, and a field that has its default value costs none. Where a field stands
//! in its struct says nothing.

/// Implements `Serialize` and `Deserialize` for a struct with `Default`. Each field has a number,
/// which is never given to another field.
macro_rules! numbered_fields {
    ($name:ident { $($number:literal => $field:ident),+ $(,)? }) => {
        impl serde::Serialize for $name {
            fn serialize<S: serde::Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
                use serde::ser::SerializeMap as _;
                let usual = Self::default();
                let count = 0 $(+ usize::from(self.$field != usual.$field))+;
                let mut map = serializer.serialize_map(Some(count))?;
                $(if self.$field != usual.$field {
                    let number: u8 = $number;
                    map.serialize_entry(&number, &self.$field)?;
                })+
                map.end()
            }
        }

        impl<'de> serde::Deserialize<'de> for $name {
            fn deserialize<D: serde::Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
                struct Fields;

                impl<'de> serde::de::Visitor<'de> for Fields {
                    type Value = $name;

                    fn expecting(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
                        f.write_str("a map from numbers of fields to values")
                    }

                    fn visit_map<A: serde::de::MapAccess<'de>>(
                        self,
                        mut map: A,
                    ) -> Result<$name, A::Error> {
                        let mut value = $name::default();
                        while let Some(number) = map.next_key::<u8>()? {
                            match number {
                                $($number => value.$field = map.next_value()?,)+
                                unknown => {
                                    let text = format_args!("field {unknown} is not known");
                                    return Err(serde::de::Error::custom(text));
                                }
                            }
                        }
                        Ok(value)
                    }
                }

                deserializer.deserialize_map(Fields)
            }
        }
    };
}

pub(super) use numbered_fields;
