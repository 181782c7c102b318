//! The indices of the functions that are made of the module's own.
//!
//! All added functions stand behind the module's own, whose indices stay as they are: first the
//! slow versions, then the functions that choose between two versions, then the function for
//! checks, and the helpers of frames at the end.

use std::collections::{BTreeMap, HashSet};

use crate::analyze::scan::Scan;

/// The indices of the added functions.
pub(super) struct Versions {
    /// The instrumented functions, in rising order, with their slow versions.
    pub slow: BTreeMap<u32, u32>,
    /// For each of them that only direct calls enter, the function that chooses between its
    /// versions.
    pub enter: BTreeMap<u32, u32>,
    /// The import that is a check.
    pub check: Option<u32>,
    /// What slow versions call in its place.
    pub check_enter: Option<u32>,
    /// The index of the first helper.
    pub helpers: u32,
}

impl Versions {
    /// Numbers what is made of the instrumented functions, which are given in rising order.
    pub(super) fn of(
        scan: &Scan,
        instrumented: &[u32],
        entered_indirectly: &HashSet<u32>,
        check: Option<u32>,
    ) -> Self {
        let first = scan.functions.len() as u32;
        let slow: BTreeMap<u32, u32> = instrumented.iter().copied().zip(first..).collect();
        let first = first + slow.len() as u32;
        let only_direct = instrumented.iter().copied();
        let only_direct = only_direct.filter(|function| !entered_indirectly.contains(function));
        let enter: BTreeMap<u32, u32> = only_direct.zip(first..).collect();
        let next = first + enter.len() as u32;
        Self {
            slow,
            enter,
            check,
            check_enter: check.map(|_| next),
            helpers: next + u32::from(check.is_some()),
        }
    }

    /// The function that a slow version calls in place of another.
    pub(super) fn restoring(&self, function: u32) -> u32 {
        match self.enter.get(&function) {
            Some(enter) => *enter,
            None if Some(function) == self.check => self.check_enter.unwrap_or(function),
            None => function,
        }
    }
}
