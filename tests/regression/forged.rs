//! Snapshots that somebody has written by hand. The digest is right in all of them: it tells damage
//! and no more.

use std::fs;
use std::path::Path;
use std::process::Stdio;

use dormouse::wasi::{Access, Input, Output};
use dormouse::{Digest, EngineKind, Error, ErrorKind, Limits, Runtime, Snapshot, Task};

use dormouse_test_support::forge::{
    HEADER, INSTANCE, MODULE, ROW, Section, WASI, file, file_with_gap, sealed, sections,
};
use dormouse_test_support::{ended, engines, finish, guest, resume, says, suspend};

fn asleep(folder: &Path, name: &str) -> Vec<u8> {
    let path = folder.join(name);
    ended(&suspend::<&str>(&guest(name), &path, &[]), 75).expect("it sleeps");
    fs::read(path).expect("it was written")
}

fn refused(folder: &Path, bytes: &[u8], code: i32, words: &[&str]) {
    let path = folder.join("forged");
    fs::write(&path, bytes).expect("a scratch file");
    for engine in engines() {
        let output = finish(&mut resume(&path, &["--engine", engine]), Stdio::null());
        ended(&output, code)
            .and_then(|()| says(&output, words))
            .unwrap_or_else(|message| panic!("{engine}: {message}"));
        assert!(output.stdout.is_empty(), "the guest ran");
    }
}

/// Where the cache knew the module, the one in the snapshot was not looked at, although it went on
/// into the next snapshot.
#[test]
fn a_forged_module_is_refused_though_the_right_one_is_cached() {
    let scratch = tempfile::tempdir().expect("a scratch directory");
    let (one, other) = ("c_hello_sleep", "c_sleep_loop");
    let mut forged = sections(&asleep(scratch.path(), one));
    let foreign = sections(&asleep(scratch.path(), other));
    let module = |section: &&mut Section| section.number == MODULE;
    let place = forged.iter_mut().find(module).expect("a module");
    let foreign = foreign.into_iter().find(|s| s.number == MODULE);
    *place = foreign.expect("a module");
    let bytes = file(&forged);
    refused(scratch.path(), &bytes, 67, &["another digest"]);
}

/// Bytes behind the compressed module, which the decompressor passes over.
#[test]
fn nothing_travels_behind_the_module() {
    let scratch = tempfile::tempdir().expect("a scratch directory");
    let mut forged = sections(&asleep(scratch.path(), "c_hello_sleep"));
    for section in &mut forged {
        if section.number == MODULE {
            // What zstd calls a skippable frame: magic, length, content.
            section.bytes.extend(0x184d_2a50_u32.to_le_bytes());
            section.bytes.extend(4_u32.to_le_bytes());
            section.bytes.extend(b"evil");
        }
    }
    let bytes = file(&forged);
    refused(scratch.path(), &bytes, 67, &["followed by something else"]);
}

/// Only the names of imports were compared with those of the manifest, by whose types engines make
/// the host's functions.
#[test]
fn an_import_of_another_type_is_refused() -> Result<(), Error> {
    let scratch = tempfile::tempdir().expect("a scratch directory");
    let bytes = asleep(scratch.path(), "c_hello_sleep");
    let honest = sections(&bytes);
    let module = honest.iter().find(|s| s.number == MODULE).expect("it");
    let mut wasm = zstd::bulk::decompress(&module.bytes, module.length as usize).expect("zstd");
    // In the manifest, the first parameter of `fd_write`.
    let after = |wasm: &[u8], from: usize, what: &[u8]| {
        let mut windows = wasm[from..].windows(what.len());
        from + windows.position(|window| window == what).expect("it") + what.len()
    };
    let manifest = after(&wasm, 0, b"dormouse.manifest");
    let import = after(&wasm, manifest, b"fd_write");
    let params = after(&wasm, import, b"params");
    let first = after(&wasm, params, b"I32");
    wasm[first - 3..first].copy_from_slice(b"I64");

    let mut snapshot = Snapshot::decode(&bytes, &Limits::default())?;
    snapshot.meta.module = Digest::of(&wasm);
    let mut forged = sections(&snapshot.encode()?);
    for section in forged.iter_mut().filter(|s| s.number == MODULE) {
        section.bytes = zstd::bulk::compress(&wasm, 3).expect("zstd");
    }
    let bytes = file(&forged);
    let snapshot = Snapshot::decode(&bytes, &Limits::default())?;
    let runtime = Runtime::builder()
        .cache(scratch.path().join("modules"))
        .build()?;
    let error = runtime.load_snapshot(&snapshot).expect_err("it lies");
    assert_eq!(error.kind(), ErrorKind::Snapshot, "{error}");
    refused(scratch.path(), &bytes, 67, &["other imports"]);
    Ok(())
}

/// The format says "one after another, without gaps", and the reader did not look.
#[test]
fn sections_lie_without_gaps() {
    let scratch = tempfile::tempdir().expect("a scratch directory");
    let honest = sections(&asleep(scratch.path(), "c_hello_sleep"));
    let same = file(&honest);
    assert!(Snapshot::decode(&same, &Limits::default()).is_ok());
    for gap in 0..honest.len() {
        let bytes = file_with_gap(&honest, gap, 1);
        refused(scratch.path(), &bytes, 67, &["does not start where"]);
    }
    let bytes = file_with_gap(&honest, honest.len(), 7);
    refused(scratch.path(), &bytes, 67, &["7 bytes follow"]);
    // Two sections over the same bytes.
    let mut bytes = same.clone();
    let (first, second) = (HEADER, HEADER + ROW);
    bytes.copy_within(first + 8..first + 16, second + 8);
    refused(scratch.path(), &sealed(bytes), 67, &["snapshot"]);
}

/// It was told to be of a newer dormouse.
#[test]
fn format_version_zero_never_was() {
    let scratch = tempfile::tempdir().expect("a scratch directory");
    let mut bytes = asleep(scratch.path(), "c_hello_sleep");
    bytes[8] = 0;
    refused(scratch.path(), &sealed(bytes.clone()), 67, &["never was"]);
    bytes[8] = 2;
    refused(scratch.path(), &sealed(bytes), 68, &["newer dormouse"]);
}

/// A change to a section's map.
type Forge = fn(&mut serde_json::Value);

/// The file with one of its maps changed.
fn with(honest: &[Section], number: u32, forge: Forge) -> Vec<u8> {
    let mut forged = honest.to_vec();
    for section in forged.iter_mut().filter(|s| s.number == number) {
        let plain = match section.compression {
            0 => section.bytes.clone(),
            _ => zstd::bulk::decompress(&section.bytes, section.length as usize).expect("zstd"),
        };
        let mut map: serde_json::Value = rmp_serde::from_slice(&plain).expect("a map");
        forge(&mut map);
        section.bytes = rmp_serde::to_vec_named(&map).expect("a map");
        section.length = section.bytes.len() as u64;
        section.compression = 0;
    }
    file(&forged)
}

/// A state that gives itself more than its guest could have had was taken.
#[test]
fn a_forged_wasi_state_gets_nothing_more() {
    let scratch = tempfile::tempdir().expect("a scratch directory");
    let honest = sections(&asleep(scratch.path(), "c_hello_sleep"));
    let forgeries: [(Forge, &str); 6] = [
        (
            |state| state["fds"][0]["rights"] = u64::MAX.into(),
            "rights",
        ),
        (|state| state["fds"][1]["flags"] = 0xffff.into(), "flags"),
        (|state| state["fds"][1]["fd"] = 0.into(), "one number"),
        (|state| state["fds"][1]["fd"] = u32::MAX.into(), "number"),
        (|state| state["args"][0] = "a\0b".into(), "zero byte"),
        (
            |state| state["fds"][1]["inheriting"] = u64::MAX.into(),
            "rights",
        ),
    ];
    for (forge, words) in forgeries {
        refused(scratch.path(), &with(&honest, WASI, forge), 67, &[words]);
    }
}

/// Values of another type than the module's globals and tables have were an internal error.
#[test]
fn a_forged_instance_is_a_damaged_snapshot() {
    let scratch = tempfile::tempdir().expect("a scratch directory");
    let honest = sections(&asleep(scratch.path(), "wat_globals"));
    let forgeries: [Forge; 9] = [
        |instance| instance["globals"][0] = serde_json::json!({ "F64": 5 }),
        |instance| instance["globals"][0] = serde_json::json!({ "FuncRef": 5 }),
        |instance| instance["globals"] = serde_json::json!([]),
        |instance| instance["tables"] = serde_json::json!([[{ "I32": 5 }]]),
        |instance| instance["entry"] = 7.into(),
        |instance| instance["pending"]["import"] = 1.into(),
        |instance| instance["pending"]["arguments"] = serde_json::json!([1]),
        |instance| instance["memories"][0]["size"] = (1_u64 << 40).into(),
        |instance| instance["memories"][0]["size"] = 65536.into(),
    ];
    for forge in forgeries {
        let bytes = with(&honest, INSTANCE, forge);
        refused(scratch.path(), &bytes, 67, &["snapshot"]);
    }
    let honest = sections(&asleep(scratch.path(), "wat_table"));
    let forgeries: [Forge; 3] = [
        |instance| instance["tables"][0][0] = serde_json::json!({ "I32": 5 }),
        |instance| instance["tables"][0][0] = "NullExtern".into(),
        |instance| instance["tables"][0][0] = serde_json::json!({ "FuncRef": 70000 }),
    ];
    for forge in forgeries {
        let bytes = with(&honest, INSTANCE, forge);
        refused(scratch.path(), &bytes, 67, &["snapshot"]);
    }
}

/// Bytes changed anywhere but in the module, in memory and on the stack, which are the guest's own.
/// No such snapshot may end in a panic.
#[test]
fn no_forged_byte_is_a_panic() -> Result<(), Error> {
    let scratch = tempfile::tempdir().expect("a scratch directory");
    let work = scratch.path().join("work");
    fs::create_dir(&work).expect("a scratch directory");
    let dir = format!("{}::/work", work.display());
    let runtime = Runtime::builder()
        .cache(scratch.path().join("modules"))
        .build()?;
    let mut numbers = 0x5eed_u64;
    let mut number = move |below: usize| {
        // xorshift64*
        numbers ^= numbers >> 12;
        numbers ^= numbers << 25;
        numbers ^= numbers >> 27;
        (numbers.wrapping_mul(0x2545_f491_4f6c_dd1d) >> 16) as usize % below
    };
    let mut thawed = 0;
    for name in ["c_files", "wat_table", "c_poll"] {
        let path = scratch.path().join(name);
        let slept = suspend(&guest(name), &path, &["--dir", &dir]);
        ended(&slept, 75).expect("it sleeps");
        let mut honest = sections(&fs::read(&path).expect("it was written"));
        for section in honest
            .iter_mut()
            .filter(|s| s.compression == 1 && s.number != MODULE)
        {
            let plain = zstd::bulk::decompress(&section.bytes, section.length as usize);
            section.bytes = plain.expect("zstd");
            section.compression = 0;
        }
        for _ in 0..250 {
            let mut forged = honest.clone();
            let maps = forged
                .iter_mut()
                .filter(|s| [1, INSTANCE, WASI].contains(&s.number));
            let mut maps: Vec<_> = maps.collect();
            let map = number(maps.len());
            for _ in 0..=number(3) {
                let at = number(maps[map].bytes.len());
                maps[map].bytes[at] = match number(3) {
                    0 => number(256) as u8,
                    1 => 0xff,
                    _ => maps[map].bytes[at].wrapping_add(1),
                };
            }
            let bytes = file(&forged);
            let Ok(snapshot) = Snapshot::decode(&bytes, &Limits::default()) else {
                continue;
            };
            let Ok(program) = runtime.load_snapshot(&snapshot) else {
                continue;
            };
            for engine in EngineKind::ALL
                .into_iter()
                .filter(|kind| kind.is_available())
            {
                let task = Task::builder(&runtime, &program)
                    .engine(engine)
                    .stdin(Input::Null)
                    .stdout(Output::Null)
                    .stderr(Output::Null)
                    .dir(work.clone(), "/work", Access::Kept)
                    .resume(&snapshot);
                // What can be thawed can be looked at.
                if let Ok(mut task) = task {
                    thawed += 1;
                    let _ = (task.is_ready(), task.remaining(), task.wakes_at());
                    let parked = task.parked().map_err(Error::from);
                    let _ = parked.and_then(|mut parked| parked.freeze()?.encode());
                }
            }
        }
    }
    assert!(thawed > 10, "only {thawed} of them were taken");
    Ok(())
}
