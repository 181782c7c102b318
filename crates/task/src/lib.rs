//! One guest: an instance, its host state, and where it stands.
//!
//! ```text
//!   new ----> Ready --step--> Parked --step--> Parked ... --> Exited
//!               ^               |
//!               |             freeze
//!             thaw              v
//!               `---------- Snapshot
//! ```
//!
//! [`Task::step`] runs the guest on the caller's thread until it exits or blocks. It never waits:
//! waiting is the scheduler's.

use dormouse_engine as engine;
use dormouse_instrument as instrument;
use dormouse_model as model;
use dormouse_snapshot as snapshot;
use dormouse_wasi as wasi;

mod around;
mod cache;
mod error;
mod freeze;
mod functions;
mod handle;
mod host;
mod known;
mod limits;
mod meter;
mod packed;
mod policy;
mod program;
pub mod progress;
pub mod reactor;
mod run;
mod watch;

use std::sync::Arc;
use std::time::Duration;

use self::around::Around;
use self::host::SharedHost;
use self::meter::Meter;
use crate::engine::{Ending, EngineKind, asyncify};
use crate::model::clock::Clock;
use crate::model::error::Error;
use crate::model::{Ends, Limit, Limits, Timestamp, Wait};

pub use around::Growing;
pub use cache::leave;
pub use cache::remove_unfinished;
pub use error::TaskError;
pub use freeze::{Restore, SnapshotExt};
pub use functions::{HostCall, HostFunctions, HostFuture, HostReply};
pub use handle::TaskHandle;
pub use policy::Policy;
pub use program::{Program, Runtime, RuntimeOptions};
pub use progress::Logged;
pub use progress::{Observer, Progress, Work, quiet};

pub use run::{Ended, run, time_ends};

pub use crate::snapshot::Snapshot;
pub use packed::check_packed;
// The scheduler's, which knows tasks alone.
pub use crate::{
    engine::{EngineKind as Engine, GUEST_STACK as STACK, Growth, NoRoom},
    snapshot::{ModuleRef, VERSION as SNAPSHOT_VERSION, chunks, pack, unpack},
    wasi::{
        Access, Asleep, Bindings, Clocks, Config, Grants, HeldSocket, HostDir, Input, Listener,
        Output, Randomness, RestoreOptions, Role, Rule, Sink, TmpDir, Watch, Watched,
    },
};

/// What a new task is given.
#[derive(Debug, Default)]
pub struct Setup {
    /// Arguments and environment of the guest.
    pub config: wasi::Config,
    /// Its standard streams and directories.
    pub bindings: wasi::Bindings,
    /// The clock; `None` is the system's.
    pub clock: Option<Arc<dyn Clock>>,
    /// How much it may take.
    pub limits: Limits,
    /// By which the task is going to be asked to suspend.
    pub handle: TaskHandle,
    /// Who has the memory that its guest grows into; `None` where nobody counts.
    pub growth: Growing,
}

/// How a step ended.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Step {
    /// The guest ended with this exit code.
    Exited(u32),
    /// The guest waits; [`Task::step`] goes on when the wait is over, and is harmless before.
    Parked(Wait),
}

/// One guest.
pub struct Task {
    program: Arc<Program>,
    kind: EngineKind,
    instance: Box<dyn engine::Instance>,
    host: SharedHost,
    handle: TaskHandle,
    clock: Arc<dyn Clock>,
    /// Which of the shape's entries is being run.
    entry: usize,
    exited: Option<u32>,
    /// The next step ends at its first check.
    preempt_next: bool,
    meter: Arc<Meter>,
    /// Bytes of native stack that the guest may use.
    stack: usize,
    /// Given back when the instance, which stands above, is gone.
    _growth: Growing,
}

impl Task {
    /// A task that has not run yet.
    ///
    /// # Errors
    /// Where the engine is not built in, or a directory cannot be opened.
    pub fn new(
        runtime: &Runtime,
        program: &Arc<Program>,
        kind: EngineKind,
        setup: Setup,
        progress: Progress<'_>,
    ) -> Result<Self, Error> {
        let around = Around::new(setup.clock, setup.limits, setup.handle, None, setup.growth);
        let bindings = wasi::Bindings {
            limits: setup.limits,
            ..setup.bindings
        };
        let wasi = wasi::Ctx::new(setup.config, bindings, around.clock.clone())?;
        Self::assemble(runtime, program, kind, wasi, around, progress)
    }

    fn assemble(
        runtime: &Runtime,
        program: &Arc<Program>,
        kind: EngineKind,
        wasi: wasi::Ctx,
        around: Around,
        progress: Progress<'_>,
    ) -> Result<Self, Error> {
        let module = program.module(runtime, kind, progress)?;
        let imports = &program.shape().imports;
        let functions = runtime.functions().clone();
        let (usage, as_of) = (&around.usage, around.as_of);
        let (age, handle) = (around.age.clone(), around.handle.clone());
        let meter = Arc::new(Meter::new(around.limits, age, handle, usage, as_of));
        let mut wasi = wasi;
        let written = |limit| meter::used(&around.limits, limit, usage, as_of);
        wasi.resume_quota(
            written(Limit::Output),
            written(Limit::Writes),
            Timestamp::from_nanos(usage.started),
            around.age.clone(),
        );
        let host = SharedHost::new(
            wasi,
            imports,
            functions,
            around.handle.clone(),
            meter.clone(),
            around.growth.clone(),
            kind,
        );
        let growth = around.growth.0.clone();
        let mut instance = module.instantiate(host.callback(), &around.limits, growth)?;
        let mut total = 0;
        for index in 0..program.shape().memories {
            let size = instance.guest_memory(index)?.len() as u64;
            total += size;
            if size > around.limits.value(Limit::Memory) {
                return Err(
                    TaskError::Limit(around.limits.reached(Limit::Memory).with(size)).into(),
                );
            }
        }
        if let Some(growth) = &around.growth.0 {
            growth.grow(total).map_err(engine::Error::from)?;
        }
        host.lock().counted = total;
        asyncify::prepare(&mut *instance);
        around.handle.attach(instance.interrupt());
        Ok(Self {
            program: program.clone(),
            kind,
            instance,
            host,
            handle: around.handle,
            clock: around.clock,
            entry: 0,
            exited: None,
            preempt_next: false,
            stack: engine::stack(&runtime.limits),
            meter,
            _growth: around.growth,
        })
    }

    /// Runs the guest until it exits or blocks. Where the wait is not over, it blocks again.
    ///
    /// # Errors
    /// `engine::Error::Trap` where the guest trapped; the task is then of no more use.
    pub fn step(&mut self) -> Result<Step, Error> {
        if let Some(code) = self.exited {
            return Ok(Step::Exited(code));
        }
        loop {
            let entry = self
                .program
                .shape()
                .entries
                .get(self.entry)
                .cloned()
                .ok_or_else(|| TaskError::Mismatch("its entry does not exist".into()))?;
            {
                let mut host = self.host.lock();
                if host.pending.is_some() {
                    host.rewinding = true;
                    asyncify::begin_rewind(&mut *self.instance);
                }
                // What was asked before is asked still; a turn that was ended is over.
                self.handle.set_flag(std::mem::take(&mut self.preempt_next));
            }
            self.meter.look_at_time();
            if let Some(over) = self.over() {
                return Err(over.into());
            }
            let meter = self.meter.clone();
            let turn = meter.begin();
            let ended = self.call(&entry);
            drop(turn);
            if self.handle.is_killed() {
                return Err(TaskError::Killed.into());
            }
            if self.handle.is_evicted() {
                return Err(TaskError::Evicted.into());
            }
            if let Some(over) = self.over() {
                return Err(over.into());
            }
            let told = self.told();
            let mut host = self.host.lock();
            if let Some(message) = host.error.take() {
                return Err(TaskError::Mismatch(message).into());
            }
            if host.pending.is_none() && self.instance.is_unwinding() {
                host.unwound_at_check();
            }
            match ended {
                // Only `proc_exit` and `proc_raise` stop a guest, and both give a code.
                Ok(Ending::Stopped) => {
                    let code = host.exit.unwrap_or_default();
                    self.exited = Some(code);
                    return Ok(Step::Exited(code));
                }
                Ok(Ending::Returned) => {}
                Err(engine::Error::Trap(message)) if host.pending.is_some() => {
                    return Err(TaskError::TooDeep(message).into());
                }
                Err(error @ engine::Error::Exhausted(_)) => {
                    let reached = self.meter.limits().reached(Limit::Stack);
                    return Err(TaskError::Stack(error.to_string(), reached).into());
                }
                Err(engine::Error::Trap(message)) => {
                    return Err(match told {
                        Some(told) => TaskError::Told(message, told).into(),
                        None => engine::Error::Trap(message).into(),
                    });
                }
                Err(error) => return Err(error.into()),
            }
            if let Some(pending) = &host.pending {
                return Ok(Step::Parked(pending.wait.clone()));
            }
            drop(host);
            self.entry += 1;
            if self.entry == self.program.shape().entries.len() {
                self.exited = Some(0);
                return Ok(Step::Exited(0));
            }
        }
    }

    /// What the guest waits for, if it is parked.
    pub fn wait(&self) -> Option<Wait> {
        self.host.lock().pending.as_ref().map(|p| p.wait.clone())
    }

    /// How long it is until the wait's deadline; zero once it has passed, `None` where there is none.
    pub fn remaining(&self) -> Option<Duration> {
        let host = self.host.lock();
        host.wasi.remaining(&host.pending.as_ref()?.wait)
    }

    /// How long the wait may be left alone, where no descriptor tells that it is over.
    pub fn look_again(&self) -> Option<Duration> {
        let host = self.host.lock();
        host.wasi.recheck_interval(&host.pending.as_ref()?.wait)
    }

    /// When the wait ends by its deadline, in nanoseconds since the Unix epoch.
    pub fn wakes_at(&self) -> Option<u64> {
        let host = self.host.lock();
        let wakes = host.wasi.wakes_at(&host.pending.as_ref()?.wait);
        wakes.map(Timestamp::as_nanos)
    }

    /// When the wait ends by itself, by each of the two clocks.
    pub fn ends(&self) -> Ends {
        let host = self.host.lock();
        let wait = host.pending.as_ref().map(|pending| &pending.wait);
        wait.map_or_else(Ends::default, |wait| host.wasi.ends(wait))
    }

    /// Whether the wait is over, as far as can be told without waiting.
    pub fn is_ready(&self) -> bool {
        let host = self.host.lock();
        match &host.pending {
            None => true,
            Some(pending) => host.reply.is_some() || host.wasi.is_ready(&pending.wait),
        }
    }

    /// Whether the guest waits for sockets and for nothing else, so that they can be watched from outside.
    pub fn is_watchable(&self) -> bool {
        let host = self.host.lock();
        let wait = host.pending.as_ref().map(|pending| &pending.wait);
        wait.is_some_and(|wait| host.wasi.watches(wait).is_some())
    }

    /// The sockets that the last snapshot names, and those that end the wait. The task has them, too, as
    /// long as it lives.
    pub fn asleep(&self) -> wasi::Asleep {
        let host = self.host.lock();
        let pending = host.pending.as_ref();
        pending.map_or_else(wasi::Asleep::default, |pending| {
            host.wasi.asleep(&pending.wait)
        })
    }

    /// Duplicates of the host's file descriptors that the guest waits for.
    pub fn sources(&self) -> std::io::Result<Vec<(std::os::fd::OwnedFd, crate::model::Interest)>> {
        let host = self.host.lock();
        let Some(pending) = &host.pending else {
            return Ok(Vec::new());
        };
        host.wasi
            .sources(&pending.wait)
            .into_iter()
            .map(|source| Ok((source.fd.try_clone_to_owned()?, source.interest)))
            .collect()
    }

    /// Starts the asynchronous host function that the guest waits for.
    pub fn start_function(&mut self) -> Option<(String, HostFuture)> {
        let memory = self.instance.memory();
        self.host.lock().start_function(memory)
    }

    /// Hands over what that function answered.
    pub fn finish_function(&mut self, reply: HostReply) {
        self.host.lock().reply = Some(reply);
    }

    /// The handle by which the task can be asked to suspend.
    pub fn handle(&self) -> TaskHandle {
        self.handle.clone()
    }

    /// Unwinds at every call that may block, even if it would not: what `--rehearse` does.
    pub fn unwind_always(&mut self, always: bool) {
        self.host.lock().unwind_always = always;
    }

    /// Ends the next step at the first check that the guest makes, if its module has checks.
    pub fn preempt_next(&mut self) {
        self.preempt_next = true;
    }

    /// The program.
    pub fn program(&self) -> &Arc<Program> {
        &self.program
    }

    /// Bytes of the guest's memories.
    pub fn memory_size(&mut self) -> u64 {
        let count = self.program.shape().memories;
        let instance = &mut self.instance;
        (0..count)
            .map(|index| {
                instance
                    .guest_memory(index)
                    .map_or(0, |memory| memory.len() as u64)
            })
            .sum()
    }

    /// The engine that the guest runs on.
    pub fn engine(&self) -> EngineKind {
        self.kind
    }
}

/// Native stack beside the guest's own: for host calls and the engine's entry.
const MARGIN: usize = 1 << 20;

impl std::fmt::Debug for Task {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Task")
            .field("program", &self.program)
            .field("engine", &self.kind)
            .field("entry", &self.entry)
            .field("exited", &self.exited)
            .finish_non_exhaustive()
    }
}
