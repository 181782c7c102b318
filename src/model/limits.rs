//! How much a guest may take.

/// How many bytes a directory in memory may hold where nobody says.
#[cfg(feature = "cli")]
pub const TMPFS: u64 = 64 << 20;

/// A number of bytes: with K, M, G or T, of 1024 each.
#[cfg(feature = "cli")]
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
