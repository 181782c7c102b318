//! Checks whether everything in a store can be used. SQLite does not see that, because it knows no
//! digests.

use std::collections::HashMap;
use std::io;
use std::num::NonZeroUsize;
use std::sync::Arc;

use lru::LruCache;

use crate::blobs::large::read_chunk;
use crate::blobs::snapshot_bases::unread;
use crate::error::Error as Refused;
use crate::model::error::Error;
use crate::model::{Digest, Limit, Limits, TaskId};
use crate::store::{Filter, Store, StoredSnapshot, TaskRow};
use crate::stored::damaged::Stored;
use crate::task::chunks::{Index, Known, Pages};
use crate::task::{Snapshot, check_packed, unpack};

/// The most tasks that are read at once.
const TASKS_AT_ONCE: usize = 1000;

/// About how many bytes of specs are read at once.
const SPEC_BYTES_AT_ONCE: usize = 4 << 20;

/// At most this many bases are kept unpacked.
const KEPT_BASES: NonZeroUsize = NonZeroUsize::new(16).expect("it is not zero");

/// What was checked.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Checked {
    /// Tasks.
    pub tasks: u64,
    /// Tasks with a snapshot.
    pub snapshots: u64,
    /// Modules of the tasks.
    pub modules: u64,
    /// How many things are wrong.
    pub findings: u64,
}

/// Checks all tasks, and calls `tell` with each thing that is wrong.
pub fn check(store: Arc<dyn Store>, tell: &mut dyn FnMut(&str)) -> Checked {
    let mut checker = Checker {
        store,
        tell,
        modules: HashMap::new(),
        bases: LruCache::new(KEPT_BASES),
        checked: Checked::default(),
    };
    checker.all();
    checker.checked.modules = checker.modules.len() as u64;
    checker.checked
}

/// What snapshots are compressed against.
#[derive(Clone)]
enum Base {
    /// The flat form of a small snapshot.
    Flat(Arc<Vec<u8>>),
    /// Where the chunks of a large snapshot are.
    Chunks(Arc<Known>),
}

struct Checker<'a> {
    store: Arc<dyn Store>,
    tell: &'a mut dyn FnMut(&str),
    /// Whether each module is whole.
    modules: HashMap<Digest, bool>,
    bases: LruCache<Digest, Base>,
    checked: Checked,
}

impl Checker<'_> {
    fn found(&mut self, text: &str) {
        self.checked.findings += 1;
        (self.tell)(text);
    }

    fn all(&mut self) {
        let mut before = None;
        loop {
            let filter = Filter {
                before,
                limit: TASKS_AT_ONCE,
                spec_bytes: Some(SPEC_BYTES_AT_ONCE),
                ..Filter::default()
            };
            let rows = match self.store.list(&filter) {
                Ok(rows) => rows,
                Err(error) => return self.found(&format!("tasks cannot be listed: {error}")),
            };
            let Some(last) = rows.last() else { return };
            before = Some(last.id);
            for row in &rows {
                self.task(row);
            }
        }
    }

    fn task(&mut self, row: &TaskRow) {
        let id = row.id;
        self.checked.tasks += 1;
        if let Some(damage) = Stored::of(row).damage {
            self.found(&damage.to_string());
        }
        // Which module a task runs whose row is damaged may not be known.
        if row.damage.is_none() {
            self.module(id, row.module);
        }
        match self.store.load(id) {
            Ok(Some((_, Some(frozen)))) => {
                self.checked.snapshots += 1;
                if let Err(error) = self.snapshot(&frozen) {
                    self.found(&format!("task {id}: its snapshot cannot be used: {error}"));
                }
            }
            Ok(_) => {}
            Err(error) => self.found(&format!("task {id} cannot be read: {error}")),
        }
        if let Err(error) = self.output(id) {
            self.found(&format!("task {id}: its output cannot be read: {error}"));
        }
    }

    fn output(&self, id: TaskId) -> Result<(), Error> {
        let mut from = 0;
        while let Some(last) = self.store.output(id, from, 1 << 20)?.last() {
            from = last.sequence + 1;
        }
        Ok(())
    }

    fn module(&mut self, id: TaskId, digest: Digest) {
        if !self.modules.contains_key(&digest) {
            let whole = self.whole_module(&digest);
            if let Err(error) = &whole {
                self.found(&format!("module {}: {error}", digest.short()));
            }
            self.modules.insert(digest, whole.is_ok());
        }
        if self.modules.get(&digest) == Some(&false) {
            self.found(&format!(
                "task {id} runs module {}, which is damaged",
                digest.short()
            ));
        }
    }

    fn whole_module(&self, digest: &Digest) -> Result<(), Error> {
        match self.store.blob(digest)? {
            Some(packed) => check_packed(&packed, digest),
            None => Err(Refused::Damaged("it is missing".into()).into()),
        }
    }

    fn snapshot(&mut self, frozen: &StoredSnapshot) -> Result<(), Error> {
        let limit = Limits::default().value(Limit::Snapshot);
        let base = frozen.base.map(|digest| self.base(&digest)).transpose()?;
        if Index::is(&frozen.bytes) {
            let index = Index::unpack(&frozen.bytes, limit)?;
            return self.chunks(&index, base);
        }
        let flat = match &base {
            Some(Base::Flat(flat)) => flat.as_slice(),
            _ => &[],
        };
        Snapshot::unflatten(&unpack(&frozen.bytes, flat, limit)?).map(drop)
    }

    /// Reads all pages of a large snapshot, some chunks at a time. Each chunk is compared with its
    /// digest.
    fn chunks(&self, index: &Index, base: Option<Base>) -> Result<(), Error> {
        let known = match base {
            Some(Base::Chunks(known)) => Some(known),
            _ => None,
        };
        let mut pages = Pages::new(index, known, read_chunk(self.store.clone()));
        io::copy(&mut pages, &mut io::sink()).map_err(unread)?;
        Snapshot::unflatten(&index.flat).map(drop)
    }

    fn base(&mut self, digest: &Digest) -> Result<Base, Error> {
        if let Some(base) = self.bases.get(digest) {
            return Ok(base.clone());
        }
        let damaged = |what: &str| Refused::Damaged(format!("blob {} {what}", digest.short()));
        let packed = self.store.blob(digest)?;
        let packed = packed.ok_or_else(|| damaged("is missing"))?;
        let limit = Limits::default().value(Limit::Snapshot);
        let (found, base) = match Index::is(&packed) {
            true => {
                let known = Known::of(&Index::unpack(&packed, limit)?)?;
                (Digest::of(&packed), Base::Chunks(Arc::new(known)))
            }
            false => {
                let flat = unpack(&packed, &[], limit)?;
                (Digest::of(&flat), Base::Flat(Arc::new(flat)))
            }
        };
        if found != *digest {
            return Err(damaged("is not what its digest says").into());
        }
        self.bases.put(*digest, base.clone());
        Ok(base)
    }
}
