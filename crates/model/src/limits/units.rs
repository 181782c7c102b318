//! Bytes and times in words.

use std::time::Duration;

/// A number of bytes: with K, M, G or T, of 1024 each.
pub fn parse_bytes(text: &str) -> Option<u64> {
    let upper = text.trim().to_ascii_uppercase();
    let plain = upper.trim_end_matches('B').trim_end_matches('I');
    let (number, shift) = match plain.as_bytes().last() {
        Some(b'K') => (&plain[..plain.len() - 1], 10),
        Some(b'M') => (&plain[..plain.len() - 1], 20),
        Some(b'G') => (&plain[..plain.len() - 1], 30),
        Some(b'T') => (&plain[..plain.len() - 1], 40),
        _ => (plain, 0),
    };
    let number: u64 = number.trim().replace('_', "").parse().ok()?;
    number.checked_mul(1 << shift)
}

pub(crate) fn show_bytes(bytes: u64) -> String {
    let units = [(40, "T"), (30, "G"), (20, "M"), (10, "K")];
    let whole = |shift: u32| bytes > 0 && bytes.is_multiple_of(1 << shift);
    match units.into_iter().find(|(shift, _)| whole(*shift)) {
        Some((shift, unit)) => format!("{}{unit}", bytes >> shift),
        None => bytes.to_string(),
    }
}

/// A span of time: `500ms`, `10s`, `1.5h`, `1h 30m`; at most 584 years, as many nanoseconds as a
/// `u64` holds.
pub fn parse_span(text: &str) -> Option<Duration> {
    let span = humantime::parse_duration(text.trim()).ok()?;
    u64::try_from(span.as_nanos()).is_ok().then_some(span)
}

/// A span for people to read, to the millisecond.
pub(super) fn show_time(span: Duration) -> String {
    whole_time(span).unwrap_or_else(|| format!("{:.3}s", span.as_secs_f64()))
}

/// A span as one word, which is read back as it is.
pub(crate) fn exact_time(span: Duration) -> String {
    whole_time(span).unwrap_or_else(|| {
        let text = format!("{}.{:09}", span.as_secs(), span.subsec_nanos());
        format!("{}s", text.trim_end_matches('0').trim_end_matches('.'))
    })
}

/// A span that is a whole number of one unit.
fn whole_time(span: Duration) -> Option<String> {
    let units = [
        (86_400_000_000_000, "d"),
        (3_600_000_000_000, "h"),
        (60_000_000_000, "m"),
        (1_000_000_000, "s"),
        (1_000_000, "ms"),
    ];
    let nanoseconds = span.as_nanos();
    let whole = |unit: u128| nanoseconds > 0 && nanoseconds.is_multiple_of(unit);
    let found = units.into_iter().find(|(unit, _)| whole(*unit));
    found.map(|(unit, name)| format!("{}{name}", nanoseconds / unit))
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Limits took `1.5m` and not `1h 30m`, and flags the other way round.
    #[test]
    fn a_span_is_read_however_it_is_written() {
        for (text, millis) in [
            ("0s", 0),
            ("500ms", 500),
            ("1.5m", 90_000),
            ("1.5min", 90_000),
            ("90 s", 90_000),
            ("1h 30m", 5_400_000),
            ("0.5d", 43_200_000),
            ("36500d", 3_153_600_000_000),
        ] {
            let span = parse_span(text).expect(text);
            assert_eq!(span, Duration::from_millis(millis), "{text}");
            assert_eq!(parse_span(&exact_time(span)), Some(span), "{text}");
        }
        for wrong in ["", "5", "s", "-1s", "1x", "600y"] {
            assert_eq!(parse_span(wrong), None, "{wrong}");
        }
    }
}
