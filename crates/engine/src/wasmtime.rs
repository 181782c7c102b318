//! Wasmtime, with Cranelift.

#![expect(unsafe_code, reason = "Wasmtime loads machine code that is trusted")]

mod interrupt;
mod limits;

use std::path::Path;
use std::sync::Arc;

use wasmtime::{
    Config, Extern, Func, FuncType, Global, HeapType, Linker, Memory, Ref, RefType, Store, Table,
    Val,
};

use super::asyncify::{FLAG, State};
use super::interrupt::{Attached, Interrupt};
use super::{
    Ending, Engine, EngineKind, Error, Flow, Growth, Guest, HostCallback, Instance, Module, NoRoom,
};
use crate::model::shape::{self, Import, Shape};
use crate::model::{Limits, Reached, ValType, Value};

const KIND: EngineKind = EngineKind::Wasmtime;

/// The engine.
pub(super) struct Wasmtime {
    engine: wasmtime::Engine,
}

impl Wasmtime {
    /// The engine, with one thread pool for compiling.
    pub(super) fn new(pool: Option<u32>, stack: usize) -> Result<Self, Error> {
        let mut config = Config::new();
        config
            .wasm_multi_memory(true)
            .wasm_tail_call(true)
            .wasm_branch_hinting(true)
            .wasm_exceptions(true)
            .max_wasm_stack(stack)
            // Not used, but Wasmtime wants it to be larger.
            .async_stack_size(2 * stack);
        if let Some(instances) = pool {
            config.allocation_strategy(limits::pooling(instances));
        }
        let engine = wasmtime::Engine::new(&config).map_err(|e| Error::Setup(KIND, text(&e)))?;
        Ok(Self { engine })
    }
}

impl Engine for Wasmtime {
    fn kind(&self) -> EngineKind {
        KIND
    }

    fn code_key(&self) -> String {
        use std::hash::{Hash, Hasher};
        let mut hasher = std::hash::DefaultHasher::new();
        self.engine
            .precompile_compatibility_hash()
            .hash(&mut hasher);
        format!("wasmtime-{:016x}", hasher.finish())
    }

    fn compile(&self, wasm: &[u8], code: &Path) -> Result<(), Error> {
        let bytes = self.engine.precompile_module(wasm);
        let bytes = bytes.map_err(|e| Error::Compile(KIND, text(&e)))?;
        std::fs::write(code, bytes).map_err(|e| Error::Write(code.into(), e))
    }

    unsafe fn load(&self, code: &Path, shape: &Arc<Shape>) -> Result<Arc<dyn Module>, Error> {
        // SAFETY: the caller vouches for the file.
        let module = unsafe { wasmtime::Module::deserialize_file(&self.engine, code) }
            .map_err(|e| Error::Load(KIND, text(&e)))?;
        let mut linker = Linker::new(&self.engine);
        // Go imports some functions twice.
        linker.allow_shadowing(true);
        for (place, import) in shape.imports.iter().enumerate() {
            let ty = func_type(&self.engine, import);
            linker
                .func_new(
                    &import.module,
                    &import.name,
                    ty,
                    host_function(import, place),
                )
                .map_err(|e| Error::Load(KIND, text(&e)))?;
        }
        let pre = linker
            .instantiate_pre(&module)
            .map_err(|e| Error::Load(KIND, text(&e)))?;
        Ok(Arc::new(WasmtimeModule {
            engine: self.engine.clone(),
            pre,
            shape: shape.clone(),
        }))
    }
}

struct WasmtimeModule {
    engine: wasmtime::Engine,
    pre: wasmtime::InstancePre<Data>,
    shape: Arc<Shape>,
}

/// What host calls need, kept in the store.
struct Data {
    /// Taken out while a host call runs.
    host: Option<HostCallback>,
    handles: Option<Handles>,
    limits: Limits,
    told: Option<Reached>,
    growth: Option<Arc<dyn Growth>>,
}

#[derive(Clone, Copy)]
struct Handles {
    memory: Option<Memory>,
    asyncify_memory: Memory,
    state: Global,
    data: Global,
}

/// Ends a call into the guest without a trap's backtrace.
#[derive(Debug, thiserror::Error)]
#[error("the guest was stopped by a host call")]
struct Stopped;

impl Module for WasmtimeModule {
    fn instantiate(
        &self,
        host: HostCallback,
        limits: &Limits,
        growth: Option<Arc<dyn Growth>>,
    ) -> Result<Box<dyn Instance>, Error> {
        let data = Data {
            host: Some(host),
            handles: None,
            limits: *limits,
            told: None,
            growth,
        };
        let mut store = Store::new(&self.engine, data);
        store.limiter(|data| data);
        let instance =
            self.pre
                .instantiate(&mut store)
                .map_err(|e| match e.is::<wasmtime::Trap>() {
                    true => Error::Trap(text(&e)),
                    false => Error::Instance(KIND, text(&e)),
                })?;
        let mut exports = Exports {
            store: &mut store,
            instance: &instance,
        };
        let memories = (0..self.shape.memories)
            .map(|index| exports.memory(&shape::memory_export(index)))
            .collect::<Result<Vec<_>, _>>()?;
        let globals = (0..self.shape.globals.len())
            .map(|index| exports.global(&shape::global_export(index)))
            .collect::<Result<Vec<_>, _>>()?;
        let tables = (0..self.shape.tables.len())
            .map(|index| exports.table(&shape::table_export(index)))
            .collect::<Result<Vec<_>, _>>()?;
        let functions = (0..self.shape.functions)
            .map(|index| exports.function(&shape::function_export(index)))
            .collect::<Result<Vec<_>, _>>()?;
        let handles = Handles {
            memory: self
                .shape
                .host_memory
                .and_then(|m| memories.get(m).copied()),
            asyncify_memory: exports.memory(shape::ASYNCIFY_MEMORY)?,
            state: exports.global(shape::ASYNCIFY_STATE)?,
            data: exports.global(shape::ASYNCIFY_DATA)?,
        };
        store.data_mut().handles = Some(handles);
        let module = self.pre.module().clone();
        let attached = Attached::new(move || interrupt::code(&module));
        if handles.asyncify_memory.data_size(&store) > FLAG {
            // SAFETY: the memory has this byte, and never grows, so that it stays where it is; of the
            // guest's code only atomic loads touch it.
            unsafe { attached.watch(handles.asyncify_memory.data_ptr(&store).add(FLAG)) };
        }
        Ok(Box::new(WasmtimeInstance {
            attached,
            store,
            instance,
            handles,
            memories,
            globals,
            tables,
            functions,
        }))
    }
}

/// Looks up what the shape promises.
struct Exports<'a> {
    store: &'a mut Store<Data>,
    instance: &'a wasmtime::Instance,
}

impl Exports<'_> {
    fn find<T>(&mut self, name: &str, of: fn(Extern) -> Option<T>) -> Result<T, Error> {
        self.instance
            .get_export(&mut *self.store, name)
            .and_then(of)
            .ok_or_else(|| Error::State(KIND, format!("the module has no export `{name}`")))
    }

    fn memory(&mut self, name: &str) -> Result<Memory, Error> {
        self.find(name, Extern::into_memory)
    }

    fn global(&mut self, name: &str) -> Result<Global, Error> {
        self.find(name, Extern::into_global)
    }

    fn table(&mut self, name: &str) -> Result<Table, Error> {
        self.find(name, Extern::into_table)
    }

    fn function(&mut self, name: &str) -> Result<Func, Error> {
        self.find(name, Extern::into_func)
    }
}

struct WasmtimeInstance {
    /// Dropped first.
    attached: Attached,
    store: Store<Data>,
    instance: wasmtime::Instance,
    handles: Handles,
    memories: Vec<Memory>,
    globals: Vec<Global>,
    tables: Vec<Table>,
    functions: Vec<Func>,
}

impl Instance for WasmtimeInstance {
    fn call(&mut self, export: &str) -> Result<Ending, Error> {
        let function = self
            .instance
            .get_typed_func::<(), ()>(&mut self.store, export)
            .map_err(|e| Error::State(KIND, text(&e)))?;
        match self.attached.enter(|| function.call(&mut self.store, ())) {
            Some(Ok(())) => Ok(Ending::Returned),
            None => Ok(Ending::Stopped),
            Some(Err(error)) if error.downcast_ref::<Stopped>().is_some() => Ok(Ending::Stopped),
            Some(Err(error)) if error.is::<NoRoom>() => Err(NoRoom.into()),
            Some(Err(error)) => match error.downcast_ref() {
                Some(wasmtime::Trap::StackOverflow) => Err(Error::Exhausted(text(&error))),
                _ => Err(Error::Trap(text(&error))),
            },
        }
    }

    fn is_unwinding(&mut self) -> bool {
        let state = self.handles.state.get(&mut self.store);
        state.i32() == Some(State::Unwinding as i32)
    }

    fn interrupt(&self) -> Interrupt {
        self.attached.handle()
    }

    fn told(&self) -> Option<Reached> {
        self.store.data().told.clone()
    }

    fn guest_memory(&mut self, index: usize) -> Result<&mut [u8], Error> {
        let memory = item(&self.memories, index, "memory")?;
        Ok(memory.data_mut(&mut self.store))
    }

    fn grow_memory(&mut self, index: usize, bytes: usize) -> Result<(), Error> {
        let memory = item(&self.memories, index, "memory")?;
        let pages = bytes.saturating_sub(memory.data_size(&self.store)) >> 16;
        memory
            .grow(&mut self.store, pages as u64)
            .map(drop)
            .map_err(|e| match e.is::<NoRoom>() {
                true => NoRoom.into(),
                false => Error::State(KIND, text(&e)),
            })
    }

    fn global(&mut self, index: usize) -> Result<Value, Error> {
        let global = item(&self.globals, index, "global")?;
        let value = global.get(&mut self.store);
        self.value_of(value)
    }

    fn set_global(&mut self, index: usize, value: Value) -> Result<(), Error> {
        let global = item(&self.globals, index, "global")?;
        let value = self.val_of(value)?;
        global
            .set(&mut self.store, value)
            .map_err(|e| Error::State(KIND, text(&e)))
    }

    fn table(&mut self, index: usize) -> Result<Vec<Value>, Error> {
        let table = *item(&self.tables, index, "table")?;
        (0..table.size(&self.store))
            .map(|element| {
                let reference = table
                    .get(&mut self.store, element)
                    .ok_or_else(|| Error::State(KIND, "a table shrank".into()))?;
                self.value_of(reference.into())
            })
            .collect()
    }

    fn set_table(&mut self, index: usize, values: &[Value]) -> Result<(), Error> {
        let state = |e: wasmtime::Error| Error::State(KIND, text(&e));
        let table = item(&self.tables, index, "table")?;
        let missing = (values.len() as u64).saturating_sub(table.size(&self.store));
        if missing > 0 {
            let null = match table.ty(&self.store).element().heap_type() {
                HeapType::Func => Ref::Func(None),
                _ => Ref::Extern(None),
            };
            table.grow(&mut self.store, missing, null).map_err(state)?;
        }
        for (element, value) in values.iter().enumerate() {
            let value = self.val_of(*value)?;
            let reference = value
                .ref_()
                .ok_or_else(|| Error::State(KIND, "a table holds a number".into()))?;
            table
                .set(&mut self.store, element as u64, reference)
                .map_err(state)?;
        }
        Ok(())
    }
}

impl WasmtimeInstance {
    fn value_of(&mut self, value: Val) -> Result<Value, Error> {
        Ok(match value {
            Val::I32(bits) => Value::I32(bits as u32),
            Val::I64(bits) => Value::I64(bits as u64),
            Val::F32(bits) => Value::F32(bits),
            Val::F64(bits) => Value::F64(bits),
            Val::V128(bits) => Value::V128(bits.as_u128()),
            Val::FuncRef(None) => Value::FuncRef(None),
            Val::FuncRef(Some(function)) => {
                let wanted = function.to_raw(&mut self.store);
                let place = (0..self.functions.len())
                    .find(|place| self.functions[*place].to_raw(&mut self.store) == wanted);
                let place = place.ok_or_else(|| {
                    Error::State(
                        KIND,
                        "a reference points to a function of another module".into(),
                    )
                })?;
                Value::FuncRef(Some(place as u32))
            }
            Val::ExternRef(None) => Value::NullExtern,
            other => {
                return Err(Error::State(
                    KIND,
                    format!("{other:?} cannot be written down"),
                ));
            }
        })
    }

    fn val_of(&self, value: Value) -> Result<Val, Error> {
        Ok(match value {
            Value::I32(bits) => Val::I32(bits as i32),
            Value::I64(bits) => Val::I64(bits as i64),
            Value::F32(bits) => Val::F32(bits),
            Value::F64(bits) => Val::F64(bits),
            Value::V128(bits) => Val::V128(bits.into()),
            Value::FuncRef(None) => Val::FuncRef(None),
            Value::FuncRef(Some(place)) => {
                Val::FuncRef(Some(*item(&self.functions, place as usize, "function")?))
            }
            Value::NullExtern => Val::ExternRef(None),
        })
    }
}

impl Guest for WasmtimeInstance {
    fn memory(&mut self) -> &mut [u8] {
        match self.handles.memory {
            Some(memory) => memory.data_mut(&mut self.store),
            None => &mut [],
        }
    }

    fn asyncify_memory(&mut self) -> &mut [u8] {
        self.handles.asyncify_memory.data_mut(&mut self.store)
    }

    fn set_asyncify(&mut self, state: State, data: u32) {
        set_asyncify(&mut self.store, self.handles, state, data);
    }
}

/// The guest during a host call.
struct Calling<'a> {
    caller: wasmtime::Caller<'a, Data>,
    handles: Handles,
}

impl Guest for Calling<'_> {
    fn memory(&mut self) -> &mut [u8] {
        match self.handles.memory {
            Some(memory) => memory.data_mut(&mut self.caller),
            None => &mut [],
        }
    }

    fn asyncify_memory(&mut self) -> &mut [u8] {
        self.handles.asyncify_memory.data_mut(&mut self.caller)
    }

    fn set_asyncify(&mut self, state: State, data: u32) {
        set_asyncify(&mut self.caller, self.handles, state, data);
    }
}

fn set_asyncify(mut store: impl wasmtime::AsContextMut, handles: Handles, state: State, data: u32) {
    // Both are mutable globals of type i32, which asyncify made: setting them cannot fail.
    let _ = handles.state.set(&mut store, Val::I32(state as i32));
    let _ = handles.data.set(&mut store, Val::I32(data as i32));
}

/// The host function for one import: hands the call to the instance's callback.
fn host_function(
    import: &Import,
    place: usize,
) -> impl Fn(wasmtime::Caller<'_, Data>, &[Val], &mut [Val]) -> wasmtime::Result<()> + use<> {
    let result = import.results.first().copied();
    move |mut caller, params, results| {
        let mut arguments = [0; 16];
        let count = params.len().min(arguments.len());
        for (raw, value) in arguments.iter_mut().zip(params) {
            *raw = match value {
                Val::I32(bits) => u64::from(*bits as u32),
                Val::I64(bits) => *bits as u64,
                Val::F32(bits) => u64::from(*bits),
                Val::F64(bits) => *bits,
                _ => 0,
            };
        }
        let (Some(mut host), Some(handles)) =
            (caller.data_mut().host.take(), caller.data().handles)
        else {
            return Err(Stopped.into());
        };
        let mut calling = Calling { caller, handles };
        let flow = host(&mut calling, place, &arguments[..count]);
        calling.caller.data_mut().host = Some(host);
        let bits = match flow {
            Flow::Return(bits) => bits,
            Flow::Unwind => 0,
            Flow::Stop => return Err(Stopped.into()),
        };
        if let (Some(ty), Some(slot)) = (result, results.first_mut()) {
            *slot = match ty {
                ValType::I64 => Val::I64(bits as i64),
                ValType::F32 => Val::F32(bits as u32),
                ValType::F64 => Val::F64(bits),
                _ => Val::I32(bits as i32),
            };
        }
        Ok(())
    }
}

fn func_type(engine: &wasmtime::Engine, import: &Import) -> FuncType {
    let types = |list: &[ValType]| list.iter().map(|ty| val_type(*ty)).collect::<Vec<_>>();
    FuncType::new(engine, types(&import.params), types(&import.results))
}

fn val_type(ty: ValType) -> wasmtime::ValType {
    match ty {
        ValType::I32 => wasmtime::ValType::I32,
        ValType::I64 => wasmtime::ValType::I64,
        ValType::F32 => wasmtime::ValType::F32,
        ValType::F64 => wasmtime::ValType::F64,
        ValType::V128 => wasmtime::ValType::V128,
        ValType::FuncRef => wasmtime::ValType::Ref(RefType::FUNCREF),
        ValType::ExternRef => wasmtime::ValType::Ref(RefType::EXTERNREF),
    }
}

fn item<'a, T>(list: &'a [T], index: usize, what: &str) -> Result<&'a T, Error> {
    list.get(index)
        .ok_or_else(|| Error::State(KIND, format!("there is no {what} {index}")))
}

/// The whole chain of causes in one text.
fn text(error: &wasmtime::Error) -> String {
    format!("{error:?}")
}
