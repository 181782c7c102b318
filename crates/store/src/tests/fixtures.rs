//! Made-up changes and times, and what the suite runs on.

use std::sync::Arc;
use std::time::Duration;

use tempfile::TempDir;

use crate::change::{Change, Insert, SnapshotChange, Update};
use crate::class::ClassId;
use crate::model::clock::SystemClock;
use crate::model::{Digest, MonotonicTime, TaskId, TaskState, TenantId, Timestamp, When};
use crate::nodes::Nodes;
use crate::reference::Reference;
use crate::sqlite::Sqlite;
use crate::store::{Lease, Stamp};
use crate::task::{OutputPiece, Stream};

pub(crate) const SECOND: Duration = Duration::from_secs(1);

/// A place for a store of one implementation. A store that is opened there has what one that was
/// dropped before has stored there.
pub(crate) trait Place {
    fn open(&self) -> Box<dyn Nodes>;

    /// The number of a store somewhere else.
    fn number_elsewhere(&self) -> u64;
}

/// A directory for SQLite.
pub(crate) struct Directory(TempDir);

impl Directory {
    pub(crate) fn new() -> Self {
        Self(tempfile::tempdir().expect("a directory"))
    }
}

impl Place for Directory {
    fn open(&self) -> Box<dyn Nodes> {
        Box::new(Sqlite::open(self.0.path()).expect("it opens"))
    }

    fn number_elsewhere(&self) -> u64 {
        Self::new().open().number().expect("reads")
    }
}

/// A new store in maps.
pub(crate) fn reference() -> Reference {
    Reference::new(fastrand::u64(..), Arc::new(SystemClock::new()))
}

impl Place for Reference {
    fn open(&self) -> Box<dyn Nodes> {
        Box::new(self.clone())
    }

    fn number_elsewhere(&self) -> u64 {
        reference().open().number().expect("reads")
    }
}

/// A store with a module and the lease.
pub(crate) fn store(place: &dyn Place) -> (Box<dyn Nodes>, Lease) {
    let store = place.open();
    let lease = store.claim("a test", &at(1), SECOND).expect("it is free");
    let module = [blob("module")];
    store.commit(&lease, &at(1), &module).expect("it is stored");
    (store, lease)
}

pub(crate) fn digest(text: &str) -> Digest {
    Digest::of(text.as_bytes())
}

/// A moment of the steady clock by its nanoseconds.
pub(crate) fn steady(nanoseconds: u64) -> MonotonicTime {
    MonotonicTime::from_nanos(nanoseconds)
}

/// A time at which the steady clock and the wall clock are the same.
pub(crate) fn at(now: u64) -> Stamp {
    Stamp {
        now: steady(now),
        ahead: 0,
        realtime: Timestamp::from_nanos(now),
        machine: None,
    }
}

pub(crate) fn blob(text: &str) -> Change {
    Change::Blob {
        digest: digest(text),
        bytes: text.as_bytes().to_vec(),
        pack: None,
    }
}

pub(crate) fn insert(id: u64, due: Option<u64>, name: Option<&str>) -> Change {
    Change::Insert(new_task(id, due, name))
}

pub(crate) fn new_task(id: u64, due: Option<u64>, name: Option<&str>) -> Insert {
    Insert {
        id: TaskId(id),
        state: TaskState::Ready,
        due: due.map_or(When::NEVER, |at| When::steady(steady(at))),
        name: name.map(String::from),
        module: digest("module"),
        spec: b"spec".to_vec(),
        status: b"status".to_vec(),
        snapshot: None,
        held: false,
        tenant: TenantId::DEFAULT,
        class: ClassId::ANY,
    }
}

pub(crate) fn update(id: u64, expected: u64) -> Update {
    Update {
        id: TaskId(id),
        expected,
        state: TaskState::Hibernated,
        due: When::steady(steady(70)),
        status: b"asleep".to_vec(),
        spec: None,
        snapshot: SnapshotChange::Keep,
        output: Vec::new(),
        output_limit: 100,
        held: false,
        target: None,
    }
}

pub(crate) fn line(text: &str) -> OutputPiece {
    OutputPiece {
        stream: Stream::Stdout,
        time: Timestamp::from_nanos(5),
        bytes: text.as_bytes().to_vec(),
    }
}
