//! What the compiler does not check: which module may use which, where foreign and unsafe code may
//! stand, how long a file may get, and that nothing of one machine gets into the repository.
//!
//! The checker reads tokens, not lines, so that comments and strings count for nothing. Its own
//! tests at the end show it made-up sources that break each rule.

use std::collections::BTreeSet;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

mod tidy {
    pub mod circles;
}

/// Folders with the sources of a crate, or with a part of them, in which no two files may use each
/// other, neither directly nor through others.
const ROOMS: [&str; 1] = ["src/cli"];

/// Modules that import nothing of the crate, and that everybody may import.
const LEAVES: [&str; 4] = ["model", "child", "clock", "error"];

/// What each module may import beside itself and the leaves. `lib.rs` may import everything.
const EDGES: &[(&str, &[&str])] = &[
    ("model", &[]),
    ("child", &[]),
    ("clock", &[]),
    ("error", &[]),
    ("instrument", &[]),
    ("snapshot", &[]),
    ("wasi", &[]),
    ("engine", &[]),
    ("store", &[]),
    ("task", &["instrument", "snapshot", "wasi", "engine"]),
    (
        "fuzzing",
        &["instrument", "snapshot", "wasi", "task", "server"],
    ),
    ("scheduler", &["task", "store"]),
    ("server", &["scheduler", "store"]),
    (
        "cli",
        &[
            "instrument",
            "snapshot",
            "wasi",
            "engine",
            "store",
            "task",
            "scheduler",
            "server",
        ],
    ),
    ("main", &[]),
];

/// Foreign crates that one file alone may name.
const FOREIGN: [(&str, &str); 7] = [
    ("age", "src/snapshot/seal.rs"),
    ("minisign", "src/snapshot/seal.rs"),
    ("binaryen", "src/instrument/binaryen.rs"),
    ("binaryen_sys", "src/instrument/binaryen.rs"),
    ("wasmedge_sdk", "src/engine/wasmedge.rs"),
    ("wasmedge_sys", "src/engine/wasmedge.rs"),
    ("wasmtime", "src/engine/wasmtime.rs"),
];

/// The files that may contain `unsafe`.
const UNSAFE: [&str; 12] = [
    "src/child.rs",
    "src/engine/interrupt.rs",
    "src/engine/mod.rs",
    "src/engine/wasmedge.rs",
    "src/engine/wasmedge/faults.rs",
    "src/engine/wasmedge/host.rs",
    "src/engine/wasmedge/library.rs",
    "src/engine/wasmtime.rs",
    "src/instrument/binaryen.rs",
    "src/scheduler/budget/trim.rs",
    "src/scheduler/reactor.rs",
    "src/task/program.rs",
];

/// How many lines a source file may have.
const MAX_LINES: usize = 500;

/// How far above its `unsafe` a `SAFETY` comment may stand, in lines.
const SAFETY_DISTANCE: usize = 3;

/// Hosts that tracked files may name in addresses; everything else comes through package managers.
const HOSTS: [&str; 8] = [
    // This machine itself, whichever it is.
    "127.0.0.1",
    "github.com",
    "www.apache.org",
    "docs.rs",
    "webassembly.github.io",
    "example.invalid",
    "example.com",
    // The name of SVG's own vocabulary.
    "www.w3.org",
];

#[test]
fn modules_import_only_what_they_may() {
    nothing(each_source(edges));
}

#[test]
fn files_do_not_use_each_other_in_circles() {
    let mut found = Vec::new();
    for room in ROOMS {
        // All files of the room's crate: names lead through any of them.
        let sources = room.split_once("src").map_or("", |(before, _)| before);
        let sources: Vec<(String, String)> = rust_files(&[&format!("{sources}src")])
            .into_iter()
            .map(|path| (path.clone(), read(&path)))
            .collect();
        assert!(
            sources
                .iter()
                .filter(|(path, _)| path.starts_with(room))
                .count()
                > 1,
            "{room}: there are no files in this room"
        );
        found.extend(tidy::circles::circles(room, &sources));
    }
    nothing(found);
}

#[test]
fn foreign_code_stands_in_one_file_each() {
    nothing(each_source(foreign));
}

#[test]
fn unsafe_code_is_where_it_may_be_and_says_why() {
    nothing(each_source(unsafe_code));
}

#[test]
fn nothing_panics_without_a_reason() {
    nothing(each_source(panics));
}

#[test]
fn sources_are_short() {
    nothing(each_source(length));
}

#[test]
fn every_file_says_what_it_is() {
    nothing(
        rust_files(&[
            "src",
            "tests",
            "examples",
            "benches",
            "fuzz/targets",
            "fuzz/fuzz_targets",
        ])
        .iter()
        .flat_map(|path| header(path, &read(path)))
        .collect(),
    );
}

/// `wasm/build.sh` makes files that nobody executes. A guest that was tracked as executable changed
/// whenever it was built, and with it the checkout.
#[test]
fn guests_are_tracked_as_they_are_built() {
    let staged = git_files(&["--stage", "wasm/bin"]).unwrap_or_default();
    nothing(
        staged
            .into_iter()
            .filter(|line| !line.starts_with("100644 "))
            .collect(),
    );
}

#[test]
fn nothing_of_one_machine_is_tracked() {
    let mut found = Vec::new();
    // What fuzzers have found is no text.
    let is_text = |path: &String| !path.starts_with("fuzz/corpus/");
    for path in repository_files().into_iter().filter(is_text) {
        // Binary files hold no text to check; files deleted but not yet committed hold nothing.
        if let Ok(text) = fs::read_to_string(root().join(&path)) {
            found.extend(machine(&path, &text));
        }
    }
    nothing(found);
}

/// A pattern in `.gitignore` once hid a whole module.
#[test]
fn no_source_is_ignored_by_git() {
    let arguments = ["--others", "--ignored", "--exclude-standard", "--"];
    let folders = ["src", "tests", "examples", "benches", "wasm/src"];
    let ignored = git_files(&[&arguments[..], &folders[..]].concat()).unwrap_or_default();
    nothing(
        ignored
            .into_iter()
            .filter(|path| !path.contains("__pycache__"))
            .map(|path| format!("{path}: git ignores it"))
            .collect(),
    );
}

#[test]
fn every_module_has_a_rule() {
    let ruled = |module: &str| module == "lib" || EDGES.iter().any(|(name, _)| *name == module);
    let modules: BTreeSet<String> = rust_files(&["src"]).iter().map(|p| module_of(p)).collect();
    nothing(
        modules
            .into_iter()
            .filter(|module| !ruled(module))
            .map(|module| format!("src/{module}: say in tests/tidy.rs what it may import"))
            .collect(),
    );
}

// The rules. Each takes a path from the repository's root and a text, and gives what is wrong.

fn edges(path: &str, text: &str) -> Vec<String> {
    let own = module_of(path);
    if own == "lib" {
        return Vec::new();
    }
    let allowed = EDGES.iter().find(|(name, _)| *name == own);
    let allowed = allowed.map_or(&[][..], |(_, modules)| modules);
    let is_leaf = LEAVES.contains(&own.as_str());
    imports(path, text)
        .into_iter()
        .filter(|(_, module)| {
            let leaf = LEAVES.contains(&module.as_str()) && !is_leaf && own != "main";
            // What the façade re-exports hides where it comes from, except from the command line.
            let facade = own == "cli" && module.starts_with(char::is_uppercase);
            !(*module == own || leaf || facade || allowed.contains(&module.as_str()))
        })
        .map(|(line, module)| format!("{path}:{line}: `{own}` must not import `{module}`"))
        .collect()
}

fn foreign(path: &str, text: &str) -> Vec<String> {
    let tokens = tokens(text);
    let mut found = Vec::new();
    for (place, token) in tokens.iter().enumerate() {
        let report = |name: &str, home: &str| {
            let line = token.line;
            format!("{path}:{line}: only {home} may use `{name}`")
        };
        for (name, home) in FOREIGN {
            // A module of our own may bear the crate's name: its sibling says `binaryen::` of it.
            let sibling = module_of(path) == module_of(home) && path.ends_with("/mod.rs");
            let imported = place > 0 && tokens[place - 1].text == "use";
            let is_path = token.text == name && is_colons(&tokens, place + 1);
            let below = place > 1 && is_colons(&tokens, place - 2);
            // A file may have its own parts beside it, in the folder of its name.
            let part = path.starts_with(&format!("{}/", home.trim_end_matches(".rs")));
            if path != home && !part && is_path && (imported || !(sibling || below)) {
                found.push(report(name, home));
            }
        }
        let home = "src/instrument/binaryen.rs";
        if path != home && token.text.starts_with("Binaryen") && is_name_of_c(&token.text) {
            found.push(report(&token.text, home));
        }
    }
    found
}

/// `BinaryenModuleRead`, but not an error variant `Binaryen`.
fn is_name_of_c(name: &str) -> bool {
    name.len() > "Binaryen".len()
}

fn unsafe_code(path: &str, text: &str) -> Vec<String> {
    let lines: Vec<&str> = text.lines().collect();
    let tokens = tokens(text);
    let mut found = Vec::new();
    for (place, token) in tokens.iter().enumerate() {
        if token.text != "unsafe" {
            continue;
        }
        let line = token.line;
        if !UNSAFE.contains(&path) {
            found.push(format!("{path}:{line}: `unsafe` is not allowed here"));
        }
        // `unsafe fn` asks for something; what it asks for stands in the trait's documentation.
        let declares = tokens.get(place + 1).is_some_and(|next| next.text == "fn");
        let above = &lines[(line - 1).saturating_sub(SAFETY_DISTANCE)..line - 1];
        if !declares && !above.iter().any(|line| line.contains("// SAFETY:")) {
            found.push(format!(
                "{path}:{line}: `unsafe` without a `SAFETY` comment"
            ));
        }
    }
    found
}

fn panics(path: &str, text: &str) -> Vec<String> {
    let lines: Vec<&str> = text.lines().collect();
    let tokens = tokens(text);
    let tests = test_lines(&tokens);
    let mut found = Vec::new();
    for (place, token) in tokens.iter().enumerate() {
        let next = tokens.get(place + 1).map_or("", |next| &next.text);
        let method = place > 0 && tokens[place - 1].text == "." && next == "(";
        let panics = match token.text.as_str() {
            "unwrap" | "expect" => method,
            "panic" | "unreachable" | "todo" | "unimplemented" => next == "!",
            _ => false,
        };
        let reasoned = token.line > 1 && lines[token.line - 2].trim_start().starts_with("//");
        if panics && !reasoned && !tests.contains(&token.line) && !is_test_file(path) {
            let (line, name) = (token.line, &token.text);
            found.push(format!("{path}:{line}: `{name}` without a reason above it"));
        }
    }
    found
}

fn length(path: &str, text: &str) -> Vec<String> {
    let count = text.lines().count();
    match count > MAX_LINES {
        true => vec![format!("{path}: {count} lines, more than {MAX_LINES}")],
        false => Vec::new(),
    }
}

fn header(path: &str, text: &str) -> Vec<String> {
    match text.starts_with("//!") {
        true => Vec::new(),
        false => vec![format!("{path}: does not start with `//!`")],
    }
}

fn machine(path: &str, text: &str) -> Vec<String> {
    // Put together here, or this file would contain them.
    let folders: [String; 5] =
        ["root/", "home/", "tmp/w/", "work/main", "work/shared"].map(|folder| format!("/{folder}"));
    // `/work` is what tests call the directory that a guest is given.
    let guest_name = "/work/".to_string();
    let guests = path.starts_with("wasm/") || path.starts_with("tests/");
    let mut found = Vec::new();
    for (number, line) in (1..).zip(text.lines()) {
        let guest_name = (!guests).then_some(&guest_name);
        for folder in folders.iter().chain(guest_name) {
            // Not the end of a longer path, as in `src/root/`.
            let starts = line.match_indices(folder.as_str()).any(|(at, _)| {
                let before = line[..at].chars().next_back();
                !before.is_some_and(|c| c.is_alphanumeric() || "._-~}".contains(c))
            });
            if starts {
                found.push(format!("{path}:{number}: the path {folder} of one machine"));
            }
        }
        for (at, scheme) in line.match_indices("://") {
            let rest = &line[at + scheme.len()..];
            let end = rest.find(|c: char| !(c.is_ascii_alphanumeric() || ".-".contains(c)));
            let host = &rest[..end.unwrap_or(rest.len())];
            if host.contains('.') && !HOSTS.contains(&host) {
                found.push(format!(
                    "{path}:{number}: the host {host} is not in the list"
                ));
            }
        }
    }
    found
}

// The reader.

/// A name, a number or one character of punctuation, with its line.
#[derive(Clone, Debug)]
struct Token {
    text: String,
    line: usize,
}

/// The tokens of a source, without comments, strings and characters.
fn tokens(text: &str) -> Vec<Token> {
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

fn is_colons(tokens: &[Token], place: usize) -> bool {
    let is = |place: usize| tokens.get(place).is_some_and(|token| token.text == ":");
    is(place) && is(place + 1)
}

/// Lines inside items marked `#[cfg(test)]`.
fn test_lines(tokens: &[Token]) -> BTreeSet<usize> {
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
fn is_test_file(path: &str) -> bool {
    path.ends_with("/tests.rs") || path.contains("/tests/")
}

/// The crate's own modules that a file names: by `crate::…`, or by enough `super`s.
fn imports(path: &str, text: &str) -> Vec<(usize, String)> {
    let tokens = tokens(text);
    let mut found = Vec::new();
    let mut depth = 0;
    // Brace depths at which inline modules were opened.
    let mut inline: Vec<usize> = Vec::new();
    let mut place = 0;
    while place < tokens.len() {
        let token = &tokens[place];
        match token.text.as_str() {
            "{" => {
                let named = place >= 2 && tokens[place - 2].text == "mod";
                depth += 1;
                if named {
                    inline.push(depth);
                }
            }
            "}" => {
                if inline.last() == Some(&depth) {
                    inline.pop();
                }
                depth = depth.saturating_sub(1);
            }
            "crate" if is_colons(&tokens, place + 1) => {
                found.extend(heads(&tokens, place + 3));
            }
            "dormouse" if is_colons(&tokens, place + 1) && module_of(path) != "main" => {
                found.extend(heads(&tokens, place + 3));
            }
            "super" => {
                let mut supers = 1;
                while is_colons(&tokens, place + 1)
                    && tokens.get(place + 3).is_some_and(|t| t.text == "super")
                {
                    supers += 1;
                    place += 3;
                }
                if supers >= module_depth(path) + inline.len() && is_colons(&tokens, place + 1) {
                    found.extend(heads(&tokens, place + 3));
                }
            }
            _ => {}
        }
        place += 1;
    }
    found
}

/// The first names of the paths that begin here: one, or those of a group in braces.
fn heads(tokens: &[Token], start: usize) -> Vec<(usize, String)> {
    let Some(first) = tokens.get(start) else {
        return Vec::new();
    };
    if first.text != "{" {
        return vec![(first.line, first.text.clone())];
    }
    let mut found = Vec::new();
    let mut depth = 0;
    for (place, token) in tokens.iter().enumerate().skip(start) {
        match token.text.as_str() {
            "{" => depth += 1,
            "}" => depth -= 1,
            "," => {}
            _ if depth == 1 && ["{", ","].contains(&tokens[place - 1].text.as_str()) => {
                found.push((token.line, token.text.clone()));
            }
            _ => {}
        }
        if depth == 0 {
            break;
        }
    }
    found
}

/// The module directly below the crate's root: `src/task/host.rs` belongs to `task`.
fn module_of(path: &str) -> String {
    let path = path.strip_prefix("src/").unwrap_or(path);
    let first = path.split('/').next().unwrap_or(path);
    first.trim_end_matches(".rs").to_string()
}

/// How many `super`s lead from a file's own module to the crate's root.
fn module_depth(path: &str) -> usize {
    let parts = path.split('/').skip(1).count();
    match path.ends_with("/mod.rs") {
        true => parts - 1,
        false => parts,
    }
}

// Files.

fn root() -> &'static Path {
    Path::new(env!("CARGO_MANIFEST_DIR"))
}

fn read(path: &str) -> String {
    fs::read_to_string(root().join(path)).unwrap_or_else(|error| panic!("{path}: {error}"))
}

fn each_source(rule: fn(&str, &str) -> Vec<String>) -> Vec<String> {
    let sources = rust_files(&["src"]);
    assert!(sources.len() > 10, "there are hardly any sources in src/");
    sources
        .iter()
        .flat_map(|path| rule(path, &read(path)))
        .collect()
}

fn rust_files(folders: &[&str]) -> Vec<String> {
    let mut files = Vec::new();
    for folder in folders {
        walk(&root().join(folder), &mut files);
    }
    files.retain(|path| path.ends_with(".rs"));
    files
}

/// Every file below a folder, as paths from the repository's root.
fn walk(folder: &Path, files: &mut Vec<String>) {
    let mut entries: Vec<PathBuf> = fs::read_dir(folder)
        .into_iter()
        .flatten()
        .flatten()
        .map(|entry| entry.path())
        .collect();
    entries.sort();
    for path in entries {
        let relative = path.strip_prefix(root()).unwrap_or(&path);
        let relative = relative.to_string_lossy().into_owned();
        if !path.is_dir() {
            files.push(relative);
        } else if ![".git", "target", "snapshots/local"].contains(&relative.as_str()) {
            walk(&path, files);
        }
    }
}

/// What is in the repository or is about to be; without git, everything that is there.
fn repository_files() -> Vec<String> {
    git_files(&["--cached", "--others", "--exclude-standard"]).unwrap_or_else(|| {
        let mut files = Vec::new();
        walk(root(), &mut files);
        files
    })
}

fn git_files(arguments: &[&str]) -> Option<Vec<String>> {
    let output = Command::new("git")
        .arg("-C")
        .arg(root())
        .args(["ls-files", "-z"])
        .args(arguments)
        .output()
        .ok()?;
    let names = String::from_utf8_lossy(&output.stdout).into_owned();
    output
        .status
        .success()
        .then(|| names.split_terminator('\0').map(str::to_string).collect())
}

fn nothing(found: Vec<String>) {
    assert!(found.is_empty(), "\n{}\n", found.join("\n"));
}

// The checker itself.

#[test]
fn broken_edges_are_found() {
    let wrong = [
        ("src/wasi/fd.rs", "use crate::engine::Engine;"),
        ("src/wasi/fd.rs", "use super::super::engine::Engine;"),
        ("src/wasi/fd.rs", "fn f() { crate::snapshot::diff() }"),
        ("src/wasi/fd.rs", "use crate::Error;"),
        ("src/wasi/mod.rs", "use super::task::Task;"),
        (
            "src/wasi/deep/er.rs",
            "use super::super::super::task::Task;",
        ),
        (
            "src/engine/mod.rs",
            "use crate::{\n  model::{Value, Wait},\n  wasi,\n};",
        ),
        (
            "src/store/mod.rs",
            "mod tests { use super::super::snapshot; }",
        ),
        ("src/model/wait.rs", "use crate::error::Error;"),
        ("src/clock.rs", "use super::model::Wait;"),
        ("src/task/mod.rs", "use crate::scheduler::run;"),
        ("src/scheduler/mod.rs", "use crate::engine::EngineKind;"),
        ("src/server/mod.rs", "use crate::task::Task;"),
        ("src/main.rs", "use crate::task::Task;"),
        (
            "src/wasi/x.rs",
            "const A: char = '\"'; use crate::cli::main;",
        ),
    ];
    for (path, text) in wrong {
        assert_eq!(edges(path, text).len(), 1, "{path}: {text}");
    }
    let right = [
        (
            "src/wasi/fd.rs",
            "use crate::model::{Wait, Value}; use super::abi;",
        ),
        (
            "src/wasi/fd.rs",
            "// use crate::engine::Engine;\n/* crate::task */",
        ),
        (
            "src/wasi/fd.rs",
            "const A: &str = \"crate::task\"; const B: &str = r#\"\"crate::cli\"#;",
        ),
        (
            "src/wasi/fd.rs",
            "mod tests { use super::super::abi; } pub(crate) fn f() {}",
        ),
        (
            "src/wasi/fd.rs",
            "fn f<'a>(x: &'a str) { crate::wasi::g('\\'', x) }",
        ),
        (
            "src/task/mod.rs",
            "use crate::{engine, wasi::Ctx, clock::Clock};",
        ),
        (
            "src/cli/run.rs",
            "use crate::{Error, scheduler}; $crate::cli::text::line();",
        ),
        ("src/main.rs", "fn main() { dormouse::cli::main() }"),
        ("src/lib.rs", "pub use task::Task; use crate::wasi;"),
    ];
    for (path, text) in right {
        assert_eq!(edges(path, text), Vec::<String>::new(), "{path}: {text}");
    }
    assert_eq!(
        edges("src/engine/mod.rs", "\n\nuse crate::wasi;"),
        ["src/engine/mod.rs:3: `engine` must not import `wasi`"]
    );
}

#[test]
fn foreign_code_elsewhere_is_found() {
    let wrong = [
        ("src/task/mod.rs", "use wasmedge_sdk::Vm;"),
        ("src/engine/mod.rs", "use wasmtime::Engine;"),
        ("src/engine/asyncify.rs", "fn f() { wasmedge_sys::g() }"),
        ("src/instrument/surface.rs", "use binaryen::Module;"),
        (
            "src/instrument/surface.rs",
            "fn f() { ffi::BinaryenModuleOptimize(raw) }",
        ),
        ("src/cli/build.rs", "fn f() { binaryen::g() }"),
    ];
    for (path, text) in wrong {
        assert_eq!(foreign(path, text).len(), 1, "{path}: {text}");
    }
    let right = [
        ("src/engine/wasmtime.rs", "use wasmtime::Engine;"),
        (
            "src/engine/mod.rs",
            "mod wasmtime; fn f() { wasmtime::Wasmtime::new() }",
        ),
        ("src/instrument/mod.rs", "let a = binaryen::Asyncify { b };"),
        ("src/instrument/surface.rs", "return Err(Error::Binaryen);"),
    ];
    for (path, text) in right {
        assert_eq!(foreign(path, text), Vec::<String>::new(), "{path}: {text}");
    }
}

#[test]
fn bad_unsafe_code_is_found() {
    let bare = "fn f() {\n    unsafe { g() }\n}";
    let far = "// SAFETY: yes.\n\n\n\nfn f() { unsafe { g() } }";
    let good = "// SAFETY: yes.\nunsafe { g() }\nunsafe fn h() {}";
    assert_eq!(unsafe_code("src/task/program.rs", bare).len(), 1);
    assert_eq!(unsafe_code("src/task/program.rs", far).len(), 1);
    assert_eq!(unsafe_code("src/task/mod.rs", bare).len(), 2);
    assert!(unsafe_code("src/task/program.rs", good).is_empty());
    assert!(unsafe_code("src/task/mod.rs", "// unsafe\n\"unsafe\"").is_empty());
}

#[test]
fn panics_without_a_reason_are_found() {
    let path = "src/task/mod.rs";
    for wrong in [
        "x.unwrap();",
        "x\n    .expect(\"y\");",
        "panic!()",
        "todo!()",
    ] {
        assert_eq!(panics(path, wrong).len(), 1, "{wrong}");
    }
    for right in [
        "// It was put there above.\nx.unwrap();",
        "#[cfg(test)]\nmod tests {\n    fn f() {\n        x.unwrap();\n    }\n}",
        "//! x.unwrap()\nx.unwrap_or(y);",
    ] {
        assert!(panics(path, right).is_empty(), "{right}");
    }
    let after = "#[cfg(test)]\nmod tests {\n}\nfn f() {\n    x.unwrap()\n}";
    assert_eq!(panics(path, after).len(), 1);
}

#[test]
fn other_rules_find_what_they_should() {
    assert_eq!(length("src/a.rs", &"\n".repeat(MAX_LINES + 1)).len(), 1);
    assert!(length("src/a.rs", &"\n".repeat(MAX_LINES)).is_empty());
    assert_eq!(header("src/a.rs", "// A module.").len(), 1);
    assert!(header("src/a.rs", "//! A module.").is_empty());

    let home = format!("cd /{}/x", "root");
    let guest = format!("open(\"/{}/x\")", "work");
    let host = format!("https:{}registry.example.net/simple", "//");
    assert_eq!(machine("Makefile", &home).len(), 1);
    assert_eq!(machine("Makefile", &guest).len(), 1);
    assert_eq!(machine("Makefile", &host).len(), 1);
    assert!(machine("wasm/src/c/x.c", &guest).is_empty());
    assert!(machine("README.md", "https://github.com/rust-lang src/root/x").is_empty());
}
