//! A batch as the arrays that `commit_1` takes: one element for each step.

use tokio_postgres::types::ToSql;

use crate::change::{Change, Insert, MoveChange, SnapshotChange, Update, Verdict};
use crate::model::{TaskId, When};
use crate::moves::RecordChange;
use crate::numbers::{phase_number, signed, state_number, stream_number, time_number};
use crate::store::Stamp;
use crate::task::{OutputPiece, StoredSnapshot};

/// A blob's bytes lie in rows of at most this many.
pub(super) const PART_BYTES: usize = 1 << 20;

const INSERT: i16 = 1;
const UPDATE: i16 = 2;
const REMOVE: i16 = 3;
const BLOB: i16 = 4;
const CHUNK: i16 = 5;
const DROP_PACK: i16 = 6;
const SHIFT: i16 = 7;
const REMEMBER_MOVE: i16 = 8;
const FORGET_MOVE: i16 = 9;
const GIVE: i16 = 10;

/// The steps of a batch. Fields are `None` or a default where the kind of a step has no use for them.
#[derive(Default)]
pub(super) struct Steps<'a> {
    kinds: Vec<i16>,
    /// The task. Of a move: the task whose output comes or goes with it.
    ids: Vec<Option<i64>>,
    /// The version that is expected; a chunk's number; a blob's size; the task of a move; the tenant
    /// of a new task; the node to which a task is given.
    versions: Vec<i64>,
    /// The state; the phase of a move.
    states: Vec<i16>,
    dues: Vec<Option<i64>>,
    steadies: Vec<Option<i64>>,
    walls: Vec<Option<i64>>,
    names: Vec<Option<&'a str>>,
    /// The module; the blob; the peer of a move.
    digests: Vec<Option<&'a [u8]>>,
    /// The snapshot's base; the ID of a move.
    bases: Vec<Option<&'a [u8]>>,
    packs: Vec<Option<i64>>,
    /// Of an update: 0 where the snapshot stays. Of a move: 1 where it belongs to the step before.
    hows: Vec<i16>,
    /// How many bytes of output are kept; the class of a new task.
    limits: Vec<i64>,
    /// The task belongs to this node afterwards. Of a move: its output is removed.
    helds: Vec<bool>,
    /// The spec; the bytes of a blob or a chunk; the details of a move.
    texts: Vec<Option<&'a [u8]>>,
    statuses: Vec<Option<&'a [u8]>>,
    snapshots: Vec<Option<&'a [u8]>>,
    /// The task is over.
    ends: Vec<bool>,
    /// The first piece of its output, counted from 1, and the one after the last.
    firsts: Vec<i32>,
    lasts: Vec<i32>,
    piece_streams: Vec<i16>,
    piece_times: Vec<i64>,
    piece_texts: Vec<&'a [u8]>,
    /// The step that tells what became of a change.
    pub(super) answers: Vec<usize>,
    ahead: i64,
}

/// One step.
#[derive(Default)]
struct Step<'a> {
    kind: i16,
    id: Option<TaskId>,
    version: u64,
    state: i64,
    due: When,
    name: Option<&'a str>,
    digest: Option<&'a [u8]>,
    base: Option<&'a [u8]>,
    pack: Option<u64>,
    how: i16,
    limit: u64,
    held: bool,
    text: Option<&'a [u8]>,
    status: Option<&'a [u8]>,
    snapshot: Option<&'a [u8]>,
    is_over: bool,
    output: &'a [OutputPiece],
}

impl<'a> Step<'a> {
    /// The step with what becomes of the task's snapshot.
    fn with(self, snapshot: Option<&'a StoredSnapshot>) -> Self {
        let base = snapshot.and_then(|snapshot| snapshot.base.as_ref());
        Self {
            base: base.map(|base| &base.as_bytes()[..]),
            pack: snapshot.and_then(|snapshot| snapshot.pack),
            snapshot: snapshot.map(|snapshot| &snapshot.bytes[..]),
            ..self
        }
    }
}

impl<'a> Steps<'a> {
    /// The steps of these changes, at a time.
    pub(super) fn of(changes: &'a [Change], now: &Stamp) -> Self {
        let mut steps = Self {
            ahead: now.ahead,
            ..Self::default()
        };
        for change in changes {
            steps.change(change);
            steps.answers.push(steps.kinds.len() - 1);
        }
        steps
    }

    fn change(&mut self, change: &'a Change) {
        match change {
            Change::Insert(insert) => self.insert(insert),
            Change::Update(update) => self.update(update),
            Change::Remove { id, expected } => self.push(Step {
                kind: REMOVE,
                id: Some(*id),
                version: *expected,
                ..Step::default()
            }),
            Change::Blob {
                digest,
                bytes,
                pack,
            } => self.push(Step {
                kind: BLOB,
                digest: Some(digest.as_bytes()),
                version: bytes.len() as u64,
                // The parts of a larger one are there already.
                text: (bytes.len() <= PART_BYTES).then_some(bytes),
                pack: *pack,
                ..Step::default()
            }),
            Change::Chunk {
                pack,
                number,
                bytes,
            } => self.push(Step {
                kind: CHUNK,
                pack: Some(*pack),
                version: u64::from(*number),
                text: Some(bytes),
                ..Step::default()
            }),
            Change::DropPack { pack } => self.push(Step {
                kind: DROP_PACK,
                pack: Some(*pack),
                ..Step::default()
            }),
            Change::Move(step) => self.move_step(step),
            Change::Shift => self.push(Step {
                kind: SHIFT,
                ..Step::default()
            }),
        }
    }

    fn insert(&mut self, insert: &'a Insert) {
        let step = Step {
            kind: INSERT,
            id: Some(insert.id),
            version: insert.tenant.0,
            state: state_number(insert.state),
            due: insert.due,
            name: insert.name.as_deref(),
            digest: Some(insert.module.as_bytes()),
            held: insert.held,
            text: Some(&insert.spec),
            status: Some(&insert.status),
            is_over: insert.state.is_final(),
            limit: u64::from(insert.class.0),
            ..Step::default()
        };
        self.push(step.with(insert.snapshot.as_ref()));
    }

    fn update(&mut self, update: &'a Update) {
        let (how, snapshot) = match &update.snapshot {
            SnapshotChange::Keep => (0, None),
            SnapshotChange::Clear => (1, None),
            SnapshotChange::Set(snapshot) => (2, Some(snapshot)),
        };
        let step = Step {
            kind: UPDATE,
            id: Some(update.id),
            version: update.expected,
            state: state_number(update.state),
            due: update.due,
            how,
            limit: update.output_limit,
            held: update.held && update.target.is_none(),
            text: update.spec.as_deref(),
            status: Some(&update.status),
            is_over: update.state.is_final(),
            output: &update.output,
            ..Step::default()
        };
        self.push(step.with(snapshot));
        if let Some(node) = update.target {
            self.push(Step {
                kind: GIVE,
                id: Some(update.id),
                version: node,
                held: update.held,
                ..Step::default()
            });
        }
    }

    fn move_step(&mut self, step: &'a MoveChange) {
        let task = match step.change.as_deref() {
            Some(Change::Insert(insert)) => Some(insert.id),
            Some(Change::Update(update)) => Some(update.id),
            _ => None,
        };
        if let Some(change) = step.change.as_deref() {
            self.change(change);
        }
        let common = Step {
            id: task,
            how: i16::from(step.change.is_some()),
            held: step.clear_output,
            output: &step.output,
            ..Step::default()
        };
        self.push(match &step.record {
            RecordChange::Put(record) => Step {
                kind: REMEMBER_MOVE,
                base: Some(&record.id.0),
                version: record.task.0,
                state: phase_number(record.phase),
                digest: Some(record.peer.as_bytes()),
                text: Some(&record.details),
                ..common
            },
            RecordChange::Forget(id) => Step {
                kind: FORGET_MOVE,
                base: Some(&id.0),
                ..common
            },
        });
    }

    fn push(&mut self, step: Step<'a>) {
        let first = self.piece_texts.len() as i32 + 1;
        for piece in step.output {
            self.piece_streams.push(stream_number(piece.stream) as i16);
            self.piece_times.push(signed(piece.time.as_nanos()));
            self.piece_texts.push(&piece.bytes);
        }
        self.kinds.push(step.kind);
        self.ids.push(step.id.map(|id| signed(id.0)));
        self.versions.push(signed(step.version));
        self.states.push(step.state as i16);
        self.dues.push(step.due.at(self.ahead).map(time_number));
        self.steadies.push(step.due.steady.map(time_number));
        let wall = step.due.wall.map(|wall| signed(wall.as_nanos()));
        self.walls.push(wall);
        self.names.push(step.name);
        self.digests.push(step.digest);
        self.bases.push(step.base);
        self.packs.push(step.pack.map(signed));
        self.hows.push(step.how);
        self.limits.push(signed(step.limit));
        self.helds.push(step.held);
        self.texts.push(step.text);
        self.statuses.push(step.status);
        self.snapshots.push(step.snapshot);
        self.ends.push(step.is_over);
        self.firsts.push(first);
        self.lasts.push(first + step.output.len() as i32);
    }

    /// The arrays, in the order of `commit_1`'s parameters.
    pub(super) fn parameters(&self) -> [&(dyn ToSql + Sync); ARRAYS] {
        [
            &self.kinds,
            &self.ids,
            &self.versions,
            &self.states,
            &self.dues,
            &self.steadies,
            &self.walls,
            &self.names,
            &self.digests,
            &self.bases,
            &self.packs,
            &self.hows,
            &self.limits,
            &self.helds,
            &self.texts,
            &self.statuses,
            &self.snapshots,
            &self.ends,
            &self.firsts,
            &self.lasts,
            &self.piece_streams,
            &self.piece_times,
            &self.piece_texts,
        ]
    }
}

/// What became of each change, by what became of each step, and the steps that tell it.
pub(super) fn verdicts(answers: &[usize], of_steps: &[i16]) -> Option<Vec<Verdict>> {
    let verdicts = answers.iter().map(|step| match of_steps.get(*step)? {
        0 => Some(Verdict::Done),
        1 => Some(Verdict::Conflict),
        2 => Some(Verdict::NameTaken),
        _ => None,
    });
    verdicts.collect()
}

/// How many arrays there are.
pub(super) const ARRAYS: usize = 23;

/// What the clocks showed, as `functions.sql` takes it.
pub(super) fn stamp_numbers(now: &Stamp) -> Vec<Option<i64>> {
    vec![
        Some(time_number(now.now)),
        Some(now.ahead),
        Some(signed(now.realtime.as_nanos())),
        now.machine.map(|mark| mark.of.cast_signed()),
        now.machine.map(|mark| time_number(mark.at)),
    ]
}

/// A batch whose answer was lost.
pub(super) struct Doubt {
    pub(super) number: i64,
    pub(super) stamp: Vec<Option<i64>>,
    /// The step that tells what became of a change.
    pub(super) answers: Vec<usize>,
}
