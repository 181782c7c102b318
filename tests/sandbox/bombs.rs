//! Snapshots that are small and mean to be large: each is refused within seconds and with little memory.

use std::path::Path;

use serde_json::{Value, json};

use crate::{bounded, sleep};
use dormouse_test_support::forge::{self, INSTANCE, META, MODULE, Section, WASI};
use dormouse_test_support::{ended, says, stderr};

const PAGES: u32 = 5;
const STACK: u32 = 6;

/// MiB that the process may write to. Starting a guest takes some 100; the bombs unpack to gigabytes.
const MEMORY: u64 = 700;
const SECONDS: u32 = 60;

fn honest(folder: &Path) -> Vec<Section> {
    let path = folder.join("snapshot");
    sleep(&path, &[], "sleep 1");
    forge::sections(&std::fs::read(path).expect("it was written"))
}

/// So many zeros, as a zstd frame that says so.
fn zeros(length: u64) -> Vec<u8> {
    let mut encoder = zstd::Encoder::new(Vec::new(), 1).expect("zstd");
    encoder.include_contentsize(true).expect("zstd");
    encoder.set_pledged_src_size(Some(length)).expect("zstd");
    std::io::copy(
        &mut std::io::Read::take(std::io::repeat(0), length),
        &mut encoder,
    )
    .expect("zstd");
    encoder.finish().expect("zstd")
}

fn refused(folder: &Path, sections: &[Section], words: &[&str]) {
    let path = folder.join("forged");
    let bytes = forge::file(sections);
    assert!(bytes.len() < 4 << 20, "no small file: {}", bytes.len());
    std::fs::write(&path, bytes).expect("a scratch file");
    let path = path.display().to_string();
    for command in ["resume", "inspect"] {
        let output = bounded(MEMORY, SECONDS, &[command, &path]);
        // What only a module can tell is not looked at by `inspect`.
        if command == "inspect" && output.status.code() == Some(0) {
            continue;
        }
        ended(&output, 67)
            .and_then(|()| says(&output, words))
            .unwrap_or_else(|message| panic!("{command}: {message}"));
        assert!(output.stdout.is_empty(), "the guest ran");
    }
}

/// Every section, made of eight gigabytes of zeros, and of terabytes that there are not.
#[test]
fn sections_of_zeros_are_refused() {
    let scratch = tempfile::tempdir().expect("a scratch directory");
    let sections = honest(scratch.path());
    let bomb = zeros(2 << 30);
    for number in [META, MODULE, INSTANCE, WASI, PAGES, STACK] {
        for length in [2 << 30, u64::MAX] {
            let mut forged = sections.clone();
            for section in forged.iter_mut().filter(|section| section.number == number) {
                section.compression = 1;
                section.length = length;
                section.bytes = bomb.clone();
            }
            refused(scratch.path(), &forged, &["snapshot"]);
        }
    }
}

/// The frame of a section that is small by its row, and by its own header a terabyte.
#[test]
fn frames_that_grow_are_refused() {
    let scratch = tempfile::tempdir().expect("a scratch directory");
    let sections = honest(scratch.path());
    let bomb = zeros(1 << 30);
    let mut unsaid = zstd::Encoder::new(Vec::new(), 1).expect("zstd");
    unsaid.include_contentsize(false).expect("zstd");
    std::io::copy(
        &mut std::io::Read::take(std::io::repeat(0), 1 << 30),
        &mut unsaid,
    )
    .expect("zstd");
    let unsaid = unsaid.finish().expect("zstd");
    for number in [META, MODULE, INSTANCE, WASI, PAGES, STACK] {
        for frame in [&bomb, &unsaid, &[bomb.clone(), bomb.clone()].concat()] {
            let mut forged = sections.clone();
            for section in forged.iter_mut().filter(|section| section.number == number) {
                section.compression = 1;
                section.bytes = frame.clone();
            }
            refused(scratch.path(), &forged, &["snapshot"]);
        }
    }
}

type Forge = fn(&mut Value);

/// Memories and page runs that would fill the same memory again and again, or one that nobody has.
#[test]
fn runs_are_as_many_as_there_are_pages() {
    let scratch = tempfile::tempdir().expect("a scratch directory");
    let sections = honest(scratch.path());
    let forgeries: [(Forge, &str); 8] = [
        (
            |instance| {
                let run = json!({ "first": 0, "count": 16, "zero": true });
                instance["memories"][0]["runs"] = json!(vec![run; 300_000]);
            },
            "not in order",
        ),
        (
            |instance| {
                let run = json!({ "first": 0, "count": u32::MAX, "zero": true });
                instance["memories"][0]["runs"] = json!([run]);
            },
            "outside",
        ),
        (
            |instance| instance["memories"][0]["size"] = json!(1_u64 << 48),
            "snapshot",
        ),
        (
            |instance| {
                instance["memories"][0]["size"] = json!(1_u64 << 32);
                let run = json!({ "first": 0, "count": 1 << 20, "zero": false });
                instance["memories"][0]["runs"] = json!([run]);
            },
            "more or fewer pages",
        ),
        (
            |instance| {
                let memory = json!({ "size": u64::MAX, "runs": [] });
                instance["memories"] = json!(vec![memory; 100_000]);
            },
            "snapshot",
        ),
        (
            |instance| instance["globals"] = json!(vec![json!({ "I64": u64::MAX }); 100_000]),
            "snapshot",
        ),
        (
            |instance| instance["tables"] = json!([vec!["NullFunc"; 300_000]]),
            "snapshot",
        ),
        (
            |instance| instance["pending"]["arguments"] = json!(vec![0; 200_000]),
            "snapshot",
        ),
    ];
    for (forge, words) in forgeries {
        let mut forged = sections.clone();
        forge::change(&mut forged, INSTANCE, forge);
        for section in forged
            .iter_mut()
            .filter(|section| section.number == INSTANCE)
        {
            section.compression = 1;
            section.bytes = zstd::bulk::compress(&section.bytes, 1).expect("zstd");
        }
        refused(scratch.path(), &forged, &[words]);
    }
}

/// MessagePack that says it has more than there is, and that is deeper than a stack.
#[test]
fn maps_that_lie_about_themselves_are_refused() {
    let scratch = tempfile::tempdir().expect("a scratch directory");
    let sections = honest(scratch.path());
    let lies: [Vec<u8>; 5] = [
        vec![0xdd, 0xff, 0xff, 0xff, 0xff],
        vec![0xdf, 0xff, 0xff, 0xff, 0xff],
        vec![0xc6, 0xff, 0xff, 0xff, 0xff],
        vec![0x91; 3 << 20],
        [
            &[0x81, 0xa4][..],
            b"args",
            &[0xdd, 0xff, 0xff, 0xff, 0xff, 0xa0],
        ]
        .concat(),
    ];
    for number in [META, INSTANCE, WASI] {
        for lie in &lies {
            let mut forged = sections.clone();
            for section in forged.iter_mut().filter(|section| section.number == number) {
                section.set(lie);
            }
            refused(scratch.path(), &forged, &["snapshot"]);
        }
    }
}

/// A state with more than a guest can have.
#[test]
fn more_than_a_guest_can_have_is_refused() {
    let scratch = tempfile::tempdir().expect("a scratch directory");
    let sections = honest(scratch.path());
    let forgeries: [Forge; 3] = [
        |state| {
            let mut fds = state["fds"].as_array().expect("descriptors").clone();
            for number in 0..20_000_u32 {
                let mut fd = fds[0].clone();
                fd["fd"] = json!(number);
                fds.push(fd);
            }
            state["fds"] = json!(fds);
        },
        |state| {
            // Of one content, many files.
            let kind = json!({ "Deleted": { "content": 0, "offset": 0, "access": [true, true] } });
            let fd = |number: u32| json!({ "fd": number, "kind": kind, "rights": 0, "inheriting": 0, "flags": 0, "listing": null });
            state["fds"] = json!((0..50_000).map(fd).collect::<Vec<_>>());
            state["deleted"] = json!([[1, 2, 3]]);
        },
        |state| state["deleted"] = json!(vec![Vec::<u8>::new(); 100_000]),
    ];
    for forge in forgeries {
        let mut forged = sections.clone();
        forge::change(&mut forged, WASI, forge);
        for section in forged.iter_mut().filter(|section| section.number == WASI) {
            section.compression = 1;
            section.bytes = zstd::bulk::compress(&section.bytes, 3).expect("zstd");
        }
        let path = scratch.path().join("forged");
        std::fs::write(&path, forge::file(&forged)).expect("a scratch file");
        let output = bounded(MEMORY, SECONDS, &["resume", &path.display().to_string()]);
        let code = output.status.code();
        assert!(
            // 80 is the limit on open descriptors.
            matches!(code, Some(67 | 70 | 71 | 80)),
            "{code:?}: {}",
            stderr(&output)
        );
        assert!(!stderr(&output).contains("panicked"), "{}", stderr(&output));
    }
}
