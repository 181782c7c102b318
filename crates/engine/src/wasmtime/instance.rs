//! One instance: its exports, its state, and calls into it.

#![expect(unsafe_code, reason = "an address in a memory that does not move")]

use wasmtime::{Extern, Func, Global, HeapType, Memory, Ref, Store, Table};

use super::error::{KIND, text};
use super::host::{Handles, HostData, Stopped, set_asyncify};
use super::interrupt;
use super::values::{get_or_error, to_wasmtime, value_of};
use crate::asyncify::{FLAG, State};
use crate::interrupt::{Interrupt, InterruptOwner};
use crate::model::shape::{self as names, Shape};
use crate::model::{Reached, Value};
use crate::{Aborted, Ending, Error, Guest, Instance};

/// A fresh instance. Nothing of the guest's has run.
pub(super) fn instantiate(
    engine: &wasmtime::Engine,
    pre: &wasmtime::InstancePre<HostData>,
    shape: &Shape,
    data: HostData,
) -> Result<WasmtimeInstance, Error> {
    let mut store = Store::new(engine, data);
    store.limiter(|data| data);
    let instance = pre
        .instantiate(&mut store)
        .map_err(|e| match e.is::<wasmtime::Trap>() {
            true => Error::Trap(text(&e)),
            false => Error::Instance(KIND, text(&e)),
        })?;
    let mut exports = Exports {
        store: &mut store,
        instance: &instance,
    };
    let memories = (0..shape.memories)
        .map(|index| exports.memory(&names::memory_export(index)))
        .collect::<Result<Vec<_>, _>>()?;
    let globals = (0..shape.globals.len())
        .map(|index| exports.global(&names::global_export(index)))
        .collect::<Result<Vec<_>, _>>()?;
    let tables = (0..shape.tables.len())
        .map(|index| exports.table(&names::table_export(index)))
        .collect::<Result<Vec<_>, _>>()?;
    let functions = (0..shape.functions)
        .map(|index| exports.function(&names::function_export(index)))
        .collect::<Result<Vec<_>, _>>()?;
    let handles = Handles {
        memories: memories.as_slice().into(),
        asyncify_memory: exports.memory(names::ASYNCIFY_MEMORY)?,
        state: exports.global(names::ASYNCIFY_STATE)?,
        data: exports.global(names::ASYNCIFY_DATA)?,
    };
    store.data_mut().handles = Some(handles.clone());
    let module = pre.module().clone();
    let interrupt_owner = InterruptOwner::new(move || interrupt::code(&module));
    if handles.asyncify_memory.data_size(&store) > FLAG {
        // SAFETY: the memory has this byte, and never grows, so that it stays where it is; of the
        // guest's code only atomic loads touch it.
        unsafe {
            interrupt_owner.set_flag_byte(handles.asyncify_memory.data_ptr(&store).add(FLAG))
        };
    }
    Ok(WasmtimeInstance {
        interrupt_owner,
        store,
        instance,
        handles,
        globals,
        tables,
        functions,
    })
}

/// Looks up what the shape promises.
struct Exports<'a> {
    store: &'a mut Store<HostData>,
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

/// An instance, with what its shape promises looked up.
pub(super) struct WasmtimeInstance {
    /// Dropped first.
    interrupt_owner: InterruptOwner,
    store: Store<HostData>,
    instance: wasmtime::Instance,
    handles: Handles,
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
        match self
            .interrupt_owner
            .enter(|| function.call(&mut self.store, ()))
        {
            Some(Ok(())) => Ok(Ending::Returned),
            None => Ok(Ending::Stopped),
            Some(Err(error)) if error.downcast_ref::<Stopped>().is_some() => Ok(Ending::Stopped),
            Some(Err(error)) if error.is::<Aborted>() => Err(Aborted.into()),
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
        self.interrupt_owner.handle()
    }

    fn last_refused(&self) -> Option<Reached> {
        self.store.data().last_refused.clone()
    }

    fn guest_memory(&mut self, index: usize) -> Result<&mut [u8], Error> {
        let memory = get_or_error(&self.handles.memories, index, "memory")?;
        Ok(memory.data_mut(&mut self.store))
    }

    fn grow_memory(&mut self, index: usize, bytes: usize) -> Result<(), Error> {
        let memory = get_or_error(&self.handles.memories, index, "memory")?;
        let pages = bytes.saturating_sub(memory.data_size(&self.store)) >> 16;
        memory
            .grow(&mut self.store, pages as u64)
            .map(drop)
            .map_err(|e| match e.is::<Aborted>() {
                true => Aborted.into(),
                false => Error::State(KIND, text(&e)),
            })
    }

    fn global(&mut self, index: usize) -> Result<Value, Error> {
        let global = get_or_error(&self.globals, index, "global")?;
        let value = global.get(&mut self.store);
        value_of(&mut self.store, &self.functions, value)
    }

    fn set_global(&mut self, index: usize, value: Value) -> Result<(), Error> {
        let global = get_or_error(&self.globals, index, "global")?;
        let value = to_wasmtime(&self.functions, value)?;
        global
            .set(&mut self.store, value)
            .map_err(|e| Error::State(KIND, text(&e)))
    }

    fn table(&mut self, index: usize) -> Result<Vec<Value>, Error> {
        let table = *get_or_error(&self.tables, index, "table")?;
        (0..table.size(&self.store))
            .map(|element| {
                let reference = table
                    .get(&mut self.store, element)
                    .ok_or_else(|| Error::State(KIND, "a table shrank".into()))?;
                value_of(&mut self.store, &self.functions, reference.into())
            })
            .collect()
    }

    fn set_table(&mut self, index: usize, values: &[Value]) -> Result<(), Error> {
        let state = |e: wasmtime::Error| Error::State(KIND, text(&e));
        let table = get_or_error(&self.tables, index, "table")?;
        let missing = (values.len() as u64).saturating_sub(table.size(&self.store));
        if missing > 0 {
            let null = match table.ty(&self.store).element().heap_type() {
                HeapType::Func => Ref::Func(None),
                _ => Ref::Extern(None),
            };
            table.grow(&mut self.store, missing, null).map_err(state)?;
        }
        for (element, value) in values.iter().enumerate() {
            let value = to_wasmtime(&self.functions, *value)?;
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

impl Guest for WasmtimeInstance {
    fn memory(&mut self, index: usize) -> &mut [u8] {
        match self.handles.memories.get(index) {
            Some(memory) => memory.data_mut(&mut self.store),
            None => &mut [],
        }
    }

    fn asyncify_memory(&mut self) -> &mut [u8] {
        self.handles.asyncify_memory.data_mut(&mut self.store)
    }

    fn set_asyncify(&mut self, state: State, data: u32) {
        set_asyncify(&mut self.store, &self.handles, state, data);
    }
}
