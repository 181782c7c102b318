//! Which locals still matter where a call may have started to unwind.
//!
//! The end of a body saves all locals that are alive at *any* call. So after every call each of
//! them would have to be kept, in a register or on the stack, although most calls need few. This
//! analysis finds, for every test behind a call, which of the locals that are going to be saved no
//! instruction reads any more, on any path from there in the normal state. What is saved of these
//! does not matter:
//!
//! - While frames are restored, no decision depends on a local. Afterwards the slow version reads
//!   the locals that the fast one reads.
//! - The arguments of the repeated call do not matter. A function of the guest takes its parameters
//!   from what it has saved, and the host remembers those of the call that blocks.
//!
//! Two things must be known again, and count as read: which function an indirect call means, and
//! the operands below the call's arguments, which are put on the stack once more.
//!
//! It is the usual backward analysis on structured code: what is alive at the start of a loop is
//! taken from the pass before, until nothing changes.

use std::collections::HashMap;

use wasmparser::Operator;

use super::asyncified::{Op, is_unfollowed};
use super::normal_state::{Fact, NormalState};

/// Stands for the start of the body where a block is asked for.
const BODY: usize = usize::MAX;

/// A set of locals, one bit for each.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
struct LocalSet(Vec<u64>);

impl LocalSet {
    fn add(&mut self, local: u32) {
        let word = local as usize / 64;
        if self.0.len() <= word {
            self.0.resize(word + 1, 0);
        }
        self.0[word] |= 1 << (local % 64);
    }

    fn remove(&mut self, local: u32) {
        if let Some(word) = self.0.get_mut(local as usize / 64) {
            *word &= !(1 << (local % 64));
        }
    }

    /// Adds all of another set.
    fn unite(&mut self, other: &Self) {
        if self.0.len() < other.0.len() {
            self.0.resize(other.0.len(), 0);
        }
        for (word, other) in self.0.iter_mut().zip(&other.0) {
            *word |= other;
        }
    }

    /// Its locals that are not in the other set, in rising order.
    fn without(&self, other: &Self) -> Vec<u32> {
        let words = self.0.iter().enumerate();
        words
            .flat_map(|(position, word)| {
                let rest = word & !other.0.get(position).unwrap_or(&0);
                let bits = (0..64).filter(move |bit| rest >> bit & 1 == 1);
                bits.map(move |bit| position as u32 * 64 + bit)
            })
            .collect()
    }
}

/// A block of which the pass, which goes backward, has met the end and not the start.
struct Frame {
    /// What is alive where a branch to its label goes.
    label: LocalSet,
    /// What is alive behind it.
    behind: LocalSet,
    /// What is alive at the start of the `else` branch. Without one it is `behind`.
    otherwise: Option<LocalSet>,
}

/// For every test behind a call, by the position of its branch, the locals that are saved and do
/// not matter. `None` where an instruction moves control in a way that is not followed.
pub(super) fn dead(ops: &[Op<'_>], known: &NormalState) -> Option<HashMap<usize, Vec<u32>>> {
    let starts = starts(ops)?;
    let mut loops: HashMap<usize, LocalSet> = HashMap::new();
    loop {
        let mut pass = Pass {
            ops,
            known,
            starts: &starts,
            loops: &mut loops,
            changed: false,
            live: LocalSet::default(),
            frames: Vec::new(),
            dead: HashMap::new(),
        };
        for (position, op) in ops.iter().enumerate().rev() {
            pass.step(position, &op.operator, known.facts[position])?;
        }
        if !pass.changed {
            return Some(pass.dead);
        }
    }
}

/// The position where the block of every `end` starts; [`BODY`] for the body's own.
fn starts(ops: &[Op<'_>]) -> Option<HashMap<usize, usize>> {
    let mut open = vec![BODY];
    let mut starts = HashMap::new();
    for (position, op) in ops.iter().enumerate() {
        match op.operator {
            Operator::Block { .. } | Operator::Loop { .. } | Operator::If { .. } => {
                open.push(position);
            }
            Operator::End => {
                starts.insert(position, open.pop()?);
            }
            _ => {}
        }
    }
    Some(starts)
}

/// One pass over a body, from its end to its start.
struct Pass<'a> {
    ops: &'a [Op<'a>],
    known: &'a NormalState,
    starts: &'a HashMap<usize, usize>,
    /// What is alive at the start of each loop, by its position.
    loops: &'a mut HashMap<usize, LocalSet>,
    /// Whether any of `loops` has grown.
    changed: bool,
    /// What is alive at this position.
    live: LocalSet,
    frames: Vec<Frame>,
    /// The result.
    dead: HashMap<usize, Vec<u32>>,
}

impl Pass<'_> {
    /// What is alive where a branch to a label goes.
    fn label(&self, depth: u32) -> Option<&LocalSet> {
        let position = self.frames.len().checked_sub(1 + depth as usize)?;
        Some(&self.frames[position].label)
    }

    /// Adds the locals that are read when the call in front of a test is made again.
    fn read_again(&self, test: usize, needed: &mut LocalSet) -> Option<()> {
        let call = (0..test).rev().find(|position| {
            matches!(
                self.ops[*position].operator,
                Operator::Call { .. } | Operator::CallIndirect { .. }
            )
        })?;
        for op in &self.ops[self.known.needed_again[call]..call] {
            if let Operator::LocalGet { local_index } = op.operator {
                needed.add(local_index);
            }
        }
        Some(())
    }

    /// Goes over one instruction.
    fn step(&mut self, position: usize, operator: &Operator<'_>, fact: Fact) -> Option<()> {
        match operator {
            Operator::End
            | Operator::Else
            | Operator::Block { .. }
            | Operator::Loop { .. }
            | Operator::If { .. } => self.block(position, operator, fact)?,
            Operator::Br { .. } | Operator::BrIf { .. } | Operator::BrTable { .. } => {
                self.branch(position, operator, fact)?;
            }
            Operator::Return | Operator::Unreachable => self.live = LocalSet::default(),
            Operator::LocalGet { local_index } if fact != Fact::Discarded => {
                self.live.add(*local_index);
            }
            Operator::LocalSet { local_index } | Operator::LocalTee { local_index } => {
                self.live.remove(*local_index);
            }
            other if is_unfollowed(other) => return None,
            _ => {}
        }
        Some(())
    }

    fn block(&mut self, position: usize, operator: &Operator<'_>, fact: Fact) -> Option<()> {
        match operator {
            Operator::End => {
                let start = *self.starts.get(&position)?;
                let label = match self.ops.get(start).map(|op| &op.operator) {
                    Some(Operator::Loop { .. }) => self.loops.entry(start).or_default(),
                    _ => &self.live,
                };
                self.frames.push(Frame {
                    label: label.clone(),
                    behind: self.live.clone(),
                    otherwise: None,
                });
            }
            Operator::Else => {
                let frame = self.frames.last_mut()?;
                frame.otherwise = Some(std::mem::replace(&mut self.live, frame.behind.clone()));
            }
            Operator::Block { .. } => {
                self.frames.pop()?;
            }
            Operator::Loop { .. } => {
                self.frames.pop()?;
                let known = self.loops.entry(position).or_default();
                let before = known.clone();
                known.unite(&self.live);
                self.changed |= *known != before;
            }
            Operator::If { .. } => {
                let frame = self.frames.pop()?;
                let otherwise = frame.otherwise.unwrap_or(frame.behind);
                match fact {
                    Fact::Always => {}
                    // Inside such a test stands only the branch to the end that saves the frame.
                    Fact::Never | Fact::UnwindingTest => self.live = otherwise,
                    _ => self.live.unite(&otherwise),
                }
            }
            _ => {}
        }
        Some(())
    }

    fn branch(&mut self, position: usize, operator: &Operator<'_>, fact: Fact) -> Option<()> {
        match operator {
            Operator::Br { relative_depth } => self.live = self.label(*relative_depth)?.clone(),
            Operator::BrIf { relative_depth } => {
                let label = self.label(*relative_depth)?.clone();
                match fact {
                    Fact::Always => self.live = label,
                    Fact::Never => {}
                    Fact::UnwindingTest => {
                        let mut needed = self.live.clone();
                        self.read_again(position, &mut needed)?;
                        self.dead.insert(position, label.without(&needed));
                    }
                    _ => self.live.unite(&label),
                }
            }
            Operator::BrTable { targets } => {
                self.live = self.label(targets.default())?.clone();
                for target in targets.targets() {
                    let label = self.label(target.ok()?)?.clone();
                    self.live.unite(&label);
                }
            }
            _ => {}
        }
        Some(())
    }
}
