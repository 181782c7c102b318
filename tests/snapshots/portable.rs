//! A snapshot depends on nothing of the host that wrote it: not on the engine, the paths, the user or the
//! processor. With `DORMOUSE_AARCH64`, a program for aarch64 (`make test-aarch64` builds it), tasks also go to and fro
//! between it, under QEMU (`DORMOUSE_QEMU`), and this machine's own.

use std::fs;
use std::process::{Command, Stdio};

use dormouse_test_support as support;
use dormouse_test_support::{checkout, dormouse, ended, engines, finish, forge, guest};
use rmpv::Value;

const SECTIONS: [u32; 6] = [1, 2, 3, 4, 5, 6];

/// Deterministic guests: each with a stack, memory, floats, vectors or tables alive at its first wait.
const GUESTS: [&str; 8] = [
    "c_hello_sleep",
    "c_deep",
    "c_locals",
    "c_globals",
    "c_fnptr",
    "wat_table",
    "wat_multivalue",
    "wat_v128",
];

/// Guests in other languages, which walk only: Rust, Zig, AssemblyScript, and C++ with exceptions on the stack.
const WALKERS: [&str; 4] = ["rs_vec", "zig_generic", "as_strings", "eh_throw"];

/// The sections of a guest asleep, unpacked, by number.
fn asleep(name: &str, engine: &str, flags: &[&str]) -> Vec<Vec<u8>> {
    asleep_on(dormouse(), name, engine, flags)
}

/// The same, by this program.
fn asleep_on(mut command: Command, name: &str, engine: &str, flags: &[&str]) -> Vec<Vec<u8>> {
    let scratch = tempfile::tempdir().expect("a scratch directory");
    let path = scratch.path().join("snapshot");
    command.args([
        "run",
        "--suspend",
        "always",
        "--engine",
        engine,
        "--snapshot",
    ]);
    let output = finish(
        command.arg(&path).args(flags).arg(guest(name)),
        Stdio::null(),
    );
    ended(&output, 75).unwrap_or_else(|message| panic!("{name} on {engine}: {message}"));
    let sections = forge::sections(&fs::read(path).expect("it was written"));
    let find = |number: &u32| sections.iter().find(|section| section.number == *number);
    let all = SECTIONS
        .iter()
        .map(|number| find(number).and_then(forge::Section::plain));
    all.collect::<Option<_>>().expect("it has all sections")
}

/// Takes fields out of a map, where it is one.
fn without(map: &mut Value, names: &[&str]) {
    if let Value::Map(fields) = map {
        fields.retain(|(name, _)| !names.iter().any(|taken| name.as_str() == Some(*taken)));
    }
}

/// A field of a map.
fn field<'a>(map: &'a mut Value, name: &str) -> Option<&'a mut Value> {
    let Value::Map(fields) = map else { return None };
    let found = fields
        .iter_mut()
        .find(|(known, _)| known.as_str() == Some(name));
    found.map(|(_, value)| value)
}

/// A map without the fields in which two runs differ: when it was, and on which engine. It is MessagePack's own kind of
/// value: JSON has no bytes, and a v128 is bytes.
fn fixed(bytes: &[u8]) -> Value {
    let mut rest = bytes;
    let mut map = rmpv::decode::read_value(&mut rest).expect("MessagePack");
    assert!(
        map.is_map() && rest.is_empty(),
        "one map, and nothing behind it"
    );
    without(
        &mut map,
        &["engine", "created", "wakes", "wait", "clock", "poll"],
    );
    if let Some(pending) = field(&mut map, "pending") {
        without(pending, &["wait"]);
    }
    if let Some(usage) = field(&mut map, "usage") {
        without(usage, &["as_of", "cpu", "started"]);
    }
    map
}

/// The same program at the same place is the same bytes, whichever engine it ran on, but for times and the
/// engine's name.
#[test]
fn both_engines_write_the_same_bytes() {
    let engines = engines();
    if engines.len() < 2 {
        println!("skipped: one engine only");
        return;
    }
    for name in GUESTS {
        assert_same(
            name,
            || asleep(name, engines[0], &[]),
            || asleep(name, engines[1], &[]),
        );
    }
}

/// The sections of two snapshots are the same, but for times and the engine's name.
fn assert_same(name: &str, one: impl Fn() -> Vec<Vec<u8>>, other: impl Fn() -> Vec<Vec<u8>>) {
    const STACK: usize = 5;
    let (mut here, mut there) = (one(), other());
    // Guests nap for milliseconds. On a machine that was busy elsewhere such a nap is over before the guest could be put
    // to sleep, and it is at the next one then.
    for _ in 0..20 {
        if here[STACK] == there[STACK] {
            break;
        }
        (here, there) = (one(), other());
    }
    for (place, number) in SECTIONS.iter().enumerate() {
        match *number {
            forge::META | forge::INSTANCE | forge::WASI => {
                assert_eq!(
                    fixed(&here[place]),
                    fixed(&there[place]),
                    "{name}, section {number}"
                );
            }
            _ => assert!(
                here[place] == there[place],
                "{name}: section {number} differs"
            ),
        }
    }
}

/// And whichever processor it ran on, the rewritten module among them.
#[test]
fn both_processors_write_the_same_bytes() {
    if foreign().is_none() {
        println!("skipped: `make test-aarch64` builds the other machine's program");
        return;
    }
    for name in GUESTS {
        let there = || {
            let program = foreign().expect("there is one");
            asleep_on(program, name, "wasmtime", &[])
        };
        assert_same(name, || asleep(name, "wasmtime", &[]), there);
    }
}

/// Nothing that only this machine has is in it.
#[test]
fn nothing_of_the_host_is_in_it() {
    let scratch = tempfile::Builder::new()
        .prefix("unmistakable-")
        .tempdir()
        .expect("a directory");
    let path = scratch.path().display().to_string();
    let dir = format!("{path}::/data");
    let mut secrets = vec!["unmistakable-".to_string()];
    let checkout = env!("CARGO_MANIFEST_DIR");
    secrets.push(checkout.into());
    secrets.extend(fs::read_to_string("/etc/hostname").map(|name| name.trim().to_string()));
    secrets.extend(fs::read_to_string("/etc/machine-id").map(|id| id.trim().to_string()));
    secrets.extend(std::env::var("HOME"));
    for engine in engines() {
        for name in ["c_hello_sleep", "zig_sleep", "as_sleep"] {
            for section in asleep(name, engine, &["--dir", &dir]) {
                for secret in secrets.iter().filter(|secret| secret.len() > 3) {
                    let found = section
                        .windows(secret.len())
                        .any(|part| part == secret.as_bytes());
                    assert!(!found, "{name} on {engine}: {secret}");
                }
            }
        }
    }
}

/// Numbers outside of MessagePack, which has an order of its own, are little-endian on every machine.
#[test]
fn the_order_of_bytes_is_fixed() {
    let folder = checkout("snapshots/golden/v1");
    let mut seen = 0;
    for entry in fs::read_dir(folder).expect("golden snapshots").flatten() {
        if entry
            .path()
            .extension()
            .is_none_or(|name| name != "snapshot")
        {
            continue;
        }
        let file = fs::read(entry.path()).expect("it can be read");
        assert_eq!(file[8..12], [1, 0, 0, 0]);
        assert_eq!(file[16..24], (file.len() as u64).to_le_bytes());
        seen += 1;
    }
    assert!(seen > 20, "there are hardly any");
}

/// The other machine's program, if there is one.
fn foreign() -> Option<Command> {
    let program = std::env::var_os("DORMOUSE_AARCH64")?;
    let qemu = std::env::var_os("DORMOUSE_QEMU").unwrap_or_else(|| "qemu-aarch64".into());
    let mut command = Command::new(qemu);
    command.args(["-L", "/usr/aarch64-linux-gnu"]).arg(program);
    command.env(
        "DORMOUSE_CACHE",
        support::cache().join("test-modules-aarch64"),
    );
    Some(command)
}

/// Goes on with a snapshot until the task ends, each time on the other machine; gives what it wrote, how often it slept
/// and what it ended with.
fn walk(name: &str, mut here: bool) -> (Vec<u8>, usize, Option<i32>) {
    let scratch = tempfile::tempdir().expect("a scratch directory");
    let path = scratch.path().join("snapshot");
    let machine = |here: bool| match here {
        true => dormouse(),
        false => foreign().expect("there is one"),
    };
    let mut command = machine(here);
    command.args([
        "run",
        "--engine",
        "wasmtime",
        "--suspend",
        "always",
        "--snapshot",
    ]);
    let mut output = finish(command.arg(&path).arg(guest(name)), Stdio::null());
    let (mut written, mut sleeps) = (output.stdout.clone(), 0);
    while output.status.code() == Some(75) {
        sleeps += 1;
        assert!(sleeps < 2000, "{name} does not end");
        // Not over yet is asleep again: the machine changes, the guest does not go on.
        here = !here;
        let mut command = machine(here);
        command.args(["resume", "--engine", "wasmtime", "--suspend", "always"]);
        output = finish(command.arg(&path), Stdio::null());
        written.extend(&output.stdout);
    }
    (written, sleeps, output.status.code())
}

/// Written on x86-64 and resumed on aarch64, and the other way.
#[test]
fn tasks_walk_between_processors() {
    if foreign().is_none() {
        println!("skipped: `make test-aarch64` builds the other machine's program");
        return;
    }
    for name in GUESTS.into_iter().chain(WALKERS) {
        let oracle = finish(&mut support::oracle(&guest(name)), Stdio::null());
        for here in [true, false] {
            if !here && WALKERS.contains(&name) {
                continue;
            }
            let (written, sleeps, code) = walk(name, here);
            assert_eq!(code, oracle.status.code(), "{name}, first here: {here}");
            assert_eq!(
                String::from_utf8_lossy(&written),
                String::from_utf8_lossy(&oracle.stdout),
                "{name}, first here: {here}"
            );
            assert!(sleeps > 0, "{name} never slept");
            println!(
                "{name}: {sleeps} sleeps, first on {}",
                if here { "x86-64" } else { "aarch64" }
            );
        }
    }
}
