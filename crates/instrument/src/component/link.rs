//! What each import of each core instance is in the end, and which instances are left.
//!
//! Tools that make components connect modules that need each other by a *shim*: a module whose
//! functions only call through the slots of a table, which a later instance, the *fix-up*, fills.
//! Every indirect call could be one to any function of its type, so that such a table would make
//! many functions seem to suspend. What a slot holds is known here, and so the functions of shims
//! are replaced by what they call, and nothing is left of the table. Where a start function runs
//! before the fix-up, the shim's functions stay and test whether the slots are still empty.

use std::collections::{BTreeMap, BTreeSet, HashMap};

use wasmparser::{ElementItems, ElementKind, Operator};

use super::contents::{Contents, literal};
use super::plan::{Definition, Item, Kind, Plan};

/// A plan, and what its modules have.
pub(super) struct Linked<'p> {
    pub plan: &'p Plan<'p>,
    /// What each module has, by its position.
    pub contents: &'p [Contents<'p>],
    /// What a function of a shim calls, where its slot is never empty.
    forwards: HashMap<Item, Definition>,
    /// What becomes of each instance, by its position.
    fates: Vec<Fate>,
    /// How many shims are [`Fate::Shim`].
    pub shims: u32,
}

/// What becomes of an instance.
#[derive(Clone, PartialEq)]
pub(super) enum Fate {
    /// It goes into the flattened module.
    Merged,
    /// Nothing is left of it.
    Gone,
    /// It is a shim whose slots are empty while some function runs. Each of its functions looks
    /// whether they are.
    Shim {
        /// Which of these shims it is.
        number: u32,
        /// What its functions call.
        called: Vec<Definition>,
    },
    /// It goes into the flattened module, but for what it puts into the slots of a shim: the one
    /// of this number, if its functions look whether the slots are empty.
    FixUp(Option<u32>),
}

impl<'p> Linked<'p> {
    /// Finds the shims.
    pub fn new(plan: &'p Plan<'p>, contents: &'p [Contents<'p>]) -> wasmparser::Result<Self> {
        let mut linked = Self {
            plan,
            contents,
            forwards: HashMap::new(),
            fates: vec![Fate::Merged; plan.instances.len()],
            shims: 0,
        };
        for (shim, fix_up) in linked.table_holders() {
            if let Some(called) = linked.called(shim, fix_up)? {
                linked.found(shim, fix_up, called);
            }
        }
        if linked.goes_in_circles() {
            linked.forwards.clear();
            linked.fates.fill(Fate::Merged);
            linked.shims = 0;
        }
        Ok(linked)
    }

    /// Notes a shim.
    fn found(&mut self, shim: usize, fix_up: usize, called: Vec<Definition>) {
        let only_fills = self.of(fix_up).bodies.is_empty() && self.of(fix_up).start.is_none();
        let mut starts = (0..fix_up).filter(|position| self.of(*position).start.is_some());
        // Where no start function can reach the shim, nobody meets an empty slot.
        if !starts.any(|position| self.reach(position).contains(&shim)) {
            for (index, called) in (0..).zip(called) {
                let function = Item {
                    instance: shim,
                    kind: Kind::Function,
                    index,
                };
                self.forwards.insert(function, called);
            }
            self.fates[shim] = Fate::Gone;
            self.fates[fix_up] = match only_fills {
                true => Fate::Gone,
                false => Fate::FixUp(None),
            };
        } else {
            let number = self.shims;
            self.fates[shim] = Fate::Shim { number, called };
            self.fates[fix_up] = Fate::FixUp(Some(number));
            self.shims += 1;
        }
    }

    /// What the module of an instance has.
    pub fn of(&self, instance: usize) -> &'p Contents<'p> {
        &self.contents[self.plan.instances[instance].module]
    }

    /// What becomes of an instance.
    pub fn fate(&self, instance: usize) -> &Fate {
        &self.fates[instance]
    }

    /// The positions of the instances that have items in the flattened module.
    pub fn instances(&self) -> impl Iterator<Item = usize> {
        (0..self.plan.instances.len()).filter(|position| self.fates[*position] != Fate::Gone)
    }

    /// How many items of each kind of an instance the flattened module has.
    pub fn items(&self, instance: usize) -> [u32; Kind::COUNT] {
        let contents = self.of(instance);
        match self.fates[instance] {
            Fate::Merged | Fate::FixUp(_) => contents.defined,
            Fate::Shim { .. } => defined(contents.bodies.len(), 0),
            Fate::Gone => [0; Kind::COUNT],
        }
    }

    /// Follows imports to what defines them. An item's index counts its module's imports too.
    pub fn resolve(&self, definition: Definition) -> Definition {
        self.resolve_within(definition, usize::MAX)
            .unwrap_or(definition)
    }

    /// What the import of an instance is, by the index among the imports of its kind.
    pub fn argument(&self, instance: usize, kind: Kind, index: usize) -> Definition {
        self.resolve(Definition::Item(Item {
            instance,
            kind,
            index: index as u32,
        }))
    }

    fn resolve_within(&self, definition: Definition, steps: usize) -> Option<Definition> {
        let mut definition = definition;
        for _ in 0..steps {
            let Definition::Item(item) = definition else {
                return Some(definition);
            };
            let imported = &self.of(item.instance).imported[item.kind as usize];
            definition = match imported.get(item.index as usize) {
                Some(position) => self.plan.instances[item.instance].arguments[*position],
                None => match self.forwards.get(&item) {
                    Some(called) => *called,
                    None => return Some(definition),
                },
            };
        }
        None
    }

    /// Whether a function of a shim calls itself in the end.
    fn goes_in_circles(&self) -> bool {
        // Each instance but a shim leads to an earlier one, and no function of a shim comes twice.
        let steps = (self.forwards.len() + 2) * (self.plan.instances.len() + 1);
        let mut shims: Vec<&Definition> = self.forwards.values().collect();
        shims.retain(|called| self.resolve_within(**called, steps).is_none());
        !shims.is_empty()
    }

    /// Instances whose first table a single other one imports, with that one.
    fn table_holders(&self) -> Vec<(usize, usize)> {
        let mut holders: BTreeMap<usize, Vec<usize>> = BTreeMap::new();
        for instance in 0..self.plan.instances.len() {
            for index in 0..self.of(instance).imported[Kind::Table as usize].len() {
                if let Definition::Item(table) = self.argument(instance, Kind::Table, index) {
                    holders.entry(table.instance).or_default().push(instance);
                }
            }
        }
        let single = |(instance, holders): (usize, Vec<usize>)| match holders.as_slice() {
            [holder] => Some((instance, *holder)),
            _ => None,
        };
        holders.into_iter().filter_map(single).collect()
    }

    /// What the functions of a shim call in the end, if the two instances are one and its fix-up.
    fn called(&self, shim: usize, fix_up: usize) -> wasmparser::Result<Option<Vec<Definition>>> {
        let contents = self.of(shim);
        let has_only_a_table = contents.imports.is_empty()
            && contents.defined == defined(contents.bodies.len(), 1)
            && contents.elements() + contents.data() == 0
            && contents.start.is_none();
        let mut slots = HashMap::new();
        if !has_only_a_table || !self.fill(fix_up, shim, &mut slots)? {
            return Ok(None);
        }
        let mut called = Vec::new();
        for (ty, body) in contents.functions.iter().zip(&contents.bodies) {
            let params = contents.types[*ty as usize].params().len();
            let slot = called_slot(body, params as u32, *ty)?;
            let Some(function) = slot.and_then(|slot| slots.get(&slot)) else {
                return Ok(None);
            };
            called.push(*function);
        }
        Ok(Some(called))
    }

    /// Notes what a fix-up puts into the slots of a shim's table, and gives whether it does nothing
    /// else with the table.
    fn fill(
        &self,
        fix_up: usize,
        shim: usize,
        slots: &mut HashMap<u32, Definition>,
    ) -> wasmparser::Result<bool> {
        let contents = self.of(fix_up);
        let is_shims = |table: u32| self.is_shims_table(fix_up, table, shim);
        for body in &contents.bodies {
            for operator in body.get_operators_reader()? {
                if tables(&operator?).into_iter().flatten().any(is_shims) {
                    return Ok(false);
                }
            }
        }
        for element in contents
            .elements
            .iter()
            .flat_map(|elements| elements.clone())
        {
            let element = element?;
            let ElementKind::Active {
                table_index,
                offset_expr,
            } = &element.kind
            else {
                continue;
            };
            if !is_shims(table_index.unwrap_or(0)) {
                continue;
            }
            let (Some(first), ElementItems::Functions(functions)) =
                (literal(offset_expr), element.items)
            else {
                return Ok(false);
            };
            for (position, index) in (0..).zip(functions) {
                let function = Item {
                    instance: fix_up,
                    kind: Kind::Function,
                    index: index?,
                };
                slots.insert(first.wrapping_add(position), Definition::Item(function));
            }
        }
        Ok(true)
    }

    /// Whether a table that an instance has is the first one of a shim.
    fn is_shims_table(&self, instance: usize, table: u32, shim: usize) -> bool {
        self.argument(instance, Kind::Table, table as usize)
            == Definition::Item(Item {
                instance: shim,
                kind: Kind::Table,
                index: 0,
            })
    }

    /// Whether an active element segment of an instance fills the slots of a shim, and so is left
    /// out.
    pub fn fills_shim(&self, instance: usize, table: u32) -> bool {
        let Definition::Item(item) = self.argument(instance, Kind::Table, table as usize) else {
            return false;
        };
        matches!(self.fates[instance], Fate::FixUp(_))
            && matches!(self.fates[item.instance], Fate::Gone | Fate::Shim { .. })
    }

    /// The instances whose functions may run while one of this instance does: those that it
    /// imports functions from, and those that may have put functions into a table that it has.
    fn reach(&self, instance: usize) -> BTreeSet<usize> {
        let mut reached = BTreeSet::new();
        let mut open = vec![instance];
        while let Some(instance) = open.pop() {
            if !reached.insert(instance) {
                continue;
            }
            let functions = self.of(instance).imported(Kind::Function) as usize;
            for index in 0..functions {
                if let Definition::Item(item) = self.argument(instance, Kind::Function, index) {
                    open.push(item.instance);
                }
            }
            for table in self.held(instance, Kind::Table) {
                let others = 0..self.plan.instances.len();
                open.extend(others.filter(|other| self.held(*other, Kind::Table).contains(&table)));
            }
        }
        reached
    }

    /// The tables or memories that functions may use which run while one of this instance does.
    pub fn seen(&self, instance: usize) -> Vec<Item> {
        let reached = self.reach(instance);
        let kinds = [Kind::Table, Kind::Memory];
        let held = |instance: usize| {
            kinds
                .into_iter()
                .flat_map(move |kind| self.held(instance, kind))
        };
        reached.into_iter().flat_map(held).collect()
    }

    /// The items of a kind that an instance has, imported ones among them.
    fn held(&self, instance: usize, kind: Kind) -> Vec<Item> {
        let contents = self.of(instance);
        let count = contents.imported(kind) + contents.defined(kind);
        let items = (0..count as usize).map(|index| self.argument(instance, kind, index));
        let items = items.filter_map(|definition| match definition {
            Definition::Item(item) => Some(item),
            _ => None,
        });
        items.collect()
    }
}

/// The tables that an instruction uses.
fn tables(operator: &Operator<'_>) -> [Option<u32>; 2] {
    match *operator {
        Operator::TableGet { table }
        | Operator::TableSet { table }
        | Operator::TableGrow { table }
        | Operator::TableSize { table }
        | Operator::TableFill { table }
        | Operator::TableInit { table, .. } => [Some(table), None],
        Operator::CallIndirect { table_index, .. }
        | Operator::ReturnCallIndirect { table_index, .. } => [Some(table_index), None],
        Operator::TableCopy {
            dst_table,
            src_table,
        } => [Some(dst_table), Some(src_table)],
        _ => [None, None],
    }
}

/// How many items a module defines that has functions and tables alone.
fn defined(functions: usize, tables: u32) -> [u32; Kind::COUNT] {
    let mut defined = [0; Kind::COUNT];
    defined[Kind::Function as usize] = functions as u32;
    defined[Kind::Table as usize] = tables;
    defined
}

/// The slot of the first table that a function calls through, if it does nothing but hand its
/// arguments on.
fn called_slot(
    body: &wasmparser::FunctionBody<'_>,
    params: u32,
    ty: u32,
) -> wasmparser::Result<Option<u32>> {
    let mut operators = body.get_operators_reader()?;
    for param in 0..params {
        if operators.eof() || operators.read()? != (Operator::LocalGet { local_index: param }) {
            return Ok(None);
        }
    }
    let mut rest = Vec::new();
    while !operators.eof() && rest.len() < 4 {
        rest.push(operators.read()?);
    }
    Ok(match rest.as_slice() {
        [
            Operator::I32Const { value },
            Operator::CallIndirect {
                type_index,
                table_index: 0,
            },
            Operator::End,
        ] if *type_index == ty => Some(*value as u32),
        _ => None,
    })
}
