//! Which functions may be on the stack at a suspend, and by which calls.
//!
//! An indirect call through a table that no instruction changes reaches only the functions of its
//! type that element segments put there. Through any other table it reaches every function of its
//! type whose reference is taken anywhere. That is sound: a reference can only come from an element
//! segment or from `ref.func`.

use std::collections::{BTreeMap, HashMap, HashSet, VecDeque};

use wasmparser::FuncType;

use super::scan::Scan;

/// The functions that may be on the stack at a suspend.
pub(super) struct CallGraph {
    /// For every function the next one on a shortest path to a blocking import; `None` where it
    /// can reach none.
    toward: Vec<Option<Hop>>,
    /// Indirect calls that may reach such a function.
    suspending: HashSet<IndirectClass>,
    /// The class's type, by type index.
    canonical: Vec<u32>,
    /// Tables that instructions change.
    changed: Vec<u32>,
    /// For every function whose reference is taken, the tables that element segments put it into.
    tables: BTreeMap<u32, Vec<u32>>,
}

/// One step of a path to a blocking import.
#[derive(Clone, Copy)]
struct Hop {
    /// The function called; the function itself for a blocking import.
    to: u32,
    indirect: bool,
}

/// A call as a node of the graph: indirect calls of one type through one table are one node.
type IndirectClass = (u32, Option<u32>);

/// The calls of a body: by name, and indirect ones as (type, table).
pub(super) type Calls<'a> = (&'a [u32], &'a [(u32, u32)]);

impl CallGraph {
    /// Finds them. `blocks` says which imported functions may suspend the guest.
    pub(super) fn new(scan: &Scan, blocks: impl Fn(u32) -> bool) -> Self {
        let bodies = scan.bodies.iter();
        let calls: Vec<Calls<'_>> = bodies
            .map(|body| (body.calls.as_slice(), body.indirect.as_slice()))
            .collect();
        Self::over(scan, blocks, &calls)
    }

    /// The same for any functions to start from, and with only some of each body's calls.
    pub(super) fn over(scan: &Scan, starts: impl Fn(u32) -> bool, calls: &[Calls<'_>]) -> Self {
        let canonical = canonical_types(scan);
        let changed = scan.changed_tables();
        let class_of = |ty: u32, table: u32| class_of(&canonical, &changed, ty, table);

        // Callers of each function and of each class; targets are looked up by the class.
        let mut callers: HashMap<u32, Vec<u32>> = HashMap::new();
        let mut class_callers: HashMap<IndirectClass, Vec<u32>> = HashMap::new();
        for (caller, (named, indirect)) in (scan.imported_functions..).zip(calls) {
            for callee in *named {
                callers.entry(*callee).or_default().push(caller);
            }
            for (ty, table) in *indirect {
                class_callers
                    .entry(class_of(*ty, *table))
                    .or_default()
                    .push(caller);
            }
        }
        let tables = tables_of(scan);

        let mut toward: Vec<Option<Hop>> = vec![None; scan.functions.len()];
        let mut suspending = HashSet::new();
        let mut queue = VecDeque::new();
        for function in 0..scan.functions.len() as u32 {
            if starts(function) {
                toward[function as usize] = Some(Hop {
                    to: function,
                    indirect: false,
                });
                queue.push_back(function);
            }
        }
        // Breadth first from the blocking imports backwards, so that paths are shortest.
        while let Some(callee) = queue.pop_front() {
            let mut visit = |caller: u32, indirect: bool| {
                let slot = &mut toward[caller as usize];
                if slot.is_none() {
                    *slot = Some(Hop {
                        to: callee,
                        indirect,
                    });
                    queue.push_back(caller);
                }
            };
            for caller in callers.get(&callee).into_iter().flatten() {
                visit(*caller, false);
            }
            let ty = canonical[scan.functions[callee as usize] as usize];
            let unnamed = tables.get(&callee).map(|_| None);
            let named = tables.get(&callee).into_iter().flatten().copied();
            for table in unnamed.into_iter().chain(named.map(Some)) {
                suspending.insert((ty, table));
                for caller in class_callers.remove(&(ty, table)).into_iter().flatten() {
                    visit(caller, true);
                }
            }
        }
        Self {
            toward,
            suspending,
            canonical,
            changed,
            tables,
        }
    }

    /// Whether the function may be on the stack at a suspend.
    pub(super) fn may_suspend(&self, function: u32) -> bool {
        self.toward[function as usize].is_some()
    }

    /// Whether an indirect call of this type through this table may reach such a function.
    pub(super) fn indirect_may_suspend(&self, ty: u32, table: u32) -> bool {
        let class = class_of(&self.canonical, &self.changed, ty, table);
        self.suspending.contains(&class)
    }

    /// The functions that an indirect call of this type through this table may reach, in the module's order.
    pub(super) fn targets(&self, scan: &Scan, ty: u32, table: u32) -> Vec<u32> {
        let (wanted, named) = class_of(&self.canonical, &self.changed, ty, table);
        let of_type =
            |function: u32| self.canonical[scan.functions[function as usize] as usize] == wanted;
        let tables = self.tables.iter();
        tables
            .filter(|(function, tables)| {
                of_type(**function) && named.is_none_or(|named| tables.contains(&named))
            })
            .map(|(function, _)| *function)
            .collect()
    }

    /// The shortest path from a function to a blocking import, for people.
    pub(super) fn path(&self, scan: &Scan, function: u32) -> Option<String> {
        let mut at = function;
        let mut text = scan.function_name(at);
        while let Some(hop) = self.toward[at as usize] {
            if hop.to == at {
                return Some(text);
            }
            text.push_str(if hop.indirect { " ~> " } else { " -> " });
            at = hop.to;
            text.push_str(&scan.function_name(at));
        }
        None
    }
}

fn class_of(canonical: &[u32], changed: &[u32], ty: u32, table: u32) -> IndirectClass {
    let table = (!changed.contains(&table)).then_some(table);
    (canonical[ty as usize], table)
}

/// The same number for every index of the same function type: two equal types are one type.
fn canonical_types(scan: &Scan) -> Vec<u32> {
    let mut first: HashMap<&FuncType, u32> = HashMap::new();
    let mut canonical = Vec::with_capacity(scan.types.len());
    for (index, ty) in scan.types.iter().enumerate() {
        let index = index as u32;
        canonical.push(match ty {
            Some(ty) => *first.entry(ty).or_insert(index),
            None => index,
        });
    }
    canonical
}

/// For every function whose reference is taken, the tables that element segments put it into.
fn tables_of(scan: &Scan) -> BTreeMap<u32, Vec<u32>> {
    let mut tables: BTreeMap<u32, Vec<u32>> = BTreeMap::new();
    for function in &scan.referenced {
        tables.entry(*function).or_default();
    }
    for segment in &scan.elements {
        for function in &segment.functions {
            let list = tables.entry(*function).or_default();
            if let Some(table) = segment.table
                && !list.contains(&table)
            {
                list.push(table);
            }
        }
    }
    tables
}
