//! Spans of time in a snapshot: a number of nanoseconds, for `#[serde(with =
//! "crate::nanoseconds")]`.

use std::time::Duration;

use serde::{Deserialize, Deserializer, Serialize, Serializer};

/// The nanoseconds of a span, at most as many as fit a `u64`: 584 years.
pub(crate) fn of(span: Duration) -> u64 {
    u64::try_from(span.as_nanos()).unwrap_or(u64::MAX)
}

pub(crate) fn serialize<S: Serializer>(
    span: &Option<Duration>,
    serializer: S,
) -> Result<S::Ok, S::Error> {
    span.map(of).serialize(serializer)
}

pub(crate) fn deserialize<'de, D: Deserializer<'de>>(
    deserializer: D,
) -> Result<Option<Duration>, D::Error> {
    let nanos = Option::<u64>::deserialize(deserializer)?;
    Ok(nanos.map(Duration::from_nanos))
}
