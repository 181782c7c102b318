//! Stores with made-up tasks, for tests that start no guest.

use std::sync::Arc;
use std::time::Duration;

use tempfile::TempDir;

use crate::daemon::Daemon;
use crate::model::{Digest, MonotonicTime, TaskId, TaskSpec, TaskState, TenantId, Timestamp, When};
use crate::options::Options;
use crate::store::{
    Change, ClassId, Insert, OutputPiece, SnapshotChange, Sqlite, Stamp, Store, Stream, Update,
};
use crate::stored::encoding::to_bytes;
use crate::stored::status::Status;

/// The digest of the module that each of these stores has.
pub(crate) fn module() -> Digest {
    Digest::of(b"module")
}

/// A store after these changes, and its folder.
pub(crate) fn store_after(changes: Vec<Change>) -> (Sqlite, TempDir) {
    let directory = tempfile::tempdir().expect("a directory");
    let store = Sqlite::open(directory.path()).expect("a store");
    let now = Stamp {
        now: MonotonicTime::from_nanos(1),
        ahead: 0,
        realtime: Timestamp::from_nanos(1),
        machine: None,
    };
    let lease = store.claim("a test", &now, Duration::ZERO).expect("free");
    let blob = Change::Blob {
        digest: module(),
        bytes: b"module".to_vec(),
        pack: None,
    };
    let changes: Vec<Change> = std::iter::once(blob).chain(changes).collect();
    store.commit(&lease, &now, &changes).expect("it is stored");
    (store, directory)
}

/// A change of a task that has this version: it gets this state, and has written this.
pub(crate) fn update(
    id: TaskId,
    version: u64,
    state: TaskState,
    output: Vec<OutputPiece>,
) -> Change {
    Change::Update(Update {
        id,
        expected: version,
        state,
        due: When::NEVER,
        status: to_bytes(&Status::default()).expect("it is encoded"),
        spec: None,
        snapshot: SnapshotChange::Keep,
        output,
        output_limit: u64::MAX,
        held: false,
        target: None,
    })
}

/// A new task that is paused.
pub(crate) fn paused(id: TaskId) -> Change {
    Change::Insert(Insert {
        id,
        state: TaskState::Paused,
        due: When::NEVER,
        name: None,
        module: module(),
        spec: to_bytes(&TaskSpec::default()).expect("it is encoded"),
        status: to_bytes(&Status::default()).expect("it is encoded"),
        snapshot: None,
        held: false,
        tenant: TenantId::DEFAULT,
        class: ClassId::ANY,
    })
}

/// A daemon whose store has a paused task with these pieces of output. Its version is 2.
pub(crate) fn daemon_with_output(pieces: &[&str]) -> (Arc<Daemon>, TaskId, TempDir) {
    let id = TaskId(1);
    let written = |text: &&str| OutputPiece {
        stream: Stream::Stdout,
        time: Timestamp::from_nanos(1),
        bytes: text.as_bytes().to_vec(),
    };
    let output = pieces.iter().map(written).collect();
    let (store, directory) =
        store_after(vec![paused(id), update(id, 1, TaskState::Paused, output)]);
    let daemon = Daemon::start(Arc::new(store), Options::default()).expect("it starts");
    (daemon, id, directory)
}
