//! A snapshot into a parked task.

use std::io::Read;
use std::sync::Arc;

use super::builder::TaskBuilder;
use super::context::Context;
use super::error::{TaskError, check_stack};
use super::host::Pending;
use super::task::Task;
use crate::engine::{self, Instance, asyncify};
use crate::model::clock::Clock;
use crate::model::error::Error;
use crate::model::{Ends, Limit, Limits, Shape, ValType, Value, Wait, shape};
use crate::snapshot::{self, InstanceV1, Snapshot};
use crate::wasi;

impl TaskBuilder<'_> {
    /// A task that continues where the snapshot was taken, in a fresh instance. It is parked.
    ///
    /// # Errors
    /// If the host lacks what the task needs, or the snapshot does not fit its module.
    pub fn resume(self, snapshot: &Snapshot) -> Result<Task, Error> {
        self.resume_from(snapshot, &mut snapshot.pages.as_slice())
    }

    /// The same with the bytes of the pages from elsewhere, in the order in which the snapshot
    /// names them. They go straight into the guest's memory.
    ///
    /// # Errors
    /// If the host lacks what the task needs, or the snapshot does not fit its module.
    pub fn resume_from(self, head: &Snapshot, pages: &mut dyn Read) -> Result<Task, Error> {
        let limits = self.bindings.limits;
        if self.program.digest() != head.meta.module {
            return Err(TaskError::Mismatch("it is of another module".into()).into());
        }
        check(&head.instance, self.program.shape())?;
        check_stack(&limits, head.stack.len())?;
        check_memories(&head.instance, &limits)?;
        let usage = head.meta.usage.map(|usage| (usage, head.meta.created));
        let mut context = Context::new(self.clock, limits, self.handle, usage, self.governor);
        context.gate = self.gate;
        let state = wasi_state(head)?;
        let clock = context.clock.clone();
        let wasi = wasi::Ctx::restore(state, self.bindings, self.restore, clock)?;
        let (runtime, program) = (self.runtime, self.program);
        let mut task = Task::assemble(runtime, program, self.engine, wasi, context, self.progress)?;
        let instance = &mut *task.instance;
        fill_memories(&head.instance, instance, pages)?;
        set_state(&head.instance, instance)?;
        if program.shape().redrop {
            instance.call(shape::REDROP)?;
        }
        asyncify::restore_stack(instance, &head.stack).map_err(unfit)?;
        task.entry = head.instance.entry as usize;
        task.host.lock().pending = head.instance.pending.as_ref().map(|pending| Pending {
            import: pending.import as usize,
            arguments: pending.arguments.clone(),
            wait: pending.wait.clone(),
            blocked: pending.blocked && !matches!(pending.wait, Wait::Host { .. }),
        });
        Ok(task)
    }
}

/// Refuses memories that are larger than any can be, or than the limit.
fn check_memories(saved: &InstanceV1, limits: &Limits) -> Result<(), Error> {
    let largest = saved.memories.iter().map(|memory| memory.size).max();
    let largest = largest.unwrap_or(0);
    // No 32-bit memory has more than 65,536 pages of 64 KiB: such a snapshot is wrong, whatever the
    // limits are.
    if largest > 1 << 32 {
        let text = "a memory has another size than it can have";
        return Err(TaskError::Mismatch(text.into()).into());
    }
    if largest > limits.value(Limit::Memory) {
        return Err(TaskError::Limit(limits.reached(Limit::Memory).with(largest)).into());
    }
    Ok(())
}

/// Gives the instance's memories their sizes, and the pages that differ from a fresh instance.
fn fill_memories(
    saved: &InstanceV1,
    instance: &mut dyn Instance,
    pages: &mut dyn Read,
) -> Result<(), Error> {
    for (index, memory) in saved.memories.iter().enumerate() {
        let size = usize::try_from(memory.size)
            .map_err(|_| TaskError::Mismatch("a memory is larger than the address space".into()))?;
        if size > instance.guest_memory(index)?.len() {
            instance.grow_memory(index, size).map_err(unfit)?;
        }
        let bytes = instance.guest_memory(index)?;
        if bytes.len() != size {
            let text = "a memory has another size than it can have";
            return Err(TaskError::Mismatch(text.into()).into());
        }
        snapshot::fill(&memory.runs, pages, bytes)?;
    }
    // Also where a reader only says at its end whether its bytes were right.
    if pages.read(&mut [0]).map_err(snapshot::Error::Pages)? > 0 {
        return Err(TaskError::Mismatch("it has more pages than memories".into()).into());
    }
    Ok(())
}

/// Sets globals and tables.
fn set_state(saved: &InstanceV1, instance: &mut dyn Instance) -> Result<(), Error> {
    for (index, value) in saved.globals.iter().enumerate() {
        instance.set_global(index, *value).map_err(unfit)?;
    }
    for (index, values) in saved.tables.iter().enumerate() {
        instance.set_table(index, values).map_err(unfit)?;
    }
    Ok(())
}

/// What the WASI state in a [`Snapshot`] says, which the snapshot itself holds as bytes.
pub trait SnapshotExt {
    /// When the guest's wait ends by itself.
    ///
    /// # Errors
    /// If the state is not valid.
    fn ends(&self, clock: Arc<dyn Clock>) -> Result<Ends, Error>;

    /// The guest's arguments.
    ///
    /// # Errors
    /// If the state is not valid.
    fn arguments(&self) -> Result<Vec<String>, Error>;

    /// Guest names of the directories that the guest may only read.
    ///
    /// # Errors
    /// If the state is not valid.
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

fn wasi_state(snapshot: &Snapshot) -> Result<wasi::StateV1, TaskError> {
    rmp_serde::from_slice(&snapshot.wasi).map_err(TaskError::InvalidState)
}

/// What an engine cannot be given is wrong in the snapshot, which says what to give.
fn unfit(error: engine::Error) -> Error {
    match error {
        engine::Error::Aborted(_) => TaskError::Evicted.into(),
        engine::Error::State(_, text) | engine::Error::Trap(text) => {
            TaskError::Mismatch(text).into()
        }
        other => other.into(),
    }
}

/// A snapshot is untrusted input: its numbers must fit the module before they are used.
fn check(saved: &InstanceV1, shape: &Shape) -> Result<(), Error> {
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
