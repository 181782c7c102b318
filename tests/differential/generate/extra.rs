//! What came in later: tail calls, exceptions, several values, and functions that never suspend.

use std::borrow::Cow;

use fastrand::Rng;
use wasm_encoder::{
    BlockType, Catch, ConstExpr, ElementSection, Elements, Instruction as I, RefType, TableSection,
    TableType, TypeSection, ValType,
};

use super::body::{Body, EXCEPTION, LOOPS};
use super::{FIRST, LOG, Plan, SLOTS, TYPES, TypeIndex, YIELD};
use crate::harness;

/// The table of functions that never suspend, where there is one.
const QUIET_TABLE: u32 = 1;

impl Plan {
    pub(super) fn with_extras(mut self, random: &mut Rng) -> Self {
        // That of the functions in their table: no other function has it.
        self.signatures
            .push((vec![ValType::I64, ValType::I32], vec![ValType::I64]));
        self.slots.push(Vec::new());
        let table = self.signatures.len() - 1;
        self.quiet.push(table);
        for _ in 0..random.usize(..3) {
            self.quiet.push(random.usize(..self.signatures.len()));
        }
        for _ in 0..2 {
            self.several.push(
                (0..random.usize(2..=3))
                    .map(|_| TYPES[random.usize(..5)])
                    .collect(),
            );
        }
        if random.u8(..3) > 0 {
            let small = random.bool();
            for _ in 0..random.usize(1..=3) {
                let carried = match (small, random.bool()) {
                    (true, true) => vec![ValType::I32],
                    (true, false) => vec![],
                    (false, _) => {
                        let count = random.usize(..=3);
                        (0..count).map(|_| TYPES[random.usize(..5)]).collect()
                    }
                };
                self.tags.push(carried);
            }
            self.references = self.packable() && random.bool();
        }
        self
    }

    /// Whether references to exceptions can be numbers.
    pub(super) fn packable(&self) -> bool {
        let small = |carried: &Vec<ValType>| carried.is_empty() || *carried == [ValType::I32];
        self.tags.iter().all(small)
    }

    pub(super) fn extra_types(&self, signatures: u32, types: &mut TypeSection) -> TypeIndex {
        let tags = types.len();
        for carried in &self.tags {
            let mut with = carried.clone();
            with.push(EXCEPTION);
            types.ty().function([], carried.iter().copied());
            // Without tags that are kept, references are not used.
            match self.references {
                true => types.ty().function([], with),
                false => types.ty().function([], []),
            }
            types.ty().function(carried.iter().copied(), []);
        }
        let several = types.len();
        for results in &self.several {
            types.ty().function([], results.iter().copied());
        }
        let params = types.len();
        types
            .ty()
            .function([ValType::I32, ValType::I64], [ValType::I64]);
        let objects = self.object_types(types);
        TypeIndex {
            signatures,
            tags,
            several,
            params,
            objects,
        }
    }

    fn quiet_function(&self, place: usize) -> u32 {
        FIRST + (self.functions.len() + place) as u32
    }

    /// The signature of the functions in the table of those that never suspend.
    fn quiet_signature(&self) -> u32 {
        self.quiet[0] as u32
    }

    /// A table of functions that never suspend, filled once, and a passive segment to fill it again.
    pub(super) fn quiet_table(&self, table: &mut TableSection, elements: &mut ElementSection) {
        table.table(TableType {
            element_type: RefType::FUNCREF,
            minimum: u64::from(SLOTS),
            maximum: None,
            table64: false,
            shared: false,
        });
        let fitting = (0..self.quiet.len()).filter(|place| self.quiet[*place] == self.quiet[0]);
        let list: Vec<u32> = fitting
            .map(|place| self.quiet_function(place))
            .cycle()
            .take(SLOTS as usize)
            .collect();
        let offset = ConstExpr::i32_const(0);
        let all = || Elements::Functions(Cow::Borrowed(&list));
        elements.active(Some(QUIET_TABLE), &offset, all());
        elements.passive(all());
    }

    /// The passive segment's number.
    fn passive(&self) -> u32 {
        let active = self.slots.iter().filter(|fitting| !fitting.is_empty());
        active.count() as u32 + 1
    }
}

impl Body<'_> {
    /// The smallest statement: a call that may suspend, where that is allowed.
    pub(super) fn pause(&mut self) {
        if self.quiet {
            self.push(I::I64Const(4711));
            self.push(I::Call(LOG));
        } else {
            self.push(I::Call(YIELD));
            self.push(I::Drop);
        }
    }

    pub(super) fn extra(&mut self, choice: u8, depth: usize) {
        let tags = self.plan.tags.len();
        match choice {
            30..33 if tags > 0 => self.attempt(depth),
            33 if tags > 0 => self.throw(depth),
            34 => self.tail_call(depth),
            35 => self.several(depth),
            36 => self.choose(depth),
            37 if self.quiet => self.takes(depth),
            38 => self.segment_use(),
            39 if self.quiet => self.refill(),
            40.. if !self.quiet && self.reference(depth) => {}
            30..34 | 40.. if self.object(depth) => {}
            _ => {
                let signature = self.random.usize(..self.plan.signatures.len());
                if self.call_quiet(signature, depth) {
                    self.put_away(signature);
                }
            }
        }
    }

    pub(super) fn put_away(&mut self, signature: usize) {
        for ty in self.plan.signatures[signature].1.iter().rev() {
            let instruction = self.local(*ty).map_or(I::Drop, I::LocalSet);
            self.push(instruction);
        }
    }

    /// Calls a function of this signature that never suspends, if there is one.
    pub(super) fn call_quiet(&mut self, signature: usize, depth: usize) -> bool {
        let fitting = self.quiet_of(|of| of == signature);
        if fitting.is_empty() || depth == 0 {
            return false;
        }
        for ty in &self.plan.signatures[signature].0 {
            self.value(*ty, depth - 1);
        }
        if signature == self.plan.quiet[0] && self.random.bool() {
            self.value(ValType::I32, 0);
            self.push(I::I32Const(SLOTS as i32 - 1));
            self.push(I::I32And);
            self.push(I::CallIndirect {
                type_index: self.index.signatures + self.plan.quiet_signature(),
                table_index: QUIET_TABLE,
            });
        } else {
            let callee = fitting[self.random.usize(..fitting.len())];
            self.push(I::Call(callee));
        }
        true
    }

    fn quiet_of(&self, wanted: impl Fn(usize) -> bool) -> Vec<u32> {
        let quiet = &self.plan.quiet;
        (0..quiet.len())
            .filter(|place| wanted(quiet[*place]))
            .map(|place| self.plan.quiet_function(place))
            .collect()
    }

    /// Opens an `if` that is entered now and then.
    fn sometimes(&mut self, depth: usize, mask: i32) {
        self.value(ValType::I32, depth - 1);
        self.push(I::I32Const(mask));
        self.push(I::I32And);
        self.push(I::I32Eqz);
        self.push(I::If(BlockType::Empty));
        self.labels.push(true);
    }

    pub(super) fn end(&mut self) {
        self.labels.pop();
        self.push(I::End);
    }

    fn throw(&mut self, depth: usize) {
        self.sometimes(depth, 3);
        let tag = self.random.usize(..self.plan.tags.len());
        for ty in &self.plan.tags[tag] {
            self.value(*ty, depth - 1);
        }
        self.push(I::Throw(tag as u32));
        self.end();
    }

    /// The local that keeps a reference to an exception.
    fn kept(&self) -> u32 {
        self.locals.len() as u32 + LOOPS as u32
    }

    /// A body with handlers for one tag, for all, or both.
    fn attempt(&mut self, depth: usize) {
        let by_reference = self.plan.references && self.random.bool();
        let (one, all) = [(true, false), (true, true), (false, true)][self.random.usize(..3)];
        let tag = self.random.usize(..self.plan.tags.len());
        let carried = self.plan.tags[tag].clone();
        self.push(I::Block(BlockType::Empty));
        self.labels.push(true);
        if all {
            self.push(I::Block(match by_reference {
                true => BlockType::Result(EXCEPTION),
                false => BlockType::Empty,
            }));
            self.labels.push(!by_reference);
        }
        let mut catches = Vec::new();
        if one {
            let ty = self.index.tags + 3 * tag as u32 + u32::from(by_reference);
            let given = carried.len() + usize::from(by_reference);
            self.push(I::Block(match given {
                0 => BlockType::Empty,
                _ => BlockType::FunctionType(ty),
            }));
            self.labels.push(given == 0);
            let (tag, label) = (tag as u32, 0);
            catches.push(match by_reference {
                true => Catch::OneRef { tag, label },
                false => Catch::One { tag, label },
            });
        }
        if all {
            let label = u32::from(one);
            catches.push(match by_reference {
                true => Catch::AllRef { label },
                false => Catch::All { label },
            });
        }
        self.push(I::TryTable(BlockType::Empty, catches.into()));
        self.labels.push(true);
        self.statements(depth - 1);
        if self.random.bool() {
            self.throw(depth);
        }
        self.end();
        self.push(I::Br(u32::from(one) + u32::from(all)));
        if one {
            self.end();
            if by_reference {
                self.push(I::LocalSet(self.kept()));
            }
            for ty in carried.iter().rev() {
                let instruction = self.local(*ty).map_or(I::Drop, I::LocalSet);
                self.push(instruction);
            }
            self.handle(by_reference, depth);
            self.push(I::Br(u32::from(all)));
        }
        if all {
            self.end();
            if by_reference {
                self.push(I::LocalSet(self.kept()));
            }
            self.handle(by_reference, depth);
        }
        self.end();
    }

    fn handle(&mut self, by_reference: bool, depth: usize) {
        self.statements(depth - 1);
        // Whatever it holds by now, another one or null too.
        if by_reference && self.random.bool() {
            self.sometimes(depth, 1);
            self.push(I::LocalGet(self.kept()));
            self.push(I::ThrowRef);
            self.end();
        }
    }

    fn tail_call(&mut self, depth: usize) {
        let signatures = &self.plan.signatures;
        let same = |signature: usize| signatures[signature].1 == self.results;
        let quiet = self.quiet || self.random.u8(..4) == 0;
        let fitting: Vec<usize> = (0..signatures.len())
            .filter(|signature| {
                same(*signature)
                    && match quiet {
                        true => self.plan.quiet.contains(signature),
                        false => !self.plan.slots[*signature].is_empty(),
                    }
            })
            .collect();
        if fitting.is_empty() {
            return self.pause();
        }
        let signature = fitting[self.random.usize(..fitting.len())];
        self.sometimes(depth, 1);
        for ty in &self.plan.signatures[signature].0 {
            self.value(*ty, depth - 1);
        }
        if quiet {
            let fitting = self.quiet_of(|of| of == signature);
            let callee = fitting[self.random.usize(..fitting.len())];
            self.push(I::ReturnCall(callee));
        } else if self.random.bool() {
            let fitting = &self.plan.slots[signature];
            let callee = fitting[self.random.usize(..fitting.len())];
            self.push(I::ReturnCall(callee));
        } else {
            self.slot(signature, depth);
            self.push(I::ReturnCallIndirect {
                type_index: self.index.signatures + signature as u32,
                table_index: 0,
            });
        }
        self.end();
    }

    /// A block that gives several values.
    fn several(&mut self, depth: usize) {
        let place = self.random.usize(..self.plan.several.len());
        let results = self.plan.several[place].clone();
        let ty = BlockType::FunctionType(self.index.several + place as u32);
        self.push(I::Block(ty));
        self.labels.push(false);
        for ty in &results {
            self.value(*ty, depth - 1);
        }
        if self.random.bool() {
            self.value(ValType::I32, depth - 1);
            self.push(I::BrIf(0));
        }
        self.statement(depth - 1);
        self.end();
        for ty in results.iter().rev() {
            let instruction = self.local(*ty).map_or(I::Drop, I::LocalSet);
            self.push(instruction);
        }
    }

    /// A table of branches that carry a value.
    fn choose(&mut self, depth: usize) {
        let ty = TYPES[self.random.usize(..5)];
        for _ in 0..3 {
            self.push(I::Block(BlockType::Result(ty)));
            self.labels.push(false);
        }
        self.value(ty, depth - 1);
        self.value(ValType::I32, depth - 1);
        self.push(I::I32Const(3));
        self.push(I::I32And);
        self.push(I::BrTable(Cow::Borrowed(&[1, 0, 2]), 0));
        for _ in 0..3 {
            self.end();
            self.statement(depth - 1);
        }
        let instruction = self.local(ty).map_or(I::Drop, I::LocalSet);
        self.push(instruction);
    }

    /// A block, a loop or an `if` that takes values.
    fn takes(&mut self, depth: usize) {
        let ty = BlockType::FunctionType(self.index.params);
        self.value(ValType::I32, depth - 1);
        self.value(ValType::I64, depth - 1);
        let way = self.random.u8(..3);
        if way == 2 {
            self.value(ValType::I32, depth - 1);
        }
        self.push([I::Block(ty), I::Loop(ty), I::If(ty)][way as usize].clone());
        self.labels.push(false);
        let instruction = self.local(ValType::I64).map_or(I::Drop, I::LocalSet);
        self.push(instruction);
        self.push(I::I64ExtendI32S);
        self.statement(depth - 1);
        if way == 2 {
            self.push(I::Else);
            let instruction = self.local(ValType::I64).map_or(I::Drop, I::LocalSet);
            self.push(instruction);
            self.push(I::Drop);
            self.push(I::I64Const(3));
        }
        self.end();
        let instruction = self.local(ValType::I64).map_or(I::Drop, I::LocalSet);
        self.push(instruction);
    }

    /// Copies out of the passive segment of data, or drops it.
    fn segment_use(&mut self) {
        if self.random.u8(..8) == 0 {
            self.push(I::DataDrop(0));
            return;
        }
        self.address(0);
        self.push(I::I32Const(harness::RESERVED as i32));
        self.push(I::I32Add);
        let (from, count) = (self.random.i32(0..40), self.random.i32(0..25));
        self.push(I::I32Const(from));
        self.push(I::I32Const(count));
        self.push(I::MemoryInit {
            mem: 0,
            data_index: 0,
        });
    }

    /// Fills the table again from the passive segment of elements, or drops that.
    fn refill(&mut self) {
        let elem_index = self.plan.passive();
        if !self.plan.objects && self.random.u8(..8) == 0 {
            self.push(I::ElemDrop(elem_index));
            return;
        }
        let count = self.random.i32(0..=SLOTS as i32);
        let rest = SLOTS as i32 - count;
        let (to, from) = (self.random.i32(0..=rest), self.random.i32(0..=rest));
        self.push(I::I32Const(to));
        self.push(I::I32Const(from));
        self.push(I::I32Const(count));
        self.push(I::TableInit {
            elem_index,
            table: QUIET_TABLE,
        });
    }
}
