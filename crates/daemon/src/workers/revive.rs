//! How a task comes into memory if there is room for it, and what becomes of a guest that is
//! evicted.

use std::io::Read;
use std::sync::Arc;

use crate::memory::MemoryShare;
use crate::model::TaskSpec;
use crate::model::spec::Module;
use crate::model::{Digest, TaskId, TaskState, TraceContext, When};
use crate::spec::Submitted as _;
use crate::store::{SnapshotChange, StoredSnapshot, Stream};
use crate::task::{Bindings, EngineKind, HttpConnection, Input, Task, TaskHandle};
use crate::workers::guest::{LoadedTask, NotRevived};
use crate::workers::messages::WorkerReport;
use crate::workers::output::Tail;
use crate::workers::worker::Worker;

impl Worker {
    /// Makes a task from what is stored of it, or one that answers a request on a connection.
    pub(crate) fn revive(
        &self,
        (id, module): (TaskId, Digest),
        spec: &TaskSpec,
        frozen: Option<StoredSnapshot>,
        (tail, traceparent): (&Tail, Option<TraceContext>),
        handle: TaskHandle,
        http_connection: Option<HttpConnection>,
    ) -> Result<(Task, Arc<MemoryShare>), NotRevived> {
        #[cfg(test)]
        crate::workers::faults::hit(&self.options.identity, frozen.is_none().into())?;
        let program = self.programs.get(&module)?;
        let engine = spec.engine_or(self.options.engine);
        let opened = frozen.map(|frozen| self.bases.open(&frozen)).transpose()?;
        let memory = opened.as_ref().map_or(0, |(head, _)| head.memory_size());
        // This comes before anything else is taken: the task may have to wait for memory.
        let unmetered = engine == EngineKind::WasmEdge;
        let share = self.budget.admit(id, memory, &handle, unmetered)?;
        let (config, given) = match spec.program {
            Some(_) => Bindings::from_spec(spec, &self.options.limits),
            // It is called by its module, which has a place of its own in the store.
            None => {
                let spec = TaskSpec {
                    module: Some(Module::Digest(module)),
                    ..spec.clone()
                };
                Bindings::from_spec(&spec, &self.options.limits)
            }
        };
        let mut config = config;
        fill_traceparent(&mut config.env, traceparent);
        let bindings = Bindings {
            stdin: Input::Null,
            stdout: tail.output(Stream::Stdout),
            stderr: tail.output(Stream::Stderr),
            listeners: self.sockets.lend(id, &spec.network.listen)?,
            http: self.sockets.lend(id, spec.network.http.as_slice())?.pop(),
            http_connection,
            held: self.sockets.held(id),
            traceparent,
            ..given
        };
        let told = self.programs.told(&module);
        let _loading = self.programs.loading(id, &module);
        let task = Task::builder(self.programs.runtime(), &program)
            .engine(engine)
            .bindings(bindings)
            .clock(self.time.clone())
            .handle(handle)
            .memory_governor(share.clone())
            .gate(self.gate.clone())
            .progress(&told);
        let Some((mut snapshot, pages)) = opened else {
            return Ok((task.config(config).start()?, share));
        };
        let mut pages: Box<dyn Read> = match pages {
            Some(pages) => Box::new(pages),
            None => Box::new(std::io::Cursor::new(std::mem::take(&mut snapshot.pages))),
        };
        let task = task.restore_options(spec.into());
        Ok((task.resume_from(&snapshot, &mut *pages)?, share))
    }

    /// The report on a guest that was evicted, because there was no memory for it to grow. What it
    /// has done since its last snapshot is lost, as if its process had died. The task waits in the
    /// store for memory, or is paused where the daemon can never give it as much as it wanted.
    pub(super) fn report_evicted(&self, mut guest: Box<LoadedTask>) -> WorkerReport {
        let id = guest.id;
        let Some(too_large) = guest.share.too_large() else {
            return WorkerReport::Crowded { id, loaded: true };
        };
        if let Some(listener) = guest.status.accepted_by {
            guest.tail.say(&format!("an instance ended: {too_large}\n"));
            return self.connection_over(&guest, listener);
        }
        guest.status.error = Some(too_large.to_string());
        guest.status.changed = self.time.wall();
        // The output since its last snapshot is taken, and dropped instead of stored.
        drop(guest.tail.take(guest.version));
        match self.update(&guest, TaskState::Paused, When::NEVER, SnapshotChange::Keep) {
            Ok(update) => WorkerReport::Store {
                update: Box::new(update),
                keeps: None,
            },
            Err(error) => {
                log::error!("task {id}: {error}");
                WorkerReport::Lost { id }
            }
        }
    }
}

/// A variable `TRACEPARENT` without a value asks for that of the run which starts the guest.
fn fill_traceparent(environment: &mut [(String, String)], traceparent: Option<TraceContext>) {
    let asked = environment
        .iter_mut()
        .filter(|(name, value)| name == "TRACEPARENT" && value.is_empty());
    if let Some(context) = traceparent {
        asked.for_each(|(_, value)| *value = context.to_string());
    }
}
