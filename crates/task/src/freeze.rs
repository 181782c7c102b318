//! A parked task into a snapshot.

use std::io::Write;

use super::error::{self, TaskError};
use super::task::Parked;
use crate::engine::asyncify;
use crate::model::error::Error;
use crate::snapshot::{self, InstanceV1, MemoryV1, MetaV1, PendingV1, Snapshot};

impl Parked<'_> {
    /// The task as a snapshot. The task itself stays as it is and can go on.
    ///
    /// # Errors
    /// If a file that the guest has open cannot be serialized.
    pub fn freeze(&mut self) -> Result<Snapshot, Error> {
        let mut snapshot = self.freeze_head()?;
        self.fill_pages(&mut snapshot)?;
        Ok(snapshot)
    }

    /// Puts the bytes of the pages into a snapshot that only names them.
    ///
    /// # Errors
    /// If the guest's memory cannot be read.
    pub fn fill_pages(&mut self, snapshot: &mut Snapshot) -> Result<(), Error> {
        let mut pages = Vec::with_capacity(snapshot.stored_bytes());
        self.write_pages(snapshot, &mut pages)
            .map_err(TaskError::Memory)?;
        snapshot.pages = pages;
        Ok(())
    }

    /// Writes the pages that a snapshot of this task names, straight from the guest's memory.
    ///
    /// # Errors
    /// If they cannot be written.
    pub fn write_pages(&mut self, head: &Snapshot, into: &mut dyn Write) -> std::io::Result<()> {
        for (index, memory) in head.instance.memories.iter().enumerate() {
            let bytes = self.task.instance.guest_memory(index);
            let bytes = bytes.map_err(std::io::Error::other)?;
            for run in snapshot::stored(&memory.runs, bytes) {
                into.write_all(run)?;
            }
        }
        Ok(())
    }

    /// The same as [`freeze`](Self::freeze), but for the bytes of the pages: they are only named,
    /// so that this takes little memory however large the guest is.
    ///
    /// # Errors
    /// If a file that the guest has open cannot be serialized.
    pub fn freeze_head(&mut self) -> Result<Snapshot, Error> {
        let wakes = self.task.wakes_at();
        let instance = self.instance()?;
        let stack = asyncify::saved_stack(&mut *self.task.instance)?.to_vec();
        let task = &*self.task;
        error::check_stack(task.meter.limits(), stack.len())?;
        let mut host = task.host.lock();
        let wasi = rmp_serde::to_vec_named(&host.wasi.save()?).map_err(TaskError::WasiState)?;
        let wait = host.pending.as_ref().map(|pending| pending.wait.clone());
        Ok(Snapshot {
            meta: MetaV1 {
                tool: env!("CARGO_PKG_VERSION").into(),
                engine: task.kind.to_string(),
                created: task.clock.realtime(),
                wait: wait.ok_or(NOT_PARKED)?,
                wakes,
                source: task.program.manifest().source,
                module: task.program.digest(),
                transform: task.program.transform(),
                origin: None,
                trace: None,
                usage: Some(task.usage(&host.wasi)),
            },
            module: task.program.embedded(),
            instance,
            wasi,
            pages: Vec::new(),
            stack,
        })
    }

    /// The instance, but for the bytes of its memories and its stack.
    fn instance(&mut self) -> Result<InstanceV1, Error> {
        let task = &mut *self.task;
        let shape = task.program.shape().clone();
        let image = task.program.image()?;
        let instance = &mut *task.instance;
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
        let pending = task.host.lock().pending.clone().ok_or(NOT_PARKED)?;
        Ok(InstanceV1 {
            entry: task.entry as u32,
            pending: Some(PendingV1 {
                import: pending.import as u32,
                arguments: pending.arguments,
                wait: pending.wait,
                blocked: pending.blocked,
            }),
            globals,
            tables,
            memories,
        })
    }
}

/// No [`Parked`] is made of a task without a pending call.
const NOT_PARKED: TaskError = TaskError::State("the task is not parked");
