//! A task's state machine: from one wait to the next.

use std::sync::Arc;
use std::time::Duration;

use super::context::{Context, OptionalGovernor};
use super::error::TaskError;
use super::functions::{HostFuture, HostReply};
use super::handle::TaskHandle;
use super::host::{Host, SharedHost};
use super::meter::{self, Meter};
use super::program::Program;
use super::progress::Progress;
use super::runtime::Runtime;
use crate::engine::{self, Ending, EngineKind, GUEST_STACK, asyncify};
use crate::model::clock::Clock;
use crate::model::error::Error;
use crate::model::{Ends, Interest, Limit, MonotonicTime, Timestamp, Wait};
use crate::wasi::{self, HttpConnection};

/// How a step ended.
#[derive(Debug)]
pub enum Step<'a> {
    /// The guest ended with this exit code.
    Exited(u32),
    /// The guest waits, and can be serialized. [`Task::step`] continues when the wait is over;
    /// where it is not over, the guest waits again.
    Parked(Parked<'a>),
}

impl Step<'_> {
    /// The exit code of a guest that has ended.
    pub fn exit_code(&self) -> Option<u32> {
        match self {
            Self::Exited(code) => Some(*code),
            Self::Parked(_) => None,
        }
    }
}

/// A task whose guest waits at a host call: only then can it become a snapshot.
///
/// It borrows the task, so that the guest cannot run meanwhile. To go on with the task, drop this.
#[derive(Debug)]
pub struct Parked<'a> {
    pub(super) task: &'a mut Task,
}

impl Parked<'_> {
    /// What the guest waits for.
    pub fn wait(&self) -> Wait {
        // A parked task has a wait.
        self.task.wait().unwrap_or(Wait::Yield)
    }

    /// When the wait ends by itself, by each of the two clocks.
    pub fn ends(&self) -> Ends {
        self.task.ends()
    }
}

/// One guest.
pub struct Task {
    pub(super) program: Arc<Program>,
    pub(super) kind: EngineKind,
    pub(super) instance: Box<dyn engine::Instance>,
    pub(super) host: SharedHost,
    handle: TaskHandle,
    pub(super) clock: Arc<dyn Clock>,
    /// Which of the shape's entries is being run.
    pub(super) entry: usize,
    pub(super) exited: Option<u32>,
    /// The next step ends at its first check.
    preempt_next: bool,
    pub(super) meter: Arc<Meter>,
    /// Bytes of native stack that the guest may use.
    pub(super) stack: usize,
    /// Given back when the instance, which stands above, is gone.
    _governor: OptionalGovernor,
}

impl Task {
    /// A task around a fresh instance.
    pub(super) fn assemble(
        runtime: &Runtime,
        program: &Arc<Program>,
        kind: EngineKind,
        mut wasi: wasi::Ctx,
        context: Context,
        progress: Progress<'_>,
    ) -> Result<Self, Error> {
        let module = program.module(runtime, kind, progress)?;
        let limits = context.limits;
        let meter = Arc::new(context.meter());
        let written = |limit| meter::used(&limits, limit, &context.usage, context.as_of);
        wasi.resume_quota(
            written(Limit::Output),
            written(Limit::Writes),
            MonotonicTime::beginning_as(context.usage.started),
            context.age.clone(),
        );
        let host = SharedHost::new(Host::new(
            wasi,
            program,
            runtime.functions().clone(),
            context.handle.clone(),
            meter.clone(),
            context.governor.clone(),
            kind,
        ));
        let governor = context.governor.0.clone();
        let mut instance = module.instantiate(host.callback(), &limits, governor)?;
        host.lock().counted = count_memory(program, &mut *instance, &context)?;
        host.lock().gate = context.gate.clone();
        asyncify::prepare(&mut *instance);
        context.handle.attach(instance.interrupt());
        Ok(Self {
            program: program.clone(),
            kind,
            instance,
            host,
            handle: context.handle,
            clock: context.clock,
            entry: 0,
            exited: None,
            preempt_next: false,
            stack: engine::stack(&runtime.limits),
            meter,
            _governor: context.governor,
        })
    }

    /// Runs the guest until it exits or blocks. Where the wait is not over, it blocks again.
    ///
    /// # Errors
    /// If the guest trapped, was killed or reached a limit; the task is then of no more use.
    pub fn step(&mut self) -> Result<Step<'_>, Error> {
        Ok(match self.advance()? {
            Some(code) => Step::Exited(code),
            None => Step::Parked(Parked { task: self }),
        })
    }

    /// The guest's exit code, or nothing where it is parked. Whoever waits for an answer of a guest
    /// that has ended is told.
    fn advance(&mut self) -> Result<Option<u32>, Error> {
        let advanced = self.advance_on();
        if !matches!(advanced, Ok(None)) {
            self.host.lock().wasi.end();
        }
        advanced
    }

    fn advance_on(&mut self) -> Result<Option<u32>, Error> {
        if self.exited.is_some() {
            return Ok(self.exited);
        }
        loop {
            let entry = self.program.shape().entries.get(self.entry).cloned();
            let missing = || TaskError::Mismatch("its entry does not exist".into());
            let entry = entry.ok_or_else(missing)?;
            self.begin_entry();
            self.may_go_on()?;
            let meter = self.meter.clone();
            let turn = meter.begin();
            let ended = self.call(&entry);
            drop(turn);
            self.left_alone()?;
            self.may_go_on()?;
            match self.ended(ended)? {
                Ran::Exited(code) => {
                    self.exited = Some(code);
                    return Ok(Some(code));
                }
                Ran::Parked => return Ok(None),
                Ran::Returned => self.entry += 1,
            }
            if self.entry == self.program.shape().entries.len() {
                self.exited = Some(0);
                return Ok(Some(0));
            }
        }
    }

    /// Makes the instance ready for a call of its entry: for the first one, or to rewind.
    fn begin_entry(&mut self) {
        let mut host = self.host.lock();
        if host.pending.is_some() {
            host.rewinding = true;
            asyncify::begin_rewind(&mut *self.instance);
        }
        // A request to suspend still holds; a turn that was ended is over.
        self.handle.set_flag(std::mem::take(&mut self.preempt_next));
        drop(host);
        self.meter.check_time_limit();
    }

    /// Fails where the task has reached a limit that ends it.
    pub(super) fn may_go_on(&self) -> Result<(), TaskError> {
        let reached = self.meter.is_terminated().then(|| self.meter.reached());
        reached
            .flatten()
            .map_or(Ok(()), |reached| Err(TaskError::Limit(reached)))
    }

    /// Fails where somebody has ended the task from elsewhere.
    fn left_alone(&self) -> Result<(), TaskError> {
        if self.handle.is_killed() {
            return Err(TaskError::Killed);
        }
        if self.handle.is_evicted() {
            return Err(TaskError::Evicted);
        }
        Ok(())
    }

    /// What the end of a call of an entry means.
    fn ended(&mut self, ended: Result<Ending, engine::Error>) -> Result<Ran, Error> {
        let refused = self.last_refused_limit();
        let mut host = self.host.lock();
        if let Some(error) = host.error.take() {
            return Err(error.into());
        }
        if host.pending.is_none() && self.instance.is_unwinding() {
            host.unwound_at_check();
        }
        match ended {
            // Only `proc_exit` and `proc_raise` stop a guest, and both give a code.
            Ok(Ending::Stopped) => Ok(Ran::Exited(host.exit.unwrap_or_default())),
            Ok(Ending::Returned) if host.pending.is_some() => Ok(Ran::Parked),
            Ok(Ending::Returned) => Ok(Ran::Returned),
            Err(engine::Error::Trap(message)) if host.pending.is_some() => {
                Err(TaskError::TooDeep(message).into())
            }
            Err(error @ engine::Error::Exhausted(_)) => {
                let reached = self.meter.limits().reached(Limit::Stack);
                Err(TaskError::Stack(error.to_string(), reached).into())
            }
            Err(engine::Error::Trap(message)) => Err(match refused {
                Some(limit) => TaskError::AfterRefusal(message, limit).into(),
                None => engine::Error::Trap(message).into(),
            }),
            Err(error) => Err(error.into()),
        }
    }

    /// Runs the guest on a stack as deep as it may use.
    fn call(&mut self, entry: &str) -> Result<Ending, engine::Error> {
        // Guests may use deep stacks whatever thread they run on.
        let (instance, stack) = (&mut self.instance, self.stack);
        let call = || instance.call(entry);
        match self.kind {
            // WasmEdge knows only the end of the thread's stack, so that a limit is a stack of that
            // size.
            EngineKind::WasmEdge if stack != GUEST_STACK => {
                stacker::grow(stack + HOST_STACK_BYTES, call)
            }
            _ => stacker::maybe_grow(stack + HOST_STACK_BYTES, stack + 2 * HOST_STACK_BYTES, call),
        }
    }

    /// The task as one that can be serialized.
    ///
    /// # Errors
    /// If the guest does not wait: it has not run yet, or it has exited.
    pub fn parked(&mut self) -> Result<Parked<'_>, TaskError> {
        if self.exited.is_some() {
            let text = "the guest has exited; there is nothing to suspend";
            return Err(TaskError::State(text));
        }
        if self.host.lock().pending.is_none() {
            let text = "the task has not run yet; there is nothing to suspend";
            return Err(TaskError::State(text));
        }
        Ok(Parked { task: self })
    }

    /// What the guest waits for, if it is parked.
    pub fn wait(&self) -> Option<Wait> {
        self.host.lock().pending.as_ref().map(|p| p.wait.clone())
    }

    /// How long it is until the wait's deadline: zero once that has passed, `None` where there is
    /// none.
    pub fn remaining(&self) -> Option<Duration> {
        let host = self.host.lock();
        host.wasi.remaining(&host.pending.as_ref()?.wait)
    }

    /// How long the wait is going to last, as far as that is known: the time until its deadline,
    /// unless that is only the timeout of a request over the network.
    pub fn known_length(&self) -> Option<Duration> {
        let host = self.host.lock();
        host.wasi.known_length(&host.pending.as_ref()?.wait)
    }

    /// How long the wait may be left alone, where no descriptor tells that it is over.
    pub fn look_again(&self) -> Option<Duration> {
        let host = self.host.lock();
        host.wasi.recheck_interval(&host.pending.as_ref()?.wait)
    }

    /// When the wait ends by its deadline.
    pub fn wakes_at(&self) -> Option<Timestamp> {
        let host = self.host.lock();
        host.wasi.wakes_at(&host.pending.as_ref()?.wait)
    }

    /// When the wait ends by itself, by each of the two clocks.
    pub fn ends(&self) -> Ends {
        let host = self.host.lock();
        let wait = host.pending.as_ref().map(|pending| &pending.wait);
        wait.map_or_else(Ends::default, |wait| host.wasi.ends(wait))
    }

    /// Whether the wait is over, as far as is known without waiting.
    pub fn is_ready(&self) -> bool {
        let host = self.host.lock();
        match &host.pending {
            None => true,
            Some(pending) => host.reply.is_some() || host.wasi.is_ready(&pending.wait),
        }
    }

    /// Whether the guest waits for sockets and for nothing else, so that they can be watched from
    /// outside.
    pub fn is_watchable(&self) -> bool {
        let host = self.host.lock();
        let wait = host.pending.as_ref().map(|pending| &pending.wait);
        wait.is_some_and(|wait| host.wasi.watches(wait).is_some())
    }

    /// The sockets that the last snapshot names, and those that end the wait. As long as the task
    /// lives, it has them as well.
    pub fn asleep(&self) -> wasi::Asleep {
        let host = self.host.lock();
        let pending = host.pending.as_ref();
        pending.map_or_else(wasi::Asleep::default, |pending| {
            host.wasi.asleep(&pending.wait)
        })
    }

    /// Duplicates of the host's file descriptors that the guest waits for.
    pub fn sources(&self) -> std::io::Result<Vec<(std::os::fd::OwnedFd, Interest)>> {
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
        let memory = match self.program.shape().host_memory {
            Some(index) => self.instance.memory(index),
            None => &mut [],
        };
        self.host.lock().start_function(memory)
    }

    /// Hands over what that function answered.
    pub fn finish_function(&mut self, reply: HostReply) {
        self.host.lock().reply = Some(reply);
    }

    /// The connection on which the guest has answered its one request, if it can be used again.
    pub fn take_http_connection(&mut self) -> Option<HttpConnection> {
        self.host.lock().wasi.take_http_connection()
    }

    /// Whether the guest waits for its one request, of which nothing has come.
    pub fn awaits_request(&self) -> bool {
        self.host.lock().wasi.awaits_request()
    }

    /// The handle by which the task can be asked to suspend.
    pub fn handle(&self) -> TaskHandle {
        self.handle.clone()
    }

    /// Whether the guest unwinds at each call that may block, also if the call could be answered at
    /// once. For `--rehearse`. Not at `path_open`, which unwinds only if it blocks.
    pub fn set_unwind_always(&mut self, on: bool) {
        self.host.lock().unwind_always = on;
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

/// Bytes of native stack in addition to those that the guest may use: for host calls, and for the
/// engine's frames below the guest's first one.
const HOST_STACK_BYTES: usize = 1 << 20;

/// How a call of an entry ended.
enum Ran {
    Exited(u32),
    Parked,
    /// The entry has returned: the next one is called, if there is one.
    Returned,
}

/// Bytes of a fresh instance's memories, asked of whoever counts them.
fn count_memory(
    program: &Program,
    instance: &mut dyn engine::Instance,
    context: &Context,
) -> Result<u64, Error> {
    let mut total = 0;
    for index in 0..program.shape().memories {
        let size = instance.guest_memory(index)?.len() as u64;
        total += size;
        if size > context.limits.value(Limit::Memory) {
            let reached = context.limits.reached(Limit::Memory).with(size);
            return Err(TaskError::Limit(reached).into());
        }
    }
    if let Some(governor) = &context.governor.0 {
        governor.reserve(total).map_err(engine::Error::from)?;
    }
    Ok(total)
}

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
