//! One instance. WasmEdge's own objects point at each other, so that an instance owns everything it
//! needs and takes it down in a fixed order (see `Drop`).

#![expect(unsafe_code, reason = "WasmEdge's C API")]

use std::collections::HashMap;
use std::mem::ManuallyDrop;
use std::path::PathBuf;
use std::sync::Arc;

use wasmedge_sdk::{AsInstance, CompilerOptimizationLevel, ImportObject, Store, Vm};
use wasmedge_sys::Function;
use wasmedge_sys::instance::function::AsFunc;

use super::config::{KIND, WASM_PAGE, config, pages};
use super::faults;
use super::host::{Host, HostFunction, call_host, set_asyncify};
use super::values::{Reference, func_type, value_of, wasm_value};
use crate::asyncify::{FLAG, State};
use crate::interrupt::{Interrupt, InterruptOwner};
use crate::model::shape::{self as names, Shape};
use crate::model::{Limits, Value};
use crate::{Ending, Error, Guest, HostCallback, Instance};

type Imports = ImportObject<()>;

/// One instance and everything that it points to.
pub(super) struct WasmEdgeInstance {
    /// Dropped before the memories that it points to.
    interrupt_owner: InterruptOwner,
    /// Dropped next; holds references to `imports`.
    vm: Option<Vm<'static, Imports>>,
    /// Each from `Box::into_raw`.
    imports: Vec<*mut Imports>,
    /// Each from `Box::into_raw`; the import objects' functions point to them.
    functions: Vec<*mut HostFunction>,
    /// From `Box::into_raw`; the functions point to it.
    host: *mut Host,
    shape: Arc<Shape>,
    /// The code that the instance runs; dropped last.
    _module: wasmedge_sdk::Module,
    /// Functions that references may point to, in the shape's order.
    references: Vec<Reference>,
}

// SAFETY: the pointers are owned by the instance alone, WasmEdge's objects are not bound to a
// thread, and the callback is `Send`.
unsafe impl Send for WasmEdgeInstance {}

impl Drop for WasmEdgeInstance {
    fn drop(&mut self) {
        // The order matters: each of these points to the next.
        self.interrupt_owner.detach();
        self.vm = None;
        for imports in self.imports.drain(..) {
            // SAFETY: from `Box::into_raw`, once; the `Vm` that had a reference is gone.
            drop(unsafe { Box::from_raw(imports) });
        }
        for function in self.functions.drain(..) {
            // SAFETY: from `Box::into_raw`, once; the import objects that pointed to it are gone.
            drop(unsafe { Box::from_raw(function) });
        }
        // SAFETY: from `Box::into_raw`, once; the functions that pointed to it are gone.
        drop(unsafe { Box::from_raw(self.host) });
    }
}

impl WasmEdgeInstance {
    /// A fresh instance. Nothing of the guest's has run.
    pub(super) fn new(
        module: &wasmedge_sdk::Module,
        shape: Arc<Shape>,
        library: PathBuf,
        callback: HostCallback,
        limits: &Limits,
    ) -> Result<Self, Error> {
        let host = Box::into_raw(Box::new(Host {
            callback,
            asyncify_memory: shape.memories as u32,
            stopped: false,
        }));
        let mut instance = WasmEdgeInstance {
            interrupt_owner: InterruptOwner::new(move || faults::code(&library)),
            vm: None,
            imports: Vec::new(),
            functions: Vec::new(),
            host,
            shape,
            _module: module.clone(),
            references: Vec::new(),
        };
        let by_module = instance.import_functions()?;
        let store = Store::new(
            Some(&config(CompilerOptimizationLevel::O0, pages(limits))?),
            by_module,
        )
        .map_err(trap)?;
        let mut vm = Vm::new(store);
        vm.register_module(None, module.clone()).map_err(trap)?;
        instance.vm = Some(vm);
        instance.find_functions()?;
        let memory = instance.memory_named(names::ASYNCIFY_MEMORY)?;
        if memory.len() > FLAG {
            let byte = memory[FLAG..].as_mut_ptr();
            // SAFETY: the memory has this byte, and never grows, so that it stays where it is; of
            // the guest's code only atomic loads touch it.
            unsafe { instance.interrupt_owner.set_flag_byte(byte) };
        }
        Ok(instance)
    }

    /// Makes an import object for each module that the guest imports from, with its functions. They
    /// live until the instance is dropped, after the `Vm`.
    fn import_functions(&mut self) -> Result<HashMap<String, &'static mut Imports>, Error> {
        let shape = self.shape.clone();
        let mut by_module: HashMap<String, &'static mut Imports> = HashMap::new();
        for (index, import) in shape.imports.iter().enumerate() {
            if !by_module.contains_key(&import.module) {
                let made = Imports::create(&import.module, Box::new(())).map_err(trap)?;
                let made = Box::into_raw(Box::new(made));
                self.imports.push(made);
                // SAFETY: the box lives until the instance is dropped, after the `Vm` that holds
                // the reference; nothing else uses the pointer until then.
                by_module.insert(import.module.clone(), unsafe { &mut *made });
            }
            let function = Box::into_raw(Box::new(HostFunction {
                index,
                result: import.results.first().copied(),
                host: self.host,
            }));
            self.functions.push(function);
            // SAFETY: `function` points to a box that only the instance's drop frees. The import
            // object, which owns the `Function` made here, is dropped before that box.
            let made =
                unsafe { Function::create_sync_func(&func_type(import), call_host, function, 0) };
            if let Some(object) = by_module.get_mut(&import.module) {
                object.add_func(&import.name, made.map_err(trap)?);
            }
        }
        Ok(by_module)
    }

    /// Looks up the functions that references may point to.
    fn find_functions(&mut self) -> Result<(), Error> {
        for index in 0..self.shape.functions {
            let name = names::function_export(index);
            let function = {
                let function = self.active()?.get_func_mut(&name).map_err(trap)?;
                // SAFETY: the pointer is only compared, or used while the instance lives.
                unsafe { function.get_func_raw() }
            };
            self.references.push(function);
        }
        Ok(())
    }

    fn active(&mut self) -> Result<&mut wasmedge_sdk::Instance, Error> {
        self.vm
            .as_mut()
            .and_then(Vm::active_module_mut)
            .ok_or_else(|| Error::State(KIND, "the instance is gone".into()))
    }

    fn memory_named(&mut self, name: &str) -> Result<&mut [u8], Error> {
        let mut memory = self.active()?.get_memory_mut(name).map_err(state)?;
        let bytes = memory.size() as usize * WASM_PAGE;
        if bytes == 0 {
            return Ok(&mut []);
        }
        // SAFETY: the pointer is to byte 0 of a memory of `bytes` bytes. The slice borrows `self`
        // mutably. Only a call or `grow_memory` can move the memory, and both take `&mut self`.
        unsafe {
            // The 1 is how many bytes WasmEdge checks to be within the memory.
            let start = memory.data_pointer_mut(0, 1).map_err(state)?;
            Ok(std::slice::from_raw_parts_mut(start, bytes))
        }
    }

    fn expect_type<T: Copy>(found: Option<T>, what: &str, index: usize) -> Result<T, Error> {
        found.ok_or_else(|| Error::State(KIND, format!("there is no {what} {index}")))
    }
}

impl Instance for WasmEdgeInstance {
    fn call(&mut self, export: &str) -> Result<Ending, Error> {
        let vm = self
            .vm
            .as_mut()
            .ok_or_else(|| Error::State(KIND, "the instance is gone".into()))?;
        let entered = || faults::run_guest(|| vm.run_func(None, export, []));
        let Some((result, exhausted)) = self.interrupt_owner.enter(entered) else {
            return Ok(Ending::Stopped);
        };
        // SAFETY: `host` lives as long as the instance, and no host call runs now.
        let stopped = unsafe { (*self.host).stopped };
        // A host call that terminates the guest is a success to WasmEdge.
        match result {
            _ if stopped => Ok(Ending::Stopped),
            Ok(_) => Ok(Ending::Returned),
            // WasmEdge takes it for an access outside the memory.
            Err(_) if exhausted => Err(Error::Exhausted("call stack exhausted".into())),
            Err(error) => Err(Error::Trap(error.to_string())),
        }
    }

    fn is_unwinding(&mut self) -> bool {
        let global = self.active().and_then(|instance| {
            let global = instance.get_global(names::ASYNCIFY_STATE).map_err(state)?;
            Ok(global.get_value().to_i32())
        });
        global.is_ok_and(|value| value == State::Unwinding as i32)
    }

    fn interrupt(&self) -> Interrupt {
        self.interrupt_owner.handle()
    }

    fn guest_memory(&mut self, index: usize) -> Result<&mut [u8], Error> {
        self.memory_named(&names::memory_export(index))
    }

    fn grow_memory(&mut self, index: usize, bytes: usize) -> Result<(), Error> {
        let name = names::memory_export(index);
        let mut memory = self.active()?.get_memory_mut(&name).map_err(state)?;
        let pages = (bytes / WASM_PAGE).saturating_sub(memory.size() as usize);
        memory.grow(pages as u32).map_err(state)
    }

    fn global(&mut self, index: usize) -> Result<Value, Error> {
        let ty = Self::expect_type(self.shape.globals.get(index).copied(), "global", index)?;
        let name = names::global_export(index);
        let value = self
            .active()?
            .get_global_mut(&name)
            .map_err(state)?
            .get_value();
        value_of(&self.references, value, ty)
    }

    fn set_global(&mut self, index: usize, value: Value) -> Result<(), Error> {
        let value = wasm_value(&self.references, value)?;
        let name = names::global_export(index);
        let mut global = self.active()?.get_global_mut(&name).map_err(state)?;
        global.set_value(value).map_err(state)
    }

    fn table(&mut self, index: usize) -> Result<Vec<Value>, Error> {
        let ty = Self::expect_type(
            self.shape.tables.get(index).map(|t| t.element),
            "table",
            index,
        )?;
        let name = names::table_export(index);
        let values = {
            let table = self.active()?.get_table(&name).map_err(state)?;
            (0..table.capacity() as u32)
                .map(|element| table.get_data(element).map_err(state))
                .collect::<Result<Vec<_>, _>>()?
        };
        values
            .into_iter()
            .map(|value| value_of(&self.references, value, ty))
            .collect()
    }

    fn set_table(&mut self, index: usize, values: &[Value]) -> Result<(), Error> {
        let raw = values
            .iter()
            .map(|value| wasm_value(&self.references, *value))
            .collect::<Result<Vec<_>, _>>()?;
        let name = names::table_export(index);
        let table = self.active()?.get_table(&name).map_err(state)?;
        // SAFETY: a second handle, because the SDK lends tables for reading only; it is used while
        // the instance is borrowed, and `ManuallyDrop` leaves the table itself to the instance.
        let mut table =
            ManuallyDrop::new(unsafe { wasmedge_sys::Table::from_raw(table.as_ptr().cast_mut()) });
        let missing = raw.len().saturating_sub(table.capacity());
        if missing > 0 {
            table.grow(missing as u32).map_err(state)?;
        }
        for (element, value) in (0..).zip(raw) {
            table.set_data(value, element).map_err(state)?;
        }
        Ok(())
    }
}

impl Guest for WasmEdgeInstance {
    fn memory(&mut self, index: usize) -> &mut [u8] {
        self.guest_memory(index).unwrap_or(&mut [])
    }

    fn asyncify_memory(&mut self) -> &mut [u8] {
        self.memory_named(names::ASYNCIFY_MEMORY).unwrap_or(&mut [])
    }

    fn set_asyncify(&mut self, state: State, data: u32) {
        if let Ok(instance) = self.active() {
            set_asyncify(instance, state, data);
        }
    }
}

fn state(error: Box<wasmedge_sdk::error::WasmEdgeError>) -> Error {
    Error::State(KIND, error.to_string())
}

/// An instance that cannot be made: WasmEdge does not tell a trap from another error.
fn trap(error: Box<wasmedge_sdk::error::WasmEdgeError>) -> Error {
    Error::Trap(error.to_string())
}
