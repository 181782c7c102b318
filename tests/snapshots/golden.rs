//! Snapshots of released formats: each must go on as recorded, on every engine, whatever has changed
//! since. `snapshots/golden/v1/` holds them, with what they are to write and to end with.
//!
//! Where a guest has a directory, what was in it at the suspend lies beside the snapshots, in GUEST.files, the same for
//! both engines; what it is to read from standard input at the resume is in the index.
//!
//! New ones are recorded by `cargo test --test snapshots golden::record -- --ignored`, which never touches those
//! that are there.

use std::collections::BTreeMap;
use std::io::Write;
use std::path::{Path, PathBuf};
use std::process::{Command, Output, Stdio};

use dormouse_test_support::{checkout, engines};
use serde_json::{Value, json};

/// Larger modules and snapshots would only make the repository large.
const MOST_MODULE: u64 = 3 << 20;
const MOST: u64 = 3 << 19;

fn golden() -> PathBuf {
    checkout("snapshots/golden/v1")
}

/// Runs the binary; without a text for standard input, that is open and stays empty until the end.
fn dormouse(folder: &Path, arguments: &[&str], input: Option<&str>) -> Output {
    let mut child = Command::new(env!("CARGO_BIN_EXE_dormouse"))
        .current_dir(folder)
        .args(arguments)
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .expect("the binary runs");
    let mut stdin = child.stdin.take();
    if let Some(input) = input {
        let mut stdin = stdin.take().expect("it is piped");
        // A guest need not read all of it.
        let _ = stdin.write_all(input.as_bytes());
    }
    let output = child.wait_with_output().expect("it ends");
    drop(stdin);
    output
}

/// The files of a guest's directory, beside its snapshots, which are named GUEST.ENGINE.snapshot.
fn files(snapshot: &Path) -> PathBuf {
    snapshot.with_extension("").with_extension("files")
}

/// A folder's files and folders, elsewhere.
fn copy(from: &Path, to: &Path) {
    std::fs::create_dir_all(to).expect("a folder");
    for entry in std::fs::read_dir(from).expect("a folder") {
        let entry = entry.expect("an entry");
        let to = to.join(entry.file_name());
        let kind = entry.file_type().expect("it has a type");
        if kind.is_dir() {
            copy(&entry.path(), &to);
        } else if kind.is_symlink() {
            let leads = std::fs::read_link(entry.path()).expect("a link");
            std::os::unix::fs::symlink(leads, to).expect("a link");
        } else {
            std::fs::copy(entry.path(), to).expect("a file");
        }
    }
}

/// Folders without anything in them, which git does not keep.
fn empty(root: &Path, folder: &Path) -> Vec<String> {
    let inside = std::fs::read_dir(folder).expect("a folder");
    let inside: Vec<PathBuf> = inside
        .map(|entry| entry.expect("an entry").path())
        .collect();
    if inside.is_empty() && folder != root {
        let name = folder.strip_prefix(root).expect("it lies there");
        return vec![name.to_str().expect("UTF-8").into()];
    }
    let folders = inside
        .iter()
        .filter(|path| path.is_dir() && !path.is_symlink());
    folders.flat_map(|path| empty(root, path)).collect()
}

/// What a resumed guest has written and ended with.
fn goes_on(snapshot: &Path, engine: &str, recorded: &Value) -> Value {
    let folder = tempfile::tempdir().expect("a folder");
    let path = snapshot.to_str().expect("UTF-8");
    // A signal suspends the guest once more, and that must not replace the golden snapshot.
    let next = folder.path().join("next");
    let next = next.to_str().expect("UTF-8");
    let mut arguments = vec!["resume", "--engine", engine, "--output", next];
    let work = folder.path().join("work");
    let dir = format!("{}::/work", work.display());
    if recorded["dir"] == true {
        std::fs::create_dir(&work).expect("a folder");
        if files(snapshot).is_dir() {
            copy(&files(snapshot), &work);
        }
        let empty = recorded["empty"].as_array().into_iter().flatten();
        for folder in empty.filter_map(Value::as_str) {
            std::fs::create_dir_all(work.join(folder)).expect("a folder");
        }
        arguments.extend(["--dir", &dir]);
    }
    arguments.push(path);
    let input = recorded["stdin"].as_str().unwrap_or_default();
    let output = dormouse(folder.path(), &arguments, Some(input));
    let mut found = recorded.clone();
    found["exit"] = json!(output.status.code());
    found["stdout"] = json!(shown(&output.stdout));
    found
}

/// Output, or the digest of one that would make the index large.
fn shown(bytes: &[u8]) -> String {
    match bytes.len() > 2000 {
        true => format!("blake3 {}", blake3::hash(bytes)),
        false => String::from_utf8_lossy(bytes).into_owned(),
    }
}

fn recorded() -> BTreeMap<String, Value> {
    let index = std::fs::read(golden().join("index.json")).unwrap_or_else(|_| b"{}".to_vec());
    serde_json::from_slice(&index).expect("the index is JSON")
}

#[test]
fn every_golden_snapshot_goes_on_as_recorded() {
    let recorded = recorded();
    assert!(
        recorded.len() > 100,
        "there are hardly any golden snapshots"
    );
    for (name, expected) in &recorded {
        for engine in engines() {
            let found = goes_on(&golden().join(name), engine, expected);
            assert_eq!(&found, expected, "{name} on {engine}");
        }
    }
}

/// An index without its snapshots, or the other way round, would test nothing.
#[test]
fn every_golden_snapshot_is_in_the_index() {
    let mut there: Vec<String> = std::fs::read_dir(golden())
        .expect("the folder is there")
        .map(|entry| {
            entry
                .expect("an entry")
                .file_name()
                .to_string_lossy()
                .into_owned()
        })
        .filter(|name| name.ends_with(".snapshot"))
        .collect();
    there.sort();
    let known: Vec<String> = recorded().into_keys().collect();
    assert_eq!(there, known);
}

#[test]
#[ignore = "writes new golden snapshots"]
fn record() {
    let guests = std::fs::read(checkout("wasm/guests.json")).expect("the list of guests");
    let guests: Vec<Value> = serde_json::from_slice(&guests).expect("it is JSON");
    let mut index = recorded();
    std::fs::create_dir_all(golden()).expect("the folder can be made");
    for guest in guests {
        let refused = !guest["refused"].is_null() || guest["objects"] == true;
        let name = guest["name"].as_str().expect("a name");
        let wasm = dormouse_test_support::guest(name);
        let size = std::fs::metadata(&wasm).map_or(u64::MAX, |metadata| metadata.len());
        if refused || size > MOST_MODULE {
            continue;
        }
        // What is left out where it says nothing was written by versions that had no more.
        let mut entry = json!({});
        if guest["dir"] == true {
            entry["dir"] = json!(true);
        }
        if !guest["stdin"].is_null() {
            entry["stdin"] = guest["stdin"].clone();
        }
        for engine in engines() {
            let file = format!("{name}.{engine}.snapshot");
            let path = golden().join(&file);
            if index.contains_key(&file) {
                continue;
            }
            let snapshot = path.to_str().expect("UTF-8");
            let wasm = wasm.to_str().expect("UTF-8");
            let mut arguments = vec![
                "run",
                "--engine",
                engine,
                "--suspend",
                "always",
                "--snapshot",
                snapshot,
                wasm,
            ];
            let scratch = tempfile::tempdir().expect("a folder");
            let dir = format!("{}::/work", scratch.path().display());
            if guest["dir"] == true {
                arguments.splice(1..1, ["--dir", &dir]);
            }
            let args = guest["args"].as_array().into_iter().flatten();
            arguments.extend(args.filter_map(Value::as_str));
            let output = dormouse(&checkout(""), &arguments, None);
            if output.status.code() != Some(75) {
                println!("{name}: {:?}", output.status.code());
                continue;
            }
            if std::fs::metadata(&path).map_or(0, |metadata| metadata.len()) > MOST {
                std::fs::remove_file(&path).expect("it was written");
                continue;
            }
            let is_empty =
                std::fs::read_dir(scratch.path()).is_ok_and(|mut all| all.next().is_none());
            let is_first = !files(&path).exists();
            if !is_empty && is_first {
                copy(scratch.path(), &files(&path));
            }
            let mut entry = entry.clone();
            let empty = empty(scratch.path(), scratch.path());
            if !empty.is_empty() {
                entry["empty"] = json!(empty);
            }
            // What depends on the time or on the machine is no standard to hold others to.
            let told: Vec<Value> = engines()
                .iter()
                .map(|engine| goes_on(&path, engine, &entry))
                .collect();
            match told
                .iter()
                .all(|one| *one == told[0] && one["exit"] == guest["exit"])
            {
                true => drop(index.insert(file, told[0].clone())),
                false => {
                    println!("{name}: {told:?}");
                    std::fs::remove_file(&path).expect("it was written");
                    if is_first {
                        let _ = std::fs::remove_dir_all(files(&path));
                    }
                }
            }
        }
    }
    let text = serde_json::to_string_pretty(&index).expect("it is JSON") + "\n";
    std::fs::write(golden().join("index.json"), text).expect("it can be written");
}
