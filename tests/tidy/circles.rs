//! Circles of files: `a.rs` uses what `b.rs` defines, and `b.rs` uses what `a.rs` defines.
//!
//! Files of one crate are read as tokens. Every path in them (`crate::…`, `super::…`, the name of a
//! child module, an imported name) is followed to the file that defines what it names; a file that
//! only re-exports a name counts for nothing on the way. Test code does not count.

use std::collections::{BTreeMap, BTreeSet, VecDeque};

use super::tokens::{Token, is_colons, is_test_file, test_lines, tokens};

/// How many re-exports of re-exports are followed.
const RE_EXPORTS: usize = 8;

/// A path from the crate's root, such as `cli::args::Run`.
type Path = Vec<String>;

/// One file of a crate.
struct File {
    path: String,
    module: Path,
    tokens: Vec<Token>,
    /// What it defines itself.
    items: BTreeSet<String>,
    imports: Vec<Import>,
}

/// One name of a `use` declaration.
#[derive(Clone, Debug)]
struct Import {
    /// Under which name it can be used in the file; `*` for all names of a module.
    name: String,
    /// What it names, as it is written.
    path: Path,
    line: usize,
    re_exports: bool,
}

/// A file uses another: where, and by which words.
#[derive(Clone, Debug)]
struct Edge {
    line: usize,
    words: String,
}

/// The files that each file uses, by their numbers.
type Edges = Vec<BTreeMap<usize, Edge>>;

/// What a path leads to.
enum Target {
    /// Something that the file of this number defines.
    Item(usize),
    /// The module of this file.
    Module(usize),
}

/// The circles among those files of a crate that stand in a room: a folder, or the file of its
/// name.
///
/// `sources` are all files of the crate, with their texts.
pub fn circles(room: &str, sources: &[(String, String)]) -> Vec<String> {
    let files: Vec<File> = sources
        .iter()
        .filter(|(path, _)| !is_test_file(path))
        .map(|(path, text)| File::new(path, text))
        .collect();
    let crate_ = Crate::new(&files);
    let edges: Edges = (0..files.len()).map(|file| crate_.edges(file)).collect();
    let inside = |file: &usize| {
        let path = &files[*file].path;
        path.starts_with(&format!("{room}/")) || *path == format!("{room}.rs")
    };
    let inside: BTreeSet<usize> = (0..files.len()).filter(inside).collect();
    let mut found = Vec::new();
    let mut seen: BTreeSet<usize> = BTreeSet::new();
    for start in &inside {
        if seen.contains(start) {
            continue;
        }
        let Some(circle) = shortest(*start, &edges, &inside) else {
            continue;
        };
        let there = reached(*start, &edges, &inside);
        let knot: Vec<usize> = there
            .into_iter()
            .filter(|file| reached(*file, &edges, &inside).contains(start))
            .collect();
        seen.extend(&knot);
        found.push(told(&files, &edges, &circle, &knot));
    }
    found
}

/// The files that can be come to from a file, in a room.
fn reached(start: usize, edges: &Edges, inside: &BTreeSet<usize>) -> BTreeSet<usize> {
    let mut reached = BTreeSet::new();
    let mut open = vec![start];
    while let Some(file) = open.pop() {
        for next in edges[file].keys().filter(|next| inside.contains(next)) {
            if reached.insert(*next) {
                open.push(*next);
            }
        }
    }
    reached
}

/// The shortest way from a file back to itself.
fn shortest(start: usize, edges: &Edges, inside: &BTreeSet<usize>) -> Option<Vec<usize>> {
    let mut from: BTreeMap<usize, usize> = BTreeMap::new();
    let mut open = VecDeque::from([start]);
    while let Some(file) = open.pop_front() {
        for next in edges[file].keys().filter(|next| inside.contains(next)) {
            if *next == start {
                let mut way = vec![start, file];
                while let Some(before) = from.get(&way[way.len() - 1]) {
                    way.push(*before);
                }
                if file == start {
                    way.pop();
                }
                way.reverse();
                if way[0] != start {
                    way.insert(0, start);
                }
                return Some(way);
            }
            if !from.contains_key(next) {
                from.insert(*next, file);
                open.push_back(*next);
            }
        }
    }
    None
}

fn told(files: &[File], edges: &Edges, circle: &[usize], knot: &[usize]) -> String {
    let mut text = format!("a circle of files ({} in the knot):", knot.len());
    for step in circle.windows(2) {
        let (from, to) = (&files[step[0]], &files[step[1]]);
        let Edge { line, words } = &edges[step[0]][&step[1]];
        text.push_str(&format!(
            "\n    {}:{line}: `{words}` of {}",
            from.path, to.path
        ));
    }
    let names: Vec<&str> = knot.iter().map(|file| files[*file].path.as_str()).collect();
    format!("{text}\n    the knot: {}", names.join(", "))
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
    fn new(path: &str, text: &str) -> Self {
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

/// All files of a crate, and how names lead from one to another.
struct Crate<'a> {
    files: &'a [File],
    modules: BTreeMap<&'a [String], usize>,
}

impl<'a> Crate<'a> {
    fn new(files: &'a [File]) -> Self {
        let modules = files.iter().enumerate();
        let modules = modules.map(|(number, file)| (&file.module[..], number));
        Self {
            files,
            modules: modules.collect(),
        }
    }

    /// A path as it is written in a file, from the crate's root; `None` where it leads out of the
    /// crate.
    fn absolute(&self, file: &File, path: &[String], imports: bool) -> Option<Path> {
        let mut whole = file.module.clone();
        let mut words = path.iter().peekable();
        match words.peek()?.as_str() {
            "crate" => {
                words.next();
                whole.clear();
            }
            "self" => drop(words.next()),
            "super" => {
                while words.next_if(|word| *word == "super").is_some() {
                    whole.pop();
                }
            }
            first => {
                let child: Path = whole.iter().cloned().chain([first.to_string()]).collect();
                if !self.modules.contains_key(&child[..]) {
                    let import = file.imports.iter().find(|import| import.name == *first);
                    let import = import.filter(|_| imports)?;
                    words.next();
                    whole = self.absolute(file, &import.path, false)?;
                }
            }
        }
        whole.extend(words.cloned());
        Some(whole)
    }

    /// What a path from the crate's root names.
    fn target(&self, path: &[String], re_exports: usize) -> Option<Target> {
        let mut module = Vec::new();
        for (place, word) in path.iter().enumerate() {
            module.push(word.clone());
            if self.modules.contains_key(&module[..]) {
                continue;
            }
            module.pop();
            let number = *self.modules.get(&module[..])?;
            let file = &self.files[number];
            if file.items.contains(word) || re_exports == 0 {
                return Some(Target::Item(number));
            }
            let below = |import: &Import, rest: &[String]| {
                let mut whole = self.absolute(file, &import.path, false)?;
                whole.extend_from_slice(rest);
                self.target(&whole, re_exports - 1)
            };
            if let Some(import) = file.imports.iter().find(|import| import.name == *word) {
                return below(import, &path[place + 1..]);
            }
            for glob in file.imports.iter().filter(|import| import.name == "*") {
                let module = Import {
                    path: glob.path[..glob.path.len() - 1].to_vec(),
                    ..glob.clone()
                };
                if let Some(Target::Item(found)) = below(&module, &path[place..])
                    && self.files[found].items.contains(word)
                {
                    return Some(Target::Item(found));
                }
            }
            return Some(Target::Item(number));
        }
        self.modules.get(&module[..]).copied().map(Target::Module)
    }

    /// The files that a file uses.
    fn edges(&self, number: usize) -> BTreeMap<usize, Edge> {
        let file = &self.files[number];
        let mut edges = BTreeMap::new();
        let mut add = |to: usize, line: usize, words: &[String]| {
            if to != number {
                let words = words.join("::");
                edges.entry(to).or_insert(Edge { line, words });
            }
        };
        let named = |name: &str| file.tokens.iter().any(|token| token.text == name);
        for import in &file.imports {
            let glob = import.name == "*";
            let path = &import.path[..import.path.len() - usize::from(glob)];
            let target = self
                .absolute(file, path, false)
                .and_then(|path| self.target(&path, RE_EXPORTS));
            match target {
                Some(Target::Item(to)) if !import.re_exports || named(&import.name) => {
                    add(to, import.line, path);
                }
                Some(Target::Module(to)) if glob && !import.re_exports => {
                    add(to, import.line, path);
                }
                // A module's name is followed where it is used.
                _ => {}
            }
        }
        let mut place = 0;
        while place < file.tokens.len() {
            let (path, end) = path_at(&file.tokens, place);
            if path.len() > 1
                && let Some(whole) = self.absolute(file, &path, true)
                && let Some(Target::Item(to) | Target::Module(to)) = self.target(&whole, RE_EXPORTS)
            {
                add(to, file.tokens[place].line, &path);
            }
            place = end;
        }
        edges
    }
}

/// The path that begins at a token, and where it ends: at least one token further.
fn path_at(tokens: &[Token], start: usize) -> (Path, usize) {
    let is_word = |place: usize| {
        tokens.get(place).is_some_and(|token: &Token| {
            token
                .text
                .starts_with(|c: char| c == '_' || c.is_alphabetic())
        })
    };
    let mut path = Vec::new();
    let mut place = start;
    while is_word(place) {
        path.push(tokens[place].text.clone());
        place += 1;
        if !(is_colons(tokens, place) && is_word(place + 2)) {
            break;
        }
        place += 2;
    }
    (path, place.max(start + 1))
}

fn made_up(files: &[(&str, &str)]) -> Vec<String> {
    let files: Vec<(String, String)> = files
        .iter()
        .map(|(path, text)| (format!("src/{path}"), text.to_string()))
        .collect();
    circles("src/room", &files)
}

#[test]
fn circles_of_files_are_found() {
    let root = ("room/mod.rs", "mod a; mod b; mod c; pub use a::A;");
    let wrong: [&[(&str, &str)]; 10] = [
        // By name, by module, through a re-export, through a chain.
        &[
            root,
            ("room/a.rs", "use super::b::B; pub struct A;"),
            ("room/b.rs", "use crate::room::a::A; pub struct B;"),
        ],
        &[
            root,
            ("room/a.rs", "use super::b; fn f() { b::g() }"),
            ("room/b.rs", "fn g() { super::a::f() }"),
        ],
        &[
            root,
            ("room/a.rs", "use super::b::B; pub struct A;"),
            ("room/b.rs", "use super::A; pub struct B;"),
        ],
        &[
            root,
            ("room/a.rs", "use super::b::B; pub struct A;"),
            ("room/b.rs", "use super::c::{self, C}; pub struct B;"),
            ("room/c.rs", "use super::{A as First}; pub struct C;"),
        ],
        // A file and the one in the folder of its name.
        &[
            root,
            ("room/a.rs", "mod part; use part::P; pub struct A;"),
            ("room/a/part.rs", "use super::A; pub struct P;"),
        ],
        &[
            root,
            ("room/a.rs", "mod part; pub use part::P; pub struct A(P);"),
            ("room/a/part.rs", "use super::A; pub struct P;"),
        ],
        // By a path that is no import.
        &[
            root,
            ("room/a.rs", "pub struct A(pub crate::room::b::B);"),
            (
                "room/b.rs",
                "pub(in crate::room) struct B(Box<super::a::A>);",
            ),
        ],
        // The room's own file.
        &[
            ("room/mod.rs", "mod a; pub struct R; fn f() { a::g() }"),
            ("room/a.rs", "pub fn g() { super::R }"),
        ],
        // All names of a module.
        &[
            ("room/mod.rs", "mod a; mod b; pub use a::*;"),
            ("room/a.rs", "use super::b::B; pub struct A;"),
            ("room/b.rs", "use super::A; pub struct B;"),
        ],
        // A macro.
        &[
            root,
            (
                "room/a.rs",
                "macro_rules! say { () => {} } pub(super) use say; use super::b::B;",
            ),
            ("room/b.rs", "use super::a::say; pub struct B;"),
        ],
    ];
    for files in wrong {
        assert_eq!(made_up(files).len(), 1, "{files:?}");
    }
    let right: [&[(&str, &str)]; 7] = [
        // Re-exports alone are no use.
        &[
            root,
            ("room/a.rs", "pub struct A;"),
            ("room/b.rs", "use super::A;"),
        ],
        &[
            root,
            ("room/a.rs", "mod part; mod other; pub use part::P;"),
            ("room/a/part.rs", "use super::other::O; pub struct P;"),
            ("room/a/other.rs", "pub struct O;"),
        ],
        // Test code, comments and strings.
        &[
            root,
            ("room/a.rs", "use super::b::B; pub struct A;"),
            (
                "room/b.rs",
                "pub struct B;\n// super::a::A\n#[cfg(test)]\nmod tests { use super::super::a::A; }",
            ),
        ],
        &[
            root,
            ("room/a.rs", "use super::b::B; pub struct A;"),
            ("room/b/tests.rs", "use crate::room::a::A;"),
            (
                "room/b.rs",
                "pub struct B; const X: &str = \"super::a::A\";",
            ),
        ],
        // Who may use something.
        &[
            ("room/mod.rs", "mod a; fn f() { a::g() }"),
            (
                "room/a.rs",
                "pub(in crate::room) fn g() {} pub(in super) use std::b::B;",
            ),
        ],
        // Foreign names, and those of other rooms.
        &[
            root,
            ("room/a.rs", "use super::b::B; pub struct A;"),
            (
                "room/b.rs",
                "use std::a::A; use other::room::a; pub struct B; fn f() { Self::A }",
            ),
        ],
        &[
            ("room/mod.rs", "mod a;"),
            ("room/a.rs", "use crate::other::O; pub struct A;"),
            ("other.rs", "use crate::room::a::A; pub struct O;"),
        ],
    ];
    for files in right {
        assert_eq!(made_up(files), Vec::<String>::new(), "{files:?}");
    }
    let found = made_up(&[
        root,
        ("room/a.rs", "use super::b::B;\npub struct A;"),
        ("room/b.rs", "\nuse crate::room::a::A; pub struct B;"),
    ]);
    let steps = "src/room/a.rs:1: `super::b::B` of src/room/b.rs\n    src/room/b.rs:2: `crate::room::a::A` of src/room/a.rs";
    assert!(found[0].contains(steps), "{}", found[0]);
}
