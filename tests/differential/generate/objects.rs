//! Objects that a garbage collector looks after. None of them lives across a call that may suspend:
//! a statement makes one, uses it, and is over before the next such call. What may be on the stack
//! then are functions that have been given one, or that give one back.

use fastrand::Rng;
use wasm_encoder::{
    BlockType, CodeSection, CompositeInnerType, CompositeType, ConstExpr, FieldType, Function,
    FunctionSection, GlobalSection, GlobalType, HeapType, Instruction as I, RefType, StorageType,
    StructType, SubType, TypeSection, ValType,
};

use super::body::{Body, LOOPS};
use super::{FIRST, LOG, Plan, YIELD, constant};

/// Types, behind the first of those for objects. The first two have a local in each function.
const POINT: u32 = 0;
const ROW: u32 = 1;
/// A subtype of the point, with a row.
const NODE: u32 = 2;
/// It never changes.
const MARK: u32 = 3;
/// Of these functions, behind the one that starts the program.
const WEIGH: u32 = 0;
const VISIT: u32 = 1;
const MAKE: u32 = 2;
/// Types of these functions.
const FUNCTIONS: u32 = 4;

/// Slots of a row.
const SLOTS: i32 = 8;

impl Plan {
    /// Chooses whether the program has objects. Much else is refused beside them.
    pub(super) fn with_objects(mut self, random: &mut Rng) -> Self {
        let allows = self.tags.is_empty() && self.held.is_none() && !self.changes_table;
        self.objects = allows && random.bool();
        self
    }

    pub(super) fn object_types(&self, types: &mut TypeSection) -> u32 {
        let first = types.len();
        if !self.objects {
            return first;
        }
        let field = |ty, mutable| FieldType {
            element_type: StorageType::Val(ty),
            mutable,
        };
        let point = [
            field(ValType::I32, true),
            field(ValType::I64, true),
            field(ValType::F64, false),
        ];
        let row = field(nullable(first + ROW), true);
        let node = [&point[..], &[row]].concat();
        let subtype = |fields: &[FieldType], above: Option<u32>| SubType {
            is_final: above.is_some(),
            supertype_idxs: above.into_iter().collect(),
            composite_type: CompositeType {
                inner: CompositeInnerType::Struct(StructType {
                    fields: fields.into(),
                }),
                shared: false,
                descriptor: None,
                describes: None,
            },
        };
        types.ty().subtype(&subtype(&point, None));
        types.ty().array(&StorageType::Val(ValType::I32), true);
        types.ty().subtype(&subtype(&node, Some(first + POINT)));
        types
            .ty()
            .struct_([field(ValType::I32, false), field(ValType::I64, false)]);
        let point = nullable(first + POINT);
        types.ty().function([point], [ValType::I64]);
        types.ty().function([point, ValType::I32], [ValType::I32]);
        types.ty().function([ValType::I32], [point]);
        first
    }

    /// The types of the locals that hold objects.
    pub(super) fn object_locals(&self, first: u32) -> Vec<ValType> {
        match self.objects {
            true => vec![nullable(first + POINT), nullable(first + ROW)],
            false => Vec::new(),
        }
    }

    /// A global with an object that every instance makes in the same way.
    pub(super) fn object_global(&self, first: u32, globals: &mut GlobalSection) {
        if !self.objects {
            return;
        }
        let ty = GlobalType {
            val_type: ValType::Ref(RefType {
                nullable: false,
                heap_type: HeapType::Concrete(first + MARK),
            }),
            mutable: false,
            shared: false,
        };
        let make = [I::I32Const(77), I::I64Const(-5), I::StructNew(first + MARK)];
        globals.global(ty, &ConstExpr::extended(make));
    }

    /// A function that reads an object, one that suspends after it has read one, and one that
    /// suspends before it makes one.
    pub(super) fn object_functions(
        &self,
        first: u32,
        functions: &mut FunctionSection,
        code: &mut CodeSection,
    ) {
        if !self.objects {
            return;
        }
        let get = |field| I::StructGet {
            struct_type_index: first + POINT,
            field_index: field,
        };
        let weigh = [
            I::Block(BlockType::Empty),
            I::LocalGet(0),
            I::BrOnNull(0),
            get(1),
            I::LocalGet(0),
            get(0),
            I::I64ExtendI32S,
            I::I64Add,
            I::Return,
            I::End,
            I::I64Const(-1),
            I::End,
        ];
        let pause = [I::Call(YIELD), I::Drop];
        let visit = [
            I::LocalGet(0),
            get(0),
            I::LocalGet(1),
            I::I32Mul,
            I::LocalSet(1),
            pause[0].clone(),
            pause[1].clone(),
            I::LocalGet(1),
            I::I32Const(3),
            I::I32Xor,
            I::End,
        ];
        let make = [
            pause[0].clone(),
            pause[1].clone(),
            I::LocalGet(0),
            I::I64Const(9),
            I::F64Const(0.5.into()),
            I::StructNew(first + POINT),
            I::End,
        ];
        for (ty, body) in (first + FUNCTIONS..).zip([&weigh[..], &visit, &make]) {
            functions.function(ty);
            let mut function = Function::new([]);
            for instruction in body {
                function.instruction(instruction);
            }
            code.function(&function);
        }
    }

    fn object_function(&self, place: u32) -> u32 {
        let start = FIRST + (self.functions.len() + self.quiet.len()) as u32;
        start + 1 + place
    }
}

/// A reference to an object of this type, or null.
fn nullable(ty: u32) -> ValType {
    ValType::Ref(RefType {
        nullable: true,
        heap_type: HeapType::Concrete(ty),
    })
}

impl Body<'_> {
    /// Makes an object and uses it. Whether the program has objects.
    pub(super) fn object(&mut self, depth: usize) -> bool {
        if !self.plan.objects {
            return false;
        }
        match self.random.u8(..8) {
            0..3 => {
                self.new_point(depth);
                let point = self.object_local(POINT);
                self.push(I::LocalSet(point));
                self.use_points();
            }
            3..5 => self.row(depth),
            5 if !self.quiet => {
                self.new_point(depth);
                // Calls while it lies on the stack would hold it.
                self.number(ValType::I32);
                self.push(I::Call(self.plan.object_function(VISIT)));
                self.put(ValType::I32);
            }
            6 if !self.quiet => {
                self.value(ValType::I32, depth - 1);
                self.push(I::Call(self.plan.object_function(MAKE)));
                let point = self.object_local(POINT);
                self.push(I::LocalSet(point));
                self.use_points();
            }
            _ => {
                self.push(I::GlobalGet(self.plan.globals.len() as u32));
                self.get(MARK, 1);
                self.put(ValType::I64);
            }
        }
        true
    }

    fn object_type(&self, place: u32) -> u32 {
        self.index.objects + place
    }

    fn object_local(&self, place: u32) -> u32 {
        // No program has references to exceptions or functions beside objects.
        (self.locals.len() + LOOPS) as u32 + place
    }

    fn get(&mut self, ty: u32, field: u32) {
        self.push(I::StructGet {
            struct_type_index: self.object_type(ty),
            field_index: field,
        });
    }

    /// A number that no call gives.
    fn number(&mut self, ty: ValType) {
        let instruction = match self.local(ty) {
            Some(local) => I::LocalGet(local),
            None => constant(ty, self.random),
        };
        self.push(instruction);
    }

    fn put(&mut self, ty: ValType) {
        let instruction = self.local(ty).map_or(I::Drop, I::LocalSet);
        self.push(instruction);
    }

    /// A point or a node. Calls may suspend while its fields are made.
    fn new_point(&mut self, depth: usize) {
        self.value(ValType::I32, depth - 1);
        self.value(ValType::I64, depth - 1);
        self.value(ValType::F64, depth - 1);
        if self.random.bool() {
            self.push(I::StructNew(self.object_type(POINT)));
            return;
        }
        self.push(I::I32Const(SLOTS));
        self.push(I::ArrayNewDefault(self.object_type(ROW)));
        self.push(I::StructNew(self.object_type(NODE)));
    }

    fn use_points(&mut self) {
        for _ in 0..self.random.usize(1..=4) {
            self.use_point();
        }
    }

    /// Reads or writes the point, tests it, or casts it.
    fn use_point(&mut self) {
        let point = self.object_local(POINT);
        let node = HeapType::Concrete(self.object_type(NODE));
        match self.random.u8(..8) {
            0 => {
                self.push(I::LocalGet(point));
                self.get(POINT, 0);
                self.put(ValType::I32);
            }
            1 => {
                self.push(I::LocalGet(point));
                self.number(ValType::I64);
                self.push(I::StructSet {
                    struct_type_index: self.object_type(POINT),
                    field_index: 1,
                });
            }
            2 => {
                self.push(I::LocalGet(point));
                self.push(I::Call(self.plan.object_function(WEIGH)));
                self.push(I::Call(LOG));
            }
            3 => {
                self.push(I::LocalGet(point));
                self.push(I::RefTestNonNull(node));
                self.push(I::If(BlockType::Empty));
                self.push(I::LocalGet(point));
                self.push(I::RefCastNonNull(node));
                self.get(NODE, 3);
                self.push(I::ArrayLen);
                self.push(I::I64ExtendI32U);
                self.push(I::Call(LOG));
                self.push(I::End);
            }
            4 => {
                self.push(I::Block(BlockType::Empty));
                self.push(I::LocalGet(point));
                self.push(I::BrOnNull(0));
                self.get(POINT, 2);
                self.put(ValType::F64);
                self.push(I::End);
            }
            5 => {
                self.push(I::LocalGet(point));
                self.push(I::LocalGet(point));
                self.push(I::RefEq);
                self.put(ValType::I32);
            }
            6 => {
                self.number(ValType::I32);
                self.push(I::RefI31);
                self.push(I::I31GetS);
                self.put(ValType::I32);
            }
            _ => self.cast_branch(point),
        }
    }

    /// Takes one branch for a node, and another for a point that is none.
    fn cast_branch(&mut self, point: u32) {
        let reference = |ty: u32, nullable| RefType {
            nullable,
            heap_type: HeapType::Concrete(ty),
        };
        let (of_point, of_node) = (self.object_type(POINT), self.object_type(NODE));
        let to = reference(of_node, false);
        self.push(I::Block(BlockType::Empty));
        self.push(I::Block(BlockType::Result(ValType::Ref(to))));
        self.push(I::LocalGet(point));
        self.push(I::BrOnCast {
            relative_depth: 0,
            from_ref_type: reference(of_point, true),
            to_ref_type: to,
        });
        self.get(POINT, 1);
        self.put(ValType::I64);
        self.push(I::Br(1));
        self.push(I::End);
        self.get(NODE, 0);
        self.put(ValType::I32);
        self.push(I::End);
    }

    /// An array that is filled and read.
    fn row(&mut self, depth: usize) {
        let (row, ty) = (self.object_local(ROW), self.object_type(ROW));
        self.value(ValType::I32, depth - 1);
        self.push(I::I32Const(SLOTS));
        self.push(I::ArrayNew(ty));
        self.push(I::LocalSet(row));
        for _ in 0..self.random.usize(1..=4) {
            self.push(I::LocalGet(row));
            self.number(ValType::I32);
            self.push(I::I32Const(SLOTS - 1));
            self.push(I::I32And);
            match self.random.u8(..3) {
                0 => {
                    self.number(ValType::I32);
                    self.push(I::ArraySet(ty));
                }
                1 => {
                    self.number(ValType::I32);
                    self.push(I::I32Const(0));
                    self.push(I::ArrayFill(ty));
                }
                _ => {
                    self.push(I::ArrayGet(ty));
                    self.put(ValType::I32);
                }
            }
        }
    }
}
