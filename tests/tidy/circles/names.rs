//! How the names in one file of a crate lead to another file.

use std::collections::BTreeMap;

use super::super::tokens::{Token, is_colons};
use super::source::{File, Import, Path};

/// How many re-exports of re-exports are followed.
const RE_EXPORTS: usize = 8;

/// A file uses another: where, and by which words.
#[derive(Clone, Debug)]
pub struct Edge {
    pub line: usize,
    pub words: String,
}

/// What a path leads to.
enum Target {
    /// Something that the file of this number defines.
    Item(usize),
    /// The module of this file.
    Module(usize),
}

/// All files of a crate, and how names lead from one to another.
pub struct Crate<'a> {
    files: &'a [File],
    modules: BTreeMap<&'a [String], usize>,
}

impl<'a> Crate<'a> {
    pub fn new(files: &'a [File]) -> Self {
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
    pub fn edges(&self, number: usize) -> BTreeMap<usize, Edge> {
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
