//! What a guest gets from its host, with the defaults.

use std::fmt;
use std::path::PathBuf;
use std::sync::Arc;

use super::context::{Context, OptionalGovernor};
use super::gate::Gate;
use super::handle::TaskHandle;
use super::program::Program;
use super::progress::{Progress, quiet};
use super::runtime::Runtime;
use super::task::Task;
use crate::engine::{EngineKind, MemoryGovernor};
use crate::model::Limits;
use crate::model::clock::Clock;
use crate::model::error::Error;
use crate::wasi::{
    Access, Bindings, Clocks, Config, Grants, HostDir, Input, Listener, Output, Randomness,
    RestoreOptions, TmpDir,
};

/// What a guest gets from its host: makes a new [`Task`] ([`start`](Self::start)), or one that goes
/// on from a snapshot ([`resume`](Self::resume)).
///
/// Where nothing is said, a guest reads and writes the standard streams of the process, and has no
/// arguments, no environment, no directories and no network.
#[must_use = "`start` or `resume` makes the task"]
pub struct TaskBuilder<'a> {
    pub(super) runtime: &'a Runtime,
    pub(super) program: &'a Arc<Program>,
    pub(super) engine: EngineKind,
    pub(super) config: Config,
    pub(super) bindings: Bindings,
    pub(super) restore: RestoreOptions,
    pub(super) clock: Option<Arc<dyn Clock>>,
    pub(super) handle: TaskHandle,
    pub(super) governor: OptionalGovernor,
    pub(super) gate: Option<Arc<Gate>>,
    pub(super) progress: Progress<'a>,
}

impl Task {
    /// Begins to make a task of a program.
    pub fn builder<'a>(runtime: &'a Runtime, program: &'a Arc<Program>) -> TaskBuilder<'a> {
        TaskBuilder {
            runtime,
            program,
            engine: EngineKind::available()
                .next()
                .unwrap_or(EngineKind::Wasmtime),
            config: Config::default(),
            bindings: Bindings::default(),
            restore: RestoreOptions::default(),
            clock: None,
            handle: TaskHandle::default(),
            governor: OptionalGovernor::default(),
            gate: None,
            progress: &quiet,
        }
    }
}

impl<'a> TaskBuilder<'a> {
    /// The engine that runs the guest. Default: Wasmtime where it is built in, else WasmEdge.
    pub fn engine(mut self, engine: EngineKind) -> Self {
        self.engine = engine;
        self
    }

    /// The guest's arguments; the first one is its name. Default: none. A resumed guest keeps the
    /// arguments that it was started with.
    pub fn args(mut self, args: impl IntoIterator<Item = impl Into<String>>) -> Self {
        self.config.args = args.into_iter().map(Into::into).collect();
        self
    }

    /// A variable of the guest's environment, beside those given before. Default: none. A resumed
    /// guest keeps the environment that it was started with.
    pub fn env(mut self, name: impl Into<String>, value: impl Into<String>) -> Self {
        self.config.env.push((name.into(), value.into()));
        self
    }

    /// A directory in memory, beside those given before. Default: none. A resumed guest keeps those
    /// that it was started with.
    pub fn tmpfs(mut self, directory: TmpDir) -> Self {
        self.config.tmpfs.push(directory);
        self
    }

    /// Arguments, environment and directories in memory in one: replaces what was set before.
    pub fn config(mut self, config: Config) -> Self {
        self.config = config;
        self
    }

    /// Standard input. Default: that of the process.
    pub fn stdin(mut self, input: Input) -> Self {
        self.bindings.stdin = input;
        self
    }

    /// Standard output. Default: that of the process.
    pub fn stdout(mut self, output: Output) -> Self {
        self.bindings.stdout = output;
        self
    }

    /// Standard error. Default: that of the process.
    pub fn stderr(mut self, output: Output) -> Self {
        self.bindings.stderr = output;
        self
    }

    /// A directory of the host's, under a name for the guest, beside those given before. Default:
    /// none. A resumed guest must be given each directory that it had.
    pub fn dir(
        mut self,
        host: impl Into<PathBuf>,
        guest: impl Into<String>,
        access: Access,
    ) -> Self {
        self.bindings.dirs.push(HostDir {
            guest: guest.into(),
            host: host.into(),
            access,
        });
        self
    }

    /// A listening socket, beside those given before. Default: none. A resumed guest must be given
    /// each listener that it had.
    pub fn listener(mut self, listener: Listener) -> Self {
        self.bindings.listeners.push(listener);
        self
    }

    /// A listening socket, whose HTTP requests a component answers by its
    /// `wasi:http/incoming-handler`. Default: none. A resumed guest must be given it again.
    pub fn http(mut self, listener: Listener) -> Self {
        self.bindings.http = Some(listener);
        self
    }

    /// Rules for the addresses that the guest may connect to and listen on, and the names that it
    /// may look up. Replaces those given before. Default: none.
    pub fn grants(mut self, grants: Grants) -> Self {
        self.bindings.grants = grants;
        self
    }

    /// What the guest's clocks tell. Default: the host's time, and at a resume what they told
    /// before.
    pub fn clocks(mut self, clocks: Clocks) -> Self {
        self.bindings.clocks = Some(clocks);
        self
    }

    /// Where the guest's random numbers come from. Default: from the host, and at a resume from
    /// where they came before.
    pub fn random(mut self, random: Randomness) -> Self {
        self.bindings.random = Some(random);
        self
    }

    /// How much the task may take. Default: [`Limits::default`]. A resumed task has these limits,
    /// whatever it had before.
    pub fn limits(mut self, limits: Limits) -> Self {
        self.bindings.limits = limits;
        self
    }

    /// Streams, directories, listeners, grants, clocks, random numbers and limits in one: replaces
    /// what was set before.
    pub fn bindings(mut self, bindings: Bindings) -> Self {
        self.bindings = bindings;
        self
    }

    /// What a resume does where the host is not as it was. Default: a file that has changed is an
    /// error. A new task has no use for it.
    pub fn restore_options(mut self, options: RestoreOptions) -> Self {
        self.restore = options;
        self
    }

    /// The host's clocks. Default: those of the system.
    pub fn clock(mut self, clock: Arc<dyn Clock>) -> Self {
        self.clock = Some(clock);
        self
    }

    /// By which the task can be reached from elsewhere before it exists. Default: a new one, which
    /// [`Task::handle`] gives.
    pub fn handle(mut self, handle: TaskHandle) -> Self {
        self.handle = handle;
        self
    }

    /// What counts the memory that the guest grows into, and can abort the guest. Default: nothing.
    pub fn memory_governor(mut self, governor: Arc<dyn MemoryGovernor>) -> Self {
        self.governor = OptionalGovernor(Some(governor));
        self
    }

    /// A gate that what the guest does outside of itself has to pass: calls on files, sockets and
    /// functions of the host. Calls wait until it is open. Default: none.
    pub fn gate(mut self, gate: Option<Arc<Gate>>) -> Self {
        self.gate = gate;
        self
    }

    /// What gets reports of work that takes long: if the engine has to compile the module.
    /// Default: nobody.
    pub fn progress(mut self, progress: Progress<'a>) -> Self {
        self.progress = progress;
        self
    }

    /// A task that has not run yet.
    ///
    /// # Errors
    /// If the engine is not built in, or a directory cannot be opened; or if the guest is to answer
    /// HTTP requests and cannot, or can do nothing else and is not to.
    pub fn start(self) -> Result<Task, Error> {
        let serves = self.bindings.http.is_some() || self.bindings.http_connection.is_some();
        self.program.check_serving(serves)?;
        let limits = self.bindings.limits;
        let mut context = Context::new(self.clock, limits, self.handle, None, self.governor);
        context.gate = self.gate;
        let wasi = crate::wasi::Ctx::new(self.config, self.bindings, context.clock.clone())?;
        let (runtime, program) = (self.runtime, self.program);
        Task::assemble(runtime, program, self.engine, wasi, context, self.progress)
    }
}

impl fmt::Debug for TaskBuilder<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("TaskBuilder")
            .field("program", &self.program)
            .field("engine", &self.engine)
            .field("config", &self.config)
            .field("bindings", &self.bindings)
            .finish_non_exhaustive()
    }
}
