//! Reads a task out of JSON, and says of what is wrong which field it is and of which sort.
//!
//! serde_json has one sort of error for data. Here a body of another shape than is described (422),
//! a word that is none (400) and a text that is too long (413) are different.

use std::fmt;

use serde::de::value::{MapDeserializer, SeqDeserializer};
use serde::de::{self, Deserializer, Expected, IntoDeserializer, Unexpected, Visitor};
use serde_json::{Map, Value};

use super::wire::Submit;
use crate::model::TaskSpec;

/// The sort of what is wrong.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Sort {
    /// It is not what is described.
    Shape,
    /// It is a text or a number that means nothing here.
    Word,
    /// It is too long.
    Length,
}

/// What could not be read.
#[derive(Debug)]
pub(crate) struct Unread {
    pub(super) sort: Sort,
    /// Where; empty for the whole.
    pub(super) field: String,
    pub(super) error: String,
}

/// Reads a task.
pub(crate) fn read_spec(value: &Value) -> Result<TaskSpec, Unread> {
    read(value)
}

/// Reads a value.
pub(super) fn read<'a, T: de::Deserialize<'a>>(value: &'a Value) -> Result<T, Unread> {
    serde_path_to_error::deserialize(Json(value)).map_err(|error| {
        let field = error.path().to_string();
        let Problem { sort, text } = error.into_inner();
        Unread {
            sort,
            field: match field.as_str() {
                "." => String::new(),
                _ => field,
            },
            error: text,
        }
    })
}

/// Reads a task that is submitted, and how often.
pub(super) fn read_submit(mut fields: Map<String, Value>) -> Result<Submit, Unread> {
    let count = match fields.remove("count").unwrap_or_default() {
        Value::Null => None,
        count => {
            let count = count.as_u64().and_then(|count| u32::try_from(count).ok());
            Some(count.ok_or_else(|| Unread {
                sort: Sort::Shape,
                field: "count".into(),
                error: "`count` is expected to be a number of tasks".into(),
            })?)
        }
    };
    let spec = read_spec(&Value::Object(fields))?;
    Ok(Submit { spec, count })
}

/// An error of serde's that remembers its sort.
#[derive(Debug)]
struct Problem {
    sort: Sort,
    text: String,
}

impl Problem {
    fn shape(text: String) -> Self {
        let sort = Sort::Shape;
        Self { sort, text }
    }
}

impl fmt::Display for Problem {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.text)
    }
}

impl std::error::Error for Problem {}

impl de::Error for Problem {
    fn custom<T: fmt::Display>(text: T) -> Self {
        let (sort, text) = (Sort::Word, text.to_string());
        Self { sort, text }
    }

    fn invalid_type(found: Unexpected<'_>, expected: &dyn Expected) -> Self {
        Self::shape(format!("invalid type: {found}, expected {expected}"))
    }

    fn invalid_value(found: Unexpected<'_>, expected: &dyn Expected) -> Self {
        Self::shape(format!("invalid value: {found}, expected {expected}"))
    }

    fn invalid_length(length: usize, expected: &dyn Expected) -> Self {
        let text = format!("this has {length} bytes, and may be {expected}");
        Self {
            sort: Sort::Length,
            text,
        }
    }

    fn unknown_field(field: &str, known: &'static [&'static str]) -> Self {
        // The names with hyphens are those of task files.
        let known = known.iter().filter(|known| !known.contains('-'));
        let known: Vec<String> = known.map(|known| format!("`{known}`")).collect();
        let known = known.join(", ");
        Self::shape(format!("unknown field `{field}`, expected one of {known}"))
    }

    fn missing_field(field: &'static str) -> Self {
        Self::shape(format!("missing field `{field}`"))
    }

    fn duplicate_field(field: &'static str) -> Self {
        Self::shape(format!("duplicate field `{field}`"))
    }
}

/// A value as a deserializer with our own error.
#[derive(Clone, Copy)]
struct Json<'a>(&'a Value);

impl<'a> IntoDeserializer<'a, Problem> for Json<'a> {
    type Deserializer = Self;

    fn into_deserializer(self) -> Self {
        self
    }
}

impl<'de> Deserializer<'de> for Json<'de> {
    type Error = Problem;

    fn deserialize_any<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, Problem> {
        match self.0 {
            Value::Null => visitor.visit_unit(),
            Value::Bool(value) => visitor.visit_bool(*value),
            Value::Number(number) => match (number.as_u64(), number.as_i64()) {
                (Some(value), _) => visitor.visit_u64(value),
                (None, Some(value)) => visitor.visit_i64(value),
                (None, None) => visitor.visit_f64(number.as_f64().unwrap_or(f64::NAN)),
            },
            Value::String(text) => visitor.visit_borrowed_str(text),
            Value::Array(items) => {
                let mut items = SeqDeserializer::new(items.iter().map(Json));
                let value = visitor.visit_seq(&mut items)?;
                items.end().map(|()| value)
            }
            Value::Object(fields) => {
                let fields = fields
                    .iter()
                    .map(|(name, value)| (name.as_str(), Json(value)));
                let mut fields = MapDeserializer::new(fields);
                let value = visitor.visit_map(&mut fields)?;
                fields.end().map(|()| value)
            }
        }
    }

    fn deserialize_option<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, Problem> {
        match self.0 {
            Value::Null => visitor.visit_none(),
            _ => visitor.visit_some(self),
        }
    }

    fn deserialize_newtype_struct<V: Visitor<'de>>(
        self,
        _name: &'static str,
        visitor: V,
    ) -> Result<V::Value, Problem> {
        visitor.visit_newtype_struct(self)
    }

    /// serde would take a list for an object, its items for the fields in their order.
    fn deserialize_struct<V: Visitor<'de>>(
        self,
        _name: &'static str,
        _fields: &'static [&'static str],
        visitor: V,
    ) -> Result<V::Value, Problem> {
        match self.0 {
            Value::Array(_) => Err(de::Error::invalid_type(Unexpected::Seq, &visitor)),
            _ => self.deserialize_any(visitor),
        }
    }

    serde::forward_to_deserialize_any! {
        bool i8 i16 i32 i64 i128 u8 u16 u32 u64 u128 f32 f64 char str string bytes byte_buf unit
        unit_struct seq tuple tuple_struct map enum identifier ignored_any
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn what_is_wrong_is_named_with_its_field_and_its_sort() {
        let long = "x".repeat(600);
        for (task, field, sort) in [
            (json!({"nme": "x"}), "nme", Sort::Shape),
            (json!({"args": "x"}), "args", Sort::Shape),
            (json!({"suspend": []}), "suspend", Sort::Shape),
            (
                json!({"mounts": [{"guest": "/"}]}),
                "mounts[0]",
                Sort::Shape,
            ),
            (
                json!({"tmpfs": [{"guest": "/", "size": -1}]}),
                "tmpfs[0].size",
                Sort::Shape,
            ),
            (
                json!({"network": {"allow_connect": ["*:1", "x"]}}),
                "network.allow_connect[1]",
                Sort::Word,
            ),
            (
                json!({"network": {"allow_connect": [format!("{long}:1")]}}),
                "network.allow_connect[0]",
                Sort::Length,
            ),
            (
                json!({"schedule": {"at": "soon"}}),
                "schedule.at",
                Sort::Word,
            ),
            (
                json!({"schedule": {"every": "soon"}}),
                "schedule.every",
                Sort::Word,
            ),
            (
                json!({"network": {"listen": ["a:1", "a"]}}),
                "network.listen[1]",
                Sort::Word,
            ),
            (json!({"digest": "00"}), "digest", Sort::Word),
            (json!({"limits": {"cpu": "x"}}), "limits.cpu", Sort::Word),
            (json!({"limits": {"cpuu": "1s"}}), "limits.cpuu", Sort::Word),
            (json!({ "engine": long }), "engine", Sort::Length),
            (json!({"engine": "v8"}), "engine", Sort::Word),
        ] {
            let unread = read_spec(&task).expect_err("it is wrong");
            assert_eq!(
                (unread.field.as_str(), unread.sort),
                (field, sort),
                "{task}"
            );
        }
    }

    #[test]
    fn a_task_reads_as_by_serde_json() {
        let task = json!({
            "module": "0".repeat(64), "args": ["a"], "env": {"A": "b"}, "engine": null, "network": {},
            "mounts": [{"host": "/", "guest": "/", "read_only": true}], "schedule": {"at": null},
            "tmpfs": [{"guest": "/t", "size": "1M"}, {"guest": "/u", "size": 1}], "limits": {"files": 7},
        });
        let plain: TaskSpec = serde_json::from_value(task.clone()).expect("a task");
        assert_eq!(read_spec(&task).expect("a task"), plain);
    }
}
