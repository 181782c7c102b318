//! The host of flattened modules: what `dormouse:component` asks for, in its simplest form, and
//! the interface `test:host/api`.

use dormouse::instrument::{self, HostFunction, Options, Transform};
use dormouse::model::ValType;
use dormouse::model::lowered::{
    Builtin, Handle, LoweredFunction, LoweredImport, Resource, StringEncoding, allocations,
    memory_export,
};
use dormouse::model::shape;
use serde_json::{Value, json};
use wasmtime::{Caller, Config, Engine, Extern, Linker, Memory, Module, Store, Val};

use super::Outcome;
use super::oracle;

/// What `greet` answers, one after another.
const GREETINGS: [&str; 4] = ["hello", "", "hé", "日本 𝄞"];

/// An entry of a handle table.
enum Entry {
    Free {
        next: u32,
    },
    Own {
        resource: Resource,
        rep: u32,
        lent: u32,
    },
    Borrow {
        resource: Resource,
        rep: u32,
        scope: usize,
    },
}

/// The handles of one instance.
#[derive(Default)]
struct Table {
    entries: Vec<Entry>,
    free: u32,
}

/// A call between instances, with what it has borrowed.
#[derive(Default)]
struct Scope {
    /// The handles that were lent to it: instance and handle.
    lenders: Vec<(u32, u32)>,
    /// How many borrowed handles are left.
    borrowed: u32,
}

/// A result that is written when its memory is allocated.
struct Pending {
    strings: Vec<String>,
    /// The list's block, and the strings' blocks.
    blocks: Vec<u32>,
    target: u32,
}

#[derive(Default)]
struct State {
    log: Vec<Value>,
    tables: Vec<Table>,
    scopes: Vec<Scope>,
    pending: Option<Pending>,
}

/// Ends a program that called `exit`.
#[derive(Debug, thiserror::Error)]
#[error("exit")]
struct Exit;

type Answer = wasmtime::Result<Option<Val>>;

fn trap(text: impl std::fmt::Display) -> wasmtime::Error {
    wasmtime::Error::msg(text.to_string())
}

/// Makes a component resumable; every function of `test:host/api` may suspend.
pub fn resumable(component: &[u8], transform: Transform) -> Result<Vec<u8>, instrument::Error> {
    let host = |module: &str, name: &str, params: &[ValType]| {
        let import = LoweredImport::parse(module, name)?;
        let results = match &import {
            LoweredImport::Function(function) if function.name.starts_with("[constructor]") => {
                vec![ValType::I32]
            }
            LoweredImport::Function(_) => vec![],
            LoweredImport::Builtin(builtin) => match builtin {
                Builtin::ResourceDrop(_) | Builtin::NextAllocations { .. } => vec![ValType::I64],
                Builtin::EnterCall | Builtin::ExitCall | Builtin::Exit | Builtin::Trap(_) => vec![],
                _ => vec![ValType::I32],
            },
        };
        Some(HostFunction {
            params: params.to_vec(),
            results,
            blocks: matches!(import, LoweredImport::Function(_)),
        })
    };
    let options = Options {
        transform,
        ..Options::new(&host)
    };
    Ok(instrument::instrument(component, &options)?.wasm)
}

/// Runs a flattened module, which may have been made resumable.
pub fn run(module: &[u8]) -> Outcome {
    let mut config = Config::new();
    config.wasm_multi_memory(true).wasm_exceptions(true);
    let engine = Engine::new(&config).expect("an engine");
    let module = Module::new(&engine, module).expect("a valid module");
    let mut linker: Linker<State> = Linker::new(&engine);
    for import in module.imports() {
        let parsed = LoweredImport::parse(import.module(), import.name());
        let parsed = parsed.unwrap_or_else(|| panic!("{} {}", import.module(), import.name()));
        let ty = import.ty().func().expect("a function").clone();
        let called = move |mut caller: Caller<'_, State>, params: &[Val], results: &mut [Val]| {
            let params: Vec<u32> = params
                .iter()
                .map(|value| value.unwrap_i32() as u32)
                .collect();
            let result = match &parsed {
                LoweredImport::Builtin(builtin) => builtin_call(&mut caller, builtin, &params)?,
                LoweredImport::Function(function) => call(&mut caller, function, &params)?,
            };
            if let (Some(place), Some(result)) = (results.first_mut(), result) {
                *place = result;
            }
            Ok(())
        };
        let defined = linker.func_new(import.module(), import.name(), ty, called);
        defined.expect("no import comes twice");
    }
    let mut store = Store::new(&engine, State::default());
    let ended = linker
        .instantiate(&mut store, &module)
        .and_then(|instance| {
            for entry in [shape::START, "_start"] {
                if let Ok(entry) = instance.get_typed_func::<(), ()>(&mut store, entry) {
                    entry.call(&mut store, ())?;
                }
            }
            Ok(())
        });
    let end = match ended {
        Ok(()) => "ok".to_owned(),
        Err(error) if error.is::<Exit>() => "failed".to_owned(),
        Err(error) => oracle::end(&format!("trap: {error:?}")),
    };
    Outcome {
        log: std::mem::take(&mut store.data_mut().log),
        end,
    }
}

fn memory(caller: &mut Caller<'_, State>, index: u32) -> Memory {
    let names = [memory_export(index), shape::memory_export(index as usize)];
    let mut exports = names
        .iter()
        .filter_map(|name| match caller.get_export(name) {
            Some(Extern::Memory(memory)) => Some(memory),
            _ => None,
        });
    exports.next().expect("a memory under its index")
}

fn read(
    caller: &mut Caller<'_, State>,
    index: Option<u32>,
    address: u32,
    length: u32,
) -> wasmtime::Result<Vec<u8>> {
    let memory = memory(caller, index.expect("the function has a memory"));
    let data = memory.data(&*caller);
    let bytes = data.get(address as usize..address as usize + length as usize);
    Ok(bytes
        .ok_or_else(|| trap("string content out-of-bounds"))?
        .to_vec())
}

/// A call of `test:host/api`.
fn call(caller: &mut Caller<'_, State>, function: &LoweredFunction, params: &[u32]) -> Answer {
    assert_eq!(function.interface, "test:host/api");
    let name = function.name.as_str();
    let note = |caller: &mut Caller<'_, State>, arguments: Value| {
        caller.data_mut().log.push(json!([name, arguments]));
    };
    match (name, params) {
        ("number", [value]) => note(caller, json!(value)),
        ("text", [address, length]) => {
            let bytes = |length: u32| {
                length
                    * if function.encoding == StringEncoding::Utf8 {
                        1
                    } else {
                        2
                    }
            };
            let bytes = read(caller, function.memory, *address, bytes(*length))?;
            let text = match function.encoding {
                StringEncoding::Utf8 => String::from_utf8(bytes).map_err(trap)?,
                _ => {
                    let pairs = bytes
                        .chunks(2)
                        .map(|pair| u16::from_le_bytes([pair[0], pair[1]]));
                    let units: Vec<u16> = pairs.collect();
                    String::from_utf16(&units).map_err(trap)?
                }
            };
            note(caller, json!(text));
        }
        ("bytes", [address, length]) => {
            let bytes = read(caller, function.memory, *address, *length)?;
            note(caller, json!(bytes));
        }
        ("greet", [times, target]) => {
            note(caller, json!(times));
            let strings = (0..*times as usize).map(|place| GREETINGS[place % 4].to_owned());
            caller.data_mut().pending = Some(Pending {
                strings: strings.collect(),
                blocks: Vec::new(),
                target: *target,
            });
        }
        ("[constructor]thing", [rep]) => {
            note(caller, json!(rep));
            let entry = Entry::Own {
                resource: thing(),
                rep: *rep,
                lent: 0,
            };
            let handle = caller.data_mut().insert(function.instance, entry);
            return Ok(Some(Val::I32(handle as i32)));
        }
        ("[method]thing.look", [handle]) => {
            let rep = caller.data_mut().rep(&of(function, thing()), *handle)?;
            note(caller, json!(rep));
        }
        ("take", [handle]) => {
            let rep = caller.data_mut().take(&of(function, thing()), *handle)?;
            note(caller, json!(rep));
        }
        _ => panic!("{name} with {params:?}"),
    }
    Ok(None)
}

fn thing() -> Resource {
    Resource::Host {
        interface: "test:host/api".into(),
        name: "thing".into(),
    }
}

fn of(function: &LoweredFunction, resource: Resource) -> Handle {
    Handle {
        instance: function.instance,
        resource,
    }
}

fn builtin_call(caller: &mut Caller<'_, State>, builtin: &Builtin, params: &[u32]) -> Answer {
    let number = |number: u32| Ok(Some(Val::I32(number as i32)));
    let state = caller.data_mut();
    match (builtin, params) {
        (Builtin::ResourceNew(of), [rep]) => number(state.insert(of.instance, own(of, *rep))),
        (Builtin::ResourceRep(of), [handle]) => number(state.rep(of, *handle)?),
        (Builtin::ResourceDrop(of), [handle]) => {
            let result = state.drop(of, *handle)?.map_or(-1, i64::from);
            Ok(Some(Val::I64(result)))
        }
        (Builtin::TransferOwn { from, to }, [handle]) => {
            let rep = state.take(from, *handle)?;
            number(state.insert(*to, own(from, rep)))
        }
        (Builtin::TransferBorrow { from, to }, [handle]) => {
            let rep = state.lend(from, *handle)?;
            let scope = state.scopes.len() - 1;
            state.scopes[scope].borrowed += 1;
            let resource = from.resource.clone();
            number(state.insert(
                *to,
                Entry::Borrow {
                    resource,
                    rep,
                    scope,
                },
            ))
        }
        (Builtin::Lend(from), [handle]) => number(state.lend(from, *handle)?),
        (Builtin::EnterCall, []) => {
            state.scopes.push(Scope::default());
            Ok(None)
        }
        (Builtin::ExitCall, []) => state.exit_call().map(|()| None),
        (Builtin::NextAllocations { memory }, [block, ..]) => {
            next_allocation(caller, *memory, *block)
        }
        (Builtin::Exit, [1]) => Err(wasmtime::Error::new(Exit)),
        (Builtin::Trap(reason), []) => Err(trap(reason)),
        _ => panic!("{builtin} with {params:?}"),
    }
}

fn own(of: &Handle, rep: u32) -> Entry {
    Entry::Own {
        resource: of.resource.clone(),
        rep,
        lent: 0,
    }
}

/// A list of strings: its block, then each string's; then everything is written.
fn next_allocation(caller: &mut Caller<'_, State>, index: u32, block: u32) -> Answer {
    let mut pending = caller
        .data_mut()
        .pending
        .take()
        .expect("a result is pending");
    // One at a time, to see that a host may ask for fewer than it could.
    let wanted = |align: u32, size: usize| {
        let (request, _) = allocations::request([(align, size as u32)]);
        Ok(Some(Val::I64(request as i64)))
    };
    match block {
        // The first request has no block before it, and no block lies at zero.
        0 => {
            let size = 8 * pending.strings.len();
            caller.data_mut().pending = Some(pending);
            return wanted(4, size);
        }
        block => pending.blocks.push(block),
    }
    if let Some(string) = pending.strings.get(pending.blocks.len() - 1) {
        let size = string.len();
        caller.data_mut().pending = Some(pending);
        return wanted(1, size);
    }
    let memory = memory(caller, index);
    let mut put = |address: u32, bytes: &[u8]| memory.write(&mut *caller, address as usize, bytes);
    let list = pending.blocks[0];
    for (place, (string, block)) in (0..).zip(pending.strings.iter().zip(&pending.blocks[1..])) {
        put(list + 8 * place, &block.to_le_bytes())?;
        put(list + 8 * place + 4, &(string.len() as u32).to_le_bytes())?;
        put(*block, string.as_bytes())?;
    }
    put(pending.target, &list.to_le_bytes())?;
    put(
        pending.target + 4,
        &(pending.strings.len() as u32).to_le_bytes(),
    )?;
    Ok(Some(Val::I64(-1)))
}

impl State {
    fn table(&mut self, instance: u32) -> &mut Table {
        let instance = instance as usize;
        while self.tables.len() <= instance {
            self.tables.push(Table::default());
        }
        &mut self.tables[instance]
    }

    fn insert(&mut self, instance: u32, entry: Entry) -> u32 {
        let table = self.table(instance);
        let place = table.free;
        if place as usize == table.entries.len() {
            table.entries.push(Entry::Free { next: place + 1 });
        }
        let entry = std::mem::replace(&mut table.entries[place as usize], entry);
        let Entry::Free { next } = entry else {
            panic!("the entry is in use");
        };
        table.free = next;
        place + 1
    }

    fn entry(&mut self, of: &Handle, handle: u32) -> wasmtime::Result<&mut Entry> {
        let place = (handle as usize).wrapping_sub(1);
        let entry = self.table(of.instance).entries.get_mut(place);
        match entry {
            Some(entry @ (Entry::Own { .. } | Entry::Borrow { .. })) => {
                let (Entry::Own { resource, .. } | Entry::Borrow { resource, .. }) = &*entry else {
                    panic!("it is neither");
                };
                match *resource == of.resource {
                    true => Ok(entry),
                    false => Err(trap("used with the wrong type")),
                }
            }
            _ => Err(trap("unknown handle index")),
        }
    }

    fn rep(&mut self, of: &Handle, handle: u32) -> wasmtime::Result<u32> {
        match self.entry(of, handle)? {
            Entry::Own { rep, .. } | Entry::Borrow { rep, .. } => Ok(*rep),
            Entry::Free { .. } => panic!("it is free"),
        }
    }

    fn remove(&mut self, of: &Handle, handle: u32) -> wasmtime::Result<Entry> {
        if let Entry::Own { lent: 1.., .. } = self.entry(of, handle)? {
            return Err(trap("cannot remove owned resource while borrowed"));
        }
        let table = self.table(of.instance);
        let next = std::mem::replace(&mut table.free, handle - 1);
        Ok(std::mem::replace(
            &mut table.entries[handle as usize - 1],
            Entry::Free { next },
        ))
    }

    /// Takes an owned resource out of a table.
    fn take(&mut self, of: &Handle, handle: u32) -> wasmtime::Result<u32> {
        match self.remove(of, handle)? {
            Entry::Own { rep, .. } => Ok(rep),
            _ => Err(trap("cannot lift own resource from a borrow")),
        }
    }

    /// Drops a handle, and gives the representation of a guest's resource that it owned.
    fn drop(&mut self, of: &Handle, handle: u32) -> wasmtime::Result<Option<u32>> {
        match self.remove(of, handle)? {
            Entry::Own { rep, .. } if of.resource.is_host() => {
                self.log.push(json!(["dropped", rep]));
                Ok(None)
            }
            Entry::Own { rep, .. } => Ok(Some(rep)),
            Entry::Borrow { scope, .. } => {
                self.scopes[scope].borrowed -= 1;
                Ok(None)
            }
            Entry::Free { .. } => panic!("it is free"),
        }
    }

    fn lend(&mut self, of: &Handle, handle: u32) -> wasmtime::Result<u32> {
        let (rep, is_own) = match self.entry(of, handle)? {
            Entry::Own { rep, lent, .. } => {
                *lent += 1;
                (*rep, true)
            }
            Entry::Borrow { rep, .. } => (*rep, false),
            Entry::Free { .. } => panic!("it is free"),
        };
        if is_own {
            let scope = self.scopes.last_mut().expect("a call has begun");
            scope.lenders.push((of.instance, handle));
        }
        Ok(rep)
    }

    fn exit_call(&mut self) -> wasmtime::Result<()> {
        let scope = self.scopes.pop().expect("a call has begun");
        if scope.borrowed > 0 {
            return Err(trap("borrow handles still remain at the end of the call"));
        }
        for (instance, handle) in scope.lenders {
            if let Entry::Own { lent, .. } = &mut self.table(instance).entries[handle as usize - 1]
            {
                *lent -= 1;
            }
        }
        Ok(())
    }
}
