//! The dispatch at the start of a level of a slow version: to the entry that is the site to go to,
//! or that contains it, or to the level's first instruction where there is no such site.
//!
//! An entry that contains many sites would take a slot in the jump table for each of them, on
//! every level around them. Where the table would be much larger than the number of entries, the
//! dispatch compares instead.

use wasm_encoder::Instruction as I;

use super::slow::{NO_SITE, Slow};

/// How many slots a jump table may have for each entry, ...
const PLACES_PER_ENTRY: u32 = 4;
/// ... and how many in addition.
const SPARE_PLACES: u32 = 16;

impl Slow<'_, '_> {
    /// Starts a level: opens a label for each entry, and dispatches to them.
    pub(super) fn open_level(&mut self, level: usize) {
        let entries = &self.version.plan.levels[level].entries;
        let (Some((first, _)), Some((_, behind))) = (entries.first(), entries.last()) else {
            // No site is here.
            if !self.is_reached {
                self.push(&I::Unreachable);
            }
            self.has_labels.push(false);
            return;
        };
        if let ([_], false) = (entries.as_slice(), self.is_reached) {
            self.has_labels.push(false);
            return;
        }
        self.has_labels.push(true);
        entries.iter().for_each(|_| self.open_entry_label());
        if let [_] = entries.as_slice() {
            self.push(&I::LocalGet(self.target));
            self.push(&I::I32Const(0));
            self.push(&I::I32GeS);
            self.push(&I::BrIf(0));
            return;
        }
        // The label of what stands here when there is no site to go to.
        self.open_entry_label();
        let table = behind - first <= entries.len() as u32 * PLACES_PER_ENTRY + SPARE_PLACES;
        match table {
            true => self.jump(entries, *first),
            false => self.compare(entries),
        }
        self.push(&I::End);
        self.open -= 1;
        if !self.is_reached {
            // Only what was saved elsewhere names a site that there is not.
            self.push(&I::Unreachable);
        }
    }

    fn jump(&mut self, entries: &[(u32, u32)], first: u32) {
        self.push(&I::LocalGet(self.target));
        if first > 0 {
            self.push(&I::I32Const(first as i32));
            self.push(&I::I32Sub);
        }
        let labels = (1..).zip(entries);
        let targets =
            labels.flat_map(|(label, (first, behind))| (*first..*behind).map(move |_| label));
        let targets: Vec<u32> = targets.collect();
        // `NO_SITE` minus the first number is beyond the table too, and leads to the default.
        self.push(&I::BrTable(targets.into(), 0));
    }

    fn compare(&mut self, entries: &[(u32, u32)]) {
        self.push(&I::LocalGet(self.target));
        self.push(&I::I32Const(NO_SITE));
        self.push(&I::I32Eq);
        self.push(&I::BrIf(0));
        for (label, (_, behind)) in (1..).zip(entries) {
            self.push(&I::LocalGet(self.target));
            self.push(&I::I32Const(*behind as i32));
            self.push(&I::I32LtS);
            self.push(&I::BrIf(label));
        }
    }
}
