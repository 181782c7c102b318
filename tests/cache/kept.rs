//! `dormouse cache`: what it lists, what goes, and what is damaged.

use std::fs;
use std::path::PathBuf;
use std::process::Command;
use std::time::{Duration, SystemTime};

use dormouse_test_support::{assert_ended, engines, guest, said, stdout};
use serde_json::Value;

use crate::support::{BINARYEN, Place};

/// What a command answers as JSON. It has to end with this code.
#[track_caller]
fn told(place: &Place, arguments: &[&str], code: i32) -> Value {
    let mut command = place.command();
    let output = command.arg("--json").args(arguments).output();
    let output = output.expect("it runs");
    assert_ended(&output, code, &said(&output), &[]);
    serde_json::from_str(&stdout(&output)).expect("it is JSON")
}

/// Makes guests ready for the first engine.
fn made(place: &Place, guests: &[&str]) {
    let mut command = place.command();
    command
        .arg("compile")
        .args(guests.iter().map(|name| guest(name)));
    let output = command.output().expect("it runs");
    assert_ended(&output, 0, &said(&output), &[]);
}

/// The cache's files whose names end so.
fn files(place: &Place, end: &str) -> Vec<PathBuf> {
    let entries = fs::read_dir(place.cache()).expect("it is there").flatten();
    let paths = entries.map(|entry| entry.path());
    let mut paths: Vec<_> = paths
        .filter(|path| path.to_string_lossy().ends_with(end))
        .collect();
    paths.sort();
    paths
}

/// The files of the module that was made of this guest.
fn files_of(place: &Place, name: &str) -> Vec<PathBuf> {
    let list = told(place, &["cache", "ls"], 0);
    let modules = list["modules"].as_array().expect("a list");
    let is_named = |module: &&Value| module["names"][0] == format!("{name}.wasm");
    let module = modules.iter().find(is_named).expect("it is listed");
    let digest = module["module"].as_str().expect("a digest").to_owned();
    let mut all = files(place, "");
    all.retain(|path| path.to_string_lossy().contains(&digest));
    all
}

fn set_used(paths: &[PathBuf], ago: Duration) {
    for path in paths {
        let file = fs::File::options().append(true).open(path).expect("a file");
        file.set_modified(SystemTime::now() - ago)
            .expect("it is ours");
    }
}

const DAY: Duration = Duration::from_secs(24 * 60 * 60);

#[test]
fn the_list_says_what_it_is_how_large_and_when_it_was_used() {
    let place = Place::new();
    made(&place, &["c_stdin", "c_hello_sleep"]);
    set_used(&files(&place, ""), 3 * DAY);
    let mut command = place.command();
    let output = command.arg("run").arg(guest("c_hello_sleep")).output();
    assert!(output.expect("it runs").status.success());
    let list = told(&place, &["cache", "ls"], 0);
    let modules = list["modules"].as_array().expect("a list");
    let names: Vec<_> = modules.iter().map(|module| &module["names"]).collect();
    assert_eq!(
        names,
        [
            &Value::from(vec!["c_hello_sleep.wasm"]),
            &Value::from(vec!["c_stdin.wasm"])
        ]
    );
    let bytes: u64 = modules
        .iter()
        .filter_map(|module| module["bytes"].as_u64())
        .sum();
    let stored = files(&place, "").into_iter();
    let stored = stored.filter(|path| !path.ends_with(".sizes"));
    let stored: u64 = stored
        .map(|path| fs::metadata(path).expect("a file").len())
        .sum();
    assert_eq!(bytes, stored);
    for module in modules {
        assert_eq!(module["engines"][0]["engine"], engines()[0], "{module}");
        assert_eq!(module["transform"], "two-version", "{module}");
    }
    let output = place
        .command()
        .args(["cache", "ls"])
        .output()
        .expect("it runs");
    assert_ended(
        &output,
        0,
        &said(&output),
        &["c_stdin.wasm", "2 modules, ", "at most 10.00 GiB"],
    );
}

/// Most runs write nothing into the cache: the last use is known to a day.
#[test]
fn a_use_is_noted_once_a_day() {
    let place = Place::new();
    made(&place, &["c_hello_sleep"]);
    let times = || -> Vec<_> {
        let paths = files(&place, "").into_iter();
        let changed = |path: PathBuf| {
            use std::os::unix::fs::MetadataExt;
            let metadata = fs::metadata(&path).expect("a file");
            // When the file or what is said of it changed, which nobody can set.
            (path, metadata.ctime(), metadata.ctime_nsec())
        };
        paths.map(changed).collect()
    };
    let run = || {
        let mut command = place.command();
        let output = command.arg("run").arg(guest("c_hello_sleep")).output();
        assert!(output.expect("it runs").status.success());
    };
    run();
    let first = times();
    run();
    assert_eq!(times(), first);
    set_used(&files(&place, ""), 2 * DAY);
    let old = times();
    run();
    let marked = times();
    let same = marked
        .iter()
        .zip(&old)
        .filter(|(now, before)| now == before);
    let same: Vec<_> = same.map(|(now, _)| now.0.clone()).collect();
    // Nobody reads these when a guest is run.
    let unread = |path: &PathBuf| {
        let path = path.to_string_lossy();
        [".manifest", ".report", ".blake3", ".sizes"]
            .iter()
            .any(|end| path.ends_with(end))
    };
    assert!(same.iter().all(unread), "{same:?}");
    run();
    assert_eq!(times(), marked);
}

#[test]
fn what_was_not_used_for_longest_goes_first() {
    let place = Place::new();
    made(&place, &["c_stdin", "c_hello_sleep", "c_select"]);
    let of = |name: &str| files_of(&place, name);
    set_used(&of("c_stdin"), 2 * DAY);
    set_used(&of("c_hello_sleep"), 9 * DAY);
    set_used(&of("c_select"), 5 * DAY);
    set_used(&files(&place, ".source"), 20 * DAY);
    let pruned = told(&place, &["cache", "prune", "--older-than", "7d"], 0);
    let removed = pruned["removed"].as_array().expect("a list");
    assert!(
        removed
            .iter()
            .all(|gone| gone["names"][0] == "c_hello_sleep.wasm"),
        "{pruned}"
    );
    assert_eq!(removed.len(), 2, "the module and its code: {pruned}");
    let list = told(&place, &["cache", "ls"], 0);
    let modules = list["modules"].as_array().expect("a list");
    let size = |name: &str| {
        let is_named = |module: &&Value| module["names"][0] == name;
        let module = modules.iter().find(is_named).expect("it is there");
        module["bytes"].as_u64().expect("a number")
    };
    // Room for one of the two: the older one goes.
    let most = size("c_stdin.wasm").to_string();
    let pruned = told(&place, &["cache", "prune", "--max-size", &most], 0);
    assert_eq!(pruned["kept_bytes"], size("c_stdin.wasm"), "{pruned}");
    let list = told(&place, &["cache", "ls"], 0);
    assert_eq!(list["modules"].as_array().map(Vec::len), Some(1), "{list}");
    assert_eq!(list["modules"][0]["names"][0], "c_stdin.wasm");
    // What has gone is made again.
    let mut command = place.command();
    let output = command.arg("run").arg(guest("c_hello_sleep")).output();
    assert!(output.expect("it runs").status.success());
}

/// The limit holds by itself, whoever makes something new.
#[test]
fn a_limit_holds_while_modules_are_made() {
    let place = Place::new();
    let compile = |name: &str, limit: &str| {
        let mut command = place.command();
        command.env("DORMOUSE_CACHE_SIZE", limit);
        command
            .arg("compile")
            .arg(guest(name))
            .output()
            .expect("it runs")
    };
    assert!(compile("c_stdin", "none").status.success());
    let own = files_of(&place, "c_stdin");
    set_used(&own, 2 * DAY);
    set_used(&files(&place, ".source"), 2 * DAY);
    let one: u64 = own
        .iter()
        .map(|path| fs::metadata(path).expect("a file").len())
        .sum();
    let limit = (one + one / 2).to_string();
    assert!(compile("c_hello_sleep", &limit).status.success());
    let list = told(&place, &["cache", "ls"], 0);
    let modules = list["modules"].as_array().expect("a list");
    let names: Vec<_> = modules.iter().map(|module| &module["names"][0]).collect();
    assert!(
        names.contains(&&Value::from("c_hello_sleep.wasm")),
        "{names:?}"
    );
    let bytes: u64 = modules
        .iter()
        .filter_map(|module| module["bytes"].as_u64())
        .sum();
    assert!(bytes <= one + one / 2, "{bytes} of {limit}: {names:?}");
    let wrong = compile("c_stdin", "much");
    assert_ended(&wrong, 64, &said(&wrong), &["DORMOUSE_CACHE_SIZE", "none"]);
}

/// A guest goes on that runs while everything is removed, and so does the next one.
#[test]
fn a_running_guest_does_not_need_what_is_removed() {
    for engine in engines() {
        let place = Place::new();
        let module = guest("ex_nap").display().to_string();
        let snapshot = place.output("snapshot").display().to_string();
        let flags = ["--engine", engine, "--snapshot", &snapshot, &module];
        let mut running = place.start(&[&["-vv", "run"], &flags[..]].concat());
        running.until("fd_write");
        let _ = told(&place, &["cache", "prune", "--max-size", "0"], 0);
        assert_eq!(files(&place, ".wasm.zst"), Vec::<PathBuf>::new());
        running.send("TERM");
        let (code, _, said) = running.end();
        assert_eq!(code, Some(75), "{said}");
        let resumed = place.start(&["resume", "--engine", engine, &snapshot]);
        let (code, output, said) = resumed.end();
        assert_eq!(code, Some(0), "{said}");
        assert!(output.contains("It is still 5050 sheep."), "{output}");
    }
}

/// What a process makes is not taken from it.
#[test]
fn what_is_being_made_is_left() {
    let place = Place::new();
    let module = guest("go_chan").display().to_string();
    let mut first = place.start(&["-v", "compile", BINARYEN, &module]);
    first.until("resumable asyncify");
    let _ = told(&place, &["cache", "prune", "--max-size", "0"], 0);
    let _ = told(&place, &["cache", "verify", "--repair"], 0);
    assert_eq!(files(&place, ".lock").len(), 1);
    // Killed, it leaves its lock, which goes with the next pruning.
    first.send("KILL");
    assert_eq!(first.end().0, None);
    place.until_unused();
    let pruned = told(&place, &["cache", "prune", "--max-size", "0"], 0);
    assert_eq!(pruned["abandoned"], 1, "{pruned}");
    assert_eq!(files(&place, ".lock").len(), 0);
}

#[test]
fn damage_is_named_and_removed() {
    let place = Place::new();
    made(&place, &["c_stdin"]);
    let whole = told(&place, &["cache", "verify"], 0);
    assert_eq!(whole["damaged"], Value::Array(Vec::new()), "{whole}");
    assert_eq!(whole["unchecked"], Value::Array(Vec::new()), "{whole}");
    // Source, module, manifest, report and code.
    assert_eq!(whole["whole"], 5, "{whole}");
    let code = files(&place, ".blake3")[0].display().to_string();
    let code = PathBuf::from(code.strip_suffix(".blake3").expect("it ends so"));
    let ends = [".source", ".wasm.zst", ".manifest", ".report"];
    let mut paths: Vec<_> = ends
        .iter()
        .map(|end| files(&place, end)[0].clone())
        .collect();
    paths.push(code);
    for path in paths {
        let mut bytes = fs::read(&path).expect("a file");
        let middle = bytes.len() / 2;
        bytes[middle] ^= 0xff;
        bytes.truncate(bytes.len() - 1);
        fs::write(&path, bytes).expect("it is ours");
        let found = told(&place, &["cache", "verify"], 84);
        let damaged = found["damaged"].as_array().expect("a list");
        let named = |damage: &Value| damage["path"] == path.display().to_string();
        assert!(damaged.iter().any(named), "{path:?}: {found}");
        assert!(damaged.iter().all(|damage| damage["removed"] == false));
        let output = place
            .command()
            .args(["cache", "verify"])
            .output()
            .expect("it runs");
        assert_ended(
            &output,
            84,
            &said(&output),
            &[&path.display().to_string(), " damaged"],
        );
        let _ = told(&place, &["cache", "verify", "--repair"], 0);
        assert!(!path.exists(), "{path:?}");
        let again = told(&place, &["cache", "verify"], 0);
        assert_eq!(
            again["damaged"],
            Value::Array(Vec::new()),
            "{path:?}: {again}"
        );
        // It is made again.
        made(&place, &["c_stdin"]);
        let again = told(&place, &["cache", "verify"], 0);
        assert_eq!(again["whole"], 5, "{path:?}: {again}");
    }
}

#[test]
fn somebody_elses_files_stay() {
    let place = Place::new();
    made(&place, &["c_stdin"]);
    let notes = place.cache().join("notes.txt");
    fs::write(&notes, "mine").expect("a file");
    let _ = told(&place, &["cache", "prune", "--max-size", "0"], 0);
    let _ = told(&place, &["cache", "verify", "--repair"], 0);
    assert_eq!(fs::read_to_string(&notes).expect("it is there"), "mine");
    let mut left = files(&place, "");
    left.retain(|path| !path.ends_with(".sizes"));
    assert_eq!(left, [notes]);
    // Without a limit there is nothing to go by.
    let mut command: Command = place.command();
    command
        .env("DORMOUSE_CACHE_SIZE", "none")
        .args(["cache", "prune"]);
    let output = command.output().expect("it runs");
    assert_ended(&output, 64, &said(&output), &["--max-size"]);
}
