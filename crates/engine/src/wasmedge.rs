//! WasmEdge, with its ahead-of-time compiler. WasmEdge's own objects point at each other, so that an
//! instance owns everything it needs and takes it down in a fixed order (see `Drop`).

#![expect(unsafe_code, reason = "WasmEdge's C API")]

use std::collections::HashMap;
use std::hash::{DefaultHasher, Hash, Hasher};
use std::io::Read;
use std::mem::ManuallyDrop;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use wasmedge_sdk::config::{
    CommonConfigOptions, CompilerConfigOptions, Config, ConfigBuilder, RuntimeConfigOptions,
};
use wasmedge_sdk::{
    AsInstance, CompilerOptimizationLevel, CompilerOutputFormat, FuncType, ImportObject,
    LogManager, Store, Vm,
};
use wasmedge_sys::instance::function::AsFunc;
use wasmedge_sys::{Function, WasmValue, ffi};

mod compile;
mod faults;
mod host;
mod library;
mod symbols;

use self::host::{Host, HostFunction, call_host, set_asyncify};
use super::asyncify::{FLAG, State};
use super::interrupt::{Attached, Interrupt};
use super::{Ending, Engine, EngineKind, Error, Growth, Guest, HostCallback, Instance, Module};
use crate::model::shape::{self, Import, Shape};
use crate::model::{Limit, Limits, ValType, Value};

const KIND: EngineKind = EngineKind::WasmEdge;
const WASM_PAGE: usize = 65536;

/// The engine.
pub(super) struct WasmEdge;

impl WasmEdge {
    pub(super) fn new() -> Result<Self, Error> {
        library::load().map_err(|e| Error::Setup(KIND, e))?;
        // It writes what it also returns to standard output.
        LogManager::log_off();
        faults::install().map_err(|e| Error::Setup(KIND, e))?;
        Ok(Self)
    }
}

/// Pages of 64 KiB in 4 GiB: as many as a memory can have.
const MOST_PAGES: u32 = 65536;

/// How many pages a memory may have under a limit. Asyncify's own, which does not grow, has 512.
fn pages(limits: &Limits) -> u32 {
    let bytes = limits.value(Limit::Memory);
    let limit = u32::try_from(bytes >> 16).unwrap_or(MOST_PAGES);
    limit.clamp(512, MOST_PAGES)
}

/// The configuration, with this level for its compiler.
fn config(level: CompilerOptimizationLevel, pages: u32) -> Result<Config, Error> {
    let common = CommonConfigOptions::default()
        .multi_memories(true)
        .tail_call(true)
        .threads(true)
        .simd(true);
    let compiler = CompilerConfigOptions::new()
        .out_format(CompilerOutputFormat::Native)
        .optimization_level(level);
    ConfigBuilder::new(common)
        .with_compiler_config(compiler)
        .with_runtime_config(RuntimeConfigOptions::new().max_memory_pages(pages))
        .build()
        .map_err(|e| Error::Setup(KIND, e.to_string()))
}

/// Fails where a disk has no room for the code of a module of this size. The linker writes through
/// a mapping of the file: where the disk gets full, a signal ends the process.
fn check_room(folder: &Path, bytes: usize) -> Result<(), Error> {
    // An object file and the library, each several times as large as the module.
    let needed = (bytes as u64).saturating_mul(24).saturating_add(256 << 10);
    match rustix::fs::statvfs(folder) {
        Ok(disk) if disk.f_bavail.saturating_mul(disk.f_frsize) < needed => {
            Err(Error::Write(folder.into(), rustix::io::Errno::NOSPC.into()))
        }
        _ => Ok(()),
    }
}

impl Engine for WasmEdge {
    fn kind(&self) -> EngineKind {
        KIND
    }

    fn code_key(&self) -> String {
        // Code is compiled for this very CPU, so its features belong to the key.
        let mut hasher = DefaultHasher::new();
        let cpu = std::fs::read_to_string("/proc/cpuinfo").unwrap_or_default();
        let features = cpu
            .lines()
            .find(|line| line.starts_with("flags") || line.starts_with("Features"));
        let levels = (
            compile::OPTIMIZED,
            compile::SOMEWHAT_OPTIMIZED,
            "of the code, slow versions as they are",
        );
        (features, std::env::consts::ARCH, levels).hash(&mut hasher);
        let version = wasmedge_sys::utils::version_string();
        // It loads nothing that is called otherwise.
        format!("wasmedge-{version}-{:016x}.so", hasher.finish())
    }

    fn compile(&self, wasm: &[u8], code: &Path) -> Result<(), Error> {
        compile::check(wasm)?;
        if let Some(folder) = code.parent() {
            check_room(folder, wasm.len())?;
        }
        compile::compile(wasm, code)
    }

    unsafe fn load(&self, code: &Path, shape: &Arc<Shape>) -> Result<Arc<dyn Module>, Error> {
        // The caller vouches for the file, which WasmEdge loads as a shared library. It would take a
        // plain module too, and interpret it.
        let mut magic = [0; 4];
        std::fs::File::open(code)
            .and_then(|mut file| file.read_exact(&mut magic))
            .map_err(|e| Error::Load(KIND, format!("{}: {e}", code.display())))?;
        if magic == *b"\0asm" {
            return Err(Error::Load(KIND, "it holds no machine code".into()));
        }
        let module = wasmedge_sdk::Module::from_file(
            Some(&config(CompilerOptimizationLevel::O0, MOST_PAGES)?),
            code,
        )
        .map_err(|e| Error::Load(KIND, e.to_string()))?;
        Ok(Arc::new(WasmEdgeModule {
            module,
            shape: shape.clone(),
            library: code.canonicalize().unwrap_or_else(|_| code.into()),
        }))
    }
}

struct WasmEdgeModule {
    module: wasmedge_sdk::Module,
    shape: Arc<Shape>,
    /// The file with its code.
    library: PathBuf,
}

type Imports = ImportObject<()>;

impl Module for WasmEdgeModule {
    fn instantiate(
        &self,
        callback: HostCallback,
        limits: &Limits,
        // It does not say when a memory grows: whoever makes the host calls counts.
        _growth: Option<Arc<dyn Growth>>,
    ) -> Result<Box<dyn Instance>, Error> {
        let state = |e: Box<wasmedge_sdk::error::WasmEdgeError>| Error::Trap(e.to_string());
        // All that it knows is the maximum that each table declares, which is the default one.
        let least = Limits::default().value(Limit::Table);
        if limits.value(Limit::Table) < least && !self.shape.tables.is_empty() {
            return Err(Error::CannotLimit(KIND, "table"));
        }
        let host = Box::into_raw(Box::new(Host {
            callback,
            memory: self.shape.host_memory.map(|memory| memory as u32),
            asyncify_memory: self.shape.memories as u32,
            stopped: false,
        }));
        let library = self.library.clone();
        let mut instance = WasmEdgeInstance {
            attached: Attached::new(move || faults::code(&library)),
            vm: None,
            imports: Vec::new(),
            functions: Vec::new(),
            host,
            shape: self.shape.clone(),
            _module: self.module.clone(),
            references: Vec::new(),
        };
        let mut by_module: HashMap<String, &'static mut Imports> = HashMap::new();
        for (place, import) in self.shape.imports.iter().enumerate() {
            if !by_module.contains_key(&import.module) {
                let made = Imports::create(&import.module, Box::new(())).map_err(state)?;
                let made = Box::into_raw(Box::new(made));
                instance.imports.push(made);
                // SAFETY: the box lives until the instance is dropped, after the `Vm` that holds
                // the reference; nothing else uses the pointer until then.
                by_module.insert(import.module.clone(), unsafe { &mut *made });
            }
            let function = Box::into_raw(Box::new(HostFunction {
                place,
                result: import.results.first().copied(),
                host,
            }));
            instance.functions.push(function);
            // SAFETY: `function` lives until the instance is dropped, after the import object that
            // owns the function made here.
            let made = unsafe { Function::create_sync_func(&ty(import), call_host, function, 0) };
            if let Some(object) = by_module.get_mut(&import.module) {
                object.add_func(&import.name, made.map_err(state)?);
            }
        }
        let store = Store::new(
            Some(&config(CompilerOptimizationLevel::O0, pages(limits))?),
            by_module,
        )
        .map_err(state)?;
        let mut vm = Vm::new(store);
        vm.register_module(None, self.module.clone())
            .map_err(state)?;
        instance.vm = Some(vm);
        for index in 0..self.shape.functions {
            let name = shape::function_export(index);
            let function = {
                let function = instance.active()?.get_func_mut(&name).map_err(state)?;
                // SAFETY: the pointer is only compared, or used while the instance lives.
                unsafe { function.get_func_raw() }
            };
            instance.references.push(function);
        }
        let memory = instance.memory_named(shape::ASYNCIFY_MEMORY)?;
        if memory.len() > FLAG {
            let byte = memory[FLAG..].as_mut_ptr();
            // SAFETY: the memory has this byte, and never grows, so that it stays where it is; of the
            // guest's code only atomic loads touch it.
            unsafe { instance.attached.watch(byte) };
        }
        Ok(Box::new(instance))
    }
}

/// One instance and everything that it points to.
struct WasmEdgeInstance {
    /// Dropped before the memories that it points to.
    attached: Attached,
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
    references: Vec<*mut ffi::WasmEdge_FunctionInstanceContext>,
}

// SAFETY: the pointers are owned by the instance alone, WasmEdge's objects are not bound to a
// thread, and the callback is `Send`.
unsafe impl Send for WasmEdgeInstance {}

impl Drop for WasmEdgeInstance {
    fn drop(&mut self) {
        // The order matters: each of these points to the next.
        self.attached.detach();
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
        // SAFETY: the pointer is to the memory's first byte, and the memory has `bytes` bytes. The
        // slice borrows the instance, and memory moves or grows only through it.
        unsafe {
            let start = memory.data_pointer_mut(0, 1).map_err(state)?;
            Ok(std::slice::from_raw_parts_mut(start, bytes))
        }
    }

    fn value_of(&self, value: WasmValue, ty: ValType) -> Result<Value, Error> {
        Ok(match ty {
            ValType::I32 => Value::I32(value.to_i32() as u32),
            ValType::I64 => Value::I64(value.to_i64() as u64),
            ValType::F32 => Value::F32(value.to_f32().to_bits()),
            ValType::F64 => Value::F64(value.to_f64().to_bits()),
            ValType::V128 => Value::V128(value.to_v128() as u128),
            ValType::ExternRef if value.is_null_ref() => Value::NullExtern,
            ValType::FuncRef => match value.func_ref() {
                None => Value::FuncRef(None),
                Some(function) => {
                    // SAFETY: the pointer is only compared.
                    let wanted = unsafe { function.get_func_raw() };
                    let place = self.references.iter().position(|known| *known == wanted);
                    let place = place.ok_or_else(|| {
                        Error::State(KIND, "a reference points out of the module".into())
                    })?;
                    Value::FuncRef(Some(place as u32))
                }
            },
            ValType::ExternRef => {
                return Err(Error::State(
                    KIND,
                    "a host reference cannot be written down".into(),
                ));
            }
        })
    }

    fn wasm_value(&self, value: Value) -> Result<WasmValue, Error> {
        Ok(match value {
            Value::I32(bits) => WasmValue::from_i32(bits as i32),
            Value::I64(bits) => WasmValue::from_i64(bits as i64),
            Value::F32(bits) => WasmValue::from_f32(f32::from_bits(bits)),
            Value::F64(bits) => WasmValue::from_f64(f64::from_bits(bits)),
            Value::V128(bits) => WasmValue::from_v128(bits as i128),
            Value::NullExtern => WasmValue::null_extern_ref(),
            Value::FuncRef(place) => {
                let function = match place {
                    None => std::ptr::null_mut(),
                    Some(place) => *self
                        .references
                        .get(place as usize)
                        .ok_or_else(|| Error::State(KIND, format!("no function {place}")))?,
                };
                // SAFETY: null, or a function of this instance.
                unsafe { ffi::WasmEdge_ValueGenFuncRef(function) }.into()
            }
        })
    }

    fn type_of<T: Copy>(list: Option<T>, what: &str, index: usize) -> Result<T, Error> {
        list.ok_or_else(|| Error::State(KIND, format!("there is no {what} {index}")))
    }
}

impl Instance for WasmEdgeInstance {
    fn call(&mut self, export: &str) -> Result<Ending, Error> {
        let vm = self
            .vm
            .as_mut()
            .ok_or_else(|| Error::State(KIND, "the instance is gone".into()))?;
        let entered = || faults::entered(|| vm.run_func(None, export, []));
        let Some((result, exhausted)) = self.attached.enter(entered) else {
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
            let global = instance.get_global(shape::ASYNCIFY_STATE).map_err(state)?;
            Ok(global.get_value().to_i32())
        });
        global.is_ok_and(|value| value == State::Unwinding as i32)
    }

    fn interrupt(&self) -> Interrupt {
        self.attached.handle()
    }

    fn guest_memory(&mut self, index: usize) -> Result<&mut [u8], Error> {
        self.memory_named(&shape::memory_export(index))
    }

    fn grow_memory(&mut self, index: usize, bytes: usize) -> Result<(), Error> {
        let name = shape::memory_export(index);
        let mut memory = self.active()?.get_memory_mut(&name).map_err(state)?;
        let pages = (bytes / WASM_PAGE).saturating_sub(memory.size() as usize);
        memory.grow(pages as u32).map_err(state)
    }

    fn global(&mut self, index: usize) -> Result<Value, Error> {
        let ty = Self::type_of(self.shape.globals.get(index).copied(), "global", index)?;
        let name = shape::global_export(index);
        let value = self
            .active()?
            .get_global_mut(&name)
            .map_err(state)?
            .get_value();
        self.value_of(value, ty)
    }

    fn set_global(&mut self, index: usize, value: Value) -> Result<(), Error> {
        let value = self.wasm_value(value)?;
        let name = shape::global_export(index);
        let mut global = self.active()?.get_global_mut(&name).map_err(state)?;
        global.set_value(value).map_err(state)
    }

    fn table(&mut self, index: usize) -> Result<Vec<Value>, Error> {
        let ty = Self::type_of(
            self.shape.tables.get(index).map(|t| t.element),
            "table",
            index,
        )?;
        let name = shape::table_export(index);
        let values = {
            let table = self.active()?.get_table(&name).map_err(state)?;
            (0..table.capacity() as u32)
                .map(|element| table.get_data(element).map_err(state))
                .collect::<Result<Vec<_>, _>>()?
        };
        values
            .into_iter()
            .map(|value| self.value_of(value, ty))
            .collect()
    }

    fn set_table(&mut self, index: usize, values: &[Value]) -> Result<(), Error> {
        let raw = values
            .iter()
            .map(|value| self.wasm_value(*value))
            .collect::<Result<Vec<_>, _>>()?;
        let name = shape::table_export(index);
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
    fn memory(&mut self) -> &mut [u8] {
        match self.shape.host_memory {
            Some(index) => self.guest_memory(index).unwrap_or(&mut []),
            None => &mut [],
        }
    }

    fn asyncify_memory(&mut self) -> &mut [u8] {
        self.memory_named(shape::ASYNCIFY_MEMORY).unwrap_or(&mut [])
    }

    fn set_asyncify(&mut self, state: State, data: u32) {
        if let Ok(instance) = self.active() {
            set_asyncify(instance, state, data);
        }
    }
}

fn ty(import: &Import) -> FuncType {
    let types = |list: &[ValType]| list.iter().map(|ty| val_type(*ty)).collect();
    FuncType::new(types(&import.params), types(&import.results))
}

fn val_type(ty: ValType) -> wasmedge_sdk::ValType {
    match ty {
        ValType::I32 => wasmedge_sdk::ValType::I32,
        ValType::I64 => wasmedge_sdk::ValType::I64,
        ValType::F32 => wasmedge_sdk::ValType::F32,
        ValType::F64 => wasmedge_sdk::ValType::F64,
        ValType::V128 => wasmedge_sdk::ValType::V128,
        ValType::FuncRef => wasmedge_sdk::ValType::FuncRef,
        ValType::ExternRef => wasmedge_sdk::ValType::ExternRef,
    }
}

fn state(error: Box<wasmedge_sdk::error::WasmEdgeError>) -> Error {
    Error::State(KIND, error.to_string())
}
