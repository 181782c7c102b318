//! A program as it is, on Wasmtime, with three host functions written here.

use wasmtime::{
    Caller, Config, Engine, Extern, GcHeapOutOfMemory, Linker, Module, Store, ThrownException, Trap,
};

use super::{Ending, Outcome};

#[derive(Default)]
struct Host {
    input: std::collections::VecDeque<u8>,
    output: Vec<u8>,
}

/// Ends a program that called `proc_exit`.
#[derive(Debug, thiserror::Error)]
#[error("exit {0}")]
struct Exit(u32);

/// Runs a program that reads and writes one buffer at a time.
pub fn run(wasm: &[u8], input: &[u8]) -> Outcome {
    let mut config = Config::new();
    config.wasm_multi_memory(true).wasm_exceptions(true);
    let engine = Engine::new(&config).expect("an engine");
    let module = Module::new(&engine, wasm).expect("a valid program");
    let host = Host {
        input: input.iter().copied().collect(),
        output: Vec::new(),
    };
    let mut store = Store::new(&engine, host);
    let mut linker = Linker::new(&engine);
    let wasi = "wasi_snapshot_preview1";
    linker
        .func_wrap(wasi, "sched_yield", || 0_i32)
        .and_then(|linker| linker.func_wrap(wasi, "fd_read", read))
        .and_then(|linker| linker.func_wrap(wasi, "fd_write", write))
        .and_then(|linker| {
            linker.func_wrap(wasi, "proc_exit", |code: i32| -> wasmtime::Result<()> {
                Err(wasmtime::Error::new(Exit(code as u32)))
            })
        })
        .expect("four functions");
    let ended = linker
        .instantiate(&mut store, &module)
        .and_then(|instance| instance.get_typed_func::<(), ()>(&mut store, "_start"))
        .and_then(|start| start.call(&mut store, ()));
    let ending = match ended {
        Ok(()) => Ending::Exited(0),
        Err(error) => match error.downcast_ref::<Exit>() {
            Some(Exit(code)) => Ending::Exited(*code),
            None => {
                // An exception that nobody catches ends a program like a trap, and so does an object
                // that is larger than memory.
                let known = error.is::<Trap>()
                    || error.is::<ThrownException>()
                    || error.is::<GcHeapOutOfMemory<()>>();
                assert!(known, "{error:?}");
                Ending::Trapped
            }
        },
    };
    Outcome {
        output: std::mem::take(&mut store.data_mut().output),
        ending,
    }
}

/// The memory, the host, and the buffer that the only vector names.
fn buffer<'a>(
    caller: &'a mut Caller<'_, Host>,
    vectors: i32,
) -> (&'a mut [u8], &'a mut Host, std::ops::Range<usize>) {
    let memory = caller.get_export("memory").and_then(Extern::into_memory);
    let memory = memory.expect("programs export their memory");
    let (memory, host) = memory.data_and_store_mut(caller);
    let number = |at: usize| {
        let bytes = memory[at..at + 4].try_into().expect("four bytes");
        u32::from_le_bytes(bytes) as usize
    };
    let (start, length) = (number(vectors as usize), number(vectors as usize + 4));
    (memory, host, start..start + length)
}

fn read(mut caller: Caller<'_, Host>, fd: i32, vectors: i32, count: i32, done: i32) -> i32 {
    assert_eq!((fd, count), (0, 1));
    let (memory, host, range) = buffer(&mut caller, vectors);
    let length = range.len().min(host.input.len());
    for (place, byte) in memory[range].iter_mut().zip(host.input.drain(..length)) {
        *place = byte;
    }
    memory[done as usize..][..4].copy_from_slice(&(length as u32).to_le_bytes());
    0
}

fn write(mut caller: Caller<'_, Host>, fd: i32, vectors: i32, count: i32, done: i32) -> i32 {
    assert_eq!((fd, count), (1, 1));
    let (memory, host, range) = buffer(&mut caller, vectors);
    host.output.extend_from_slice(&memory[range.clone()]);
    memory[done as usize..][..4].copy_from_slice(&(range.len() as u32).to_le_bytes());
    0
}
