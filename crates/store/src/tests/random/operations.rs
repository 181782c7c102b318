//! Random operations, over so few tasks, names, blobs and packs that they meet.

use std::collections::HashMap;

use proptest::collection::vec;
use proptest::option::{of, weighted};
use proptest::prelude::*;
use proptest::sample::select;

use super::super::fixtures::{blob, digest, steady};
use crate::change::{Change, Insert, MoveChange, SnapshotChange, Update};
use crate::class::ClassId;
use crate::model::{MoveId, TaskId, TaskState, TenantId, Timestamp, When};
use crate::moves::{MovePhase, MoveRecord, RecordChange};
use crate::task::{OutputPiece, StoredSnapshot, Stream};

/// Tasks have the IDs 1 to this.
pub(super) const TASKS: u64 = 6;
/// Blobs have the numbers below this.
pub(super) const BLOBS: u8 = 5;
/// Packs have the numbers 1 to this.
pub(super) const PACKS: u64 = 4;
/// Chunks have the numbers below this.
pub(super) const CHUNKS: u32 = 3;
/// Moves have the numbers below this.
pub(super) const MOVES: u8 = 3;
/// Tenants have the numbers below this.
pub(super) const TENANTS: u64 = 2;
/// A pattern's special characters of SQL are in some.
pub(super) const NAMES: [&str; 4] = ["a", "a_b", "ab%", "x-b"];

/// The longest sequence of operations.
const LONGEST_SEQUENCE: usize = 25;

#[derive(Clone, Debug)]
pub(super) enum Operation {
    /// Another holder takes the lease.
    Claim,
    /// The store is closed and opened again.
    Reopen,
    /// The wall clock is this far ahead from now on.
    SetWall(i64),
    Commit {
        /// Under the lease of the holder before.
        late: bool,
        changes: Vec<RandomChange>,
    },
    Prune {
        late: bool,
        age: u64,
    },
    Sweep {
        late: bool,
        most: u8,
    },
    ClaimDue {
        late: bool,
        /// How far ahead.
        ahead: u64,
        limit: usize,
    },
    GiveBack {
        late: bool,
        id: TaskId,
    },
    TakeIds {
        late: bool,
        count: u64,
    },
}

/// A change, and by how much the version that it names is wrong.
#[derive(Clone, Debug)]
pub(super) struct RandomChange {
    change: Change,
    wrong: u64,
}

/// Sets the versions that changes expect, where tasks have these before them.
pub(super) fn changes_of(random: &[RandomChange], versions: &HashMap<TaskId, u64>) -> Vec<Change> {
    let mut versions = versions.clone();
    let mut changes = Vec::new();
    for RandomChange { change, wrong } in random {
        let mut change = change.clone();
        expect(&mut change, *wrong, &mut versions);
        changes.push(change);
    }
    changes
}

fn expect(change: &mut Change, wrong: u64, versions: &mut HashMap<TaskId, u64>) {
    match change {
        Change::Insert(insert) => {
            versions.entry(insert.id).or_insert(1);
        }
        Change::Update(update) => {
            let version = versions.entry(update.id).or_default();
            update.expected = *version + wrong;
            *version += u64::from(wrong == 0);
        }
        Change::Remove { id, expected } => {
            *expected = versions.get(id).copied().unwrap_or_default() + wrong;
            if wrong == 0 {
                versions.remove(id);
            }
        }
        Change::Move(step) => {
            if let Some(change) = step.change.as_deref_mut() {
                expect(change, wrong, versions);
            }
        }
        Change::Blob { .. } | Change::Chunk { .. } | Change::DropPack { .. } | Change::Shift => {}
    }
}

pub(super) fn operations() -> impl Strategy<Value = Vec<Operation>> {
    let late = || weighted(0.05, Just(())).prop_map(|late| late.is_some());
    let random = prop_oneof![
        1 => Just(Operation::Claim),
        1 => Just(Operation::Reopen),
        1 => (-500i64..500).prop_map(Operation::SetWall),
        12 => (late(), vec(change(), 0..6))
            .prop_map(|(late, changes)| Operation::Commit { late, changes }),
        2 => (late(), 0u64..200).prop_map(|(late, age)| Operation::Prune { late, age }),
        2 => (late(), 1u8..4).prop_map(|(late, most)| Operation::Sweep { late, most }),
        3 => (late(), 0u64..300, 1usize..4)
            .prop_map(|(late, ahead, limit)| Operation::ClaimDue { late, ahead, limit }),
        1 => (late(), id()).prop_map(|(late, id)| Operation::GiveBack { late, id }),
        1 => (late(), 1u64..4).prop_map(|(late, count)| Operation::TakeIds { late, count }),
    ];
    vec(random, 1..LONGEST_SEQUENCE)
}

fn change() -> impl Strategy<Value = RandomChange> {
    let change = prop_oneof![
        6 => insert().prop_map(Change::Insert),
        8 => update().prop_map(Change::Update),
        2 => remove(),
        3 => blob_with_pack(),
        3 => (1..=PACKS, 0..CHUNKS, 0usize..9).prop_map(|(pack, number, size)| Change::Chunk {
            pack,
            number,
            bytes: vec![number as u8; size].into(),
        }),
        1 => (1..=PACKS).prop_map(|pack| Change::DropPack { pack }),
        3 => move_change().prop_map(Change::Move),
        1 => Just(Change::Shift),
    ];
    (change, prop_oneof![8 => Just(0u64), 1 => 1u64..3])
        .prop_map(|(change, wrong)| RandomChange { change, wrong })
}

fn id() -> impl Strategy<Value = TaskId> {
    (1..=TASKS).prop_map(TaskId)
}

fn state() -> impl Strategy<Value = TaskState> {
    select(TaskState::ALL.to_vec())
}

/// The operations last from 1000 ns to 1250 ns.
fn when() -> impl Strategy<Value = When> {
    (of(1000u64..1500), weighted(0.3, 1000u64..1500)).prop_map(|(at, wall)| When {
        steady: at.map(steady),
        wall: wall.map(Timestamp::from_nanos),
    })
}

/// A digest of a blob that is mostly there.
fn known_blob() -> impl Strategy<Value = u8> {
    prop_oneof![9 => 0..3u8, 1 => 3..BLOBS]
}

fn snapshot() -> impl Strategy<Value = StoredSnapshot> {
    let base = weighted(0.3, known_blob());
    let pack = weighted(0.3, 1..=PACKS);
    (base, 0usize..9, pack).prop_map(|(base, size, pack)| StoredSnapshot {
        base: base.map(|number| digest(&format!("blob {number}"))),
        bytes: vec![5; size],
        pack,
    })
}

fn output() -> impl Strategy<Value = Vec<OutputPiece>> {
    let stream = select(vec![Stream::Stdout, Stream::Stderr]);
    let piece =
        (stream, 0u64..50, vec(any::<u8>(), 0..20)).prop_map(|(stream, time, bytes)| OutputPiece {
            stream,
            time: Timestamp::from_nanos(time),
            bytes,
        });
    vec(piece, 0..3)
}

fn insert() -> impl Strategy<Value = Insert> {
    let name = weighted(0.6, select(NAMES.to_vec()));
    let texts = (0usize..9, 0usize..9);
    let snapshot = weighted(0.3, snapshot());
    let row = (id(), state(), when(), any::<bool>(), 0..TENANTS);
    (row, name, known_blob(), texts, snapshot).prop_map(
        |((id, state, due, held, tenant), name, module, (spec, status), snapshot)| Insert {
            id,
            state,
            due,
            name: name.map(String::from),
            module: digest(&format!("blob {module}")),
            spec: vec![1; spec],
            status: vec![2; status],
            snapshot,
            held,
            tenant: TenantId(tenant),
            // SQLite keeps no classes.
            class: ClassId::ANY,
        },
    )
}

fn update() -> impl Strategy<Value = Update> {
    let snapshot = prop_oneof![
        Just(SnapshotChange::Keep),
        Just(SnapshotChange::Clear),
        snapshot().prop_map(SnapshotChange::Set),
    ];
    let spec = weighted(0.2, vec(any::<u8>(), 0..9));
    let limit = select(vec![0, 10, 40, u64::MAX]);
    let row = (id(), state(), when(), any::<bool>());
    (row, spec, snapshot, output(), limit).prop_map(
        |((id, state, due, held), spec, snapshot, output, output_limit)| Update {
            id,
            expected: 0,
            state,
            due,
            status: vec![3; 4],
            spec,
            snapshot,
            output,
            output_limit,
            held,
            target: None,
        },
    )
}

fn remove() -> impl Strategy<Value = Change> {
    id().prop_map(|id| Change::Remove { id, expected: 0 })
}

fn blob_with_pack() -> impl Strategy<Value = Change> {
    (0..BLOBS, weighted(0.3, 1..=PACKS)).prop_map(|(number, own)| {
        match blob(&format!("blob {number}")) {
            Change::Blob { digest, bytes, .. } => Change::Blob {
                digest,
                bytes,
                pack: own,
            },
            other => other,
        }
    })
}

fn move_change() -> impl Strategy<Value = MoveChange> {
    // Output comes with an inserted task alone.
    let change = prop_oneof![
        (insert().prop_map(Change::Insert), output()),
        (update().prop_map(Change::Update), Just(Vec::new())),
        (remove(), Just(Vec::new())),
    ];
    let forget = (0..MOVES).prop_map(|number| RecordChange::Forget(MoveId([number; 16])));
    let phase = select(MovePhase::ALL.to_vec());
    let put = (0..MOVES, id(), phase, 0usize..5).prop_map(|(number, task, phase, size)| {
        RecordChange::Put(MoveRecord {
            id: MoveId([number; 16]),
            task,
            phase,
            peer: digest("peer"),
            details: vec![9; size],
        })
    });
    let record = prop_oneof![3 => put, 1 => forget];
    (of(change), any::<bool>(), record).prop_map(|(change, clear_output, record)| {
        let (change, output) = change.unzip();
        MoveChange {
            change: change.map(Box::new),
            output: output.unwrap_or_default(),
            clear_output,
            record,
        }
    })
}
