//! Tests of the store in SQLite.

use super::super::{Entry, Hand, Insert, Part, Record, Stream, TransferStep, Update};
use super::*;
use crate::model::When;
use crate::model::clock::Mark;

const SECOND: u64 = 1_000_000_000;

fn digest(text: &str) -> Digest {
    Digest::of(text.as_bytes())
}

/// A time at which the steady clock and the wall clock are the same.
fn at(now: u64) -> Stamp {
    Stamp {
        now,
        ahead: 0,
        realtime: now,
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
        due: due.map_or(When::NEVER, When::steady),
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
        due: When::steady(70),
        status: b"asleep".to_vec(),
        spec: None,
        snapshot: Part::Keep,
        output: Vec::new(),
        output_limit: 100,
    }
}

fn line(text: &str) -> Entry {
    Entry {
        stream: Stream::Stdout,
        time: 5,
        bytes: text.as_bytes().to_vec(),
    }
}

#[test]
fn what_is_committed_is_there_after_opening_again() {
    let folder = tempfile::tempdir().expect("a folder");
    let frozen = Frozen {
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
            snapshot: Part::Set(frozen.clone()),
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
    assert_eq!((row.due, row.name.as_deref()), (Some(70), Some("x")));
    assert_eq!(
        (row.module, row.status.as_slice()),
        (digest("module"), &b"asleep"[..])
    );
    assert_eq!(found, Some(frozen));
    assert_eq!(store.last_id().expect("reads"), TaskId(7));
    assert_eq!(store.named("x").expect("reads"), Some(TaskId(7)));
    let output = store.output(TaskId(7), 0, 1000).expect("reads");
    assert_eq!(output[0].entry, line("hello"));
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
    let due = |at, id| Due { at, id: TaskId(id) };
    let first = store.due(None, 25, 2).expect("reads");
    assert_eq!(first, [due(10, 2), due(10, 4)]);
    let rest = store.due(first.last().copied(), 25, 2).expect("reads");
    assert_eq!(rest, [due(20, 3)]);
    assert_eq!(store.due_counts(10, 10, 3).expect("reads"), [2, 1, 1]);
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
    assert_eq!(kept[0].place, 20);
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
    let frozen = Frozen {
        base: Some(digest("used")),
        bytes: Vec::new(),
        pack: None,
    };
    let asleep = Change::Update(Update {
        snapshot: Part::Set(frozen),
        ..update(1, 1)
    });
    store
        .commit(&lease, &at(3), &[asleep, blob("fresh")])
        .expect("commits");
    assert_eq!(store.prune(&lease, &at(4), 3).expect("prunes"), 1);
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

#[test]
fn a_newer_format_is_left_alone() {
    let folder = tempfile::tempdir().expect("a folder");
    drop(store(folder.path()));
    let connection = Connection::open(folder.path().join("store.sqlite")).expect("opens");
    connection
        .pragma_update(None, "user_version", 99)
        .expect("writes");
    drop(connection);
    let refused = Sqlite::open(folder.path());
    assert!(matches!(refused, Err(Error::Version { found: 99, .. })));
}

#[test]
fn a_store_of_format_1_is_taken_over() {
    let folder = tempfile::tempdir().expect("a folder");
    let path = folder.path().join("store.sqlite");
    let connection = Connection::open(&path).expect("opens");
    let first = include_str!("schema.sql");
    connection.execute_batch(first).expect("it is made");
    let task = "INSERT INTO blobs VALUES (1, zeroblob(32), 0, x'');
        INSERT INTO tasks VALUES (4, 1, 3, NULL, 1, NULL, 'old', 0, 0, 0, x'01', x'02', NULL);";
    connection.execute_batch(task).expect("it is written");
    drop(connection);
    let store = Sqlite::open(folder.path()).expect("it opens");
    assert_eq!(store.named("old").expect("reads"), Some(TaskId(4)));
    assert!(store.open_transfers().expect("reads").is_empty());
    let found: u32 = Connection::open(&path)
        .and_then(|other| other.pragma_query_value(None, "user_version", |row| row.get(0)))
        .expect("reads");
    assert_eq!(found, FORMAT);
}

/// A step of a move is whole: with the task's change refused, nothing of it is remembered.
#[test]
fn a_step_of_a_move_is_whole() {
    let folder = tempfile::tempdir().expect("a folder");
    let (store, lease) = store(folder.path());
    let transfer = |step| Transfer {
        id: TransferId([7; 16]),
        task: TaskId(1),
        step,
        peer: digest("peer"),
        note: b"note".to_vec(),
    };
    let hand = |change: Change, step, output| {
        Change::Hand(Hand {
            change: Some(Box::new(change)),
            output,
            clear_output: false,
            record: Record::Put(transfer(step)),
        })
    };
    let held = hand(
        insert(1, None, Some("a")),
        TransferStep::Held,
        vec![line("x"), line("y")],
    );
    let verdicts = store.commit(&lease, &at(2), &[held]).expect("commits");
    assert_eq!(verdicts, [Verdict::Done]);
    let id = TransferId([7; 16]);
    assert_eq!(
        store.transfer(id).expect("reads"),
        Some(transfer(TransferStep::Held))
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
    let late = hand(
        Change::Update(update(1, 9)),
        TransferStep::Taken,
        Vec::new(),
    );
    let verdicts = store.commit(&lease, &at(3), &[late]).expect("commits");
    assert_eq!(verdicts, [Verdict::Conflict]);
    assert_eq!(
        store.open_transfers().expect("reads"),
        [transfer(TransferStep::Held)]
    );
    let taken = hand(
        Change::Update(update(1, 1)),
        TransferStep::Taken,
        Vec::new(),
    );
    store.commit(&lease, &at(4), &[taken]).expect("commits");
    assert!(store.open_transfers().expect("reads").is_empty());
    let forget = Change::Hand(Hand {
        change: None,
        output: Vec::new(),
        clear_output: false,
        record: Record::Forget(id),
    });
    store.commit(&lease, &at(5), &[forget]).expect("commits");
    assert_eq!(store.transfer(id).expect("reads"), None);
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
        steady: Some(1500),
        wall: Some(1300),
    };
    let batch = [
        due(1, When::steady(1400)),
        due(2, When::wall(1200)),
        due(3, both),
        due(4, When::wall(i64::MAX as u64)),
    ];
    store.commit(&lease, &at(1000), &batch).expect("commits");
    let dues = |store: &Sqlite| -> Vec<Option<u64>> {
        let row = |id| store.task(TaskId(id)).expect("reads").expect("is there");
        (1..=4).map(|id| row(id).due).collect()
    };
    let last = Some(i64::MAX as u64);
    assert_eq!(dues(&store), [Some(1400), Some(1200), Some(1300), last]);
    let set = |ahead: i64| Stamp {
        ahead,
        realtime: 1000u64.saturating_add_signed(ahead),
        machine: Some(Mark {
            of: u64::MAX - 1,
            at: 5,
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
        due: When::wall(9000),
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
