//! The WASI state of a sleeping guest, forged, over a host that grants one directory, one listener and
//! nothing else. What comes back may never reach further than that.

use std::collections::BTreeSet;
use std::net::TcpListener;
use std::path::{Path, PathBuf};
use std::sync::{Arc, OnceLock};

use dormouse::fuzzing::StateV1;
use dormouse::model::{Limit, Limits, Setting};
use dormouse::wasi::{Access, Input, Listener, Output, RestoreOptions};
use dormouse::{EngineKind, Program, Runtime, Snapshot, Task, TaskBuilder};
use serde_json::{Value, json};

use dormouse_test_support::checkout;

use super::mutate::{Base, mutate_map};

/// The address by which the guest knows the listener.
const ADDRESS: &str = "127.0.0.1:1";

pub struct Host {
    root: tempfile::TempDir,
    listener: TcpListener,
    pub runtime: Runtime,
    program: Arc<Program>,
    snapshot: Snapshot,
}

/// One host for all runs: no forged state may change it.
pub fn host() -> &'static Host {
    static HOST: OnceLock<Host> = OnceLock::new();
    HOST.get_or_init(|| Host::new().expect("a host can be made"))
}

impl Host {
    fn new() -> std::io::Result<Self> {
        let root = tempfile::Builder::new()
            .prefix("dormouse-fuzz-")
            .tempdir()?;
        let work = root.path().join("work");
        std::fs::create_dir_all(work.join("sub"))?;
        std::fs::write(root.path().join("secret"), "not for guests")?;
        std::fs::write(work.join("a"), "0123456789")?;
        std::fs::write(work.join("sub/b"), "b")?;
        std::os::unix::fs::symlink("../secret", work.join("link"))?;
        std::os::unix::fs::symlink("/", work.join("root"))?;
        let runtime = Runtime::builder()
            .cache(root.path().join("cache"))
            .pool(4)
            .build()
            .expect("a cache");
        let golden = checkout("snapshots/golden/v1/c_hello_sleep.wasmtime.snapshot");
        let bytes = std::fs::read(golden)?;
        let snapshot = Snapshot::decode(&bytes, &Limits::default()).expect("a golden snapshot");
        let program = runtime.load_snapshot(&snapshot).expect("its module");
        Ok(Self {
            root,
            listener: TcpListener::bind("127.0.0.1:0")?,
            runtime,
            program,
            snapshot,
        })
    }

    fn work(&self) -> PathBuf {
        self.root.path().join("work")
    }

    /// What this host grants to a task.
    pub fn builder<'a>(&'a self, program: &'a Arc<Program>) -> TaskBuilder<'a> {
        let socket = self.listener.try_clone().expect("descriptors are left");
        Task::builder(&self.runtime, program)
            .engine(EngineKind::Wasmtime)
            .stdin(Input::Null)
            .stdout(Output::Null)
            .stderr(Output::Null)
            .dir(self.work(), "/work", Access::Kept)
            .listener(Listener {
                address: ADDRESS.into(),
                socket,
            })
            .restore_options(RestoreOptions {
                accept_changed_files: true,
            })
            .limits(Limits::default().with([Setting {
                limit: Limit::Memory,
                value: 64 << 20,
                period: None,
            }]))
    }

    /// Every file that this process has open lies in what was granted, or was open before.
    pub fn check_open(&self, before: &BTreeSet<PathBuf>) {
        let root = self.root.path().canonicalize().expect("it is there");
        for path in open() {
            // Sockets, pipes, and files without a name: `/tmp/#123 (deleted)`.
            let named = path.is_absolute() && !path.to_string_lossy().ends_with(" (deleted)");
            // Machine code is the engine's.
            let granted =
                path.starts_with(root.join("work")) || path.starts_with(root.join("cache"));
            assert!(
                !named || granted || before.contains(&path),
                "a forged state opened {}",
                path.display()
            );
        }
    }
}

/// Where this process's descriptors lead.
pub fn open() -> BTreeSet<PathBuf> {
    std::fs::read_dir("/proc/self/fd")
        .into_iter()
        .flatten()
        .flatten()
        .filter_map(|entry| std::fs::read_link(entry.path()).ok())
        // Reading the folder itself, and the engine's own.
        .filter(|path| !path.starts_with("/proc") && !path.starts_with("/dev"))
        .collect()
}

pub fn run(data: &[u8]) {
    let host = host();
    let before = open();
    let mut snapshot = host.snapshot.clone();
    snapshot.wasi = data.to_vec();
    let thawed = host.builder(&host.program).resume(&snapshot);
    let Ok(mut task) = thawed else { return };
    host.check_open(&before);
    let _ = (task.is_ready(), task.remaining(), task.wakes_at());
    let mut parked = task.parked().expect("a task that was resumed is parked");
    let Ok(frozen) = parked.freeze() else { return };
    check_state(&frozen.wasi);
    let secret = std::fs::read(host.root.path().join("secret")).expect("it is there");
    assert_eq!(secret, b"not for guests");
    let kept = std::fs::read(host.work().join("a")).expect("it is there");
    assert_eq!(kept, b"0123456789", "a resume changed a file");
}

/// What the guest has now names nothing but what was granted.
pub fn check_state(bytes: &[u8]) {
    let state: StateV1 = rmp_serde::from_slice(bytes).expect("our own state can be read");
    let mut state = serde_json::to_value(&state).expect("it is data");
    for fd in state["fds"].as_array_mut().into_iter().flatten() {
        let kind = fd["kind"].take();
        let named = |value: &Value| value.as_str().map(String::from);
        let preopen = ["Dir", "File"]
            .iter()
            .find_map(|name| named(&kind[*name]["preopen"]))
            .or_else(|| named(&kind["Preopen"]));
        assert!(
            preopen.is_none_or(|guest| guest == "/work"),
            "a directory that was not granted: {kind}"
        );
        let address = named(&kind["Listener"]);
        assert!(
            address.is_none_or(|address| address == ADDRESS),
            "a listener that was not granted: {kind}"
        );
        for name in ["Dir", "File"] {
            if let Some(path) = named(&kind[name]["path"]) {
                let up = Path::new(&path).components().any(|part| {
                    !matches!(
                        part,
                        std::path::Component::Normal(_) | std::path::Component::CurDir
                    )
                });
                assert!(!up, "a path that leads out: {kind}");
            }
        }
    }
}

pub fn mutate(
    mut data: Vec<u8>,
    most: usize,
    random: &mut fastrand::Rng,
    base: Base<'_>,
) -> Vec<u8> {
    mutate_map(&mut data, most, random, base);
    data.truncate(most);
    data
}

/// States with a descriptor of every kind.
pub fn seeds() -> Vec<Vec<u8>> {
    let plain = host().snapshot.wasi.clone();
    let mut state: Value = rmp_serde::from_slice(&plain).expect("a map");
    let descriptor = |fd: u32, kind: Value, rights: u64| {
        json!({
            "fd": fd, "kind": kind, "rights": rights, "inheriting": 0, "flags": 0, "listing": null
        })
    };
    let identity = json!({ "size": 10, "modified": 0, "digest": null });
    let fds = state["fds"].as_array_mut().expect("descriptors");
    fds.push(descriptor(3, json!({ "Preopen": "/work" }), 1 << 13));
    fds.push(descriptor(
        4,
        json!({ "File": {
            "preopen": "/work", "path": "a", "offset": 3, "access": [true, false], "identity": identity,
        } }),
        2,
    ));
    fds.push(descriptor(
        5,
        json!({ "Dir": { "preopen": "/work", "path": "sub" } }),
        1 << 13,
    ));
    fds.push(descriptor(6, json!({ "Listener": ADDRESS }), 0));
    fds.push(descriptor(
        8,
        json!({ "Deleted": { "content": 0, "offset": 0, "access": [true, true] } }),
        2,
    ));
    let mut listing = descriptor(
        9,
        json!({ "Dir": { "preopen": "/work", "path": "sub" } }),
        1 << 14,
    );
    listing["listing"] = json!([{ "name": "b", "inode": 7, "filetype": 4 }]);
    fds.push(listing);
    state["deleted"] = json!([[1, 2, 3]]);
    state["poll"] = json!([{ "clock": "Monotonic", "at": 5 }, null]);
    let rich = rmp_serde::to_vec_named(&state).expect("it is data");
    vec![plain, rich]
}
