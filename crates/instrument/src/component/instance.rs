//! One core instance on its way into the flattened module: its indices become those there.

use std::collections::{BTreeSet, HashMap};

use wasm_encoder::reencode::{self, Reencode, RoundtripReencoder};
use wasm_encoder::{Function, HeapType, Instruction, ValType};
use wasmparser::{FunctionBody, Operator};

use super::adapters::Piece;
use super::callees::Callees;
use super::constants::{self, Constant};
use super::plan::{Definition, Item, Kind, Trampoline};
use super::types::Types;
use crate::error::ComponentError;

type Result<T> = std::result::Result<T, ComponentError>;
type Encoded<T> = std::result::Result<T, reencode::Error<ComponentError>>;

/// What stands for the functions that adapters call with constants, of which no call is left.
const NONE: u32 = u32::MAX;

/// The indices of an instance's items in the flattened module, by those in its own.
pub(super) struct Instance<'c, 'p> {
    callees: &'c Callees<'p>,
    position: usize,
    types: Vec<u32>,
    items: [Vec<u32>; Kind::COUNT],
    /// The values of the flattened module's globals that no instruction changes.
    constants: &'c HashMap<u32, Constant>,
    /// Functions whose reference an instruction takes.
    pub referenced: BTreeSet<u32>,
}

impl<'c, 'p> Instance<'c, 'p> {
    pub fn new(
        callees: &'c Callees<'p>,
        position: usize,
        types: &mut Types,
        constants: &'c HashMap<u32, Constant>,
    ) -> Result<Self> {
        let mut instance = Self {
            callees,
            position,
            types: Vec::new(),
            items: [const { Vec::new() }; Kind::COUNT],
            constants,
            referenced: BTreeSet::new(),
        };
        let contents = callees.linked.of(position);
        for ty in &contents.types {
            let signature = (
                instance.value_types(ty.params())?,
                instance.value_types(ty.results())?,
            );
            instance.types.push(types.index(signature));
        }
        for kind in [
            Kind::Function,
            Kind::Table,
            Kind::Memory,
            Kind::Global,
            Kind::Tag,
        ] {
            let count = contents.imported(kind) + contents.defined(kind);
            let indices = (0..count).map(|index| instance.resolved(kind, index));
            instance.items[kind as usize] = indices.collect::<Result<_>>()?;
        }
        Ok(instance)
    }

    /// The index of an item, which may be imported.
    fn resolved(&self, kind: Kind, index: u32) -> Result<u32> {
        let callees = self.callees;
        let linked = callees.linked;
        let item = Definition::Item(Item {
            instance: self.position,
            kind,
            index,
        });
        match (kind, linked.resolve(item)) {
            (Kind::Function, Definition::Trampoline(position))
                if matches!(linked.plan.trampolines[position], Trampoline::Adapter(_)) =>
            {
                Ok(NONE)
            }
            (Kind::Function, function) => callees.function(function),
            (Kind::Global, Definition::MayLeave(instance)) => {
                let global = callees.spaces.may_leave(instance);
                global.ok_or_else(|| internal("an instance that is not guarded"))
            }
            (kind, Definition::Item(item)) if item.kind == kind => {
                Ok(callees.spaces.index(linked, item))
            }
            _ => Err(internal("an import of another kind")),
        }
    }

    /// The index of an item in the flattened module.
    pub fn item(&self, kind: Kind, index: u32) -> Result<u32> {
        let found = self.items[kind as usize].get(index as usize).copied();
        let found = found.filter(|index| *index != NONE);
        found.ok_or_else(|| internal("an item that its module lacks"))
    }

    /// The index of a type in the flattened module.
    pub fn type_of(&self, index: u32) -> Result<u32> {
        let found = self.types.get(index as usize).copied();
        found.ok_or_else(|| internal("a type that its module lacks"))
    }

    /// The value of a constant expression.
    pub fn constant(&mut self, expression: &wasmparser::ConstExpr<'_>) -> Result<Constant> {
        constants::fold(expression, self)
    }

    /// A body, with the indices of the flattened module.
    pub fn body(&mut self, body: &FunctionBody<'_>) -> Result<Function> {
        let plan = self.callees.linked.plan;
        let mut function = encoded(self.new_function_with_parsed_locals(body))?;
        if plan.modules[plan.instances[self.position].module].is_adapter {
            for piece in self.callees.pieces(self.position, body)? {
                match piece {
                    Piece::Instruction(operator) => {
                        function.instruction(&encoded(self.instruction(operator))?);
                    }
                    Piece::Call(builtin) => {
                        function.instructions().call(self.callees.builtin(builtin)?);
                    }
                }
            }
            return Ok(function);
        }
        let mut operators = body.get_operators_reader().map_err(unreadable)?;
        while !operators.eof() {
            function.instruction(&encoded(self.parse_instruction(&mut operators))?);
        }
        Ok(function)
    }

    fn value_types(&self, types: &[wasmparser::ValType]) -> Result<Vec<ValType>> {
        let types = types.iter().map(|ty| RoundtripReencoder.val_type(*ty));
        let types: std::result::Result<_, _> = types.collect();
        types.map_err(|_| internal("a type of values"))
    }
}

impl Reencode for Instance<'_, '_> {
    type Error = ComponentError;

    fn type_index(&mut self, index: u32) -> Encoded<u32> {
        self.type_of(index).map_err(reencode::Error::UserError)
    }

    fn function_index(&mut self, index: u32) -> Encoded<u32> {
        self.item(Kind::Function, index)
            .map_err(reencode::Error::UserError)
    }

    fn table_index(&mut self, index: u32) -> Encoded<u32> {
        self.item(Kind::Table, index)
            .map_err(reencode::Error::UserError)
    }

    fn memory_index(&mut self, index: u32) -> Encoded<u32> {
        self.item(Kind::Memory, index)
            .map_err(reencode::Error::UserError)
    }

    fn global_index(&mut self, index: u32) -> Encoded<u32> {
        self.item(Kind::Global, index)
            .map_err(reencode::Error::UserError)
    }

    fn tag_index(&mut self, index: u32) -> Encoded<u32> {
        self.item(Kind::Tag, index)
            .map_err(reencode::Error::UserError)
    }

    fn element_index(&mut self, index: u32) -> Encoded<u32> {
        Ok(self.callees.spaces.elements(self.position) + index)
    }

    fn data_index(&mut self, index: u32) -> Encoded<u32> {
        Ok(self.callees.spaces.data(self.position) + index)
    }

    fn instruction<'a>(&mut self, operator: Operator<'a>) -> Encoded<Instruction<'a>> {
        let instruction = reencode::utils::instruction(self, operator)?;
        if let Instruction::RefFunc(function) = instruction {
            self.referenced.insert(function);
        }
        Ok(instruction)
    }
}

impl constants::Names for Instance<'_, '_> {
    fn global(&self, index: u32) -> Option<Constant> {
        let index = self.item(Kind::Global, index).ok()?;
        self.constants.get(&index).copied()
    }

    fn function(&self, index: u32) -> Result<u32> {
        self.item(Kind::Function, index)
    }

    fn heap_type(&mut self, ty: wasmparser::HeapType) -> Result<HeapType> {
        encoded(Reencode::heap_type(self, ty))
    }
}

/// What encoding gives. Whatever was valid can be encoded again.
pub(super) fn encoded<T>(result: Encoded<T>) -> Result<T> {
    result.map_err(|error| match error {
        reencode::Error::UserError(error) => error,
        other => ComponentError::Internal(format!("a valid module cannot be written: {other}")),
    })
}

/// The error of a reader. Whatever was valid can be read.
pub(super) fn unreadable(error: wasmparser::BinaryReaderError) -> ComponentError {
    ComponentError::Internal(format!("a valid module cannot be read: {error}"))
}

fn internal(what: &str) -> ComponentError {
    ComponentError::Internal(what.to_owned())
}
