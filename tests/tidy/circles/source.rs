//! One file of a crate: what it defines, what it imports, and its other tokens.

use std::collections::BTreeSet;

use super::super::tokens::{Token, test_lines, tokens};

/// A path from the crate's root, such as `cli::args::Run`.
pub type Path = Vec<String>;

/// One file of a crate.
pub struct File {
    pub path: String,
    pub module: Path,
    pub tokens: Vec<Token>,
    /// What it defines itself.
    pub items: BTreeSet<String>,
    pub imports: Vec<Import>,
}

/// One name of a `use` declaration.
#[derive(Clone, Debug)]
pub struct Import {
    /// Under which name it can be used in the file; `*` for all names of a module.
    pub name: String,
    /// What it names, as it is written.
    pub path: Path,
    pub line: usize,
    pub re_exports: bool,
}

/// The module of a file, from its crate's `src`.
fn module_path(path: &str) -> Path {
    let inner = path.rsplit_once("src/").map_or(path, |(_, inner)| inner);
    let inner = inner.trim_end_matches(".rs");
    let mut module: Path = inner.split('/').map(str::to_string).collect();
    if ["mod", "lib", "main"].contains(&module[module.len() - 1].as_str()) {
        module.pop();
    }
    module
}

impl File {
    pub fn new(path: &str, text: &str) -> Self {
        let all = tokens(text);
        let tests = test_lines(&all);
        let kept = all.into_iter().filter(|token| !tests.contains(&token.line));
        let (tokens, imports) = imports(&without_visibility(kept.collect()));
        Self {
            path: path.to_string(),
            module: module_path(path),
            items: items(&tokens),
            tokens,
            imports,
        }
    }
}

/// `pub(in crate::room)` as `pub`: to say who may use something is not to use it.
fn without_visibility(tokens: Vec<Token>) -> Vec<Token> {
    let mut kept: Vec<Token> = Vec::new();
    let mut tokens = tokens.into_iter().peekable();
    while let Some(token) = tokens.next() {
        let public = token.text == "pub";
        kept.push(token);
        if public && tokens.next_if(|next| next.text == "(").is_some() {
            let mut inside = tokens
                .by_ref()
                .take_while(|token| token.text != ")")
                .peekable();
            // A type in parentheses is none.
            let limits = inside
                .peek()
                .is_some_and(|word| ["crate", "super", "self", "in"].contains(&word.text.as_str()));
            let rest: Vec<Token> = inside.collect();
            if !limits {
                kept.extend(rest);
            }
        }
    }
    kept
}

/// The names that a file defines outside of functions and implementations.
fn items(tokens: &[Token]) -> BTreeSet<String> {
    const KINDS: [&str; 9] = [
        "fn", "struct", "enum", "union", "trait", "type", "const", "static", "mod",
    ];
    let mut items = BTreeSet::new();
    let mut depth = 0_usize;
    for (place, token) in tokens.iter().enumerate() {
        let next = |far: usize| tokens.get(place + far).map_or("", |next| &next.text);
        match token.text.as_str() {
            "{" => depth += 1,
            "}" => depth = depth.saturating_sub(1),
            "macro_rules" if next(1) == "!" => drop(items.insert(next(2).to_string())),
            // A module that stands in a file of its own is found by that file.
            "mod" if next(2) == ";" => {}
            kind if depth == 0 && KINDS.contains(&kind) && !KINDS.contains(&next(1)) => {
                let name = if next(1) == "mut" { next(2) } else { next(1) };
                items.insert(name.to_string());
            }
            _ => {}
        }
    }
    items
}

/// A file's `use` declarations, and its other tokens.
fn imports(tokens: &[Token]) -> (Vec<Token>, Vec<Import>) {
    let mut imports = Vec::new();
    let mut rest = Vec::new();
    let mut place = 0;
    while place < tokens.len() {
        // Not `use<'a>` in a type.
        let declares = tokens[place].text == "use"
            && tokens.get(place + 1).is_some_and(|next| next.text != "<");
        if !declares {
            rest.push(tokens[place].clone());
            place += 1;
            continue;
        }
        let before: Option<&Token> = rest.last();
        let re_exports = before.is_some_and(|before| before.text == "pub");
        let (found, end) = tree(tokens, place + 1, &[]);
        imports.extend(found.into_iter().map(|import| Import {
            re_exports,
            ..import
        }));
        place = end;
    }
    (rest, imports)
}

/// The names of a tree of a `use` declaration that begins here, and where it ends.
fn tree(tokens: &[Token], start: usize, before: &[String]) -> (Vec<Import>, usize) {
    let mut path = before.to_vec();
    let mut found = Vec::new();
    let mut place = start;
    let one = |path: Path, name: String, line: usize| Import {
        name,
        path,
        line,
        re_exports: false,
    };
    while let Some(token) = tokens.get(place) {
        match token.text.as_str() {
            ":" => {}
            "{" => {
                place += 1;
                while tokens.get(place).is_some_and(|token| token.text != "}") {
                    let (below, end) = tree(tokens, place, &path);
                    found.extend(below);
                    place = end;
                    if tokens.get(place).is_some_and(|token| token.text == ",") {
                        place += 1;
                    }
                }
                return (found, place + 1);
            }
            "," | "}" | ";" => {
                if path.last().is_some_and(|last| last == "self") && path.len() > 1 {
                    path.pop();
                }
                if let Some(name) = path.last().cloned() {
                    let line = tokens[place - 1].line;
                    found.push(one(path, name, line));
                }
                return (found, place);
            }
            "as" => {
                let name = tokens.get(place + 1).map_or("_", |name| &name.text);
                if path.last().is_some_and(|last| last == "self") && path.len() > 1 {
                    path.pop();
                }
                found.push(one(path, name.to_string(), token.line));
                return (found, place + 2);
            }
            word => path.push(word.to_string()),
        }
        place += 1;
    }
    (found, place)
}
