//! Input that is wrong: each a clear message and its own exit code, no panic, and the old snapshot
//! as it was.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use dormouse::{ErrorKind, Limits, Runtime, Snapshot};
use libtest_mimic::{Failed, Trial};

use dormouse_test_support::{
    check, dormouse, ended, finish, guest, resume, says, suspend, test_modules,
};

type Run = fn() -> Result<(), String>;

pub fn trials() -> Vec<Trial> {
    let list: [(&str, Run); 19] = [
        ("every_truncation", every_truncation),
        ("every_flipped_bit", every_flipped_bit),
        (
            "some_flipped_bits_through_the_binary",
            flipped_through_the_binary,
        ),
        ("forged_lengths", forged_lengths),
        ("version_from_the_future", version_from_the_future),
        ("no_snapshot", no_snapshot),
        ("missing_file", missing_file),
        ("no_wasm", no_wasm),
        ("component", component),
        ("truncated_module", truncated_module),
        ("unknown_import", unknown_import),
        ("missing_directories", missing_directories),
        ("changed_file", changed_file),
        ("missing_open_file", missing_open_file),
        ("another_module", another_module),
        ("slim_without_its_module", slim),
        ("wrong_words", wrong_words),
        ("full_disk", full_disk),
        ("readonly_folder", unwritable_folder),
    ];
    list.into_iter()
        .map(|(name, run)| {
            Trial::test(format!("broken::{name}"), move || {
                run().map_err(Failed::from)
            })
        })
        .collect()
}

/// A small snapshot in a scratch directory.
struct Asleep {
    folder: tempfile::TempDir,
    snapshot: PathBuf,
    bytes: Vec<u8>,
}

fn asleep(name: &str, options: &[&str]) -> Result<Asleep, String> {
    let folder = tempfile::tempdir().expect("a scratch directory");
    let snapshot = folder.path().join("snapshot");
    ended(&suspend(&guest(name), &snapshot, options), 75)?;
    let bytes = fs::read(&snapshot).expect("it was written");
    Ok(Asleep {
        folder,
        snapshot,
        bytes,
    })
}

impl Asleep {
    /// Resumes, and checks the code, the words, and that the snapshot is as it was.
    fn refuses(&self, options: &[&str], code: i32, words: &[&str]) -> Result<(), String> {
        let before = fs::read(&self.snapshot).ok();
        let output = finish(&mut resume(&self.snapshot, options), Stdio::null());
        ended(&output, code)?;
        says(&output, words)?;
        check(output.stdout.is_empty(), || "the guest ran".into())?;
        check(fs::read(&self.snapshot).ok() == before, || {
            "the snapshot was changed".into()
        })
    }

    /// The same with other bytes in the file.
    fn refuses_bytes(&self, bytes: &[u8], code: i32, words: &[&str]) -> Result<(), String> {
        fs::write(&self.snapshot, bytes).expect("a scratch file");
        self.refuses(&[], code, words)
    }
}

fn kind_of(bytes: &[u8]) -> Option<ErrorKind> {
    Snapshot::decode(bytes, &Limits::default())
        .err()
        .map(|e| e.kind())
}

fn every_truncation() -> Result<(), String> {
    let asleep = asleep("c_hello_sleep", &[])?;
    for length in 0..asleep.bytes.len() {
        let kind = kind_of(&asleep.bytes[..length]);
        check(kind == Some(ErrorKind::Snapshot), || {
            format!("{length} bytes: {kind:?}")
        })?;
    }
    let half = &asleep.bytes[..asleep.bytes.len() / 2];
    asleep.refuses_bytes(half, 67, &["cut off"])?;
    let longer = [asleep.bytes.as_slice(), b"x"].concat();
    asleep.refuses_bytes(&longer, 67, &["1 bytes after the end"])
}

fn every_flipped_bit() -> Result<(), String> {
    let asleep = asleep("c_hello_sleep", &[])?;
    let mut bytes = asleep.bytes.clone();
    for place in 0..bytes.len() {
        for bit in 0..8 {
            bytes[place] ^= 1 << bit;
            let kind = kind_of(&bytes);
            let right = matches!(kind, Some(ErrorKind::Snapshot | ErrorKind::Version));
            check(right, || format!("bit {bit} of byte {place}: {kind:?}"))?;
            bytes[place] ^= 1 << bit;
        }
    }
    Ok(())
}

fn flipped_through_the_binary() -> Result<(), String> {
    let asleep = asleep("c_hello_sleep", &[])?;
    for place in (16..asleep.bytes.len()).step_by(asleep.bytes.len() / 15) {
        let mut bytes = asleep.bytes.clone();
        bytes[place] ^= 0x10;
        asleep.refuses_bytes(&bytes, 67, &["snapshot"])?;
    }
    Ok(())
}

/// With a digest that is right, so that what is behind it is looked at.
fn sealed(mut bytes: Vec<u8>) -> Vec<u8> {
    let mut hasher = blake3::Hasher::new();
    hasher.update(&bytes[..24]).update(&bytes[56..]);
    bytes[24..56].copy_from_slice(hasher.finalize().as_bytes());
    bytes
}

/// Every field of the section table, set to extremes.
fn forged_lengths() -> Result<(), String> {
    let asleep = asleep("c_hello_sleep", &[])?;
    let sections = 6;
    for field in (56..56 + 32 * sections).step_by(4) {
        for value in [0, 1, 7, 0x7fff_ffff, u32::MAX] {
            let mut bytes = asleep.bytes.clone();
            bytes[field..field + 4].copy_from_slice(&u32::to_le_bytes(value));
            if bytes == asleep.bytes {
                continue;
            }
            // The module itself is unpacked only when it is not in the cache.
            let decoded = Snapshot::decode(&sealed(bytes), &Limits::default());
            let loaded = decoded.and_then(|snapshot| {
                let cache = tempfile::tempdir().expect("a scratch directory");
                let runtime = Runtime::builder().cache(cache.path().join("modules"));
                runtime.build()?.load_snapshot(&snapshot).map(drop)
            });
            let kind = loaded.err().map(|e| e.kind());
            let right = matches!(kind, Some(ErrorKind::Snapshot | ErrorKind::Missing));
            check(right, || format!("{value:#x} at byte {field}: {kind:?}"))?;
        }
    }
    Ok(())
}

fn version_from_the_future() -> Result<(), String> {
    let asleep = asleep("c_hello_sleep", &[])?;
    let mut bytes = asleep.bytes.clone();
    bytes[8] = 9;
    asleep.refuses_bytes(&bytes, 68, &["version 9", "newer dormouse"])
}

fn no_snapshot() -> Result<(), String> {
    let asleep = asleep("c_hello_sleep", &[])?;
    asleep.refuses_bytes(b"", 67, &["empty"])?;
    asleep.refuses_bytes(b"#!/bin/sh\necho hello", 67, &["not a dormouse snapshot"])
}

fn missing_file() -> Result<(), String> {
    let nowhere = Path::new("/nonexistent/snapshot");
    let output = finish(&mut resume(nowhere, &[]), Stdio::null());
    ended(&output, 66)?;
    says(&output, &["/nonexistent/snapshot", "No such file"])?;
    let output = finish(dormouse().args(["run", "/nonexistent.wasm"]), Stdio::null());
    ended(&output, 66)?;
    let folder = tempfile::tempdir().expect("a scratch directory");
    ended(&finish(&mut resume(folder.path(), &[]), Stdio::null()), 66)
}

fn run_bytes(bytes: &[u8], words: &[&str]) -> Result<(), String> {
    let folder = tempfile::tempdir().expect("a scratch directory");
    let module = folder.path().join("module.wasm");
    fs::write(&module, bytes).expect("a scratch file");
    let output = finish(dormouse().arg("run").arg(&module), Stdio::null());
    ended(&output, 65)?;
    says(&output, words)
}

fn no_wasm() -> Result<(), String> {
    run_bytes(b"hello", &["not a WebAssembly module"])?;
    run_bytes(b"", &["empty"])
}

fn component() -> Result<(), String> {
    run_bytes(b"\0asm\x0d\0\x01\0", &["component", "wasi:cli/run"])
}

fn truncated_module() -> Result<(), String> {
    let whole = fs::read(guest("c_hello_sleep")).expect("a guest");
    for part in 1..20 {
        run_bytes(&whole[..whole.len() * part / 20], &["module"])?;
    }
    Ok(())
}

fn unknown_import() -> Result<(), String> {
    // (module (import "env" "f" (func)) (func (export "_start")))
    let module = b"\0asm\x01\0\0\0\x01\x04\x01\x60\0\0\x02\x09\x01\x03env\x01f\0\0\x03\x02\x01\0\
                   \x07\x0a\x01\x06_start\0\x01\x0a\x04\x01\x02\0\x0b";
    run_bytes(module, &["env.f", "does not provide"])
}

/// A guest with files open, asleep in the middle of its work.
fn with_files() -> Result<(Asleep, PathBuf), String> {
    let work = tempfile::tempdir().expect("a scratch directory").keep();
    let dir = format!("{}::/work", work.display());
    let asleep = asleep("c_files", &["--dir", &dir])?;
    Ok((asleep, work))
}

fn missing_directories() -> Result<(), String> {
    let (asleep, work) = with_files()?;
    let result = asleep.refuses(&[], 69, &["/work", "--dir HOST::GUEST"]);
    fs::remove_dir_all(work).expect("a scratch directory");
    result
}

/// The first file in the directory, by name.
fn a_file(work: &Path) -> PathBuf {
    let entries = fs::read_dir(work).expect("a directory").flatten();
    let mut files: Vec<PathBuf> = entries.map(|e| e.path()).filter(|p| p.is_file()).collect();
    files.sort();
    files.into_iter().next().expect("the guest has made a file")
}

fn changed_file() -> Result<(), String> {
    let (asleep, work) = with_files()?;
    let dir = format!("{}::/work", work.display());
    fs::write(
        a_file(&work),
        "somebody else was here, with more than there was",
    )
    .expect("a file");
    asleep.refuses(
        &["--dir", &dir],
        71,
        &["was changed", "--accept-changed-files"],
    )?;
    let options = [
        "--dir",
        &dir,
        "--accept-changed-files",
        "--suspend",
        "always",
    ];
    let output = finish(&mut resume(&asleep.snapshot, &options), Stdio::null());
    fs::remove_dir_all(work).expect("a scratch directory");
    check(output.status.code() != Some(71), || {
        "it was refused all the same".into()
    })
}

fn missing_open_file() -> Result<(), String> {
    let (asleep, work) = with_files()?;
    let dir = format!("{}::/work", work.display());
    fs::remove_file(a_file(&work)).expect("a file");
    let result = asleep.refuses(&["--dir", &dir], 71, &["cannot be opened again"]);
    fs::remove_dir_all(work).expect("a scratch directory");
    result
}

fn another_module() -> Result<(), String> {
    let asleep = asleep("c_hello_sleep", &[])?;
    let other = guest("c_sleep_loop").display().to_string();
    asleep.refuses(&["--module", &other], 72, &["another module"])?;
    let same = guest("c_hello_sleep").display().to_string();
    let plain = ["--module", &same, "--transform", "plain"];
    asleep.refuses(&plain, 72, &["in another way"])
}

fn slim() -> Result<(), String> {
    let asleep = asleep("c_hello_sleep", &["--slim"])?;
    let empty = asleep.folder.path().join("cache");
    let resume_there = |options: &[&str]| {
        let mut command = resume(&asleep.snapshot, options);
        finish(command.env("DORMOUSE_CACHE", &empty), Stdio::null())
    };
    let output = resume_there(&[]);
    ended(&output, 69)?;
    says(&output, &["does not contain its module", "--module"])?;
    let module = guest("c_hello_sleep").display().to_string();
    ended(&resume_there(&["--module", &module]), 0)
}

fn wrong_words() -> Result<(), String> {
    for words in [
        vec!["fly"],
        vec!["run"],
        vec!["run", "--suspend", "sometimes", "x.wasm"],
        vec!["run", "--engine", "v8", "x.wasm"],
        vec!["resume"],
    ] {
        ended(&finish(dormouse().args(&words), Stdio::null()), 64)
            .map_err(|message| format!("{words:?}: {message}"))?;
    }
    ended(&finish(dormouse().arg("--help"), Stdio::null()), 0)
}

/// Runs a shell script in a mount namespace of its own, with a full tmpfs at `$disk`.
fn full_disk() -> Result<(), String> {
    let folder = tempfile::tempdir().expect("a scratch directory");
    // The module is in the cache before the disk is full.
    ended(
        &finish(
            dormouse().arg("run").arg(guest("c_hello_sleep")),
            Stdio::null(),
        ),
        0,
    )?;
    let script = r#"
        set -e
        mount -t tmpfs -o size=64k tmpfs "$disk"
        echo old > "$disk/snapshot"
        head -c 1M /dev/zero > "$disk/filler" 2>/dev/null || true
        "$dormouse" run --suspend always --snapshot "$disk/snapshot" "$guest"
        [ "$(cat "$disk/snapshot")" = old ]
        [ "$(ls -A "$disk" | wc -l)" = 2 ]
    "#;
    let mut command = Command::new("unshare");
    if !rustix_is_root() {
        command.arg("--map-root-user");
    }
    command.args(["--mount", "sh", "-c", script]);
    command
        .env("disk", folder.path())
        .env("dormouse", env!("CARGO_BIN_EXE_dormouse"))
        .env("DORMOUSE_CACHE", test_modules())
        .env("guest", guest("c_hello_sleep"));
    let output = finish(&mut command, Stdio::null());
    ended(&output, 0)?;
    says(
        &output,
        &["not suspended", "No space left", "goes on in this process"],
    )?;
    // Nothing was lost: the guest came to its end.
    check(output.stdout == b"hello\nbye\n", || {
        "its output is not whole".into()
    })
}

fn rustix_is_root() -> bool {
    let output = Command::new("id").arg("-u").output().expect("id runs");
    output.stdout == b"0\n"
}

fn unwritable_folder() -> Result<(), String> {
    let output = suspend::<&str>(
        &guest("c_hello_sleep"),
        Path::new("/nonexistent/folder/snapshot"),
        &[],
    );
    ended(&output, 0)?;
    says(&output, &["not suspended", "/nonexistent/folder/snapshot"])?;
    check(output.stdout == b"hello\nbye\n", || {
        "its output is not whole".into()
    })
}
