//! The signals that a guest's faults raise.
//!
//! WasmEdge sets handlers of its own when the first thread of the process enters compiled code, and
//! the *default* ones when the last thread leaves. Wasmtime's handlers are gone then, and its next
//! trap would end the process. WasmEdge's handler does not run on the alternate stack either, so
//! that a guest that recurses without end would end the process as well.
//!
//! ```text
//!   parked thread:  enters compiled code, stays there: WasmEdge never takes handlers away
//!   handler here:   on the alternate stack --in WasmEdge's guest--> WasmEdge's handler
//!                                          `---------elsewhere----> the one from before
//! ```

#![expect(unsafe_code, reason = "signal handlers for faults in WasmEdge's code")]

use std::cell::Cell;
use std::collections::HashMap;
use std::ffi::{c_int, c_void};
use std::ops::Range;
use std::path::Path;
use std::sync::OnceLock;
use std::sync::mpsc::{Sender, channel};

use wasmedge_sdk::error::CoreError;
use wasmedge_sdk::{CompilerOptimizationLevel, FuncType, ImportObject, Store, Vm};
use wasmedge_sys::{CallingFrame, Function, WasmValue};

use super::compile;
use super::config::{MAX_PAGES, check_room, config};
use crate::interrupt::{Code, Exit};
use crate::signals;

const SIGNALS: [c_int; 3] = [libc::SIGSEGV, libc::SIGBUS, libc::SIGFPE];

/// `(module (import "m" "p" (func)) (func (export "r") (call 0)))`
const PARKING: &[u8] = b"\0asm\x01\0\0\0\x01\x04\x01\x60\0\0\x02\x07\x01\x01m\x01p\0\0\
    \x03\x02\x01\0\x07\x05\x01\x01r\0\x01\x0a\x06\x01\x04\0\x10\0\x0b";

/// A fault at most this many bytes below the end of the stack still counts as a stack overflow.
const BELOW_STACK: usize = 1 << 20;

/// How the signals were handled before, and how WasmEdge handles them.
struct Handlers {
    before: [libc::sigaction; 3],
    wasmedge: [libc::sigaction; 3],
}

static HANDLERS: OnceLock<Handlers> = OnceLock::new();

thread_local! {
    /// While this thread runs the guest's code: the end of its stack, and an address in the frame
    /// that entered the guest.
    static ENTRY: Cell<Option<(usize, usize)>> = const { Cell::new(None) };
    static EXHAUSTED: Cell<bool> = const { Cell::new(false) };
}

/// Sets the handlers, once per process.
pub(super) fn install() -> Result<(), String> {
    static DONE: OnceLock<Result<(), String>> = OnceLock::new();
    DONE.get_or_init(|| {
        let before = SIGNALS.map(signals::current);
        let (parked, is_parked) = channel();
        std::thread::Builder::new()
            .name("wasmedge-faults".into())
            .spawn(move || {
                let failed = parked.clone();
                if let Err(error) = park(parked) {
                    // The receiver waits for exactly this.
                    let _ = failed.send(Err(error));
                }
            })
            .map_err(|e| e.to_string())?;
        is_parked.recv().map_err(|e| e.to_string())??;
        let handlers = Handlers {
            before,
            wasmedge: SIGNALS.map(signals::current),
        };
        if HANDLERS.set(handlers).is_err() {
            return Ok(());
        }
        for signal in SIGNALS {
            // SAFETY: `handle` does only what a signal handler may.
            unsafe { signals::set(signal, handle, libc::SA_NODEFER) };
        }
        Ok(())
    })
    .clone()
}

/// Enters compiled code for good, and says so when it is there.
fn park(mut parked: Sender<Result<(), String>>) -> Result<(), String> {
    let text = |e: Box<wasmedge_sdk::error::WasmEdgeError>| e.to_string();
    let folder = tempfile::tempdir().map_err(|e| e.to_string())?;
    check_room(folder.path(), PARKING.len()).map_err(|e| e.to_string())?;
    let code = folder.path().join("park.so");
    compile::compile(PARKING, &code).map_err(|e| e.to_string())?;
    let config = config(CompilerOptimizationLevel::O0, MAX_PAGES).map_err(|e| e.to_string())?;
    let module = wasmedge_sdk::Module::from_file(Some(&config), code).map_err(text)?;
    // It stays mapped without its name.
    drop(folder);
    let ty = FuncType::new(Vec::new(), Vec::new());
    // SAFETY: `parked` outlives the function, which goes with `imports`, declared after it.
    let function = unsafe { Function::create_sync_func(&ty, stay, &raw mut parked, 0) };
    let mut imports = ImportObject::create("m", Box::new(())).map_err(text)?;
    imports.add_func("p", function.map_err(text)?);
    let modules = HashMap::from([("m".to_owned(), &mut imports)]);
    let mut vm = Vm::new(Store::new(Some(&config), modules).map_err(text)?);
    vm.register_module(None, module).map_err(text)?;
    vm.run_func(None, "r", []).map_err(text)?;
    Err("its compiled code does not call out".into())
}

fn stay(
    parked: &mut Sender<Result<(), String>>,
    _: &mut wasmedge_sdk::Instance,
    _: &mut CallingFrame,
    _: Vec<WasmValue>,
) -> Result<Vec<WasmValue>, CoreError> {
    // The receiver waits for exactly this.
    let _ = parked.send(Ok(()));
    loop {
        std::thread::park();
    }
}

/// Runs `call`, which enters a guest. Returns the result of `call`, and whether the guest
/// overflowed its stack.
pub(super) fn run_guest<T>(call: impl FnOnce() -> T) -> (T, bool) {
    let here = 0_u8;
    let here = (&raw const here).addr();
    // Threads have stacks of different sizes. Where the system does not tell how much of this
    // one is left, a guest's default is assumed.
    let left = stacker::remaining_stack().unwrap_or(crate::GUEST_STACK);
    EXHAUSTED.set(false);
    let outer = ENTRY.replace(Some((here.saturating_sub(left), here)));
    let result = call();
    ENTRY.set(outer);
    (result, EXHAUSTED.get())
}

/// Runs `call`, which is the host's and not the guest's: its faults are no traps.
pub(super) fn run_host<T>(call: impl FnOnce() -> T) -> T {
    let entry = ENTRY.take();
    let result = call();
    ENTRY.set(entry);
    result
}

/// The code of a guest whose library is in this file, and the way out of it.
pub(super) fn code(library: &Path) -> Option<Code> {
    let maps = std::fs::read_to_string("/proc/self/maps").ok()?;
    let library = library.to_str()?;
    let ranges: Vec<_> = maps
        .lines()
        .filter_map(|line| executable(line, library))
        .collect();
    (!ranges.is_empty()).then_some(Code {
        ranges,
        exit: Exit::Fault(leave_guest),
    })
}

/// The addresses of a mapping with code of this file.
fn executable(line: &str, library: &str) -> Option<Range<usize>> {
    // `start-end rwxp offset device inode   path`, where the path may be followed by `(deleted)`.
    let index = line.find('/')?;
    let path = line[index..].trim_end_matches(" (deleted)");
    let mut words = line[..index].split(' ');
    let (start, end) = words.next()?.split_once('-')?;
    let is_code = words.next()?.contains('x') && path == library;
    let address = |text: &str| usize::from_str_radix(text, 16).ok();
    is_code.then_some(address(start)?..address(end)?)
}

/// Leaves a guest that is to end, in a handler that has interrupted its code.
fn leave_guest(info: *mut libc::siginfo_t, context: *mut c_void) {
    let Some(handlers) = HANDLERS.get() else {
        return;
    };
    if ENTRY.get().is_none() {
        return;
    }
    let (signal, action) = (SIGNALS[0], &handlers.wasmedge[0]);
    if action.sa_flags & libc::SA_SIGINFO != 0 {
        // SAFETY: the system has given `action`. For this signal WasmEdge's handler looks at
        // nothing of what it gets, and jumps to where WasmEdge has entered the guest on this
        // thread.
        unsafe { signals::call(action, signal, info, context) };
    }
}

extern "C" fn handle(signal: c_int, info: *mut libc::siginfo_t, context: *mut c_void) {
    let index = SIGNALS.iter().position(|known| *known == signal);
    let (Some(handlers), Some(index)) = (HANDLERS.get(), index) else {
        return;
    };
    let action = match ENTRY.get() {
        Some((end, entry)) => {
            // SAFETY: the kernel gives the address with each of these signals.
            let address = unsafe { (*info).si_addr() }.addr();
            EXHAUSTED.set(
                signal != libc::SIGFPE
                    && (end.saturating_sub(BELOW_STACK)..entry).contains(&address),
            );
            &handlers.wasmedge[index]
        }
        None => &handlers.before[index],
    };
    // SAFETY: `action` was read with sigaction(2), and the other arguments are those that the
    // kernel gave to this handler.
    let handled = unsafe { signals::call(action, signal, info, context) };
    if !handled {
        // The instruction is run again, and now ends the process as it should.
        // SAFETY: sets the default action, so that no function of ours has to be a valid handler.
        unsafe { libc::signal(signal, libc::SIG_DFL) };
    }
}
