//! Reads a source as tokens.

use std::collections::BTreeSet;

/// A name, a number or one character of punctuation, with its line.
#[derive(Clone, Debug)]
pub struct Token {
    pub text: String,
    pub line: usize,
}

/// The tokens of a source, without comments, strings and characters.
pub fn tokens(text: &str) -> Vec<Token> {
    let chars: Vec<char> = text.chars().collect();
    let at = |place: usize| chars.get(place).copied().unwrap_or('\0');
    let mut tokens = Vec::new();
    let (mut place, mut line) = (0, 1);
    while place < chars.len() {
        let start = place;
        match at(place) {
            '/' if at(place + 1) == '/' => {
                while place < chars.len() && at(place) != '\n' {
                    place += 1;
                }
            }
            '/' if at(place + 1) == '*' => {
                let mut depth = 0;
                loop {
                    match (at(place), at(place + 1)) {
                        ('/', '*') => (depth, place) = (depth + 1, place + 2),
                        ('*', '/') => (depth, place) = (depth - 1, place + 2),
                        _ => place += 1,
                    }
                    if depth == 0 || place >= chars.len() {
                        break;
                    }
                }
            }
            '"' => place = string_end(&chars, place),
            '\'' if at(place + 1) == '\\' || at(place + 2) == '\'' => {
                place += if at(place + 1) == '\\' { 3 } else { 2 };
                while place < chars.len() && at(place) != '\'' {
                    place += 1;
                }
                place += 1;
            }
            c if c == '_' || c.is_alphanumeric() => {
                while at(place) == '_' || at(place).is_alphanumeric() {
                    place += 1;
                }
                let word: String = chars[start..place].iter().collect();
                if ["r", "br", "cr"].contains(&word.as_str()) && "\"#".contains(at(place)) {
                    let raw = raw_string_end(&chars, place);
                    match raw {
                        Some(end) => place = end,
                        None => tokens.push(Token { text: word, line }),
                    }
                } else {
                    tokens.push(Token { text: word, line });
                }
            }
            c => {
                place += 1;
                if !c.is_whitespace() {
                    let text = c.to_string();
                    tokens.push(Token { text, line });
                }
            }
        }
        let end = place.min(chars.len());
        line += chars[start..end].iter().filter(|c| **c == '\n').count();
    }
    tokens
}

fn string_end(chars: &[char], start: usize) -> usize {
    let mut place = start + 1;
    while place < chars.len() && chars[place] != '"' {
        place += if chars[place] == '\\' { 2 } else { 1 };
    }
    place + 1
}

/// Where the raw string whose hashes begin here ends, if it is one.
fn raw_string_end(chars: &[char], start: usize) -> Option<usize> {
    let hashes = chars[start..].iter().take_while(|c| **c == '#').count();
    let mut place = start + hashes;
    if chars.get(place) != Some(&'"') {
        return None;
    }
    loop {
        place += 1;
        let rest = chars.get(place..)?;
        let (quote, after) = rest.split_first()?;
        if *quote == '"' && after.iter().take_while(|c| **c == '#').count() >= hashes {
            return Some(place + 1 + hashes);
        }
    }
}

pub fn is_colons(tokens: &[Token], place: usize) -> bool {
    let is = |place: usize| tokens.get(place).is_some_and(|token| token.text == ":");
    is(place) && is(place + 1)
}

/// Lines inside items marked `#[cfg(test)]`.
pub fn test_lines(tokens: &[Token]) -> BTreeSet<usize> {
    const MARK: [&str; 7] = ["#", "[", "cfg", "(", "test", ")", "]"];
    let mut lines = BTreeSet::new();
    for place in 0..tokens.len() {
        let marked = MARK
            .iter()
            .zip(&tokens[place..])
            .filter(|(wanted, token)| token.text == **wanted)
            .count();
        if marked < MARK.len() {
            continue;
        }
        let mut depth = 0;
        for token in &tokens[place + MARK.len()..] {
            lines.insert(token.line);
            match token.text.as_str() {
                "{" => depth += 1,
                "}" => depth -= 1,
                _ => {}
            }
            if depth == 0 && ["}", ";"].contains(&token.text.as_str()) {
                break;
            }
        }
    }
    lines
}

/// `tests.rs`, or a file of a folder `tests`, of a module.
pub fn is_test_file(path: &str) -> bool {
    path.ends_with("/tests.rs") || path.contains("/tests/")
}
