//! Options in the names of imports: ` key=value`, each once, in one order.

/// The interface of functions and resources that a component imports by a name of their own, and
/// not as a part of an interface.
pub const WORLD: &str = "$root";

/// Takes the option with this key from the end of a text. Its value has no spaces.
pub(super) fn last_option<'a>(text: &'a str, key: &str) -> Option<(&'a str, &'a str)> {
    let (rest, option) = text.rsplit_once(' ')?;
    let (found, value) = option.split_once('=')?;
    (found == key).then_some((rest, value))
}

/// Takes the value of the option with this key, which is all of the text.
pub(super) fn only_option<'a>(text: &'a str, key: &str) -> Option<&'a str> {
    text.strip_prefix(key)?.strip_prefix('=')
}

/// Takes the option with this key from the start of a text. Its value has no spaces.
pub(super) fn first_option<'a>(text: &'a str, key: &str) -> Option<(&'a str, &'a str)> {
    let (value, rest) = only_option(text, key)?.split_once(' ')?;
    Some((value, rest))
}

/// Reads a number as it is written: without a sign, and without zeroes in front of it.
pub(super) fn number(text: &str) -> Option<u32> {
    let number: u32 = text.parse().ok()?;
    (number.to_string() == text).then_some(number)
}
