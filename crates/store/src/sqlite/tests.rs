//! Tests of the store in SQLite.

use super::open::FORMAT;
use super::*;
use crate::change::{Insert, MoveChange, SnapshotChange, Update};
use crate::model::clock::Mark;
use crate::model::{Timestamp, When};
use crate::moves::{MovePhase, RecordChange};
use crate::task::{OutputPiece, Stream};

const SECOND: Duration = Duration::from_secs(1);

fn digest(text: &str) -> Digest {
    Digest::of(text.as_bytes())
}

/// A moment of the steady clock by its nanoseconds.
fn steady(nanoseconds: u64) -> MonotonicTime {
    MonotonicTime::from_nanos(nanoseconds)
}

/// A time at which the steady clock and the wall clock are the same.
fn at(now: u64) -> Stamp {
    Stamp {
        now: steady(now),
        ahead: 0,
        realtime: Timestamp::from_nanos(now),
        machine: None,
    }
}

/// A store with a module and the lease.
fn store(directory: &Path) -> (Sqlite, Lease) {
    let store = Sqlite::open(directory).expect("opens");
    let lease = store
        .claim("a test", &at(1), SECOND)
        .expect("nobody has it");
    let module = Change::Blob {
        digest: digest("module"),
        bytes: b"module".to_vec(),
        pack: None,
    };
    store.commit(&lease, &at(1), &[module]).expect("commits");
    (store, lease)
}

fn insert(id: u64, due: Option<u64>, name: Option<&str>) -> Change {
    Change::Insert(Insert {
        id: TaskId(id),
        state: TaskState::Ready,
        due: due.map_or(When::NEVER, |at| When::steady(steady(at))),
        name: name.map(String::from),
        module: digest("module"),
        spec: b"spec".to_vec(),
        status: b"status".to_vec(),
        snapshot: None,
    })
}

fn update(id: u64, expected: u64) -> Update {
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
    }
}

fn line(text: &str) -> OutputPiece {
    OutputPiece {
        stream: Stream::Stdout,
        time: Timestamp::from_nanos(5),
        bytes: text.as_bytes().to_vec(),
    }
}

#[test]
fn what_is_committed_is_there_after_opening_again() {
    let folder = tempfile::tempdir().expect("a folder");
    let snapshot = StoredSnapshot {
        base: Some(digest("base")),
        bytes: vec![1, 2, 3],
        pack: None,
    };
    {
        let (store, lease) = store(folder.path());
        let base = Change::Blob {
            digest: digest("base"),
            bytes: vec![9; 9],
            pack: None,
        };
        let asleep = Change::Update(Update {
            snapshot: SnapshotChange::Set(snapshot.clone()),
            output: vec![line("hello")],
            ..update(7, 1)
        });
        let batch = [insert(7, Some(3), Some("x")), base, asleep];
        let verdicts = store.commit(&lease, &at(2), &batch).expect("commits");
        assert_eq!(verdicts, [Verdict::Done; 3]);
    }
    let store = Sqlite::open(folder.path()).expect("opens again");
    let (row, found) = store.load(TaskId(7)).expect("reads").expect("is there");
    assert_eq!((row.version, row.state), (2, TaskState::Hibernated));
    assert_eq!(
        (row.due, row.name.as_deref()),
        (Some(steady(70)), Some("x"))
    );
    assert_eq!(
        (row.module, row.status.as_slice()),
        (digest("module"), &b"asleep"[..])
    );
    assert_eq!(found, Some(snapshot));
    assert_eq!(store.last_id().expect("reads"), TaskId(7));
    assert_eq!(store.named("x").expect("reads"), Some(TaskId(7)));
    let output = store.output(TaskId(7), 0, 1000).expect("reads");
    assert_eq!(output[0].piece, line("hello"));
}

#[test]
fn a_change_of_another_version_changes_nothing() {
    let folder = tempfile::tempdir().expect("a folder");
    let (store, lease) = store(folder.path());
    store
        .commit(&lease, &at(2), &[insert(1, None, None)])
        .expect("commits");
    let late = Update {
        output: vec![line("twice")],
        ..update(1, 9)
    };
    let remove = Change::Remove {
        id: TaskId(1),
        expected: 9,
    };
    let batch = [Change::Update(late), remove, Change::Update(update(2, 1))];
    let verdicts = store.commit(&lease, &at(2), &batch).expect("commits");
    assert_eq!(verdicts, [Verdict::Conflict; 3]);
    let row = store.task(TaskId(1)).expect("reads").expect("is there");
    assert_eq!((row.version, row.state), (1, TaskState::Ready));
    assert!(store.output(TaskId(1), 0, 10).expect("reads").is_empty());
}

/// A page of a thousand tasks with 2 MiB of arguments each would take 2 GiB of memory.
#[test]
fn a_list_ends_at_its_bytes() {
    let folder = tempfile::tempdir().expect("a folder");
    let (store, lease) = store(folder.path());
    let batch: Vec<Change> = (1..=5).map(|id| insert(id, None, None)).collect();
    store.commit(&lease, &at(2), &batch).expect("commits");
    let listed = |spec_bytes| {
        let filter = Filter {
            limit: 100,
            spec_bytes,
            ..Filter::default()
        };
        let rows = store.list(&filter).expect("reads").into_iter();
        rows.map(|row| row.id.0).collect::<Vec<_>>()
    };
    let one = b"spec".len();
    assert_eq!(listed(None), [5, 4, 3, 2, 1]);
    assert_eq!(listed(Some(2 * one)), [5, 4]);
    assert_eq!(listed(Some(2 * one + 1)), [5, 4, 3]);
    assert_eq!(listed(Some(1)), [5], "a page has one task at least");
}

#[test]
fn a_name_belongs_to_one_task() {
    let folder = tempfile::tempdir().expect("a folder");
    let (store, lease) = store(folder.path());
    let batch = [insert(1, None, Some("x")), insert(2, None, Some("x"))];
    let verdicts = store.commit(&lease, &at(2), &batch).expect("commits");
    assert_eq!(verdicts, [Verdict::Done, Verdict::NameTaken]);
    assert_eq!(store.task(TaskId(2)).expect("reads"), None);
}

#[test]
fn who_has_lost_the_lease_changes_nothing() {
    let folder = tempfile::tempdir().expect("a folder");
    let (store, old) = store(folder.path());
    let new = store.claim("another", &at(2), SECOND).expect("takes over");
    assert!(new.epoch > old.epoch);
    let late = store.commit(&old, &at(3), &[insert(1, None, None)]);
    assert!(matches!(late, Err(Error::Lost)), "{late:?}");
    assert_eq!(store.task(TaskId(1)).expect("reads"), None);
}

#[test]
fn a_store_is_opened_once() {
    let folder = tempfile::tempdir().expect("a folder");
    let (_store, _) = store(folder.path());
    let Err(Error::Leased { holder, .. }) = Sqlite::open(folder.path()) else {
        panic!("it was opened twice");
    };
    assert_eq!(holder, "a test");
}

#[test]
fn due_tasks_come_in_order_and_in_pages() {
    let folder = tempfile::tempdir().expect("a folder");
    let (store, lease) = store(folder.path());
    let times = [30, 10, 20, 10];
    let batch: Vec<Change> = (1..)
        .zip(times)
        .map(|(id, at)| insert(id, Some(at), None))
        .collect();
    store.commit(&lease, &at(2), &batch).expect("commits");
    let due = |at, id| Due {
        at: steady(at),
        id: TaskId(id),
    };
    let first = store.due(None, steady(25), 2).expect("reads");
    assert_eq!(first, [due(10, 2), due(10, 4)]);
    let rest = store
        .due(first.last().copied(), steady(25), 2)
        .expect("reads");
    assert_eq!(rest, [due(20, 3)]);
    assert_eq!(
        store
            .due_counts(steady(10), Duration::from_nanos(10), 3)
            .expect("reads"),
        [2, 1, 1]
    );
}

#[test]
fn old_output_goes_first() {
    let folder = tempfile::tempdir().expect("a folder");
    let (store, lease) = store(folder.path());
    store
        .commit(&lease, &at(2), &[insert(1, None, None)])
        .expect("commits");
    for version in 1..=30 {
        let text = format!("{version:010}");
        let change = Change::Update(Update {
            output: vec![line(&text)],
            ..update(1, version)
        });
        store.commit(&lease, &at(2), &[change]).expect("commits");
    }
    let kept = store.output(TaskId(1), 0, 10_000).expect("reads");
    assert_eq!(kept.len(), 10, "100 bytes are kept");
    assert_eq!(kept[0].sequence, 20);
    let row = store.task(TaskId(1)).expect("reads").expect("is there");
    assert_eq!(row.log_bytes, 100);
}

#[test]
fn only_blobs_without_tasks_are_pruned() {
    let folder = tempfile::tempdir().expect("a folder");
    let (store, lease) = store(folder.path());
    let blob = |text: &str| Change::Blob {
        digest: digest(text),
        bytes: text.as_bytes().to_vec(),
        pack: None,
    };
    let batch = [blob("used"), blob("unused"), insert(1, None, None)];
    store.commit(&lease, &at(2), &batch).expect("commits");
    let snapshot = StoredSnapshot {
        base: Some(digest("used")),
        bytes: Vec::new(),
        pack: None,
    };
    let asleep = Change::Update(Update {
        snapshot: SnapshotChange::Set(snapshot),
        ..update(1, 1)
    });
    store
        .commit(&lease, &at(3), &[asleep, blob("fresh")])
        .expect("commits");
    assert_eq!(store.prune(&lease, &at(4), steady(3)).expect("prunes"), 1);
    for (text, there) in [
        ("module", true),
        ("used", true),
        ("unused", false),
        ("fresh", true),
    ] {
        let found = store.blob(&digest(text)).expect("reads");
        assert_eq!(found.is_some(), there, "{text}");
    }
}

/// Whatever format a database has that this build does not know, it is refused and left as it is.
#[test]
fn an_unknown_format_is_refused_and_left_alone() {
    let versions = [0, FORMAT + 1, 4, 99];
    let foreign = ("application_id", 7);
    for (pragma, value) in versions
        .map(|version| ("user_version", version))
        .into_iter()
        .chain([foreign])
    {
        let folder = tempfile::tempdir().expect("a folder");
        drop(store(folder.path()));
        let path = folder.path().join("store.sqlite");
        let connection = Connection::open(&path).expect("opens");
        connection
            .pragma_update(None, pragma, value)
            .expect("writes");
        drop(connection);
        let opened = Sqlite::open(folder.path()).map(drop);
        let looked = Sqlite::look(folder.path()).map(drop);
        let compacted = Sqlite::compact(folder.path()).map(drop);
        for refused in [opened, looked, compacted] {
            let Err(error @ Error::Format { .. }) = refused else {
                panic!("{pragma} = {value}: {refused:?}");
            };
            let text = error.to_string();
            let told = match pragma {
                "user_version" => {
                    format!("has format {value}, and this build knows format {FORMAT} only")
                }
                _ => "is no store of this dormouse's".into(),
            };
            assert!(text.contains(&told) && text.contains("--data"), "{text}");
        }
        let found: u32 = Connection::open(&path)
            .and_then(|other| other.pragma_query_value(None, pragma, |row| row.get(0)))
            .expect("reads");
        assert_eq!(found, value, "it is left as it is");
    }
}

/// A step of a move is whole: with the task's change refused, nothing of it is remembered.
#[test]
#[expect(
    clippy::too_many_lines,
    reason = "one move, from its first step to its last"
)]
fn a_step_of_a_move_is_whole() {
    let folder = tempfile::tempdir().expect("a folder");
    let (store, lease) = store(folder.path());
    let record = |phase| MoveRecord {
        id: MoveId([7; 16]),
        task: TaskId(1),
        phase,
        peer: digest("peer"),
        details: b"details".to_vec(),
    };
    let step = |change: Change, phase, output| {
        Change::Move(MoveChange {
            change: Some(Box::new(change)),
            output,
            clear_output: false,
            record: RecordChange::Put(record(phase)),
        })
    };
    let held = step(
        insert(1, None, Some("a")),
        MovePhase::Prepared,
        vec![line("x"), line("y")],
    );
    let verdicts = store.commit(&lease, &at(2), &[held]).expect("commits");
    assert_eq!(verdicts, [Verdict::Done]);
    let id = MoveId([7; 16]);
    assert_eq!(
        store.move_record(id).expect("reads"),
        Some(record(MovePhase::Prepared))
    );
    let output = store.output(TaskId(1), 0, 100).expect("reads");
    assert_eq!(output.len(), 2);
    assert_eq!(
        store
            .task(TaskId(1))
            .expect("reads")
            .expect("a task")
            .log_bytes,
        2
    );
    // Of another version than it has.
    let late = step(
        Change::Update(update(1, 9)),
        MovePhase::Accepted,
        Vec::new(),
    );
    let verdicts = store.commit(&lease, &at(3), &[late]).expect("commits");
    assert_eq!(verdicts, [Verdict::Conflict]);
    assert_eq!(
        store.open_moves().expect("reads"),
        [record(MovePhase::Prepared)]
    );
    let moves_of = |id| store.open_moves_of(TaskId(id)).expect("reads");
    assert_eq!(moves_of(1), [record(MovePhase::Prepared)]);
    assert!(moves_of(2).is_empty());
    let taken = step(
        Change::Update(update(1, 1)),
        MovePhase::Accepted,
        Vec::new(),
    );
    store.commit(&lease, &at(4), &[taken]).expect("commits");
    assert!(store.open_moves().expect("reads").is_empty());
    assert!(store.open_moves_of(TaskId(1)).expect("reads").is_empty());
    let forget = Change::Move(MoveChange {
        change: None,
        output: Vec::new(),
        clear_output: false,
        record: RecordChange::Forget(id),
    });
    store.commit(&lease, &at(5), &[forget]).expect("commits");
    assert_eq!(store.move_record(id).expect("reads"), None);
    // What has moved away leaves its name to who comes.
    let moved = Change::Update(Update {
        state: TaskState::Moved,
        due: When::NEVER,
        ..update(1, 2)
    });
    let verdicts = store
        .commit(&lease, &at(6), &[moved, insert(2, None, Some("a"))])
        .expect("commits");
    assert_eq!(verdicts, [Verdict::Done, Verdict::Done]);
    assert_eq!(store.named("a").expect("reads"), Some(TaskId(2)));
}

/// What is due by the wall clock follows it when it is set; a sleep does not.
#[test]
fn a_wall_clock_that_is_set_moves_what_waits_for_it_alone() {
    let folder = tempfile::tempdir().expect("a folder");
    let (store, lease) = store(folder.path());
    let due = |id, due| match insert(id, None, None) {
        Change::Insert(insert) => Change::Insert(Insert { due, ..insert }),
        other => other,
    };
    let both = When {
        steady: Some(steady(1500)),
        wall: Some(Timestamp::from_nanos(1300)),
    };
    let batch = [
        due(1, When::steady(steady(1400))),
        due(2, When::wall(Timestamp::from_nanos(1200))),
        due(3, both),
        due(4, When::wall(Timestamp::from_nanos(i64::MAX as u64))),
    ];
    store.commit(&lease, &at(1000), &batch).expect("commits");
    let dues = |store: &Sqlite| -> Vec<Option<u64>> {
        let row = |id| store.task(TaskId(id)).expect("reads").expect("is there");
        (1..=4)
            .map(|id| row(id).due.map(MonotonicTime::as_nanos))
            .collect()
    };
    let last = Some(i64::MAX as u64);
    assert_eq!(dues(&store), [Some(1400), Some(1200), Some(1300), last]);
    let set = |ahead: i64| Stamp {
        ahead,
        realtime: Timestamp::from_nanos(1000u64.saturating_add_signed(ahead)),
        machine: Some(Mark {
            of: u64::MAX - 1,
            at: steady(5),
        }),
        ..at(1000)
    };
    // Back by 700, and then ahead by more than there is.
    let shift = |ahead| store.commit(&lease, &set(ahead), &[Change::Shift]);
    shift(-700).expect("shifts");
    assert_eq!(dues(&store), [Some(1400), Some(1900), Some(1500), last]);
    shift(5000).expect("shifts");
    let far = last.map(|last| last - 5000);
    assert_eq!(dues(&store), [Some(1400), Some(0), Some(0), far]);
    // What is stored while the clock is ahead, is so by that.
    let later = Change::Update(Update {
        due: When::wall(Timestamp::from_nanos(9000)),
        ..update(2, 1)
    });
    store.commit(&lease, &set(5000), &[later]).expect("commits");
    assert_eq!(dues(&store).get(1), Some(&Some(4000)));
    let three = [2, 3, 4].map(TaskId);
    assert_eq!(store.walled(TaskId(0), 9).expect("reads"), three);
    let sleeps = Change::Update(update(2, 2));
    let remove = Change::Remove {
        id: TaskId(3),
        expected: 1,
    };
    store
        .commit(&lease, &set(5000), &[sleeps, remove])
        .expect("commits");
    assert_eq!(store.walled(TaskId(0), 9).expect("reads"), [TaskId(4)]);
    assert_eq!(store.stamp().expect("reads"), Some(set(5000)));
    let other = tempfile::tempdir().expect("a folder");
    let other = Sqlite::open(other.path()).expect("opens");
    assert_ne!(
        other.number().expect("reads"),
        store.number().expect("reads")
    );
}
