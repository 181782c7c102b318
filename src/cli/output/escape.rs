//! Untrusted text, for a terminal: names come out of modules and snapshots, whoever made them.

/// The text, with every character escaped that a terminal obeys or that changes how others are
/// shown.
pub(crate) fn plain(text: &str) -> String {
    shown(text, |c| c == '\n' || is_shown(c))
}

/// The same with line feeds escaped too. In a log, a part of a text must not look like another
/// line.
pub(crate) fn in_one_line(text: &str) -> String {
    shown(text.trim_end_matches('\n'), is_shown)
}

fn shown(text: &str, is_kept: impl Fn(char) -> bool) -> String {
    let mut shown = String::with_capacity(text.len());
    for c in text.chars() {
        match is_kept(c) {
            true => shown.push(c),
            false => shown.extend(c.escape_default()),
        }
    }
    shown
}

/// JSON with the same characters escaped, which means the same to a program.
pub(crate) fn json(text: &str) -> String {
    let mut escaped = String::with_capacity(text.len());
    let mut units = [0; 2];
    for c in text.chars() {
        match c == '\n' || is_shown(c) {
            true => escaped.push(c),
            false => {
                for unit in c.encode_utf16(&mut units) {
                    escaped.push_str(&format!("\\u{unit:04x}"));
                }
            }
        }
    }
    escaped
}

/// Whether a terminal shows all of it as it is.
pub(crate) fn is_plain(text: &str) -> bool {
    text.chars().all(|c| c == '\n' || is_shown(c))
}

/// Whether a terminal shows this character, and does nothing else with it. Control characters are
/// obeyed. Format characters such as U+202E reverse what follows, or are not seen at all.
fn is_shown(c: char) -> bool {
    if c.is_ascii() {
        return !c.is_ascii_control();
    }
    // The standard library escapes in `{:?}` all that is not printable. An accent behind a letter
    // is printable.
    String::from_iter(['a', c]).escape_debug().nth(1) == Some(c)
}

#[cfg(test)]
mod tests {
    use super::{json, plain};

    #[test]
    fn what_a_terminal_obeys_is_escaped_and_letters_are_not() {
        // Of each kind: C0, DEL, C1, bidirectional, zero width, separators, tags, private use.
        let hidden = [
            '\u{1b}',
            '\u{7f}',
            '\u{9b}',
            '\u{ad}',
            '\u{61c}',
            '\u{200b}',
            '\u{200d}',
            '\u{200e}',
            '\u{200f}',
            '\u{2028}',
            '\u{2029}',
            '\u{202a}',
            '\u{202b}',
            '\u{202c}',
            '\u{202d}',
            '\u{202e}',
            '\u{2060}',
            '\u{2066}',
            '\u{2067}',
            '\u{2068}',
            '\u{2069}',
            '\u{feff}',
            '\u{e0041}',
            '\u{e000}',
        ];
        let as_json = |text: &str| {
            // A text is always JSON.
            json(&serde_json::to_string_pretty(text).expect("JSON"))
        };
        for c in hidden {
            let text = plain(&format!("a{c}b"));
            assert_eq!(text, format!("a{}b", c.escape_default()), "{c:?}");
            let written = as_json(&format!("a{c}b"));
            assert!(written.is_ascii(), "{written}");
            let read: String = serde_json::from_str(&written).expect("it is JSON");
            assert_eq!(read, format!("a{c}b"));
        }
        let shown = "plain 'a' \"b\" \\ é e\u{301} ß 日本 עברית العربية 😀\nnext";
        assert_eq!(plain(shown), shown);
        let read: String = serde_json::from_str(&as_json(shown)).expect("it is JSON");
        assert_eq!(read, shown);
    }
}
