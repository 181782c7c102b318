//! Which locals matter at a site: those that some instruction reads behind the call, before another
//! writes them.
//!
//! It is the usual backward analysis on structured code: what is alive at the start of a loop is
//! taken from the pass before, until nothing changes.

use wasmparser::{BrTable, Operator};

use super::plan::{Op, Plan, Role};
use crate::error::Error;

/// The bits of one word of a [`LocalSet`].
const WORD: usize = u64::BITS as usize;

/// A set of locals, one bit for each.
#[derive(Clone, PartialEq, Eq)]
struct LocalSet(Vec<u64>);

impl LocalSet {
    fn none_of(locals: usize) -> Self {
        Self(vec![0; locals.div_ceil(WORD)])
    }

    fn add(&mut self, local: u32) {
        self.0[local as usize / WORD] |= 1 << (local as usize % WORD);
    }

    fn remove(&mut self, local: u32) {
        self.0[local as usize / WORD] &= !(1 << (local as usize % WORD));
    }

    fn clear(&mut self) {
        self.0.fill(0);
    }

    /// Adds all of another set, and says whether any was missing.
    fn unite(&mut self, other: &Self) -> bool {
        let mut changed = false;
        for (word, other) in self.0.iter_mut().zip(&other.0) {
            changed |= *word | other != *word;
            *word |= other;
        }
        changed
    }

    fn iter(&self) -> impl Iterator<Item = u32> {
        self.0.iter().enumerate().flat_map(|(position, word)| {
            let mut rest = *word;
            std::iter::from_fn(move || {
                let bit = rest.trailing_zeros();
                rest &= rest.checked_sub(1)?;
                Some((position * WORD) as u32 + bit)
            })
        })
    }
}

/// A block of which the pass, which goes backward, has met the end and not the start.
struct Open {
    /// What is alive where a branch to its label goes.
    label: LocalSet,
    /// What is alive behind it.
    behind: LocalSet,
    /// What is alive at the start of the second branch. Without one it is `behind`.
    otherwise: Option<LocalSet>,
}

/// Adds to what is saved at every site the body's own locals that matter there, and brings it in
/// order.
pub(super) fn add_live_locals(plan: &mut Plan<'_>) -> Result<(), Error> {
    let sites = &mut plan.sites;
    live_at_sites(&plan.ops, plan.own_locals, |number, local| {
        let site = &mut sites[number];
        if !site.is_tail {
            site.saved.push(local);
        }
    })?;
    for site in &mut plan.sites {
        site.saved.sort_unstable();
        site.saved.dedup();
    }
    Ok(())
}

/// Gives for each site the locals that matter behind it.
pub(super) fn live_at_sites(
    ops: &[Op<'_>],
    locals: usize,
    mut at_site: impl FnMut(usize, u32),
) -> Result<(), Error> {
    let loops = ops.iter().enumerate();
    let loops = loops.filter(|(_, op)| matches!(op.operator, Operator::Loop { .. }));
    let mut pass = Pass {
        at_loops: loops
            .map(|(position, _)| (position, LocalSet::none_of(locals)))
            .collect(),
        changed: true,
        live: LocalSet::none_of(locals),
        open: Vec::new(),
    };
    while pass.changed {
        pass.changed = false;
        pass.over(ops, |_, _| {})?;
    }
    pass.over(ops, |number, live| {
        live.iter().for_each(|local| at_site(number, local));
    })
}

/// A pass over a body, from its end to its start.
struct Pass {
    /// What is alive at the start of each loop, by its position, in order.
    at_loops: Vec<(usize, LocalSet)>,
    /// Whether any of them has grown.
    changed: bool,
    /// What is alive at this position.
    live: LocalSet,
    open: Vec<Open>,
}

const UNBALANCED: Error = Error::Internal("a branch leads out of its function");

impl Pass {
    /// Goes over a body, and gives for each site what is alive behind it.
    fn over(
        &mut self,
        ops: &[Op<'_>],
        mut at_site: impl FnMut(usize, &LocalSet),
    ) -> Result<(), Error> {
        self.live.clear();
        self.open.clear();
        for (position, op) in ops.iter().enumerate().rev() {
            if let Role::Site(number) = op.role {
                at_site(number, &self.live);
            }
            self.step(position, op, ops)?;
        }
        Ok(())
    }

    fn at_loop(&self, start: usize) -> Result<usize, Error> {
        let found = self
            .at_loops
            .binary_search_by_key(&start, |(position, _)| *position);
        found.map_err(|_| UNBALANCED)
    }

    /// Adds what is alive where a branch to a label goes.
    fn branch_to(&mut self, depth: u32) -> Result<(), Error> {
        match self.open.len().checked_sub(1 + depth as usize) {
            Some(position) => {
                self.live.unite(&self.open[position].label);
                Ok(())
            }
            None => Err(UNBALANCED),
        }
    }

    fn step(&mut self, position: usize, op: &Op<'_>, ops: &[Op<'_>]) -> Result<(), Error> {
        match &op.operator {
            Operator::End => self.end(position, op, ops)?,
            Operator::Else => {
                let open = self.open.last_mut().ok_or(UNBALANCED)?;
                let then = open.behind.clone();
                open.otherwise = Some(std::mem::replace(&mut self.live, then));
            }
            Operator::Block { .. } => {
                self.open.pop().ok_or(UNBALANCED)?;
            }
            Operator::Loop { .. } => {
                self.open.pop().ok_or(UNBALANCED)?;
                let number = self.at_loop(position)?;
                self.changed |= self.at_loops[number].1.unite(&self.live);
            }
            Operator::If { .. } => {
                let open = self.open.pop().ok_or(UNBALANCED)?;
                self.live.unite(&open.otherwise.unwrap_or(open.behind));
            }
            Operator::Br { relative_depth } => {
                self.live.clear();
                self.branch_to(*relative_depth)?;
            }
            Operator::BrIf { relative_depth }
            | Operator::BrOnNull { relative_depth }
            | Operator::BrOnNonNull { relative_depth }
            | Operator::BrOnCast { relative_depth, .. }
            | Operator::BrOnCastFail { relative_depth, .. } => self.branch_to(*relative_depth)?,
            Operator::BrTable { targets } => self.branch_table(targets)?,
            Operator::Return
            | Operator::Unreachable
            | Operator::ReturnCall { .. }
            | Operator::ReturnCallIndirect { .. }
            | Operator::ReturnCallRef { .. } => self.live.clear(),
            Operator::LocalGet { local_index } => self.live.add(*local_index),
            Operator::LocalSet { local_index } | Operator::LocalTee { local_index } => {
                self.live.remove(*local_index);
            }
            _ => {}
        }
        Ok(())
    }

    fn end(&mut self, position: usize, op: &Op<'_>, ops: &[Op<'_>]) -> Result<(), Error> {
        let is_loop = matches!(ops[op.partner].operator, Operator::Loop { .. });
        let label = match is_loop && op.partner != position {
            true => self.at_loops[self.at_loop(op.partner)?].1.clone(),
            false => self.live.clone(),
        };
        self.open.push(Open {
            label,
            behind: self.live.clone(),
            otherwise: None,
        });
        Ok(())
    }

    fn branch_table(&mut self, targets: &BrTable<'_>) -> Result<(), Error> {
        self.live.clear();
        for target in targets.targets() {
            self.branch_to(target.map_err(Error::malformed)?)?;
        }
        self.branch_to(targets.default())
    }
}
