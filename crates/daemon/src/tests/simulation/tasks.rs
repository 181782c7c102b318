//! The tasks of a world: what is submitted, and what it has to write.

use std::path::Path;
use std::sync::{Arc, LazyLock};

use crate::blobs::preparations::Preparations;
use crate::blobs::programs::Programs;
use crate::model::clock::SystemClock;
use crate::model::spec::{Access, Mount};
use crate::model::{Digest, TaskId, TaskSpec, TaskState, TenantId, Timestamp, When};
use crate::store::{Change, ClassId, Insert, Reference};
use crate::stored::encoding::{to_bytes, to_named_bytes};
use crate::stored::status::Status;
use crate::task::{EngineKind, Runtime};

/// The guest, made resumable and compiled once for all worlds.
pub(super) struct Guest {
    pub(super) programs: Arc<Programs>,
    pub(super) module: Digest,
    /// The change that stores it.
    pub(super) blob: Change,
}

pub(super) static GUEST: LazyLock<Guest> = LazyLock::new(|| {
    let source = wat::parse_str(include_str!("guest.wat")).expect("a module");
    // Each process of a node has instances until the world ends.
    let runtime = Runtime::builder().pool(Some(2000));
    let runtime = runtime.build().expect("a runtime");
    let store = Reference::new(0, Arc::new(SystemClock::new()));
    let programs = Programs::new(runtime, Arc::new(store), Arc::new(Preparations::default()));
    let made = programs.add(&source, false, EngineKind::Wasmtime);
    let (program, blob) = made.expect("it is made resumable");
    Guest {
        programs: Arc::new(programs),
        module: program.digest(),
        blob,
    }
});

/// How many lines a task with so many arguments writes, as in `guest.wat`.
fn rounds(arguments: usize) -> usize {
    4 + arguments % 5
}

/// What a task with so many arguments writes.
pub(super) fn lines(arguments: usize) -> String {
    (0..rounds(arguments))
        .map(|round| format!("{round:02}\n"))
        .collect()
}

/// A new task that appends to a file in this directory.
pub(super) fn insert(
    id: TaskId,
    arguments: usize,
    directory: &Path,
    now: Timestamp,
    due: When,
) -> Change {
    let spec = TaskSpec {
        program: Some("guest".into()),
        // The first argument is the program's name.
        args: vec!["more".into(); arguments - 1],
        mounts: vec![Mount {
            host: directory.display().to_string(),
            guest: "/".into(),
            access: Access::ReadWrite,
        }],
        ..TaskSpec::default()
    };
    let status = Status {
        submitted: now,
        changed: now,
        ..Status::default()
    };
    Change::Insert(Insert {
        id,
        state: TaskState::Hibernated,
        due,
        name: None,
        module: GUEST.module,
        spec: to_named_bytes(&spec).expect("it is encoded"),
        status: to_bytes(&status).expect("it is encoded"),
        snapshot: None,
        held: false,
        class: ClassId::ANY,
        tenant: TenantId::DEFAULT,
    })
}
