//! Labels, by which daemons are told apart and tasks ask for one.

/// Bytes of the longest key or value of a label.
const LONGEST_WORD: usize = 100;

/// Reads a label, `KEY=VALUE`.
///
/// # Errors
/// Says what a label looks like.
pub fn parse_label(text: &str) -> Result<(String, String), String> {
    let wrong = || format!("{text:?} is no label; write KEY=VALUE, such as zone=eu");
    let (key, value) = text.split_once('=').ok_or_else(wrong)?;
    check_label(key, value)?;
    Ok((key.into(), value.into()))
}

/// Refuses a label that cannot be written as `KEY=VALUE` among others.
///
/// # Errors
/// Says what a label looks like.
pub fn check_label(key: &str, value: &str) -> Result<(), String> {
    let plain = |c: char| c.is_alphanumeric() || "._-/".contains(c);
    let fits =
        |word: &str| !word.is_empty() && word.len() <= LONGEST_WORD && word.chars().all(plain);
    match fits(key) && fits(value) {
        true => Ok(()),
        false => Err(format!(
            "{key:?}={value:?} is no label: key and value have letters, digits, '.', '_', '-' and '/', \
             {LONGEST_WORD} bytes at most each"
        )),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_label_is_two_words() {
        let label = |key: &str, value: &str| Ok((key.to_string(), value.to_string()));
        assert_eq!(parse_label("zone=eu"), label("zone", "eu"));
        assert_eq!(
            parse_label("example.com/disk=ssd-2"),
            label("example.com/disk", "ssd-2")
        );
        let long = format!("a={}", "b".repeat(LONGEST_WORD + 1));
        for wrong in [
            "",
            "zone",
            "=eu",
            "zone=",
            "zone=eu,us",
            "a=b=c",
            "a b=c",
            &long,
        ] {
            assert!(parse_label(wrong).is_err(), "{wrong:?}");
        }
    }
}
