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

/// A number of a unit of time.
pub fn duration(number: &str, unit: &str) -> Option<Duration> {
    let seconds = match unit {
        "ms" => 0.001,
        "s" => 1.0,
        "m" | "min" => 60.0,
        "h" => 3600.0,
        "d" => 86400.0,
        _ => return None,
    };
    Duration::try_from_secs_f64(number.parse::<f64>().ok()? * seconds).ok()
}

/// A number with a unit, in nanoseconds.
pub fn parse_time(text: &str) -> Option<u64> {
    let text = text.trim();
    let split = text.find(|c: char| !c.is_ascii_digit() && c != '.')?;
    let (number, unit) = text.split_at(split);
    let time = duration(number, unit.trim())?;
    u64::try_from(time.as_nanos()).ok()
}

/// A time for people to read, to the millisecond.
pub(super) fn show_time(nanoseconds: u64) -> String {
    whole_time(nanoseconds).unwrap_or_else(|| format!("{:.3}s", nanoseconds as f64 * 1e-9))
}

/// A time that is read back as it is.
pub(crate) fn exact_time(nanoseconds: u64) -> String {
    whole_time(nanoseconds).unwrap_or_else(|| {
        let (seconds, rest) = (nanoseconds / 1_000_000_000, nanoseconds % 1_000_000_000);
        let text = format!("{seconds}.{rest:09}");
        format!("{}s", text.trim_end_matches('0').trim_end_matches('.'))
    })
}

/// A time that is a whole number of one unit.
fn whole_time(nanoseconds: u64) -> Option<String> {
    let units = [
        (86_400_000_000_000, "d"),
        (3_600_000_000_000, "h"),
        (60_000_000_000, "m"),
        (1_000_000_000, "s"),
        (1_000_000, "ms"),
    ];
    let whole = |unit: u64| nanoseconds > 0 && nanoseconds.is_multiple_of(unit);
    let found = units.into_iter().find(|(unit, _)| whole(*unit));
    found.map(|(unit, name)| format!("{}{name}", nanoseconds / unit))
}
