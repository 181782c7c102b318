//! Snapshots of released formats: each must go on as recorded, on every engine, whatever has changed
//! since. `snapshots/golden/v1/` holds them, with what they are to write and to end with.
//!
//! New ones are recorded by `cargo test --test golden record -- --ignored`, which never touches those
//! that are there.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::process::{Command, Output, Stdio};

use serde_json::{Value, json};

/// Larger modules and snapshots would only make the repository large.
const MOST_MODULE: u64 = 40_000;
const MOST: u64 = 40_000;

fn root() -> &'static Path {
    Path::new(env!("CARGO_MANIFEST_DIR"))
}

fn golden() -> PathBuf {
    root().join("snapshots/golden/v1")
}

fn engines() -> Vec<&'static str> {
    match cfg!(feature = "wasmedge") {
        true => vec!["wasmtime", "wasmedge"],
        false => vec!["wasmtime"],
    }
}

fn dormouse(folder: &Path, arguments: &[&str]) -> Output {
    Command::new(env!("CARGO_BIN_EXE_dormouse"))
        .current_dir(folder)
        .args(arguments)
        .stdin(Stdio::null())
        .output()
        .expect("the binary runs")
}

/// What a resumed guest has written and ended with.
fn goes_on(snapshot: &Path, engine: &str) -> Value {
    let folder = tempfile::tempdir().expect("a folder");
    let path = snapshot.to_str().expect("UTF-8");
    let output = dormouse(folder.path(), &["resume", "--engine", engine, path]);
    json!({
        "exit": output.status.code(),
        "stdout": shown(&output.stdout),
    })
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
    assert!(recorded.len() > 20, "there are hardly any golden snapshots");
    for (name, expected) in &recorded {
        for engine in engines() {
            let found = goes_on(&golden().join(name), engine);
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
    let guests = std::fs::read(root().join("wasm/guests.json")).expect("the list of guests");
    let guests: Vec<Value> = serde_json::from_slice(&guests).expect("it is JSON");
    let mut index = recorded();
    std::fs::create_dir_all(golden()).expect("the folder can be made");
    for guest in guests {
        // Files have times of their own, and input cannot be given twice.
        let plain = guest["dir"] == false && guest["stdin"].is_null();
        let refused = !guest["refused"].is_null() || !guest["engines"].is_null();
        let name = guest["name"].as_str().expect("a name");
        let wasm = root().join(format!("wasm/bin/{name}.wasm"));
        let size = std::fs::metadata(&wasm).map_or(u64::MAX, |metadata| metadata.len());
        if !plain || refused || size > MOST_MODULE {
            continue;
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
            let args = guest["args"].as_array().into_iter().flatten();
            arguments.extend(args.filter_map(Value::as_str));
            let output = dormouse(root(), &arguments);
            if output.status.code() != Some(75) {
                continue;
            }
            if std::fs::metadata(&path).map_or(0, |metadata| metadata.len()) > MOST {
                std::fs::remove_file(&path).expect("it was written");
                continue;
            }
            // What depends on the time or on the machine is no standard to hold others to.
            let told: Vec<Value> = engines()
                .iter()
                .map(|engine| goes_on(&path, engine))
                .collect();
            match told.iter().all(|one| *one == told[0]) {
                true => drop(index.insert(file, told[0].clone())),
                false => std::fs::remove_file(&path).expect("it was written"),
            }
        }
    }
    let text = serde_json::to_string_pretty(&index).expect("it is JSON") + "\n";
    std::fs::write(golden().join("index.json"), text).expect("it can be written");
}
