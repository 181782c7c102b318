//! Answers a guest's host calls, and keeps the one at which the guest has unwound.
//!
//! ```text
//!  call --> Done    --> back to the guest
//!       --> Exit    --> the guest is left where it stands
//!       --> Block   --> the call is kept as `pending`, the guest unwinds
//!  rewinding: the guest makes the same call again; it is answered from `pending`
//! ```

use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use super::functions::{HostCall, HostFunctions, HostFuture, HostReply, from_bits, to_bits};
use super::meter::Meter;
use super::{Growing, TaskHandle};
use crate::engine::{EngineKind, Flow, Growth, Guest, HostCallback, asyncify};
use crate::model::shape::{self, Import};
use crate::model::{Limit, ValType, Wait};
use crate::wasi;

/// The host call at which a guest has unwound.
#[derive(Clone, Debug)]
pub(super) struct Pending {
    pub(super) import: usize,
    pub(super) arguments: Vec<u64>,
    pub(super) wait: Wait,
    /// The call said so itself; otherwise it has not been tried, and is made anew.
    pub(super) blocked: bool,
}

/// Everything that host calls change.
pub(super) struct Host {
    pub(super) wasi: wasi::Ctx,
    pub(super) pending: Option<Pending>,
    /// The next host call is the pending one, made again.
    pub(super) rewinding: bool,
    pub(super) exit: Option<u32>,
    /// What an asynchronous host function answered.
    pub(super) reply: Option<HostReply>,
    /// An error that a host call cannot hand to the guest.
    pub(super) error: Option<String>,
    /// Unwind at every call that may block, even if it would not (`--rehearse`).
    pub(super) unwind_always: bool,
    meter: Arc<Meter>,
    imports: Vec<Target>,
    functions: HostFunctions,
    handle: TaskHandle,
    /// Who has the memory that the guest grows into, where its engine does not say that it does.
    unseen: Option<Arc<dyn Growth>>,
    /// Bytes of its memory that have been counted.
    pub(super) counted: u64,
}

/// What an import is bound to.
#[derive(Clone)]
enum Target {
    /// The check of a guest that computes.
    Preempt,
    Wasi(wasi::Function, Import),
    Registered(Import),
}

/// Shared between the task and the engine's callback. Only one of them runs at a time.
#[derive(Clone)]
pub(super) struct SharedHost(Arc<Mutex<Host>>);

impl SharedHost {
    pub(super) fn new(
        wasi: wasi::Ctx,
        imports: &[Import],
        functions: HostFunctions,
        handle: TaskHandle,
        meter: Arc<Meter>,
        growth: Growing,
        kind: EngineKind,
    ) -> Self {
        let imports = imports
            .iter()
            .map(
                |import| match wasi_function(&import.module, &import.name, &import.params) {
                    Some(function) => Target::Wasi(function, import.clone()),
                    None if is_check(import) => Target::Preempt,
                    None => Target::Registered(import.clone()),
                },
            )
            .collect();
        Self(Arc::new(Mutex::new(Host {
            wasi,
            pending: None,
            rewinding: false,
            exit: None,
            reply: None,
            error: None,
            unwind_always: false,
            meter,
            imports,
            functions,
            handle,
            unseen: growth.0.filter(|_| kind == EngineKind::WasmEdge),
            counted: 0,
        })))
    }

    pub(super) fn lock(&self) -> MutexGuard<'_, Host> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// The callback to give to an engine.
    pub(super) fn callback(&self) -> HostCallback {
        let shared = self.clone();
        Box::new(move |guest, import, arguments| shared.lock().call(guest, import, arguments))
    }
}

fn is_check(import: &Import) -> bool {
    (import.module.as_str(), import.name.as_str()) == shape::PREEMPT
}

/// The WASI function behind an import.
pub(super) fn wasi_function(
    module: &str,
    name: &str,
    params: &[ValType],
) -> Option<wasi::Function> {
    (module == wasi::Function::MODULE)
        .then(|| wasi::Function::find(name, params))
        .flatten()
}

impl Host {
    fn call(&mut self, guest: &mut dyn Guest, import: usize, arguments: &[u64]) -> Flow {
        self.meter.look();
        // WasmEdge has one limit for all memories, asyncify's of 32 MiB among them.
        if self.meter.limits().value(Limit::Memory) < 32 << 20 {
            self.meter.check(Limit::Memory, guest.memory().len() as u64);
        }
        if let Some(growth) = &self.unseen {
            let size = guest.memory().len() as u64;
            if size > self.counted && growth.grow(size - self.counted).is_err() {
                return Flow::Stop;
            }
            self.counted = self.counted.max(size);
        }
        if self.handle.is_killed() || self.handle.is_evicted() || self.meter.is_over() {
            return Flow::Stop;
        }
        let resumed = self.take_pending(guest, import);
        if self.error.is_some() {
            return Flow::Stop;
        }
        let Some(target) = self.imports.get(import).cloned() else {
            self.error = Some(format!(
                "the module calls import {import}, which it does not have"
            ));
            return Flow::Stop;
        };
        // Arguments do not survive the rewinding: the guest passes anything, ours are right.
        let arguments = match &resumed {
            Some(pending) => pending.arguments.clone(),
            None => arguments.to_vec(),
        };
        let woken = resumed.as_ref().filter(|p| p.blocked).map(|p| &p.wait);
        let outcome = match &target {
            // It asks nothing, and goes on where the guest is made to go on.
            Target::Preempt if resumed.is_some() => Outcome::Return(0),
            Target::Preempt => UNTRIED,
            Target::Wasi(function, import) if import.blocks => {
                let force = resumed.is_none() && self.must_unwind();
                self.wasi_call(*function, &arguments, guest, woken, force)
            }
            Target::Wasi(function, _) => self.wasi_call_in_place(*function, &arguments, guest),
            Target::Registered(import) if import.blocks => self.registered_call(import, guest),
            Target::Registered(import) => {
                self.error = Some(format!(
                    "{}.{} is asynchronous, and the module was made without the ability to suspend",
                    import.module, import.name
                ));
                Outcome::Stop
            }
        };
        match outcome {
            Outcome::Return(bits) => Flow::Return(bits),
            Outcome::Stop => Flow::Stop,
            Outcome::Unwind { wait, blocked } => {
                self.pending = Some(Pending {
                    import,
                    arguments,
                    wait,
                    blocked,
                });
                asyncify::begin_unwind(guest);
                Flow::Unwind
            }
        }
    }

    /// The guest has begun to unwind by itself, at a check.
    pub(super) fn unwound_at_check(&mut self) {
        let check = self.imports.iter();
        let check = check
            .clone()
            .position(|target| matches!(target, Target::Preempt));
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
            self.error = Some("the guest rewound to another host call than it had left".into());
        }
        pending
    }

    fn must_unwind(&self) -> bool {
        self.unwind_always || self.handle.is_asked()
    }

    fn wasi_call(
        &mut self,
        function: wasi::Function,
        arguments: &[u64],
        guest: &mut dyn Guest,
        woken: Option<&Wait>,
        force: bool,
    ) -> Outcome {
        // A poll takes nothing away, so it can be asked first what it waits for; a read cannot.
        let harmless = matches!(
            function,
            wasi::Function::PollOneoff | wasi::Function::EpollOneoff
        );
        // An answer to a datagram goes out first: the socket knows whom it answers, a file does not.
        let force = force && (self.unwind_always || function != wasi::Function::SockSendTo);
        // An open waits for named pipes alone: where it does not wait, it is no place to stop at.
        let force = force && function != wasi::Function::PathOpen;
        if force && !harmless {
            return UNTRIED;
        }
        let outcome = self.wasi.call(function, arguments, guest.memory(), woken);
        if let Some(reached) = self.wasi.take_reached() {
            self.meter.reach(reached);
            if self.meter.is_over() {
                return Outcome::Stop;
            }
        }
        log::trace!("{} {arguments:x?} -> {outcome:?}", function.name());
        match outcome {
            wasi::Outcome::Block(wait) => Outcome::Unwind {
                wait,
                blocked: true,
            },
            wasi::Outcome::Done(_) if force => UNTRIED,
            wasi::Outcome::Done(errno) => Outcome::Return(u64::from(errno.raw())),
            wasi::Outcome::Exit(code) => {
                self.exit = Some(code);
                Outcome::Stop
            }
        }
    }

    /// A call at which the guest cannot unwind. Should it block all the same, as with
    /// `--transform none`, it waits here.
    fn wasi_call_in_place(
        &mut self,
        function: wasi::Function,
        arguments: &[u64],
        guest: &mut dyn Guest,
    ) -> Outcome {
        let mut woken = None;
        loop {
            match self.wasi_call(function, arguments, guest, woken.as_ref(), false) {
                Outcome::Unwind { wait, .. } => {
                    while !self.wasi.is_ready(&wait) {
                        self.wasi.wait_briefly(&wait);
                        self.meter.look();
                        if self.handle.is_killed()
                            || self.handle.is_evicted()
                            || self.meter.is_over()
                        {
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
                    function: format!("{}.{}", import.module, import.name),
                },
                blocked: false,
            };
        };
        let memory = guest.memory();
        for (address, bytes) in &reply.writes {
            let start = *address as usize;
            let place = start
                .checked_add(bytes.len())
                .and_then(|end| memory.get_mut(start..end));
            match place {
                Some(place) => place.copy_from_slice(bytes),
                None => {
                    self.error = Some(format!(
                        "host function {}.{} wrote outside the guest's memory ({} bytes at {address})",
                        import.module,
                        import.name,
                        bytes.len()
                    ));
                    return Outcome::Stop;
                }
            }
        }
        Outcome::Return(reply.result.map_or(0, to_bits))
    }

    /// Starts the asynchronous function that the guest waits for.
    pub(super) fn start_function(&self, memory: &[u8]) -> Option<(String, HostFuture)> {
        let pending = self.pending.as_ref()?;
        let Some(Target::Registered(import)) = self.imports.get(pending.import) else {
            return None;
        };
        let registered = self.functions.get(&import.module, &import.name)?;
        let arguments = import.params.iter().zip(&pending.arguments);
        let call = HostCall {
            arguments: arguments.map(|(ty, bits)| from_bits(*ty, *bits)).collect(),
            memory,
        };
        let name = format!("{}.{}", import.module, import.name);
        Some((name, (registered.start)(call)))
    }
}

/// The guest unwinds at a call that has not been made.
const UNTRIED: Outcome = Outcome::Unwind {
    wait: Wait::Yield,
    blocked: false,
};

/// What a host call comes to.
enum Outcome {
    Return(u64),
    Stop,
    Unwind { wait: Wait, blocked: bool },
}
