//! What every store does for nodes. The second part is of stores that several nodes can share.

use std::collections::BTreeSet;
use std::sync::Mutex;
use std::time::{Duration, Instant};

use super::fixtures::{Place, SECOND, at, insert, new_task, steady, store, update};
use crate::change::{Change, Insert, Update, Verdict};
use crate::class::ClassId;
use crate::error::Error;
use crate::model::{TaskId, When};
use crate::nodes::{Claimed, NodeRow, Nodes, Wish};
use crate::store::Lease;

/// A test waits for so long until something has happened that takes a moment.
const PATIENCE: Duration = Duration::from_secs(60);

/// Tasks that are claimed in a race, and by how many nodes.
const RACE_TASKS: u64 = 10_000;
const RACE_NODES: usize = 4;

fn wish(until: u64, limit: usize) -> Wish {
    Wish {
        own_until: steady(until),
        any_until: steady(until),
        limit,
        classes: vec![ClassId::ANY],
    }
}

fn ids(claimed: &[Claimed]) -> Vec<u64> {
    claimed.iter().map(|claimed| claimed.row.id.0).collect()
}

fn due_at(id: u64, expected: u64, due: u64, held: bool) -> Change {
    Change::Update(Update {
        due: When::steady(steady(due)),
        held,
        ..update(id, expected)
    })
}

pub(crate) fn a_claimed_task_is_given_once(place: &dyn Place) {
    let (store, node) = store(place);
    let batch = [(1, 30), (2, 10), (3, 20), (4, 90)].map(|(id, due)| insert(id, Some(due), None));
    store.commit(&node, &at(2), &batch).expect("commits");
    let first = store.claim_due(&node, &wish(50, 2)).expect("claims");
    assert_eq!(ids(&first), [2, 3]);
    assert_eq!(
        first[0].row,
        store.task(TaskId(2)).expect("reads").expect("is there")
    );
    let rest = store.claim_due(&node, &wish(50, 2)).expect("claims");
    assert_eq!(ids(&rest), [1]);
    assert!(
        store
            .claim_due(&node, &wish(50, 2))
            .expect("claims")
            .is_empty()
    );
    let owned = || store.owned(&node).expect("reads");
    assert_eq!(owned(), [1, 2, 3].map(TaskId));
    // A short sleep stays the node's; a long one is nobody's.
    let asleep = [due_at(2, 1, 60, true), due_at(3, 1, 60, false)];
    let verdicts = store.commit(&node, &at(3), &asleep).expect("commits");
    assert_eq!(verdicts, [Verdict::Done; 2]);
    assert_eq!(owned(), [1, 2].map(TaskId));
    let next = store.claim_due(&node, &wish(70, 9)).expect("claims");
    assert_eq!(ids(&next), [3]);
    let gone = Change::Remove {
        id: TaskId(3),
        expected: 2,
    };
    store.commit(&node, &at(4), &[gone]).expect("commits");
    assert_eq!(owned(), [1, 2].map(TaskId));
}

/// A new task that is due now is its node's at once.
pub(crate) fn a_new_task_may_be_its_nodes_at_once(place: &dyn Place) {
    let (store, node) = store(place);
    let held = Insert {
        held: true,
        ..new_task(1, Some(5), None)
    };
    store
        .commit(&node, &at(2), &[Change::Insert(held)])
        .expect("commits");
    assert_eq!(store.owned(&node).expect("reads"), [TaskId(1)]);
    assert!(
        store
            .claim_due(&node, &wish(9, 9))
            .expect("claims")
            .is_empty()
    );
}

pub(crate) fn a_node_that_is_fenced_can_do_nothing(place: &dyn Place) {
    let (store, old) = store(place);
    let batch = [insert(1, Some(5), None), insert(2, Some(5), None)];
    store.commit(&old, &at(2), &batch).expect("commits");
    store.claim_due(&old, &wish(9, 1)).expect("claims");
    let new = store.claim("another", &at(3), SECOND).expect("takes over");
    let refused = [
        store.beat(&old, "").map(drop),
        store.claim_due(&old, &wish(9, 9)).map(drop),
        store
            .commit(&old, &at(4), &[due_at(1, 1, 7, true)])
            .map(drop),
        store.take_ids(&old, 3).map(drop),
        store.class(&old, "{}").map(drop),
        store.give_back(&old, &[TaskId(1)]).map(drop),
        store.free_dead(&old).map(drop),
        store.prune(&old, &at(4), steady(9)).map(drop),
    ];
    for answer in refused {
        assert!(matches!(answer, Err(Error::Lost)), "{answer:?}");
    }
    assert!(store.owned(&old).expect("reads").is_empty());
    assert_eq!(
        ids(&store.claim_due(&new, &wish(9, 9)).expect("claims")),
        [1, 2]
    );
}

pub(crate) fn who_leaves_gives_all_back(place: &dyn Place) {
    let (store, old) = store(place);
    store
        .commit(&old, &at(2), &[insert(1, Some(5), None)])
        .expect("commits");
    store.claim_due(&old, &wish(9, 9)).expect("claims");
    store.leave(&old).expect("leaves");
    store.leave(&old).expect("has left");
    assert!(matches!(store.beat(&old, ""), Err(Error::Lost)));
    let next = store.join("next", &at(3), SECOND).expect("joins");
    assert_eq!(
        ids(&store.claim_due(&next, &wish(9, 9)).expect("claims")),
        [1]
    );
}

/// What a node gives back, it can take once more; what it does not have, it cannot give back.
pub(crate) fn what_is_given_back_is_nobodys(place: &dyn Place) {
    let (store, node) = store(place);
    let batch = [1, 2, 3].map(|id| insert(id, Some(id), None));
    store.commit(&node, &at(3), &batch).expect("commits");
    store.claim_due(&node, &wish(2, 9)).expect("claims");
    let given = store.give_back(&node, &[2, 3, 9].map(TaskId));
    assert_eq!(given.expect("is a node"), 1);
    assert_eq!(store.owned(&node).expect("reads"), [TaskId(1)]);
    let row = store.task(TaskId(2)).expect("reads").expect("is there");
    assert_eq!(row.version, 1, "it is as it was");
    let next = store.claim_due(&node, &wish(9, 9)).expect("claims");
    assert_eq!(ids(&next), [2, 3]);
}

pub(crate) fn numbers_are_given_once(place: &dyn Place) {
    let (store, node) = store(place);
    store
        .commit(&node, &at(2), &[insert(7, None, None)])
        .expect("commits");
    assert_eq!(store.take_ids(&node, 3).expect("gives"), 8..11);
    assert_eq!(store.last_id().expect("reads"), TaskId(10));
    let used = [insert(9, None, None)];
    store.commit(&node, &at(2), &used).expect("commits");
    assert_eq!(store.take_ids(&node, 2).expect("gives"), 11..13);
}

// Several nodes.

/// Two nodes on one store, without tasks.
fn two_nodes(place: &dyn Place) -> [(Box<dyn Nodes>, Lease); 2] {
    let (first, alone) = store(place);
    first.leave(&alone).expect("leaves");
    let second = place.open();
    let [a, b] = [(&first, "a"), (&second, "b")]
        .map(|(store, name)| store.join(name, &at(2), 60 * SECOND).expect("joins"));
    [(first, a), (second, b)]
}

pub(crate) fn a_task_of_another_node_is_left_alone(place: &dyn Place) {
    let [(first, a), (second, b)] = two_nodes(place);
    let batch = [insert(1, Some(5), None), insert(2, Some(6), None)];
    first.commit(&a, &at(3), &batch).expect("commits");
    assert_eq!(
        ids(&second.claim_due(&b, &wish(5, 9)).expect("claims")),
        [1]
    );
    assert_eq!(ids(&first.claim_due(&a, &wish(9, 9)).expect("claims")), [2]);
    let remove = |id| Change::Remove {
        id: TaskId(id),
        expected: 1,
    };
    let verdicts = first.commit(&a, &at(4), &[due_at(1, 1, 9, false), remove(1)]);
    assert_eq!(verdicts.expect("commits"), [Verdict::Conflict; 2]);
    // What is nobody's, anybody changes.
    second
        .commit(&b, &at(4), &[due_at(1, 1, 9, false)])
        .expect("commits");
    let verdicts = first.commit(&a, &at(5), &[due_at(1, 2, 11, false)]);
    assert_eq!(verdicts.expect("commits"), [Verdict::Done]);
    assert_eq!(first.owned(&a).expect("reads"), [TaskId(2)]);
    // Who leaves gives back what it has, and nothing else.
    first.leave(&a).expect("leaves");
    assert_eq!(
        ids(&second.claim_due(&b, &wish(20, 9)).expect("claims")),
        [2, 1]
    );
}

/// What each node says of itself is told to all, and whose tasks are whose.
pub(crate) fn nodes_know_each_other(place: &dyn Place) {
    let [(first, a), (second, b)] = two_nodes(place);
    let batch = [1, 2, 3].map(|id| insert(id, Some(id), None));
    first.commit(&a, &at(3), &batch).expect("commits");
    first.claim_due(&a, &wish(1, 9)).expect("claims");
    second.claim_due(&b, &wish(2, 9)).expect("claims");
    first.beat(&a, "at a").expect("is a node");
    let node = |number, name: &str, details: &str| NodeRow {
        number,
        name: name.into(),
        details: details.into(),
        alive: true,
    };
    let told = second.beat(&b, "at b").expect("is a node");
    let both = [node(a.epoch, "a", "at a"), node(b.epoch, "b", "at b")];
    assert_eq!(told, both);
    let owners = first.owners(&[9, 3, 2, 1].map(TaskId)).expect("reads");
    assert_eq!(owners, [(TaskId(1), a.epoch), (TaskId(2), b.epoch)]);
    assert_eq!(first.owners(&[]).expect("reads"), []);
}

/// A process that comes after another one goes on with its tasks at once. The earlier one is fenced.
pub(crate) fn a_node_goes_on_where_an_earlier_one_has_ended(place: &dyn Place) {
    let [(first, a), (second, b)] = two_nodes(place);
    let batch = [1, 2].map(|id| insert(id, Some(id), None));
    first.commit(&a, &at(3), &batch).expect("commits");
    first.claim_due(&a, &wish(1, 9)).expect("claims");
    assert_eq!(second.succeed(&b, a.epoch).expect("takes over"), 1);
    assert_eq!(second.owned(&b).expect("reads"), [TaskId(1)]);
    let late = first.commit(&a, &at(4), &[due_at(1, 1, 9, false)]);
    assert!(matches!(late, Err(Error::Lost)), "{late:?}");
    assert_eq!(second.succeed(&b, a.epoch).expect("is over"), 0);
    // Nobody comes after oneself.
    assert_eq!(second.succeed(&b, b.epoch).expect("is the same"), 1);
    assert_eq!(second.beat(&b, "").expect("is a node").len(), 1);
}

/// A node takes what it had last some time ahead, and what others had later.
pub(crate) fn a_node_takes_its_own_tasks_first(place: &dyn Place) {
    let [(first, a), (second, b)] = two_nodes(place);
    first
        .commit(&a, &at(3), &[insert(1, Some(50), None)])
        .expect("commits");
    second
        .commit(&b, &at(3), &[insert(2, Some(50), None)])
        .expect("commits");
    let early = Wish {
        any_until: steady(40),
        ..wish(60, 9)
    };
    assert_eq!(ids(&first.claim_due(&a, &early).expect("claims")), [1]);
    let late = Wish {
        any_until: steady(50),
        ..early
    };
    assert_eq!(ids(&first.claim_due(&a, &late).expect("claims")), [2]);
}

/// A node gives a task to another one, which is told once when it asks for work. One that is gone is given
/// nothing.
pub(crate) fn a_task_is_given_to_another_node(place: &dyn Place) {
    let [(first, a), (second, b)] = two_nodes(place);
    let batch = [1, 2, 3].map(|id| insert(id, Some(id), None));
    first.commit(&a, &at(3), &batch).expect("commits");
    first.claim_due(&a, &wish(9, 9)).expect("claims");
    let give = |id, due, held, node: &Lease| {
        Change::Update(Update {
            due: When::steady(steady(due)),
            held,
            target: Some(node.epoch),
            ..update(id, 1)
        })
    };
    let given = [give(1, 900, true, &b), give(2, 50, false, &b)];
    let verdicts = first.commit(&a, &at(4), &given).expect("commits");
    assert_eq!(verdicts, [Verdict::Done; 2]);
    assert_eq!(first.owned(&a).expect("reads"), [TaskId(3)]);
    assert_eq!(second.owned(&b).expect("reads"), [TaskId(1)]);
    // The other one goes on there first.
    let early = Wish {
        any_until: steady(40),
        ..wish(60, 9)
    };
    assert_eq!(ids(&first.claim_due(&a, &early).expect("claims")), [0; 0]);
    let mut told = ids(&second.claim_due(&b, &early).expect("claims"));
    told.sort_unstable();
    assert_eq!(told, [1, 2]);
    assert_eq!(ids(&second.claim_due(&b, &early).expect("claims")), [0; 0]);
    let late = first.commit(&a, &at(5), &[due_at(1, 2, 9, true)]);
    assert_eq!(late.expect("commits"), [Verdict::Conflict]);
    // A version that is not that of the task gives nothing.
    let wrong = second.commit(&b, &at(5), &[give(1, 900, true, &a)]);
    assert_eq!(wrong.expect("commits"), [Verdict::Conflict]);
    assert_eq!(first.claim_due(&a, &wish(9, 9)).expect("claims"), []);
    second.leave(&b).expect("leaves");
    let gone = first.commit(&a, &at(6), &[give(3, 70, true, &b)]);
    assert_eq!(gone.expect("commits"), [Verdict::Done]);
    assert_eq!(first.owners(&[TaskId(3)]).expect("reads"), []);
}

/// A node takes tasks of the classes that it names, the earliest of all of them first.
pub(crate) fn a_node_takes_only_classes_that_it_serves(place: &dyn Place) {
    let [(first, a), (second, b)] = two_nodes(place);
    let eu = first.class(&a, "in the EU").expect("is a node");
    let disk = second.class(&b, "with a disk").expect("is a node");
    assert_eq!(second.class(&b, "in the EU").expect("is a node"), eu);
    assert!(eu != disk && ![eu, disk].contains(&ClassId::ANY));
    let known = [(eu, "in the EU"), (disk, "with a disk")];
    let known = known.map(|(class, needs)| (class, needs.to_string()));
    assert_eq!(first.classes().expect("reads"), known);
    let of_class = |id, due, class| {
        Change::Insert(Insert {
            class,
            ..new_task(id, Some(due), None)
        })
    };
    let batch = [
        of_class(1, 10, eu),
        of_class(2, 20, ClassId::ANY),
        of_class(3, 30, disk),
        of_class(4, 40, eu),
        of_class(5, 50, disk),
    ];
    first.commit(&a, &at(3), &batch).expect("commits");
    let dues = first.due(None, steady(45), 9).expect("reads");
    let dues: Vec<u64> = dues.iter().map(|due| due.id.0).collect();
    assert_eq!(dues, [1, 2, 3, 4], "all classes are due");
    let counts = first.due_counts(None, steady(0), 25 * Duration::from_nanos(1), 3);
    assert_eq!(counts.expect("reads"), [2, 2, 1]);
    let of = |classes: &[ClassId], limit| Wish {
        classes: classes.to_vec(),
        ..wish(60, limit)
    };
    let none = first.claim_due(&a, &of(&[], 9)).expect("claims");
    assert_eq!(ids(&none), [0; 0]);
    let served = [ClassId::ANY, disk];
    let claimed = first.claim_due(&a, &of(&served, 2)).expect("claims");
    assert_eq!(ids(&claimed), [2, 3]);
    assert_eq!(
        (claimed[0].row.class, claimed[1].row.class),
        (ClassId::ANY, disk)
    );
    let rest = first.claim_due(&a, &of(&served, 9)).expect("claims");
    assert_eq!(ids(&rest), [5]);
    let other = second.claim_due(&b, &of(&[eu], 9)).expect("claims");
    assert_eq!(ids(&other), [1, 4]);
    // A class stays what it is.
    second
        .commit(&b, &at(4), &[due_at(1, 1, 9, false)])
        .expect("commits");
    let row = second.task(TaskId(1)).expect("reads").expect("is there");
    assert_eq!((row.version, row.class), (2, eu));
}

/// Nobody renews the lease of a node: another one, which renews its own, frees its tasks. What it had
/// under way is refused.
pub(crate) fn the_tasks_of_a_dead_node_go_on_elsewhere(place: &dyn Place) {
    const LEASE: Duration = Duration::from_millis(300);
    let (first, alone) = store(place);
    first.leave(&alone).expect("leaves");
    let dead = first.join("dead", &at(2), LEASE).expect("joins");
    let batch = [insert(1, Some(5), None), insert(2, Some(900), None)];
    first.commit(&dead, &at(3), &batch).expect("commits");
    first.claim_due(&dead, &wish(9, 9)).expect("claims");
    std::thread::sleep(LEASE + LEASE / 2);
    let second = place.open();
    let other = second.join("other", &at(4), LEASE).expect("joins");
    assert_eq!(
        second.free_dead(&other).expect("looks"),
        0,
        "it is a node only now"
    );
    let began = Instant::now();
    let mut freed = 0;
    while freed == 0 {
        assert!(began.elapsed() < PATIENCE, "its tasks are never freed");
        second.beat(&other, "").expect("is a node");
        freed = second.free_dead(&other).expect("looks");
        std::thread::sleep(LEASE / 10);
    }
    assert_eq!(freed, 1);
    let late = first.commit(&dead, &at(5), &[due_at(1, 1, 7, false)]);
    assert!(matches!(late, Err(Error::Lost)), "{late:?}");
    let claimed = first.claim_due(&dead, &wish(999, 9));
    assert!(matches!(claimed, Err(Error::Lost)), "{claimed:?}");
    let next = second.claim_due(&other, &wish(9, 9)).expect("claims");
    assert_eq!((ids(&next), next[0].row.version), (vec![1], 1));
}

/// Nodes that claim the same due tasks at once: each task is given to one of them.
pub(crate) fn tasks_are_claimed_once_in_a_race(place: &dyn Place) {
    let (store, alone) = store(place);
    for first in (1..=RACE_TASKS).step_by(1000) {
        let batch: Vec<Change> = (first..first + 1000)
            .map(|id| insert(id, Some(id), None))
            .collect();
        store.commit(&alone, &at(2), &batch).expect("commits");
    }
    store.leave(&alone).expect("leaves");
    let all = Mutex::new(Vec::new());
    std::thread::scope(|scope| {
        for number in 0..RACE_NODES {
            let (place, all) = (place.open(), &all);
            scope.spawn(move || {
                let name = format!("node {number}");
                let node = place.join(&name, &at(3), 600 * SECOND).expect("joins");
                let mut mine = Vec::new();
                loop {
                    let claimed = place
                        .claim_due(&node, &wish(RACE_TASKS, 50))
                        .expect("claims");
                    if claimed.is_empty() {
                        break;
                    }
                    mine.extend(ids(&claimed));
                }
                let owned = place.owned(&node).expect("reads");
                assert_eq!(owned.len(), mine.len());
                all.lock().expect("nobody has panicked").push(mine);
            });
        }
    });
    let all = all.into_inner().expect("nobody has panicked");
    let given: Vec<u64> = all.concat();
    let once: BTreeSet<u64> = given.iter().copied().collect();
    assert_eq!(given.len(), once.len(), "a task was given twice");
    assert_eq!(
        once,
        (1..=RACE_TASKS).collect(),
        "a task was given to nobody"
    );
}
