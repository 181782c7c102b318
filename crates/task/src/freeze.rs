//! A parked task into a snapshot, and back.

use std::io::{Read, Write};
use std::sync::Arc;

use super::host::Pending;
use super::{Around, Growing, Program, Progress, Runtime, Task, TaskError, TaskHandle};
use crate::engine::{self, EngineKind, asyncify};
use crate::model::Ends;
use crate::model::clock::Clock;
use crate::model::error::Error;
use crate::model::{Limit, Limits, ValType, Value, Wait, shape};
use crate::snapshot::{self, InstanceV1, MemoryV1, MetaV1, PendingV1, Snapshot};
use crate::wasi;

/// Everything a resumed task gets from its new host.
#[derive(Debug, Default)]
pub struct Restore {
    /// Standard streams and directories.
    pub bindings: wasi::Bindings,
    /// What to do where the host is not as it was.
    pub options: wasi::RestoreOptions,
    /// The clock; `None` is the system's.
    pub clock: Option<Arc<dyn Clock>>,
    /// How much it may take, whatever it could take before.
    pub limits: Limits,
    /// By which the task is going to be asked to suspend.
    pub handle: TaskHandle,
    /// Who has the memory that its guest grows into; `None` where nobody counts.
    pub growth: Growing,
}

impl Task {
    /// The task as a snapshot. The task itself stays as it is and can go on.
    ///
    /// # Errors
    /// Where the task is not parked, or a file it has open cannot be written down.
    pub fn freeze(&mut self) -> Result<Snapshot, Error> {
        let mut snapshot = self.freeze_head()?;
        self.fill_pages(&mut snapshot)?;
        Ok(snapshot)
    }

    /// Puts the bytes of the pages into a snapshot that only names them.
    pub fn fill_pages(&mut self, snapshot: &mut Snapshot) -> Result<(), Error> {
        let mut pages = Vec::with_capacity(snapshot.stored_bytes());
        self.write_pages(snapshot, &mut pages)
            .map_err(|e| TaskError::Mismatch(e.to_string()))?;
        snapshot.pages = pages;
        Ok(())
    }

    /// Writes the pages that a snapshot of this task names, straight from the guest's memory. The guest must not
    /// have run since the snapshot was made.
    pub fn write_pages(&mut self, head: &Snapshot, into: &mut dyn Write) -> std::io::Result<()> {
        for (index, memory) in head.instance.memories.iter().enumerate() {
            let bytes = self.instance.guest_memory(index);
            let bytes = bytes.map_err(std::io::Error::other)?;
            for run in snapshot::stored(&memory.runs, bytes) {
                into.write_all(run)?;
            }
        }
        Ok(())
    }

    /// The same as [`freeze`](Self::freeze), but for the bytes of the pages: they are only named, so that this
    /// takes little memory however large the guest is.
    pub fn freeze_head(&mut self) -> Result<Snapshot, Error> {
        if self.exited.is_some() {
            return Err(
                TaskError::State("the guest has exited; there is nothing to suspend").into(),
            );
        }
        let wakes = self.wakes_at();
        let shape = self.program.shape().clone();
        let instance = &mut *self.instance;
        let mut host = self.host.lock();
        let pending = host.pending.clone().ok_or(TaskError::State(
            "the task has not run yet; there is nothing to suspend",
        ))?;

        let image = self.program.image()?;
        let mut memories = Vec::with_capacity(shape.memories);
        for index in 0..shape.memories {
            let segments = image.iter().filter(|segment| segment.memory == index);
            let initial = segments.map(|segment| (segment.offset, segment.bytes.as_slice()));
            let memory = instance.guest_memory(index)?;
            memories.push(MemoryV1 {
                size: memory.len() as u64,
                runs: snapshot::changed(memory, initial),
            });
        }
        let globals = (0..shape.globals.len())
            .map(|index| instance.global(index))
            .collect::<Result<_, _>>()?;
        let tables = (0..shape.tables.len())
            .map(|index| instance.table(index))
            .collect::<Result<_, _>>()?;
        let stack = asyncify::saved_stack(instance)?.to_vec();
        check_stack(self.meter.limits(), stack.len())?;
        let wasi = rmp_serde::to_vec_named(&host.wasi.save()?)
            .map_err(|e| TaskError::Mismatch(e.to_string()))?;

        Ok(Snapshot {
            meta: MetaV1 {
                tool: env!("CARGO_PKG_VERSION").into(),
                engine: self.kind.to_string(),
                created: self.clock.realtime(),
                wait: pending.wait.clone(),
                wakes,
                source: self.program.manifest().source,
                module: self.program.digest(),
                transform: self.program.transform(),
                origin: None,
                usage: Some(self.usage(&host.wasi)),
            },
            module: self.program.embedded(),
            instance: InstanceV1 {
                entry: self.entry as u32,
                pending: Some(PendingV1 {
                    import: pending.import as u32,
                    arguments: pending.arguments,
                    wait: pending.wait,
                    blocked: pending.blocked,
                }),
                globals,
                tables,
                memories,
            },
            wasi,
            pages: Vec::new(),
            stack,
        })
    }

    /// A task that goes on where the snapshot was taken, in a fresh instance.
    ///
    /// # Errors
    /// Where the host lacks what the task needs, or the snapshot does not fit its module.
    pub fn thaw(
        runtime: &Runtime,
        program: &Arc<Program>,
        kind: EngineKind,
        snapshot: &Snapshot,
        restore: Restore,
        progress: Progress<'_>,
    ) -> Result<Self, Error> {
        let mut pages = snapshot.pages.as_slice();
        Self::thaw_from(
            runtime, program, kind, snapshot, &mut pages, restore, progress,
        )
    }

    /// The same with the bytes of the pages from elsewhere, in the order in which the snapshot names them. They go
    /// straight into the guest's memory.
    pub fn thaw_from(
        runtime: &Runtime,
        program: &Arc<Program>,
        kind: EngineKind,
        snapshot: &Snapshot,
        pages: &mut dyn Read,
        restore: Restore,
        progress: Progress<'_>,
    ) -> Result<Self, Error> {
        if program.digest() != snapshot.meta.module {
            return Err(TaskError::Mismatch("it is of another module".into()).into());
        }
        let saved = &snapshot.instance;
        let shape = program.shape();
        check(saved, shape)?;
        let limits = restore.limits;
        check_stack(&limits, snapshot.stack.len())?;
        let most = saved
            .memories
            .iter()
            .map(|memory| memory.size)
            .max()
            .unwrap_or(0);
        // No 32-bit memory has more than 65,536 pages of 64 KiB: that is no matter of limits.
        if most > 1 << 32 {
            let text = "a memory has another size than it can have";
            return Err(TaskError::Mismatch(text.into()).into());
        }
        if most > limits.value(Limit::Memory) {
            return Err(TaskError::Limit(limits.reached(Limit::Memory).with(most)).into());
        }
        let created = snapshot.meta.created;
        let usage = snapshot.meta.usage.map(|usage| (usage, created));
        let growth = restore.growth;
        let around = Around::new(restore.clock, limits, restore.handle, usage, growth);
        let state: wasi::StateV1 = rmp_serde::from_slice(&snapshot.wasi)
            .map_err(|e| TaskError::Mismatch(format!("its WASI state is not valid: {e}")))?;
        let clock = around.clock.clone();
        let bindings = wasi::Bindings {
            limits,
            ..restore.bindings
        };
        let ctx = wasi::Ctx::restore(state, bindings, restore.options, clock)?;
        let mut task = Self::assemble(runtime, program, kind, ctx, around, progress)?;
        let instance = &mut *task.instance;

        for (index, memory) in saved.memories.iter().enumerate() {
            let size = usize::try_from(memory.size).map_err(|_| {
                TaskError::Mismatch("a memory is larger than the address space".into())
            })?;
            if size > instance.guest_memory(index)?.len() {
                instance.grow_memory(index, size).map_err(unfit)?;
            }
            let bytes = instance.guest_memory(index)?;
            if bytes.len() != size {
                return Err(TaskError::Mismatch(
                    "a memory has another size than it can have".into(),
                )
                .into());
            }
            snapshot::fill(&memory.runs, pages, bytes)?;
        }
        // Also where a reader only says at its end whether its bytes were right.
        if pages.read(&mut [0]).map_err(snapshot::Error::Pages)? > 0 {
            return Err(TaskError::Mismatch("it has more pages than memories".into()).into());
        }
        for (index, value) in saved.globals.iter().enumerate() {
            instance.set_global(index, *value).map_err(unfit)?;
        }
        for (index, values) in saved.tables.iter().enumerate() {
            instance.set_table(index, values).map_err(unfit)?;
        }
        if shape.redrop {
            instance.call(shape::REDROP)?;
        }
        asyncify::restore_stack(instance, &snapshot.stack).map_err(unfit)?;

        task.entry = saved.entry as usize;
        task.host.lock().pending = saved.pending.as_ref().map(|pending| Pending {
            import: pending.import as usize,
            arguments: pending.arguments.clone(),
            wait: pending.wait.clone(),
            blocked: pending.blocked && !matches!(pending.wait, Wait::Host { .. }),
        });
        Ok(task)
    }
}
/// What the WASI state in a [`Snapshot`] says, which the snapshot itself holds as bytes.
pub trait SnapshotExt {
    /// When the guest's wait ends by itself.
    ///
    /// # Errors
    /// Where the state is not valid.
    fn ends(&self, clock: Arc<dyn Clock>) -> Result<Ends, Error>;

    /// The guest's arguments.
    ///
    /// # Errors
    /// Where the state is not valid.
    fn arguments(&self) -> Result<Vec<String>, Error>;

    /// Guest names of the directories that the guest may only read.
    ///
    /// # Errors
    /// Where the state is not valid.
    fn read_only(&self) -> Result<Vec<String>, Error>;
}

impl SnapshotExt for Snapshot {
    fn ends(&self, clock: Arc<dyn Clock>) -> Result<Ends, Error> {
        Ok(wasi_state(self)?.ends(&self.meta.wait, clock))
    }

    fn arguments(&self) -> Result<Vec<String>, Error> {
        Ok(wasi_state(self)?.args)
    }

    fn read_only(&self) -> Result<Vec<String>, Error> {
        Ok(wasi_state(self)?.read_only)
    }
}

fn wasi_state(snapshot: &Snapshot) -> Result<wasi::StateV1, Error> {
    let state = rmp_serde::from_slice(&snapshot.wasi);
    let invalid = |e| TaskError::Mismatch(format!("its WASI state is not valid: {e}"));
    Ok(state.map_err(invalid)?)
}

fn check_stack(limits: &Limits, size: usize) -> Result<(), TaskError> {
    let size = size as u64;
    match size > limits.value(Limit::SuspendedStack) {
        true => Err(TaskError::Limit(
            limits.reached(Limit::SuspendedStack).with(size),
        )),
        false => Ok(()),
    }
}

/// What an engine cannot be given is wrong in the snapshot, which says what to give.
fn unfit(error: engine::Error) -> TaskError {
    if matches!(error, engine::Error::NoRoom(_)) {
        return TaskError::Evicted;
    }
    TaskError::Mismatch(match error {
        engine::Error::State(_, text) | engine::Error::Trap(text) => text,
        other => other.to_string(),
    })
}

/// A snapshot is input from strangers: its numbers must fit the module before they are used.
fn check(saved: &InstanceV1, shape: &crate::model::Shape) -> Result<(), Error> {
    let mismatch = |text: &str| Err(TaskError::Mismatch(text.into()).into());
    if saved.entry as usize >= shape.entries.len() {
        return mismatch("its entry does not exist");
    }
    if saved.memories.len() != shape.memories
        || saved.globals.len() != shape.globals.len()
        || saved.tables.len() != shape.tables.len()
    {
        return mismatch("it has other memories, globals or tables");
    }
    let fits = |value: &Value, ty: ValType| value.ty() == ty;
    let tables = saved.tables.iter().zip(&shape.tables);
    if !saved
        .globals
        .iter()
        .zip(&shape.globals)
        .all(|(value, ty)| fits(value, *ty))
        || !tables
            .flat_map(|(values, table)| values.iter().map(|value| (value, table.element)))
            .all(|(value, ty)| fits(value, ty))
    {
        return mismatch("a global or a table holds a value of another type");
    }
    if saved.memories.iter().any(|memory| memory.size % 65536 != 0) {
        return mismatch("a memory is not a whole number of wasm pages");
    }
    let Some(pending) = &saved.pending else {
        return mismatch("it has no host call to go on with");
    };
    let import = shape.imports.get(pending.import as usize);
    match import {
        Some(import) if import.blocks && import.params.len() == pending.arguments.len() => Ok(()),
        _ => mismatch("its host call cannot suspend"),
    }
}
