//! Everything that a store can be asked, and what it answers.

use std::time::Duration;

use super::super::fixtures::{digest, steady};
use super::operations::{BLOBS, CHUNKS, MOVES, NAMES, PACKS, TASKS, TENANTS};
use crate::error::Error;
use crate::model::{MoveId, TaskId, TaskState, TenantId};
use crate::nodes::Nodes;
use crate::store::{Due, Filter};

/// Questions and answers, both as text.
pub(super) type Answers = Vec<(String, String)>;

/// Which kind of error it is.
pub(super) fn error_class(error: &Error) -> std::mem::Discriminant<Error> {
    std::mem::discriminant(error)
}

/// A list of all tasks.
pub(super) fn everything() -> Filter {
    Filter {
        limit: usize::MAX >> 1,
        ..Filter::default()
    }
}

fn filters() -> Vec<Filter> {
    let named = |pattern: &str| Filter {
        name: Some(pattern.into()),
        ..everything()
    };
    vec![
        everything(),
        Filter {
            limit: 2,
            ..everything()
        },
        Filter {
            before: Some(TaskId(4)),
            ..everything()
        },
        Filter {
            states: vec![TaskState::Hibernated, TaskState::Paused],
            ..everything()
        },
        Filter {
            spec_bytes: Some(7),
            ..everything()
        },
        named("a*"),
        named("?_b"),
        named("*"),
        Filter {
            tenant: Some(TenantId::DEFAULT),
            ..everything()
        },
        Filter {
            tenant: Some(TenantId(1)),
            limit: 2,
            ..named("a*")
        },
    ]
}

/// All answers; without those that may leave out what a node has, if one has any.
pub(super) fn all_answers(store: &dyn Nodes, some_are_owned: bool) -> Answers {
    let mut all = Answers::new();
    let mut note = |question: String, answer: String| all.push((question, answer));
    for filter in filters() {
        let rows = store.list(&filter).expect("reads");
        note(format!("list {filter:?}"), format!("{rows:#?}"));
    }
    for id in (0..=TASKS).map(TaskId) {
        note(
            format!("load {id:?}"),
            format!("{:#?}", store.load(id).expect("reads")),
        );
        for (first, most) in [(0, 1000), (1, 30), (0, 0)] {
            let pieces = store.output(id, first, most).expect("reads");
            note(
                format!("output {id:?} {first} {most}"),
                format!("{pieces:?}"),
            );
        }
        let moves = store.open_moves_of(id).expect("reads");
        note(format!("moves of {id:?}"), format!("{moves:?}"));
    }
    let mut of_tenants = store.tenant_tasks().expect("reads");
    of_tenants.sort();
    note("tasks of tenants".into(), format!("{of_tenants:?}"));
    for tenant in (0..TENANTS).map(TenantId) {
        for name in NAMES {
            let named = store.named(tenant, name).expect("reads");
            note(format!("named {name} of {tenant:?}"), format!("{named:?}"));
        }
        let usage = store.usage(tenant).expect("reads");
        note(format!("usage {tenant:?}"), format!("{usage:?}"));
    }
    if !some_are_owned {
        dues(store, &mut note);
    }
    for tenant in [None, Some(TenantId(0)), Some(TenantId(1))] {
        let mut counts = store.counts(tenant).expect("reads");
        counts.sort();
        note(format!("counts {tenant:?}"), format!("{counts:?}"));
    }
    for (after, limit) in [(0, 99), (2, 2)] {
        let walled = store.walled(TaskId(after), limit).expect("reads");
        note(format!("walled {after} {limit}"), format!("{walled:?}"));
    }
    for (before, limit) in [(1 << 40, 99), (1100, 2)] {
        let finished = store.finished(steady(before), limit).expect("reads");
        note(
            format!("finished {before} {limit}"),
            format!("{finished:?}"),
        );
    }
    note(
        "last ID".into(),
        format!("{:?}", store.last_id().expect("reads")),
    );
    note(
        "stamp".into(),
        format!("{:?}", store.stamp().expect("reads")),
    );
    blobs_and_moves(store, &mut note);
    all
}

fn dues(store: &dyn Nodes, note: &mut impl FnMut(String, String)) {
    let middle = Due {
        at: steady(1100),
        id: TaskId(2),
    };
    for (after, until, limit) in [
        (None, 1 << 40, 99),
        (None, 1150, 2),
        (Some(middle), 1400, 3),
    ] {
        let dues = store.due(after, steady(until), limit).expect("reads");
        note(
            format!("due {after:?} {until} {limit}"),
            format!("{dues:?}"),
        );
    }
    for tenant in [None, Some(TenantId(0)), Some(TenantId(1))] {
        let spans = store.due_counts(tenant, steady(1000), Duration::from_nanos(70), 5);
        let spans = spans.expect("reads");
        note(format!("due counts {tenant:?}"), format!("{spans:?}"));
    }
}

fn blobs_and_moves(store: &dyn Nodes, note: &mut impl FnMut(String, String)) {
    for number in 0..BLOBS {
        let digest = digest(&format!("blob {number}"));
        let (has, blob) = (store.has_blob(&digest), store.blob(&digest));
        let answer = (has.expect("reads"), blob.expect("reads"));
        note(format!("blob {number}"), format!("{answer:?}"));
    }
    for pack in 0..=PACKS {
        for number in 0..=CHUNKS {
            let chunk = store.chunk(pack, number).expect("reads");
            note(format!("chunk {pack} {number}"), format!("{chunk:?}"));
        }
    }
    note(
        "last pack".into(),
        format!("{:?}", store.last_pack().expect("reads")),
    );
    for number in 0..MOVES {
        let record = store.move_record(MoveId([number; 16])).expect("reads");
        note(format!("move {number}"), format!("{record:?}"));
    }
    note(
        "open moves".into(),
        format!("{:?}", store.open_moves().expect("reads")),
    );
    let sizes = store.sizes().expect("reads");
    note(
        "sizes".into(),
        format!("{:?}", (sizes.blobs, sizes.blob_bytes)),
    );
}
