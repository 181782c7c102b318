//! What can be called in the flattened module: functions that it imports, those of the instances,
//! and thunks in front of the host.

use std::collections::HashMap;

use dormouse_model::lowered::allocations::MAX_BLOCKS;
use dormouse_model::lowered::{Builtin, LoweredFunction, LoweredImport, Trap};
use wasm_encoder::ValType;

use super::adapters::{self, Piece};
use super::link::{Fate, Linked};
use super::plan::{Definition, Entry, Item, Kind, Lower, Trampoline, Transcode};
use super::spaces::Spaces;
use crate::error::ComponentError;

/// A function type.
pub(super) type Signature = (Vec<ValType>, Vec<ValType>);

/// The functions of the flattened module but for those of the instances.
pub(super) struct Callees<'p> {
    pub linked: &'p Linked<'p>,
    pub spaces: &'p Spaces,
    /// The imports, with their types, in order.
    pub imports: Vec<(LoweredImport, Signature)>,
    positions: HashMap<LoweredImport, u32>,
    /// The trampolines that become functions, in order.
    pub thunks: Vec<usize>,
    /// Their positions in that list.
    thunk_positions: HashMap<usize, u32>,
}

impl<'p> Callees<'p> {
    /// Collects what the instances call.
    pub fn new(linked: &'p Linked<'p>, spaces: &'p Spaces) -> Result<Self, ComponentError> {
        let mut callees = Self {
            linked,
            spaces,
            imports: Vec::new(),
            positions: HashMap::new(),
            thunks: Vec::new(),
            thunk_positions: HashMap::new(),
        };
        for instance in linked.instances() {
            if let Fate::Shim { called, .. } = linked.fate(instance) {
                called.iter().for_each(|function| callees.add(*function));
            }
            let functions = linked.of(instance).imported(Kind::Function);
            for function in 0..functions as usize {
                callees.add(linked.argument(instance, Kind::Function, function));
            }
            if linked.plan.modules[linked.plan.instances[instance].module].is_adapter {
                for body in &linked.of(instance).bodies {
                    for piece in callees.pieces(instance, body)? {
                        if let Piece::Call(builtin) = piece {
                            callees.add_builtin(builtin);
                        }
                    }
                }
            }
        }
        if let Ok(entry) = &linked.plan.entry {
            callees.add_entry(entry);
        }
        Ok(callees)
    }

    /// Adds what the program's entry calls.
    fn add_entry(&mut self, entry: &Entry) {
        let (run, serve) = entry.functions();
        for exported in run.into_iter().chain(serve) {
            self.add(exported.function);
            exported
                .post_return
                .iter()
                .for_each(|function| self.add(*function));
        }
        if run.is_some() {
            self.add_builtin(Builtin::Exit);
        }
        if let Some(serve) = serve {
            let instance = serve.table;
            self.add_builtin(Builtin::NextRequest { instance });
            if run.is_some() {
                self.add_builtin(Builtin::IsServing);
            }
        }
    }

    /// The body of an adapter, with calls of functions that are imported under names of their own.
    pub fn pieces<'b>(
        &self,
        instance: usize,
        body: &wasmparser::FunctionBody<'b>,
    ) -> Result<Vec<Piece<'b>>, ComponentError> {
        adapters::pieces(body, &self.linked.plan.handles, |function| {
            let definition = self.linked.resolve(Definition::Item(Item {
                instance,
                kind: Kind::Function,
                index: function,
            }));
            match definition {
                Definition::Trampoline(index) => match self.linked.plan.trampolines[index] {
                    Trampoline::Adapter(call) => Some(call),
                    _ => None,
                },
                _ => None,
            }
        })
    }

    /// The index of a function in the flattened module.
    pub fn function(&self, definition: Definition) -> Result<u32, ComponentError> {
        let unknown = || internal("a function that is none");
        match self.linked.resolve(definition) {
            Definition::Item(item) if item.kind == Kind::Function => {
                Ok(self.imports.len() as u32 + self.spaces.index(self.linked, item))
            }
            Definition::Trampoline(index) => match self.thunk_positions.get(&index) {
                Some(thunk) => Ok(self.first_thunk() + thunk),
                None => {
                    let import = self.direct(&self.linked.plan.trampolines[index]);
                    self.import(&import.ok_or_else(unknown)?)
                }
            },
            _ => Err(unknown()),
        }
    }

    /// The index of an imported function in the flattened module.
    pub fn import(&self, import: &LoweredImport) -> Result<u32, ComponentError> {
        let position = self.positions.get(import).copied();
        position.ok_or_else(|| internal("an import that was not collected"))
    }

    /// The index of an imported function that the canonical ABI asks for.
    pub fn builtin(&self, builtin: Builtin) -> Result<u32, ComponentError> {
        self.import(&builtin.into())
    }

    /// The index of the first thunk. The functions of all instances are in front of it.
    pub fn first_thunk(&self) -> u32 {
        self.imports.len() as u32 + self.spaces.count(Kind::Function)
    }

    /// The index of a memory in the flattened module.
    pub fn memory(&self, memory: Item) -> Result<u32, ComponentError> {
        match self.linked.resolve(Definition::Item(memory)) {
            Definition::Item(item) if item.kind == Kind::Memory => {
                Ok(self.spaces.index(self.linked, item))
            }
            _ => Err(internal("a memory that is none")),
        }
    }

    /// The import behind a function of the host.
    pub fn lowered(&self, lower: &Lower) -> Result<LoweredImport, ComponentError> {
        Ok(LoweredImport::Function(LoweredFunction {
            interface: lower.interface.clone(),
            name: lower.name.clone(),
            instance: lower.instance,
            memory: lower.memory.map(|memory| self.memory(memory)).transpose()?,
            encoding: lower.encoding,
        }))
    }

    /// The import that a trampoline is, where it is nothing more.
    fn direct(&self, trampoline: &Trampoline) -> Option<LoweredImport> {
        let is_guarded = |instance| self.spaces.may_leave(instance).is_some();
        match trampoline {
            Trampoline::Lower(lower) if lower.realloc.is_none() && !is_guarded(lower.instance) => {
                self.lowered(lower).ok()
            }
            Trampoline::ResourceNew(handle) if !is_guarded(handle.instance) => {
                Some(Builtin::ResourceNew(handle.clone()).into())
            }
            Trampoline::ResourceRep(handle) => Some(Builtin::ResourceRep(handle.clone()).into()),
            _ => None,
        }
    }

    /// Adds a function that is called, and what it calls itself.
    fn add(&mut self, definition: Definition) {
        let Definition::Trampoline(index) = self.linked.resolve(definition) else {
            return;
        };
        let trampoline = &self.linked.plan.trampolines[index];
        if let Some(import) = self.direct(trampoline) {
            let signature = match trampoline {
                Trampoline::Lower(lower) => (lower.params.clone(), lower.results.clone()),
                _ => (vec![ValType::I32], vec![ValType::I32]),
            };
            return self.add_import(import, signature);
        }
        if matches!(trampoline, Trampoline::Adapter(_)) || self.thunk_positions.contains_key(&index)
        {
            return;
        }
        self.thunk_positions.insert(index, self.thunks.len() as u32);
        self.thunks.push(index);
        self.add_needs(trampoline);
    }

    /// Adds what a thunk calls.
    fn add_needs(&mut self, trampoline: &Trampoline) {
        match trampoline {
            Trampoline::Lower(lower) => {
                if let Ok(import) = self.lowered(lower) {
                    self.add_import(import, (lower.params.clone(), lower.results.clone()));
                }
                self.add_guard(lower.instance);
                if let Some(realloc) = lower.realloc {
                    let memory = lower.memory.and_then(|memory| self.memory(memory).ok());
                    if let Some(memory) = memory {
                        self.add_builtin(Builtin::NextAllocations { memory });
                    }
                    self.add(realloc);
                }
            }
            Trampoline::ResourceNew(handle) => {
                self.add_builtin(Builtin::ResourceNew(handle.clone()));
                self.add_guard(handle.instance);
            }
            Trampoline::ResourceDrop(handle, destructor) => {
                self.add_builtin(Builtin::ResourceDrop(handle.clone()));
                self.add_guard(handle.instance);
                destructor.iter().for_each(|function| self.add(*function));
            }
            Trampoline::Transcode { transcode, .. } => {
                if let Some(trap) = transcode.trap() {
                    self.add_builtin(Builtin::Trap(trap));
                }
            }
            Trampoline::ResourceRep(_) | Trampoline::Adapter(_) => {}
        }
    }

    /// Adds what a thunk calls where its instance must not call others now.
    fn add_guard(&mut self, instance: u32) {
        if self.spaces.may_leave(instance).is_some() {
            self.add_builtin(Builtin::Trap(Trap::CannotLeave));
        }
    }

    fn add_builtin(&mut self, builtin: Builtin) {
        let signature = signature(&builtin);
        self.add_import(builtin.into(), signature);
    }

    fn add_import(&mut self, import: LoweredImport, signature: Signature) {
        if !self.positions.contains_key(&import) {
            self.positions
                .insert(import.clone(), self.imports.len() as u32);
            self.imports.push((import, signature));
        }
    }
}

impl Transcode {
    /// Why it traps, where the string may be none.
    pub fn trap(self) -> Option<Trap> {
        match self {
            Self::CopyUtf8 | Self::Utf8ToUtf16 | Self::Utf8ToCompactUtf16 => {
                Some(Trap::InvalidUtf8)
            }
            Self::CopyUtf16
            | Self::Utf16ToUtf8
            | Self::Utf16ToCompactUtf16
            | Self::Utf16ToCompactProbablyUtf16 => Some(Trap::InvalidUtf16),
            Self::CopyLatin1
            | Self::Latin1ToUtf16
            | Self::Latin1ToUtf8
            | Self::Utf16ToLatin1
            | Self::Utf8ToLatin1 => None,
        }
    }
}

/// The type of a function that the canonical ABI asks for.
fn signature(builtin: &Builtin) -> Signature {
    use ValType::{I32, I64};
    match builtin {
        Builtin::ResourceNew(_)
        | Builtin::ResourceRep(_)
        | Builtin::TransferOwn { .. }
        | Builtin::TransferBorrow { .. }
        | Builtin::Lend(_) => (vec![I32], vec![I32]),
        Builtin::ResourceDrop(_) => (vec![I32], vec![I64]),
        Builtin::NextAllocations { .. } => (vec![I32; MAX_BLOCKS], vec![I64]),
        Builtin::EnterCall | Builtin::ExitCall | Builtin::Trap(_) => (vec![], vec![]),
        Builtin::Exit => (vec![I32], vec![]),
        Builtin::IsServing => (vec![], vec![I32]),
        Builtin::NextRequest { .. } => (vec![], vec![I64]),
    }
}

fn internal(what: &str) -> ComponentError {
    ComponentError::Internal(what.to_owned())
}
