//! Which functions may be on the stack at a suspend, and by which calls.
//!
//! A search starts at some functions, usually the imports that may suspend, and goes from callees
//! to callers.
//!
//! An indirect call through a table that no instruction changes reaches only the functions of its
//! type that element segments put there. Through any other table it reaches every function of its
//! type whose reference is taken anywhere. That is sound: a reference can only come from an element
//! segment or from `ref.func`.
//!
//! In a module with managed references there are calls by reference, types with subtypes, and
//! tables that are filled in other ways. There an indirect call reaches every function with as many
//! parameters and results whose reference is taken anywhere.

use std::collections::{BTreeMap, HashMap, HashSet, VecDeque};

use wasmparser::FuncType;

use super::scan::Scan;

/// The functions from which calls lead to a start of the search. Where the starts are the imports
/// that may suspend, these may be on the stack at a suspend.
pub(crate) struct CallGraph {
    /// For every function the next call on a shortest path to a start of the search; `None` if it
    /// can reach none.
    next: Vec<Option<Edge>>,
    /// Indirect calls that may reach such a function.
    suspending: HashSet<IndirectCall>,
    /// The first of the equal types, by type index.
    canonical: Vec<u32>,
    /// Tables that instructions change.
    changed: Vec<u32>,
    /// Whether all tables count as such.
    any_changes: bool,
    /// For every function whose reference is taken, the tables that element segments put it into.
    tables: BTreeMap<u32, Vec<u32>>,
}

/// One call on a path to a start of the search.
#[derive(Clone, Copy)]
struct Edge {
    /// The callee. For a start of the search, its own index: the path ends there.
    to: u32,
    indirect: bool,
}

/// Indirect calls that may reach the same functions: their canonical type, and their table unless
/// instructions change it.
type IndirectCall = (u32, Option<u32>);

/// The calls of a body: direct ones, and indirect ones as (type, table).
pub(crate) type Calls<'a> = (&'a [u32], &'a [(u32, u32)]);

impl CallGraph {
    /// Searches a module. `blocks` says which imported functions may suspend the guest.
    pub(crate) fn new(scan: &Scan, blocks: impl Fn(u32) -> bool) -> Self {
        let bodies = scan.bodies.iter();
        let calls: Vec<Calls<'_>> = bodies
            .map(|body| (body.calls.as_slice(), body.indirect.as_slice()))
            .collect();
        Self::search(scan, blocks, &calls)
    }

    /// The same search from any functions, and with only the given calls of each body.
    pub(crate) fn search(scan: &Scan, starts: impl Fn(u32) -> bool, calls: &[Calls<'_>]) -> Self {
        let mut graph = Self {
            next: vec![None; scan.functions.len()],
            suspending: HashSet::new(),
            canonical: canonical_types(scan),
            changed: scan.changed_tables(),
            any_changes: scan.managed,
            tables: tables_of(scan),
        };
        let mut callers: HashMap<u32, Vec<u32>> = HashMap::new();
        let mut indirect_callers: HashMap<IndirectCall, Vec<u32>> = HashMap::new();
        for (caller, (direct, indirect)) in scan.defined().zip(calls) {
            for callee in *direct {
                callers.entry(*callee).or_default().push(caller);
            }
            for (ty, table) in *indirect {
                let call = graph.indirect_call(*ty, *table);
                indirect_callers.entry(call).or_default().push(caller);
            }
        }
        let mut queue = VecDeque::new();
        for function in (0..scan.functions.len() as u32).filter(|function| starts(*function)) {
            let end = Edge {
                to: function,
                indirect: false,
            };
            graph.next[function as usize] = Some(end);
            queue.push_back(function);
        }
        // Breadth first, so that paths are shortest.
        while let Some(callee) = queue.pop_front() {
            let mut visit = |graph: &mut Self, caller: u32, indirect: bool| {
                let next = &mut graph.next[caller as usize];
                if next.is_none() {
                    *next = Some(Edge {
                        to: callee,
                        indirect,
                    });
                    queue.push_back(caller);
                }
            };
            for caller in callers.get(&callee).into_iter().flatten() {
                visit(&mut graph, *caller, false);
            }
            for call in graph.indirect_calls_of(scan, callee) {
                graph.suspending.insert(call);
                for caller in indirect_callers.remove(&call).into_iter().flatten() {
                    visit(&mut graph, caller, true);
                }
            }
        }
        graph
    }

    /// Whether the function may be on the stack at a suspend.
    pub(crate) fn may_suspend(&self, function: u32) -> bool {
        self.next[function as usize].is_some()
    }

    /// Whether an indirect call of this type through this table may reach such a function.
    pub(crate) fn indirect_may_suspend(&self, ty: u32, table: u32) -> bool {
        self.suspending.contains(&self.indirect_call(ty, table))
    }

    /// The functions that an indirect call of this type through this table may reach, in the
    /// module's order.
    pub(crate) fn callees(&self, scan: &Scan, ty: u32, table: u32) -> Vec<u32> {
        let (wanted, through) = self.indirect_call(ty, table);
        let of_type =
            |function: u32| self.canonical[scan.functions[function as usize] as usize] == wanted;
        let tables = self.tables.iter();
        tables
            .filter(|(function, tables)| {
                of_type(**function) && through.is_none_or(|through| tables.contains(&through))
            })
            .map(|(function, _)| *function)
            .collect()
    }

    fn indirect_call(&self, ty: u32, table: u32) -> IndirectCall {
        let is_changed = self.any_changes || self.changed.contains(&table);
        let table = (!is_changed).then_some(table);
        (self.canonical[ty as usize], table)
    }

    /// The indirect calls that may reach a function.
    fn indirect_calls_of(&self, scan: &Scan, callee: u32) -> Vec<IndirectCall> {
        let Some(tables) = self.tables.get(&callee) else {
            return Vec::new();
        };
        let ty = self.canonical[scan.functions[callee as usize] as usize];
        let through = tables.iter().map(|table| Some(*table));
        let through = std::iter::once(None).chain(through);
        through.map(|table| (ty, table)).collect()
    }

    /// The shortest path from a function to a blocking import, for messages.
    pub(crate) fn path(&self, scan: &Scan, function: u32) -> Option<String> {
        let mut at = function;
        let mut text = scan.function_name(at);
        while let Some(hop) = self.next[at as usize] {
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

/// For every type index the first index of an equal type, because two equal types are one type. In
/// a module with managed references, for that of a type of the same length.
fn canonical_types(scan: &Scan) -> Vec<u32> {
    if scan.managed {
        let length = |ty: &FuncType| (ty.params().len() << 16 | ty.results().len()) as u32;
        let types = scan.types.iter();
        // Limits of both are far lower.
        return types
            .map(|ty| ty.as_ref().map_or(u32::MAX, length))
            .collect();
    }
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
