//! Random sequences of operations over two stores, which have to give the same answers.

mod answers;
mod operations;

use std::collections::HashMap;

use proptest::prelude::*;
use proptest::test_runner::{Config, TestRunner};

use self::answers::{Answers, all_answers, error_class};
use self::operations::{Operation, changes_of, operations};
use super::fixtures::{Place, SECOND, at, blob, reference, steady};
use crate::class::ClassId;
use crate::error::Error;
use crate::model::{TaskId, Timestamp};
use crate::nodes::{Nodes, Wish};
use crate::reference::Reference;
use crate::store::{Lease, Stamp};

/// Runs so many random sequences over stores of this kind, and over the reference.
pub(crate) fn same_answers<P: Place>(sequences: u32, new: impl Fn() -> Option<P>) {
    let config = Config {
        cases: sequences,
        failure_persistence: None,
        ..Config::default()
    };
    let run = |operations: Vec<Operation>| {
        let Some(place) = new() else { return Ok(()) };
        let reference = reference();
        let mut pair = Pair::new(&place, &reference);
        for operation in &operations {
            pair.step(&place, operation)?;
        }
        Ok(())
    };
    let outcome = TestRunner::new(config).run(&operations(), run);
    outcome.unwrap_or_else(|error| panic!("{error}"));
}

/// A store and the reference, after the same operations.
struct Pair {
    store: Box<dyn Nodes>,
    reference: Box<dyn Nodes>,
    /// The leases of both, the present one last.
    leases: Vec<(Lease, Lease)>,
    now: Stamp,
}

impl Pair {
    fn new(place: &dyn Place, reference: &Reference) -> Self {
        let mut pair = Self {
            store: place.open(),
            reference: reference.open(),
            leases: Vec::new(),
            now: at(1000),
        };
        pair.claim();
        let (own, other) = pair.leases[0];
        let blobs = [0, 1, 2].map(|number| blob(&format!("blob {number}")));
        for (store, lease) in [(&pair.store, own), (&pair.reference, other)] {
            store.commit(&lease, &pair.now, &blobs).expect("commits");
        }
        pair
    }

    fn claim(&mut self) {
        let claim = |store: &dyn Nodes| store.claim("a test", &self.now, SECOND);
        let own = claim(&*self.store).expect("it is free");
        let other = claim(&*self.reference).expect("it is free");
        self.leases.push((own, other));
    }

    /// The leases that an operation is done under: the present one, or the one before.
    fn lease(&self, late: bool) -> (Lease, Lease) {
        let place = self.leases.len() - 1;
        self.leases[place.saturating_sub(usize::from(late))]
    }

    fn step(&mut self, place: &dyn Place, operation: &Operation) -> Result<(), TestCaseError> {
        self.now.now = steady(self.now.now.as_nanos() + 10);
        let wall = self
            .now
            .now
            .as_nanos()
            .saturating_add_signed(self.now.ahead);
        self.now.realtime = Timestamp::from_nanos(wall);
        let now = self.now;
        match operation {
            Operation::Claim => self.claim(),
            Operation::Reopen => {
                // A store is open once.
                self.store = reference().open();
                self.store = place.open();
                self.claim();
            }
            Operation::SetWall(ahead) => self.now.ahead = *ahead,
            Operation::Commit { late, changes } => {
                let changes = changes_of(changes, &self.versions());
                self.both(*late, |store, lease| store.commit(lease, &now, &changes))?;
            }
            Operation::Prune { late, age } => {
                let before = steady(now.now.as_nanos() - age);
                self.both(*late, |store, lease| store.prune(lease, &now, before))?;
            }
            Operation::Sweep { late, most } => {
                let most = usize::from(*most);
                self.both(*late, |store, lease| store.sweep(lease, &now, most))?;
            }
            Operation::ClaimDue { late, ahead, limit } => {
                let until = steady(now.now.as_nanos() + ahead);
                let wish = Wish {
                    own_until: until,
                    any_until: until,
                    limit: *limit,
                    classes: vec![ClassId::ANY],
                };
                self.both(*late, |store, lease| store.claim_due(lease, &wish))?;
            }
            Operation::GiveBack { late, id } => {
                self.both(*late, |store, lease| store.give_back(lease, &[*id]))?;
            }
            Operation::TakeIds { late, count } => {
                self.both(*late, |store, lease| store.take_ids(lease, *count))?;
            }
        }
        let (own, other) = self.lease(false);
        let owned = self.store.owned(&own).expect("reads");
        prop_assert_eq!(&owned, &self.reference.owned(&other).expect("reads"));
        let (own, other): (Answers, Answers) = (
            all_answers(&*self.store, !owned.is_empty()),
            all_answers(&*self.reference, !owned.is_empty()),
        );
        for ((question, own), (_, other)) in own.iter().zip(&other) {
            prop_assert_eq!(own, other, "{} after {:?}", question, operation);
        }
        Ok(())
    }

    /// The versions of all tasks.
    fn versions(&self) -> HashMap<TaskId, u64> {
        let filter = answers::everything();
        let rows = self.reference.list(&filter).expect("it reads").into_iter();
        rows.map(|row| (row.id, row.version)).collect()
    }

    /// Does the same with both; the answers must be the same, and errors of one class.
    fn both<T: PartialEq + std::fmt::Debug>(
        &self,
        late: bool,
        work: impl Fn(&dyn Nodes, &Lease) -> Result<T, Error>,
    ) -> Result<(), TestCaseError> {
        let (own, other) = self.lease(late);
        let own = work(&*self.store, &own).map_err(|error| error_class(&error));
        let other = work(&*self.reference, &other).map_err(|error| error_class(&error));
        prop_assert_eq!(own, other);
        Ok(())
    }
}
