//! The trace context of W3C: by what spans of several programs are joined to one trace.

use std::fmt;
use std::str::FromStr;

use serde::de::{Error, SeqAccess, Visitor};
use serde::{Deserialize, Deserializer, Serialize, Serializer};

/// The flag of a trace that is recorded.
const SAMPLED: u8 = 1;

/// Bytes of a context as it is stored: the trace, the span, the flags.
const STORED_BYTES: usize = 16 + 8 + 1;

/// Characters of a `traceparent` of version 00.
const TEXT_LENGTH: usize = 55;

/// A span of some program, which others are children of or linked to: what a `traceparent` says
/// (W3C Trace Context). Neither of the two numbers is zero.
#[derive(Clone, Copy, PartialEq, Eq, Hash)]
pub struct TraceContext {
    /// The trace.
    pub trace_id: [u8; 16],
    /// The span in it.
    pub span_id: [u8; 8],
    /// Whether the trace is recorded.
    pub sampled: bool,
}

/// What a task carries of traces for as long as it lives.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct TaskTrace {
    /// By whom the task was submitted.
    pub origin: TraceContext,
    /// Its last run that is stored.
    pub last_run: Option<TraceContext>,
}

impl TaskTrace {
    /// That of a task which has not run.
    pub fn of(origin: TraceContext) -> Self {
        Self {
            origin,
            last_run: None,
        }
    }
}

impl TraceContext {
    fn to_bytes(self) -> [u8; STORED_BYTES] {
        let mut bytes = [0; STORED_BYTES];
        bytes[..16].copy_from_slice(&self.trace_id);
        bytes[16..24].copy_from_slice(&self.span_id);
        bytes[24] = u8::from(self.sampled) * SAMPLED;
        bytes
    }

    /// `None` where a number is zero.
    fn from_bytes(bytes: &[u8; STORED_BYTES]) -> Option<Self> {
        let (mut trace_id, mut span_id) = ([0; 16], [0; 8]);
        trace_id.copy_from_slice(&bytes[..16]);
        span_id.copy_from_slice(&bytes[16..24]);
        let valid = trace_id != [0; 16] && span_id != [0; 8];
        valid.then_some(Self {
            trace_id,
            span_id,
            sampled: bytes[24] & SAMPLED != 0,
        })
    }
}

/// As a `traceparent`.
impl fmt::Display for TraceContext {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("00-")?;
        self.trace_id
            .iter()
            .try_for_each(|byte| write!(f, "{byte:02x}"))?;
        f.write_str("-")?;
        self.span_id
            .iter()
            .try_for_each(|byte| write!(f, "{byte:02x}"))?;
        write!(f, "-{:02x}", u8::from(self.sampled) * SAMPLED)
    }
}

impl fmt::Debug for TraceContext {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "TraceContext({self})")
    }
}

impl FromStr for TraceContext {
    type Err = String;

    /// Reads a `traceparent`. Of versions after 00, what this one has is read.
    fn from_str(text: &str) -> Result<Self, String> {
        let wrong = || {
            format!(
                "{text:?} is no traceparent; write 00-TRACE-SPAN-FLAGS, of 32, 16 and 2 hexadecimal \
                 digits in lower case, as in \
                 00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01"
            )
        };
        read(text.as_bytes()).ok_or_else(wrong)
    }
}

/// What a `traceparent` says, where it is one.
fn read(text: &[u8]) -> Option<TraceContext> {
    let (known, rest) = text.split_at_checked(TEXT_LENGTH)?;
    let fields: Vec<&[u8]> = known.split(|byte| *byte == b'-').collect();
    let [version, trace, span, flags] = fields[..] else {
        return None;
    };
    let [version] = digits(version)?;
    let may_follow = version > 0 && rest.starts_with(b"-");
    if version == 0xff || !(rest.is_empty() || may_follow) {
        return None;
    }
    let (trace_id, span_id, [flags]) = (digits(trace)?, digits(span)?, digits(flags)?);
    let valid = trace_id != [0; 16] && span_id != [0; 8];
    valid.then_some(TraceContext {
        trace_id,
        span_id,
        sampled: flags & SAMPLED != 0,
    })
}

/// Bytes from hexadecimal digits in lower case.
fn digits<const COUNT: usize>(text: &[u8]) -> Option<[u8; COUNT]> {
    let value = |digit: u8| match digit {
        b'0'..=b'9' => Some(digit - b'0'),
        b'a'..=b'f' => Some(digit - b'a' + 10),
        _ => None,
    };
    let mut bytes = [0; COUNT];
    if text.len() != 2 * COUNT {
        return None;
    }
    for (byte, pair) in bytes.iter_mut().zip(text.chunks_exact(2)) {
        *byte = value(pair[0])? << 4 | value(pair[1])?;
    }
    Some(bytes)
}

/// As bytes: a million sleeping tasks may have one.
impl Serialize for TraceContext {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_bytes(&self.to_bytes())
    }
}

impl<'de> Deserialize<'de> for TraceContext {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct Bytes;

        impl<'de> Visitor<'de> for Bytes {
            type Value = TraceContext;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                write!(f, "{STORED_BYTES} bytes of a trace context")
            }

            fn visit_bytes<E: Error>(self, bytes: &[u8]) -> Result<TraceContext, E> {
                let length = || E::invalid_length(bytes.len(), &self);
                let bytes = bytes.try_into().map_err(|_| length())?;
                TraceContext::from_bytes(bytes).ok_or_else(|| E::custom("it names no trace"))
            }

            fn visit_seq<A: SeqAccess<'de>>(self, mut items: A) -> Result<TraceContext, A::Error> {
                let mut bytes = Vec::with_capacity(STORED_BYTES);
                while let Some(byte) = items.next_element()? {
                    bytes.push(byte);
                }
                self.visit_bytes(&bytes)
            }
        }

        deserializer.deserialize_bytes(Bytes)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The example of the recommendation.
    const EXAMPLE: &str = "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01";

    #[test]
    fn a_traceparent_is_read_as_it_was_written() {
        let context: TraceContext = EXAMPLE.parse().expect("a traceparent");
        assert!(context.sampled);
        assert_eq!(context.trace_id[..2], [0x0a, 0xf7]);
        assert_eq!(context.span_id[7], 0x31);
        assert_eq!(context.to_string(), EXAMPLE);
        let bytes = context.to_bytes();
        assert_eq!(TraceContext::from_bytes(&bytes), Some(context));
        assert_eq!(TraceContext::from_bytes(&[0; STORED_BYTES]), None);
    }

    #[test]
    fn what_the_recommendation_forbids_is_no_traceparent() {
        let trace = "0af7651916cd43dd8448eb211c80319c";
        let span = "b7ad6b7169203331";
        for (text, valid) in [
            (format!("00-{trace}-{span}-00"), true),
            // A later version may have more behind a dash.
            (format!("cc-{trace}-{span}-01"), true),
            (format!("cc-{trace}-{span}-01-what-comes"), true),
            (format!("cc-{trace}-{span}-01.what-comes"), false),
            (format!("00-{trace}-{span}-01-what-comes"), false),
            (format!("ff-{trace}-{span}-01"), false),
            (format!("00-{}-{span}-01", "0".repeat(32)), false),
            (format!("00-{trace}-{}-01", "0".repeat(16)), false),
            (format!("00-{}-{span}-01", trace.to_uppercase()), false),
            (format!("00-{trace}-{span}"), false),
            (format!("00-{trace}-{span}-0"), false),
            (format!("00-{trace}{span}--01"), false),
            (String::new(), false),
            ("ä".repeat(28), false),
        ] {
            assert_eq!(text.parse::<TraceContext>().is_ok(), valid, "{text}");
        }
    }
}
