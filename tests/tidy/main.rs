//! What neither cargo nor a lint can say: which crate may use which, where foreign code may stand, how
//! long a file may get, and that nothing of one machine gets into the repository.
//!
//! The checker reads tokens, not lines, so that comments and strings count for nothing. Its own
//! tests at the end show it made-up sources that break each rule.

#![allow(
    clippy::expect_used,
    clippy::panic,
    clippy::too_many_lines,
    clippy::unreachable,
    clippy::unwrap_used,
    reason = "a test may fail"
)]

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

mod circles;
mod pages;
mod tokens;

use tokens::{is_colons, tokens};

/// Folders with the sources of a crate, or with a part of them, in which no two files and no two folders
/// may use each other, neither directly nor through others.
const ROOMS: [&str; 9] = [
    "crates/daemon/src",
    "crates/engine/src",
    "crates/instrument/src",
    "crates/model/src",
    "crates/snapshot/src",
    "crates/store/src",
    "crates/task/src",
    "crates/wasi/src",
    "src/cli",
];

/// What each crate of the workspace may depend on. Cargo holds what a crate names in its
/// `Cargo.toml`; this holds what it may name there.
const EDGES: &[(&str, &[&str])] = &[
    ("model", &[]),
    ("child", &[]),
    ("snapshot", &["model"]),
    ("wasi", &["model"]),
    // The server that its tests start, which those of the daemon start as well.
    ("store", &["model", "test-support"]),
    ("instrument", &["child", "model"]),
    ("engine", &["child", "model"]),
    (
        "task",
        &["child", "engine", "instrument", "model", "snapshot", "wasi"],
    ),
    ("daemon", &["model", "store", "task"]),
];

/// Foreign crates that one file alone may name.
const FOREIGN: [(&str, &str); 8] = [
    ("age", "crates/snapshot/src/seal.rs"),
    ("minisign", "crates/snapshot/src/seal.rs"),
    ("binaryen", "crates/instrument/src/binaryen/mod.rs"),
    ("binaryen_sys", "crates/instrument/src/binaryen/mod.rs"),
    ("wasmedge_sdk", "crates/engine/src/wasmedge/mod.rs"),
    ("wasmedge_sys", "crates/engine/src/wasmedge/mod.rs"),
    ("wasmtime", "crates/engine/src/wasmtime/mod.rs"),
    (
        "wasmtime_environ",
        "crates/instrument/src/component/translate/mod.rs",
    ),
];

/// How many lines a source file may have.
const MAX_LINES: usize = 500;

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
fn crates_depend_only_on_what_they_may() {
    let mut found = Vec::new();
    for entry in fs::read_dir(root().join("crates"))
        .expect("crates/")
        .flatten()
    {
        let name = entry.file_name().to_string_lossy().into_owned();
        found.extend(edges(&name, &read(&format!("crates/{name}/Cargo.toml"))));
    }
    nothing(found);
}

#[test]
fn neither_files_nor_folders_use_each_other_in_circles() {
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
        found.extend(circles::circles(room, &sources));
    }
    nothing(found);
}

#[test]
fn foreign_code_stands_in_one_file_each() {
    nothing(each_source(foreign));
}

#[test]
fn sources_are_short() {
    nothing(each_rust_file(length));
}

#[test]
fn every_file_says_what_it_is() {
    nothing(each_rust_file(header));
}

/// A module is found where Rust looks for it by its name. What several tests need is a crate.
#[test]
fn no_module_says_where_its_file_is() {
    nothing(each_rust_file(placed));
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
    let folders = ["src", "crates", "tests", "examples", "benches", "wasm/src"];
    let ignored = git_files(&[&arguments[..], &folders[..]].concat()).unwrap_or_default();
    nothing(
        ignored
            .into_iter()
            .filter(|path| !path.contains("__pycache__"))
            .map(|path| format!("{path}: git ignores it"))
            .collect(),
    );
}

// The rules. Each takes a path from the repository's root and a text, and gives what is wrong.

/// What is wrong with the dependencies of the crate of this name; the text is its `Cargo.toml`.
fn edges(name: &str, text: &str) -> Vec<String> {
    let Some((_, allowed)) = EDGES.iter().find(|(ruled, _)| *ruled == name) else {
        return vec![format!(
            "crates/{name}: say in tests/tidy on which crates it may depend"
        )];
    };
    let mut section = "";
    let mut found = Vec::new();
    for (number, line) in (1..).zip(text.lines()) {
        if line.starts_with('[') {
            section = line;
        }
        let used = line.strip_prefix("dormouse-").map(|rest| {
            let end = rest.find(['.', ' ', '=']).unwrap_or(rest.len());
            &rest[..end]
        });
        if let Some(used) = used
            && section.ends_with("dependencies]")
            && !allowed.contains(&used)
        {
            found.push(format!(
                "crates/{name}/Cargo.toml:{number}: `{name}` must not depend on `{used}`"
            ));
        }
    }
    found
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
            // A file may have its own parts, in the folder of its name or beside its `mod.rs`.
            let folder = home.strip_suffix("/mod.rs");
            let folder = folder.unwrap_or(home.trim_end_matches(".rs"));
            let part = path.starts_with(&format!("{folder}/"));
            // A module of our own may bear the crate's name: its sibling says `binaryen::` of it.
            let sibling =
                Path::new(path).parent() == Path::new(folder).parent() && path.ends_with("/lib.rs");
            let imported = place > 0 && tokens[place - 1].text == "use";
            let is_path = token.text == name && is_colons(&tokens, place + 1);
            let below = place > 1 && is_colons(&tokens, place - 2);
            if path != home && !part && is_path && (imported || !(sibling || below)) {
                found.push(report(name, home));
            }
        }
        let home = "crates/instrument/src/binaryen/mod.rs";
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

/// Modules with an attribute that says where their file is.
fn placed(path: &str, text: &str) -> Vec<String> {
    const MARK: [&str; 4] = ["#", "[", "path", "="];
    let tokens = tokens(text);
    let marked = tokens.windows(MARK.len()).filter(|found| {
        let words = found.iter().map(|token| token.text.as_str());
        words.eq(MARK)
    });
    let lines = marked.map(|found| format!("{path}:{}: `#[path]`", found[0].line));
    lines.collect()
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

// Files.

fn root() -> &'static Path {
    Path::new(env!("CARGO_MANIFEST_DIR"))
}

fn read(path: &str) -> String {
    fs::read_to_string(root().join(path)).unwrap_or_else(|error| panic!("{path}: {error}"))
}

fn each_source(rule: fn(&str, &str) -> Vec<String>) -> Vec<String> {
    let sources = rust_files(&["src", "crates"]);
    assert!(sources.len() > 100, "there are hardly any sources");
    sources
        .iter()
        .flat_map(|path| rule(path, &read(path)))
        .collect()
}

/// What a rule finds in sources, tests, examples and the like.
fn each_rust_file(rule: fn(&str, &str) -> Vec<String>) -> Vec<String> {
    let folders = ["src", "crates", "tests", "examples", "benches", "fuzz"];
    let files = rust_files(&folders);
    files
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
        ("wasi", "[dependencies]\ndormouse-engine.workspace = true"),
        (
            "wasi",
            "[dev-dependencies]\ndormouse-task = { workspace = true }",
        ),
        (
            "model",
            "[dependencies]\nserde = \"1\"\ndormouse-child = \"0\"",
        ),
        ("nobody", "[dependencies]"),
    ];
    for (name, text) in wrong {
        assert_eq!(edges(name, text).len(), 1, "{name}: {text}");
    }
    let right = "[dependencies]\ndormouse-model.workspace = true\n[features]\ndormouse-task = []";
    assert!(edges("wasi", right).is_empty());
    assert_eq!(
        edges("wasi", wrong[0].1),
        ["crates/wasi/Cargo.toml:2: `wasi` must not depend on `engine`"]
    );
}

#[test]
fn foreign_code_elsewhere_is_found() {
    let wrong = [
        ("crates/task/src/lib.rs", "use wasmedge_sdk::Vm;"),
        ("crates/engine/src/lib.rs", "use wasmtime::Engine;"),
        (
            "crates/engine/src/asyncify.rs",
            "fn f() { wasmedge_sys::g() }",
        ),
        ("crates/instrument/src/pipeline.rs", "use binaryen::Module;"),
        (
            "crates/instrument/src/pipeline.rs",
            "fn f() { ffi::BinaryenModuleOptimize(raw) }",
        ),
        ("src/cli/build.rs", "fn f() { binaryen::g() }"),
    ];
    for (path, text) in wrong {
        assert_eq!(foreign(path, text).len(), 1, "{path}: {text}");
    }
    let right = [
        ("crates/engine/src/wasmtime/mod.rs", "use wasmtime::Engine;"),
        (
            "crates/engine/src/lib.rs",
            "mod wasmtime; fn f() { wasmtime::Wasmtime::new() }",
        ),
        (
            "crates/instrument/src/pipeline.rs",
            "use crate::binaryen::asyncify;",
        ),
        (
            "crates/instrument/src/pipeline.rs",
            "return Err(Error::Binaryen);",
        ),
    ];
    for (path, text) in right {
        assert_eq!(foreign(path, text), Vec::<String>::new(), "{path}: {text}");
    }
}

#[test]
fn other_rules_find_what_they_should() {
    assert_eq!(length("src/a.rs", &"\n".repeat(MAX_LINES + 1)).len(), 1);
    assert!(length("src/a.rs", &"\n".repeat(MAX_LINES)).is_empty());
    assert_eq!(header("src/a.rs", "// A module.").len(), 1);
    assert!(header("src/a.rs", "//! A module.").is_empty());

    assert_eq!(
        placed("tests/a.rs", "#[path = \"../b.rs\"]\nmod b;").len(),
        1
    );
    assert!(placed("tests/a.rs", "// #[path = \"../b.rs\"]\nmod path;").is_empty());

    let home = format!("cd /{}/x", "root");
    let guest = format!("open(\"/{}/x\")", "work");
    let host = format!("https:{}registry.example.net/simple", "//");
    assert_eq!(machine("Makefile", &home).len(), 1);
    assert_eq!(machine("Makefile", &guest).len(), 1);
    assert_eq!(machine("Makefile", &host).len(), 1);
    assert!(machine("wasm/src/c/x.c", &guest).is_empty());
    assert!(machine("README.md", "https://github.com/rust-lang src/root/x").is_empty());
}
