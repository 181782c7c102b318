//! What every store does. Each function here is a test of each implementation.

use std::time::Duration;

use super::fixtures::{
    Place, SECOND, at, blob, digest, insert, line, new_task, steady, store, update,
};
use crate::change::{Change, Insert, MoveChange, SnapshotChange, Update, Verdict};
use crate::error::Error;
use crate::model::clock::Mark;
use crate::model::{MonotonicTime, MoveId, TaskId, TaskState, TenantId, Timestamp, When};
use crate::moves::{MovePhase, MoveRecord, RecordChange};
use crate::nodes::Nodes;
use crate::store::{Due, Filter, Stamp};
use crate::task::StoredSnapshot;

pub(crate) fn what_is_committed_is_there_after_opening_again(place: &dyn Place) {
    let snapshot = StoredSnapshot {
        base: Some(digest("base")),
        bytes: vec![1, 2, 3],
        pack: None,
    };
    {
        let (store, lease) = store(place);
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
    let store = place.open();
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
    assert_eq!(
        store.named(TenantId::DEFAULT, "x").expect("reads"),
        Some(TaskId(7))
    );
    let output = store.output(TaskId(7), 0, 1000).expect("reads");
    assert_eq!(output[0].piece, line("hello"));
}

pub(crate) fn a_change_of_another_version_changes_nothing(place: &dyn Place) {
    let (store, lease) = store(place);
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
pub(crate) fn a_list_ends_at_its_bytes(place: &dyn Place) {
    let (store, lease) = store(place);
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

pub(crate) fn a_name_belongs_to_one_task(place: &dyn Place) {
    let (store, lease) = store(place);
    let batch = [insert(1, None, Some("x")), insert(2, None, Some("x"))];
    let verdicts = store.commit(&lease, &at(2), &batch).expect("commits");
    assert_eq!(verdicts, [Verdict::Done, Verdict::NameTaken]);
    assert_eq!(store.task(TaskId(2)).expect("reads"), None);
}

pub(crate) fn who_has_lost_the_lease_changes_nothing(place: &dyn Place) {
    let (store, old) = store(place);
    let new = store.claim("another", &at(2), SECOND).expect("takes over");
    assert!(new.epoch > old.epoch);
    let late = store.commit(&old, &at(3), &[insert(1, None, None)]);
    assert!(matches!(late, Err(Error::Lost)), "{late:?}");
    assert_eq!(store.task(TaskId(1)).expect("reads"), None);
}

pub(crate) fn due_tasks_come_in_order_and_in_pages(place: &dyn Place) {
    let (store, lease) = store(place);
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
            .due_counts(None, steady(10), Duration::from_nanos(10), 3)
            .expect("reads"),
        [2, 1, 1]
    );
}

pub(crate) fn old_output_goes_first(place: &dyn Place) {
    let (store, lease) = store(place);
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

pub(crate) fn only_blobs_without_tasks_are_pruned(place: &dyn Place) {
    let (store, lease) = store(place);
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

/// A step of a move is whole: with the task's change refused, nothing of it is remembered.
#[expect(
    clippy::too_many_lines,
    reason = "one move, from its first step to its last"
)]
pub(crate) fn a_step_of_a_move_is_whole(place: &dyn Place) {
    let (store, lease) = store(place);
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
    assert_eq!(
        store.named(TenantId::DEFAULT, "a").expect("reads"),
        Some(TaskId(2))
    );
}

/// What is due by the wall clock follows it when it is set; a sleep does not.
pub(crate) fn a_wall_clock_that_is_set_moves_what_waits_for_it_alone(place: &dyn Place) {
    let (store, lease) = store(place);
    let due = |id, due| {
        Change::Insert(Insert {
            due,
            ..new_task(id, None, None)
        })
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
    let dues = |store: &dyn Nodes| -> Vec<Option<u64>> {
        let row = |id| store.task(TaskId(id)).expect("reads").expect("is there");
        (1..=4)
            .map(|id| row(id).due.map(MonotonicTime::as_nanos))
            .collect()
    };
    let last = Some(i64::MAX as u64);
    assert_eq!(dues(&*store), [Some(1400), Some(1200), Some(1300), last]);
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
    assert_eq!(dues(&*store), [Some(1400), Some(1900), Some(1500), last]);
    shift(5000).expect("shifts");
    let far = last.map(|last| last - 5000);
    assert_eq!(dues(&*store), [Some(1400), Some(0), Some(0), far]);
    // What is stored while the clock is ahead, is so by that.
    let later = Change::Update(Update {
        due: When::wall(Timestamp::from_nanos(9000)),
        ..update(2, 1)
    });
    store.commit(&lease, &set(5000), &[later]).expect("commits");
    assert_eq!(dues(&*store).get(1), Some(&Some(4000)));
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
    let number = store.number().expect("reads");
    assert_ne!(place.number_elsewhere(), number);
}

/// A task whose ID is taken leaves the name to the task that has moved away.
pub(crate) fn a_task_that_is_refused_takes_no_name(place: &dyn Place) {
    let (store, lease) = store(place);
    let moved = Change::Update(Update {
        state: TaskState::Moved,
        due: When::NEVER,
        ..update(1, 1)
    });
    let batch = [insert(1, None, Some("a")), moved, insert(2, None, None)];
    store.commit(&lease, &at(2), &batch).expect("commits");
    let verdicts = store.commit(&lease, &at(3), &[insert(2, None, Some("a"))]);
    assert_eq!(verdicts.expect("commits"), [Verdict::NameTaken]);
    assert_eq!(
        store.named(TenantId::DEFAULT, "a").expect("reads"),
        Some(TaskId(1))
    );
}

/// The chunks of a pack stay while a task or a blob names it, and go a few at a time then.
pub(crate) fn chunks_go_with_what_names_their_pack(place: &dyn Place) {
    let (store, lease) = store(place);
    let chunk = |pack, number| Change::Chunk {
        pack,
        number,
        bytes: vec![number as u8; 3].into(),
    };
    let in_pack = |version, pack| {
        Change::Update(Update {
            snapshot: SnapshotChange::Set(StoredSnapshot {
                base: None,
                bytes: vec![7; 2],
                pack: Some(pack),
            }),
            ..update(1, version)
        })
    };
    let first = [
        insert(1, None, None),
        chunk(4, 0),
        chunk(4, 1),
        chunk(4, 2),
        in_pack(1, 4),
    ];
    store.commit(&lease, &at(2), &first).expect("commits");
    let size = || {
        let row = store.task(TaskId(1)).expect("reads").expect("is there");
        row.snapshot_bytes
    };
    assert_eq!(size(), 2 + 3 * 3);
    assert!(!store.sweep(&lease, &at(3), 2).expect("sweeps"));
    let next = [chunk(5, 0), in_pack(2, 5)];
    store.commit(&lease, &at(4), &next).expect("commits");
    assert_eq!(size(), 2 + 3);
    assert_eq!(store.last_pack().expect("reads"), 5);
    let left = || (0..3).filter(|number| store.chunk(4, *number).expect("reads").is_some());
    assert_eq!(left().count(), 3, "it takes a sweep");
    assert!(store.sweep(&lease, &at(5), 2).expect("sweeps"));
    assert_eq!(left().count(), 1);
    assert!(store.sweep(&lease, &at(5), 2).expect("sweeps"));
    assert!(!store.sweep(&lease, &at(5), 2).expect("sweeps"));
    assert_eq!(left().count(), 0);
    assert_eq!(store.chunk(5, 0).expect("reads"), Some(vec![0; 3]));
    // Chunks that nobody has named when their daemon dies belong to nobody.
    let lost = [chunk(9, 0)];
    store.commit(&lease, &at(6), &lost).expect("commits");
    let lease = store.claim("the next", &at(7), SECOND).expect("is free");
    assert!(store.sweep(&lease, &at(8), 2).expect("sweeps"));
    assert_eq!(store.chunk(9, 0).expect("reads"), None);
    assert_eq!(store.chunk(5, 0).expect("reads"), Some(vec![0; 3]));
}

pub(crate) fn a_batch_with_a_base_that_is_not_there_changes_nothing(place: &dyn Place) {
    let (store, lease) = store(place);
    let based = Insert {
        snapshot: Some(StoredSnapshot {
            base: Some(digest("nowhere")),
            bytes: vec![1],
            pack: None,
        }),
        ..new_task(2, None, None)
    };
    let batch = [insert(1, None, None), Change::Insert(based)];
    let refused = store.commit(&lease, &at(2), &batch);
    assert!(matches!(refused, Err(Error::Database(_))), "{refused:?}");
    assert_eq!(store.task(TaskId(1)).expect("reads"), None);
    // A task whose module is not there is refused by itself.
    let stray = Insert {
        module: digest("nowhere"),
        ..new_task(1, None, None)
    };
    let batch = [Change::Insert(stray), insert(3, None, None)];
    let verdicts = store.commit(&lease, &at(2), &batch).expect("commits");
    assert_eq!(verdicts, [Verdict::Conflict, Verdict::Done]);
}
