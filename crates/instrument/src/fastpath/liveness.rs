//! Which locals still matter where a call may have begun to unwind.
//!
//! The end of a body saves all locals that are alive at *any* call. So after every call each of
//! them would have to be kept, in a register or on the stack, although most calls need few. Here
//! is found, for every call's test, which of the locals that are going to be saved nothing reads
//! any more, on no path from there in the normal state. What is saved of these does not matter:
//! while frames are restored no decision depends on a local, and afterwards the slow version does,
//! local by local, what the fast one does. What the repeated call gets does not matter either: a
//! function of the guest takes its parameters from what it has saved, and the host remembers those
//! of the call that blocks. What must be known again is which function an indirect call means, and
//! what lies on the operand stack below the call: it is put there once more on the way back.
//!
//! The usual backward analysis, on structured code: what is alive at the start of a loop is taken
//! from the pass before, until nothing changes.

use std::collections::HashMap;

use wasmparser::Operator;

use super::fold::{Fact, Folded, Op, is_foreign};

/// A set of locals.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
struct Set(Vec<u64>);

impl Set {
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

    fn unite(&mut self, other: &Self) {
        if self.0.len() < other.0.len() {
            self.0.resize(other.0.len(), 0);
        }
        for (word, other) in self.0.iter_mut().zip(&other.0) {
            *word |= other;
        }
    }

    fn without(&self, other: &Self) -> Vec<u32> {
        let words = self.0.iter().enumerate();
        words
            .flat_map(|(place, word)| {
                let rest = word & !other.0.get(place).unwrap_or(&0);
                let bits = (0..64).filter(move |bit| rest >> bit & 1 == 1);
                bits.map(move |bit| place as u32 * 64 + bit)
            })
            .collect()
    }
}

/// An open block, seen from its end.
struct Frame {
    /// What is alive where a branch to its label leads.
    label: Set,
    /// What is alive behind it.
    behind: Set,
    /// What is alive at the start of an `else` branch; that of an `if` without is `behind`.
    otherwise: Option<Set>,
}

/// For every test of a call, by the place of its branch, the locals that are saved and do not
/// matter. `None` where the body holds an instruction that moves control in another way.
pub(super) fn dead(ops: &[Op<'_>], folded: &Folded) -> Option<HashMap<usize, Vec<u32>>> {
    let starts = starts(ops)?;
    let mut loops: HashMap<usize, Set> = HashMap::new();
    loop {
        let mut pass = Pass {
            ops,
            folded,
            starts: &starts,
            loops: &mut loops,
            changed: false,
            live: Set::default(),
            frames: Vec::new(),
            dead: HashMap::new(),
        };
        for (place, op) in ops.iter().enumerate().rev() {
            pass.step(place, &op.operator, folded.facts[place])?;
        }
        if !pass.changed {
            return Some(pass.dead);
        }
    }
}

/// For every `end`, where its block starts; `usize::MAX` for the body's own.
fn starts(ops: &[Op<'_>]) -> Option<HashMap<usize, usize>> {
    let mut open = vec![usize::MAX];
    let mut starts = HashMap::new();
    for (place, op) in ops.iter().enumerate() {
        match op.operator {
            Operator::Block { .. } | Operator::Loop { .. } | Operator::If { .. } => {
                open.push(place);
            }
            Operator::End => {
                starts.insert(place, open.pop()?);
            }
            _ => {}
        }
    }
    Some(starts)
}

struct Pass<'a> {
    ops: &'a [Op<'a>],
    folded: &'a Folded,
    starts: &'a HashMap<usize, usize>,
    /// What is alive at the start of each loop.
    loops: &'a mut HashMap<usize, Set>,
    changed: bool,
    live: Set,
    frames: Vec<Frame>,
    dead: HashMap<usize, Vec<u32>>,
}

impl Pass<'_> {
    fn label(&self, depth: u32) -> Option<&Set> {
        let place = self.frames.len().checked_sub(1 + depth as usize)?;
        Some(&self.frames[place].label)
    }

    /// Adds the locals that are read on the way back to the call in front of a test.
    fn read_again(&self, test: usize, needed: &mut Set) -> Option<()> {
        let call = (0..test).rev().find(|place| {
            matches!(
                self.ops[*place].operator,
                Operator::Call { .. } | Operator::CallIndirect { .. }
            )
        })?;
        for op in &self.ops[self.folded.held[call]..call] {
            if let Operator::LocalGet { local_index } = op.operator {
                needed.add(local_index);
            }
        }
        Some(())
    }

    fn step(&mut self, place: usize, operator: &Operator<'_>, fact: Fact) -> Option<()> {
        match operator {
            Operator::End => {
                let start = *self.starts.get(&place)?;
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
                let known = self.loops.entry(place).or_default();
                let before = known.clone();
                known.unite(&self.live);
                self.changed |= *known != before;
            }
            Operator::If { .. } => {
                let frame = self.frames.pop()?;
                let otherwise = frame.otherwise.unwrap_or(frame.behind);
                match fact {
                    Fact::Always => {}
                    // Behind a test there is nothing but the way to the saving end.
                    Fact::Never | Fact::UnwindingTest => self.live = otherwise,
                    _ => self.live.unite(&otherwise),
                }
            }
            Operator::Br { relative_depth } => self.live = self.label(*relative_depth)?.clone(),
            Operator::BrIf { relative_depth } => {
                let label = self.label(*relative_depth)?.clone();
                match fact {
                    Fact::Always => self.live = label,
                    Fact::Never => {}
                    Fact::UnwindingTest => {
                        let mut needed = self.live.clone();
                        self.read_again(place, &mut needed)?;
                        self.dead.insert(place, label.without(&needed));
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
            Operator::Return | Operator::Unreachable => self.live = Set::default(),
            Operator::LocalGet { local_index } if fact != Fact::Discarded => {
                self.live.add(*local_index);
            }
            Operator::LocalSet { local_index } | Operator::LocalTee { local_index } => {
                self.live.remove(*local_index);
            }
            other if is_foreign(other) => return None,
            _ => {}
        }
        Some(())
    }
}
