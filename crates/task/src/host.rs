//! Answers a guest's host calls, and keeps the one at which the guest has unwound.
//!
//! ```text
//!  call --> Done    --> back to the guest
//!       --> Exit    --> the guest is aborted
//!       --> Block   --> the call is kept as `pending`, the guest unwinds
//!  rewinding: the guest makes the same call again; it is answered from `pending`
//! ```

use std::sync::Arc;
use std::time::Duration;

use parking_lot::{Mutex, MutexGuard};

use super::context::OptionalGovernor;
use super::error::TaskError;
use super::functions::{HostCall, HostFunctions, HostFuture, HostReply, from_bits, to_bits};
use super::gate::Gate;
use super::handle::TaskHandle;
use super::import_target::ImportTarget;
use super::meter::Meter;
use super::program::Program;
use super::wasi_import::{Answer, WasiImport, memory_at};
use crate::engine::{EngineKind, Flow, Guest, HostCallback, MemoryGovernor, asyncify};
use crate::model::shape::Import;
use crate::model::{Limit, Wait};
use crate::wasi;

/// The host call at which a guest has unwound.
#[derive(Clone, Debug)]
pub(super) struct Pending {
    pub(super) import: usize,
    pub(super) arguments: Vec<u64>,
    pub(super) wait: Wait,
    /// Whether the call itself said that it blocks. If not, it has not been tried, and is made
    /// anew.
    pub(super) blocked: bool,
}

/// Everything that host calls change.
pub(super) struct Host {
    pub(super) wasi: wasi::Ctx,
    pub(super) pending: Option<Pending>,
    /// The next host call is the pending one, repeated.
    pub(super) rewinding: bool,
    pub(super) exit: Option<u32>,
    /// What an asynchronous host function answered.
    pub(super) reply: Option<HostReply>,
    /// An error that a host call cannot hand to the guest.
    pub(super) error: Option<TaskError>,
    /// Unwind at each call that may block, also if it could be answered at once (`--rehearse`); not
    /// at `path_open`.
    pub(super) unwind_always: bool,
    meter: Arc<Meter>,
    imports: Arc<[ImportTarget]>,
    /// Which of the guest's memories calls of preview1 and of registered functions work on.
    memory: Option<usize>,
    functions: HostFunctions,
    handle: TaskHandle,
    /// What counts the guest's memory, if the engine does not report that it grows.
    unreporting_engine_governor: Option<Arc<dyn MemoryGovernor>>,
    /// Bytes of the guest's memory that have been counted.
    pub(super) counted: u64,
    /// What the guest does outside of itself waits until this is open.
    pub(super) gate: Option<Arc<Gate>>,
}

/// Shared between the task and the engine's callback. Only one of them runs at a time.
#[derive(Clone)]
pub(super) struct SharedHost(Arc<Mutex<Host>>);

impl SharedHost {
    pub(super) fn new(host: Host) -> Self {
        Self(Arc::new(Mutex::new(host)))
    }

    pub(super) fn lock(&self) -> MutexGuard<'_, Host> {
        self.0.lock()
    }

    /// The callback to give to an engine.
    pub(super) fn callback(&self) -> HostCallback {
        let shared = self.clone();
        Box::new(move |guest, import, arguments| shared.lock().call(guest, import, arguments))
    }
}

fn full_name(import: &Import) -> String {
    format!("{}.{}", import.module, import.name)
}

impl Host {
    pub(super) fn new(
        wasi: wasi::Ctx,
        program: &Program,
        functions: HostFunctions,
        handle: TaskHandle,
        meter: Arc<Meter>,
        governor: OptionalGovernor,
        kind: EngineKind,
    ) -> Self {
        Self {
            wasi,
            pending: None,
            rewinding: false,
            exit: None,
            reply: None,
            error: None,
            unwind_always: false,
            meter,
            imports: program.import_targets(),
            memory: program.shape().host_memory,
            functions,
            handle,
            unreporting_engine_governor: governor.0.filter(|_| kind == EngineKind::WasmEdge),
            counted: 0,
            gate: None,
        }
    }

    /// Answers one host call of the guest's.
    fn call(&mut self, guest: &mut dyn Guest, import: usize, arguments: &[u64]) -> Flow {
        let imports = self.imports.clone();
        let Some(target) = imports.get(import) else {
            let text = format!("the module calls import {import}, which it does not have");
            self.error = Some(TaskError::Mismatch(text));
            return Flow::Stop;
        };
        let may_go_on = match target.is_of_abi() {
            true => !self.is_stopped(),
            false => self.may_go_on(guest),
        };
        if !may_go_on {
            return Flow::Stop;
        }
        let resumed = self.take_pending(guest, import);
        if self.error.is_some() {
            return Flow::Stop;
        }
        // Arguments do not survive the rewinding: the guest passes anything, those kept are right.
        let arguments = match &resumed {
            Some(pending) => pending.arguments.as_slice(),
            None => arguments,
        };
        match self.answer(target, guest, arguments, resumed.as_ref()) {
            Outcome::Return(bits) => Flow::Return(bits),
            Outcome::Stop => Flow::Stop,
            Outcome::Unwind { wait, blocked } => {
                self.pending = Some(Pending {
                    import,
                    arguments: arguments.to_vec(),
                    wait,
                    blocked,
                });
                asyncify::begin_unwind(guest);
                Flow::Unwind
            }
        }
    }

    /// Counts what the guest has taken up to this call. False where it must not go on.
    fn may_go_on(&mut self, guest: &mut dyn Guest) -> bool {
        self.meter.check_if_due();
        let mut size = || memory_at(guest, self.memory).len() as u64;
        // WasmEdge has one limit for all memories, asyncify's of 32 MiB among them.
        if self.meter.limits().value(Limit::Memory) < ASYNCIFY_MEMORY_BYTES {
            self.meter.check_limit(Limit::Memory, size());
        }
        if let Some(governor) = &self.unreporting_engine_governor {
            let size = size();
            if size > self.counted && governor.reserve(size - self.counted).is_err() {
                return false;
            }
            self.counted = self.counted.max(size);
        }
        !self.is_stopped()
    }

    /// Whether somebody or a limit has ended the task.
    fn is_stopped(&self) -> bool {
        self.handle.is_killed() || self.handle.is_evicted() || self.meter.is_terminated()
    }

    /// What a call comes to. `resumed` is what was kept of it, if the guest had unwound there.
    fn answer(
        &mut self,
        target: &ImportTarget,
        guest: &mut dyn Guest,
        arguments: &[u64],
        resumed: Option<&Pending>,
    ) -> Outcome {
        if let Some(outcome) = self.wait_at_gate(target, arguments, resumed) {
            return outcome;
        }
        match target {
            // A check asks for nothing: a guest that was suspended there just continues.
            ImportTarget::Preempt if resumed.is_some() => Outcome::Return(0),
            ImportTarget::Preempt => UNWIND_BEFORE_CALL,
            ImportTarget::Wasi(function, import) if import.blocks => {
                let woken = resumed.filter(|p| p.blocked).map(|p| &p.wait);
                let force = resumed.is_none() && self.must_unwind();
                self.wasi_call(function, arguments, guest, woken, force)
            }
            ImportTarget::Wasi(function, _) => self.wasi_call_in_place(function, arguments, guest),
            ImportTarget::Registered(import) if import.blocks => {
                self.registered_call(import, guest)
            }
            ImportTarget::Registered(import) => {
                self.error = Some(TaskError::HostFunction {
                    function: full_name(import),
                    message: "it is asynchronous, and the module was made without the ability to \
                              suspend"
                        .into(),
                });
                Outcome::Stop
            }
        }
    }

    /// Waits here until the gate is open, where the call may act outside of the guest. A guest that is
    /// to be suspended or stopped meanwhile does not make the call.
    fn wait_at_gate(
        &self,
        target: &ImportTarget,
        arguments: &[u64],
        resumed: Option<&Pending>,
    ) -> Option<Outcome> {
        let gate = self.gate.as_ref()?;
        let (reaches_outside, may_unwind) = match target {
            ImportTarget::Preempt => (false, false),
            ImportTarget::Registered(import) => (true, import.blocks),
            ImportTarget::Wasi(function, import) => {
                let may_unwind = function.may_unwind_before(self.unwind_always);
                let outside = function.reaches_outside(&self.wasi, arguments);
                (outside, import.blocks && may_unwind)
            }
        };
        while reaches_outside && !gate.is_open() {
            if self.is_stopped() {
                return Some(Outcome::Stop);
            }
            match resumed {
                Some(pending) if self.handle.is_asked() => {
                    return Some(Outcome::Unwind {
                        wait: pending.wait.clone(),
                        blocked: pending.blocked,
                    });
                }
                None if may_unwind && self.handle.is_asked() => return Some(UNWIND_BEFORE_CALL),
                _ => {}
            }
            std::thread::sleep(GATE_PAUSE);
            self.meter.check_if_due();
        }
        None
    }

    /// The guest has begun to unwind by itself, at a check.
    pub(super) fn unwound_at_check(&mut self) {
        let mut imports = self.imports.iter();
        let check = imports.position(|target| matches!(target, ImportTarget::Preempt));
        self.pending = check.map(|import| Pending {
            import,
            arguments: Vec::new(),
            wait: Wait::Yield,
            blocked: false,
        });
    }

    /// In a rewinding guest, ends the rewinding and gives the call it had unwound at.
    fn take_pending(&mut self, guest: &mut dyn Guest, import: usize) -> Option<Pending> {
        if !std::mem::take(&mut self.rewinding) {
            return None;
        }
        asyncify::end_rewind(guest);
        let pending = self.pending.take();
        if pending
            .as_ref()
            .is_none_or(|pending| pending.import != import)
        {
            let text = "the guest rewound to another host call than it had left";
            self.error = Some(TaskError::Mismatch(text.into()));
        }
        pending
    }

    fn must_unwind(&self) -> bool {
        self.unwind_always || self.handle.is_asked()
    }

    fn wasi_call(
        &mut self,
        function: &WasiImport,
        arguments: &[u64],
        guest: &mut dyn Guest,
        woken: Option<&Wait>,
        unwind_even_if_ready: bool,
    ) -> Outcome {
        let unwind_even_if_ready =
            unwind_even_if_ready && function.may_unwind_before(self.unwind_always);
        if unwind_even_if_ready && !function.has_no_effect() {
            return UNWIND_BEFORE_CALL;
        }
        let answer = function.call(&mut self.wasi, arguments, guest, self.memory, woken);
        if let Some(reached) = self.wasi.take_reached() {
            self.meter.on_limit_reached(reached);
            if self.meter.is_terminated() {
                return Outcome::Stop;
            }
        }
        log::trace!("{function} {arguments:x?} -> {answer:?}");
        match answer {
            Answer::Block(wait) => Outcome::Unwind {
                wait,
                blocked: true,
            },
            Answer::Done(_) if unwind_even_if_ready => UNWIND_BEFORE_CALL,
            Answer::Done(bits) => Outcome::Return(bits),
            Answer::Exit(code) => {
                self.exit = Some(code);
                Outcome::Stop
            }
            Answer::Trap(message) => {
                self.error = Some(TaskError::ComponentTrap(message));
                Outcome::Stop
            }
        }
    }

    /// A call at which the guest cannot unwind. Should it block all the same, as with
    /// `--transform none`, it waits here.
    fn wasi_call_in_place(
        &mut self,
        function: &WasiImport,
        arguments: &[u64],
        guest: &mut dyn Guest,
    ) -> Outcome {
        let mut woken = None;
        loop {
            match self.wasi_call(function, arguments, guest, woken.as_ref(), false) {
                Outcome::Unwind { wait, .. } => {
                    while !self.wasi.is_ready(&wait) {
                        self.wasi.wait_briefly(&wait);
                        self.meter.check_if_due();
                        if self.is_stopped() {
                            return Outcome::Stop;
                        }
                    }
                    woken = Some(wait);
                }
                outcome => return outcome,
            }
        }
    }

    fn registered_call(&mut self, import: &Import, guest: &mut dyn Guest) -> Outcome {
        let Some(reply) = self.reply.take() else {
            return Outcome::Unwind {
                wait: Wait::Host {
                    function: full_name(import),
                },
                blocked: false,
            };
        };
        let memory = memory_at(guest, self.memory);
        for (address, bytes) in &reply.writes {
            let start = *address as usize;
            let target = start
                .checked_add(bytes.len())
                .and_then(|end| memory.get_mut(start..end));
            match target {
                Some(target) => target.copy_from_slice(bytes),
                None => {
                    let message = format!(
                        "it wrote outside the guest's memory ({} bytes at {address})",
                        bytes.len()
                    );
                    let function = full_name(import);
                    self.error = Some(TaskError::HostFunction { function, message });
                    return Outcome::Stop;
                }
            }
        }
        Outcome::Return(reply.result.map_or(0, to_bits))
    }

    /// Starts the asynchronous function that the guest waits for.
    pub(super) fn start_function(&self, memory: &[u8]) -> Option<(String, HostFuture)> {
        let pending = self.pending.as_ref()?;
        let Some(ImportTarget::Registered(import)) = self.imports.get(pending.import) else {
            return None;
        };
        let registered = self.functions.get(&import.module, &import.name)?;
        let arguments = import.params.iter().zip(&pending.arguments);
        let call = HostCall {
            arguments: arguments.map(|(ty, bits)| from_bits(*ty, *bits)).collect(),
            memory,
        };
        Some((full_name(import), (registered.start)(call)))
    }
}

/// How often a call that waits at the gate looks whether it is open.
const GATE_PAUSE: Duration = Duration::from_millis(5);

/// Size of the memory that holds asyncify's stack.
const ASYNCIFY_MEMORY_BYTES: u64 = 32 << 20;

/// The guest unwinds at a call that has not been made.
const UNWIND_BEFORE_CALL: Outcome = Outcome::Unwind {
    wait: Wait::Yield,
    blocked: false,
};

/// What a host call comes to.
enum Outcome {
    Return(u64),
    Stop,
    Unwind { wait: Wait, blocked: bool },
}
