//! `[[component]]` in a task file: components and the links between them.

use std::fs;
use std::path::Path;
use std::process::Output;

use dormouse_test_support::{assert_ended, dormouse, ended, said, wasmtime};

use super::compose::{PROGRAM, constant, counter};

/// What the program imports.
const COUNT: &str = "zoo:sheep/count@0.1.2";

/// Components by file: what the program imports is exported right by two of them.
fn components(folder: &Path) {
    let two = constant("two", "u32", "i32) (i32.const 42");
    let pair = two.replace(
        r#"(export "two" (instance $s))"#,
        r#"(export "two" (instance $s)) (export "three" (func $f))"#,
    );
    for (name, text) in [
        ("program", PROGRAM.to_owned()),
        ("right", constant(COUNT, "u32", "i32) (i32.const 42")),
        ("less", constant(COUNT, "u32", "i32) (i32.const 41")),
        ("text", constant(COUNT, "s64", "i64) (i64.const 42")),
        ("pair", pair),
        ("more", counter(COUNT, "zoo:sheep/start")),
        (
            "start",
            constant("zoo:sheep/start", "u32", "i32) (i32.const 41"),
        ),
    ] {
        let bytes = wat::parse_str(text).unwrap_or_else(|error| panic!("{name}: {error}"));
        fs::write(folder.join(format!("{name}.wasm")), bytes).expect("a file");
    }
}

/// A task file with a program, links of it, and other components.
fn file(folder: &Path, links: &str, others: &[&str]) -> String {
    let mut text = format!("[[component]]\npath = \"program.wasm\"\n{links}\n");
    for other in others {
        text += &format!("[[component]]\npath = \"{other}.wasm\"\n");
    }
    let path = folder.join("task.toml");
    fs::write(&path, text).expect("a task file");
    path.display().to_string()
}

fn run(arguments: &[&str]) -> Output {
    dormouse().args(arguments).output().expect("it starts")
}

#[test]
fn components_of_a_task_file_are_linked_and_run() {
    let folder = tempfile::tempdir().expect("a folder");
    let folder = folder.path();
    components(folder);
    let link = |target: &str| format!("links = {{ \"{COUNT}\" = \"{target}\" }}");
    // What the file says, and the code that its program ends with.
    let cases: &[(String, &[&str], i32)] = &[
        (String::new(), &["right"], 0),
        (String::new(), &["less"], 1),
        (String::new(), &["start", "more"], 0),
        (link("right"), &["right"], 0),
        (link("pair.two"), &["pair"], 0),
    ];
    for (links, others, code) in cases {
        let path = file(folder, links, others);
        for engine in dormouse_test_support::engines() {
            let output = run(&["run", "--config", &path, "--engine", engine]);
            ended(&output, *code).unwrap_or_else(|error| panic!("{links} {others:?}: {error}"));
        }
        // The oracle runs what the file's components become.
        let whole = folder.join("whole.wasm");
        let output = run(&["compose", "--config", &path, "-o", &whole.to_string_lossy()]);
        ended(&output, 0).unwrap_or_else(|error| panic!("{links} {others:?}: {error}"));
        let oracle = wasmtime().arg("run").arg(&whole).output().expect("it runs");
        assert_eq!(oracle.status.code(), Some(*code), "{links} {others:?}");
    }
}

/// A link decides between components that export the same.
#[test]
fn a_link_says_which_of_several_is_meant() {
    let folder = tempfile::tempdir().expect("a folder");
    let folder = folder.path();
    components(folder);
    // `less` is used by `more`, whose import has another name; the program takes from `more`.
    let path = folder.join("task.toml");
    let text = format!(
        "[[component]]\npath = \"program.wasm\"\nlinks = {{ \"{COUNT}\" = \"counter\" }}\n\n\
         [[component]]\npath = \"more.wasm\"\nname = \"counter\"\n\
         [component.links]\n\"zoo:sheep/start\" = \"one-less.{COUNT}\"\n\n\
         [[component]]\npath = \"less.wasm\"\nname = \"one-less\"\n"
    );
    fs::write(&path, &text).expect("a task file");
    let path = path.display().to_string();
    ended(&run(&["run", "--config", &path]), 0).expect("it runs");
    let without = text.replace(&format!("links = {{ \"{COUNT}\" = \"counter\" }}\n"), "");
    fs::write(&path, without).expect("a task file");
    let output = run(&["run", "--config", &path]);
    let words = [
        "task.toml:1:1: program imports",
        COUNT,
        "several",
        "counter, one-less",
    ];
    assert_ended(&output, 65, &said(&output), &words);
}

#[test]
fn the_same_components_become_the_same_bytes() {
    let folder = tempfile::tempdir().expect("a folder");
    let folder = folder.path();
    components(folder);
    let (one, other) = (folder.join("one.wasm"), folder.join("other.wasm"));
    let path = file(folder, "", &["start", "more"]);
    let output = run(&["compose", "--config", &path, "-o", &one.to_string_lossy()]);
    ended(&output, 0).expect("it is composed");
    let mut command = dormouse();
    command.current_dir(folder).arg("compose");
    command.args(["program.wasm", "start.wasm", "more.wasm", "-o"]);
    ended(&command.arg(&other).output().expect("it starts"), 0).expect("it is composed");
    let bytes = fs::read(&one).expect("a component");
    assert!(bytes == fs::read(&other).expect("a component"));
    // The digest of the whole is that of what the components become.
    for (digest, code) in [(blake3::hash(&bytes), 0), (blake3::hash(b"other"), 72)] {
        let digest = digest.to_hex();
        let output = run(&["run", "--config", &path, "--digest", &digest]);
        ended(&output, code).unwrap_or_else(|error| panic!("{error}"));
    }
}

/// What a task file says, its other components, the exit code, and what is said of it.
type Wrong<'a> = (String, &'a [&'a str], i32, &'a [&'a str]);

fn are_refused(cases: &[Wrong<'_>]) {
    let folder = tempfile::tempdir().expect("a folder");
    let folder = folder.path();
    components(folder);
    for (links, others, code, words) in cases {
        let path = file(folder, links, others);
        let output = run(&["run", "--config", &path]);
        assert_ended(&output, *code, &said(&output), words);
        assert!(output.stdout.is_empty(), "{links}: it printed something");
    }
}

fn links(import: &str, target: &str) -> String {
    format!("links = {{ \"{import}\" = \"{target}\" }}")
}

#[test]
fn a_link_that_is_missing_or_wrong_is_said_with_its_line() {
    let other = "another type";
    are_refused(&[
        (
            String::new(),
            &["start"],
            65,
            &["task.toml:1:1: program imports", COUNT, "none"],
        ),
        (
            String::new(),
            &["text"],
            65,
            &["task.toml:1:1: program imports", COUNT, "text", other],
        ),
        (
            links(COUNT, "text"),
            &["text"],
            65,
            &["task.toml:3:", COUNT, "text", other],
        ),
        (
            links(COUNT, "pair.three"),
            &["pair"],
            65,
            &["task.toml:3:", COUNT, "pair", other],
        ),
        (
            links(COUNT, "pair.four"),
            &["pair"],
            65,
            &["task.toml:3:", "`four` of pair", "`two`, `three`"],
        ),
        (
            links("zoo:sheep/cuont", "right"),
            &["right"],
            65,
            &["task.toml:3:", "no import `zoo:sheep/cuont`", COUNT],
        ),
        (
            links(COUNT, "rihgt"),
            &["right"],
            64,
            &["task.toml:3:", COUNT, "rihgt", "program, right"],
        ),
        (
            links(COUNT, "not a name"),
            &["right"],
            64,
            &["task.toml:3:", "NAME.EXPORT"],
        ),
    ]);
}

#[test]
fn a_component_that_is_wrong_is_said_with_its_line() {
    are_refused(&[
        (
            String::new(),
            &["right", "start"],
            65,
            &["task.toml:6:1: ", "start", "leave it out"],
        ),
        (
            String::new(),
            &["right", "right"],
            64,
            &["task.toml:6:1: ", "two components are called right"],
        ),
        (
            "name = \"a.b\"".into(),
            &["right"],
            64,
            &["task.toml:1:1: ", "\"a.b\" cannot be a component's name"],
        ),
        (
            String::new(),
            &["nowhere"],
            66,
            &["task.toml:5:8: cannot read", "nowhere.wasm"],
        ),
        (
            format!("digest = \"{}\"", "0".repeat(64)),
            &["right"],
            72,
            &["task.toml:2:8: ", "program.wasm", "BLAKE3"],
        ),
        (
            "lnks = {}".into(),
            &["right"],
            64,
            &["task.toml:3:1: ", "did you mean `links`?"],
        ),
    ]);
}

/// A module leaves no room for components, and there have to be some to be linked.
#[test]
fn a_file_has_a_module_or_components() {
    let folder = tempfile::tempdir().expect("a folder");
    let path = folder.path().join("task.toml");
    let both = "module = \"program.wasm\"\n[[component]]\npath = \"right.wasm\"\n";
    fs::write(&path, both).expect("a task file");
    let path = path.display().to_string();
    let output = run(&["run", "--config", &path]);
    let words = ["task.toml:2:1: ", "not both"];
    assert_ended(&output, 64, &said(&output), &words);
    fs::write(&path, "args = []\n").expect("a task file");
    let output = run(&["compose", "--config", &path, "-o", "none.wasm"]);
    assert_ended(&output, 64, &said(&output), &["no [[component]]"]);
}

/// An audit wants a digest of each component, or of the whole.
#[test]
fn an_audit_names_components_without_a_digest() {
    let folder = tempfile::tempdir().expect("a folder");
    let folder = folder.path();
    let digest = format!("digest = \"{}\"", "0".repeat(64));
    let path = file(folder, &digest, &["right"]);
    let output = run(&["audit", &path]);
    let words = [
        "task.toml:4: the component right.wasm",
        "module-without-digest",
    ];
    assert_ended(&output, 82, &said(&output), &words);
    assert!(!said(&output).contains("program.wasm"));
}
