//! What a snapshot holds. A shipped `…V1` is never edited: what changes becomes a `…V2`.

use std::sync::Arc;

use serde::{Deserialize, Serialize, de::DeserializeOwned};

use super::container::{self, Content, Section};
use super::{Error, Run, pages};
use crate::model::clock::Marks;
use crate::model::{Digest, Limits, MonotonicTime, Timestamp, Value, Wait};

/// What can be known of a snapshot without decoding the guest's state.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct MetaV1 {
    /// Version of dormouse that wrote the snapshot.
    pub tool: String,
    /// The engine that the guest ran on.
    pub engine: String,
    /// When it was written.
    pub created: Timestamp,
    /// What the guest waits for.
    pub wait: Wait,
    /// When the wait ends by its deadline.
    pub wakes: Option<Timestamp>,
    /// Digest of the module as the user gave it.
    pub source: Digest,
    /// Digest of the resumable module.
    pub module: Digest,
    /// How the module was made resumable.
    pub transform: String,
    /// The task that a daemon exported this snapshot from, as `DAEMON/ID@VERSION`; `None` if no
    /// daemon exported it. The version is that of the task's row in the daemon's store.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub origin: Option<String>,
    /// By whom the task was submitted that a daemon exported this snapshot from, as a `traceparent`
    /// (W3C Trace Context).
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub trace: Option<String>,
    /// How much the task has used of what limits restrict.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub usage: Option<UsageV1>,
}

/// How much a task has taken of what is limited over all suspends.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct UsageV1 {
    /// CPU time in nanoseconds.
    pub cpu: u64,
    /// When it was first started.
    pub started: Timestamp,
    /// Bytes written to standard output and standard error.
    pub output: u64,
    /// Bytes written to files.
    pub writes: u64,
    /// The part of this usage from before the limits' period in which the task was saved.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub earlier: Option<EarlierV1>,
    /// When it was saved, where that is known better than by the wall clock.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub as_of: Option<AsOfV1>,
}

/// A moment by the task's steady clock, which begins as the wall clock at the task's start.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct AsOfV1 {
    /// When, by that clock.
    pub at: MonotonicTime,
    /// By clocks that nobody sets.
    pub marks: Marks,
}

/// What a task had taken before a period began.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct EarlierV1 {
    /// CPU time in nanoseconds.
    pub cpu: u64,
    /// Bytes written to standard output and standard error.
    pub output: u64,
    /// Bytes written to files.
    pub writes: u64,
}

/// The host call at which the guest has unwound.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct PendingV1 {
    /// The import's place in the module's shape.
    pub import: u32,
    /// The arguments as raw bits.
    pub arguments: Vec<u64>,
    /// What it waits for.
    pub wait: Wait,
    /// Whether the call itself said that it blocks; otherwise it has not been tried yet.
    pub blocked: bool,
}

/// The instance, but for the bytes of its memories and its stack.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct InstanceV1 {
    /// Which of the module's entries is being run.
    pub entry: u32,
    /// The host call to go on with; `None` where the entry has not been called yet.
    pub pending: Option<PendingV1>,
    /// Mutable globals, in the order of the module's shape.
    pub globals: Vec<Value>,
    /// Changeable tables, in the order of the module's shape.
    pub tables: Vec<Vec<Value>>,
    /// The memories, in order.
    pub memories: Vec<MemoryV1>,
}

/// One memory; its bytes follow those of the one before in the memory section.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct MemoryV1 {
    /// Size in bytes.
    pub size: u64,
    /// The pages that differ from a fresh instance.
    pub runs: Vec<Run>,
}

/// The resumable module, compressed, or nothing where a store has it by its digest.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum ModuleRef {
    /// The module itself.
    Embedded {
        /// zstd-compressed bytes.
        packed: Arc<[u8]>,
        /// Length of the module in bytes.
        length: u64,
    },
    /// Only the digest in the snapshot's meta section.
    ByDigest,
}

/// A sleeping task.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Snapshot {
    /// What can be known without decoding the rest.
    pub meta: MetaV1,
    /// The module.
    pub module: ModuleRef,
    /// The instance.
    pub instance: InstanceV1,
    /// The WASI state, as its own module encoded it.
    pub wasi: Vec<u8>,
    /// The bytes of all stored pages.
    pub pages: Vec<u8>,
    /// The used part of asyncify's stack.
    pub stack: Vec<u8>,
}

impl Snapshot {
    /// How many bytes its memories have.
    pub fn memory_size(&self) -> u64 {
        self.instance
            .memories
            .iter()
            .map(|one| one.size)
            .fold(0, u64::saturating_add)
    }

    /// How many bytes its pages have.
    pub fn stored_bytes(&self) -> usize {
        let runs = self.instance.memories.iter().flat_map(|one| &one.runs);
        let stored = runs.filter(|run| !run.zero);
        stored.map(|run| run.count as usize * pages::PAGE).sum()
    }

    /// The snapshot as bytes.
    pub fn encode(&self) -> Result<Vec<u8>, crate::model::error::Error> {
        let small = SmallSections::of(self)?;
        let mut sections = small.contents()?;
        sections.push((Section::Pages, Content::pack(&self.pages)?));
        sections.extend(self.module_content());
        Ok(container::join(&sections)?)
    }

    /// The module's section, where it is in the snapshot.
    pub(super) fn module_content(&self) -> Option<(Section, Content<'_>)> {
        match &self.module {
            ModuleRef::Embedded { packed, length } => {
                Some((Section::Module, Content::packed(packed, *length)))
            }
            ModuleRef::ByDigest => None,
        }
    }

    /// Reads a snapshot from bytes.
    ///
    /// # Errors
    /// Says what is wrong with the bytes; nothing is decoded before their digest has matched.
    pub fn decode(file: &[u8], limits: &Limits) -> Result<Self, crate::model::error::Error> {
        let mut sections = container::split(file, limits)?;
        let index = sections.iter().position(|(one, _)| *one == Section::Pages);
        let pages = index.map(|index| sections.swap_remove(index).1);
        let pages = pages.ok_or_else(|| missing(Section::Pages))?;
        let mut snapshot = Self::from_sections(sections, pages.length)?;
        snapshot.pages = pages.unpack()?;
        Ok(snapshot)
    }

    /// A snapshot without the bytes of its pages, of which there are so many.
    pub(super) fn from_sections(
        mut sections: Vec<(Section, Content<'_>)>,
        pages: u64,
    ) -> Result<Self, Error> {
        let mut take = |wanted: Section| {
            let index = sections
                .iter()
                .position(|(section, _)| *section == wanted)?;
            Some(sections.swap_remove(index).1)
        };
        let mut content = |section: Section| take(section).ok_or_else(|| missing(section));
        let meta = from_bytes(&content(Section::Meta)?.unpack()?)?;
        let instance: InstanceV1 = from_bytes(&content(Section::Instance)?.unpack()?)?;
        let wasi = content(Section::Wasi)?.unpack()?;
        let stack = content(Section::Stack)?.unpack()?;
        // Before memory is asked for: pages that no memory has are a bomb.
        let mut stored = 0_u64;
        for memory in &instance.memories {
            stored = stored.saturating_add(pages::stored_bytes(&memory.runs, memory.size)?);
        }
        if pages != stored {
            let text = "it has more or fewer pages than its memories name".into();
            return Err(Error::Malformed(text));
        }
        let module = match take(Section::Module) {
            None => ModuleRef::ByDigest,
            Some(content) => {
                let (bytes, compressed, length) = content.stored();
                if !compressed {
                    return Err(Error::Malformed("its module is not compressed".into()));
                }
                ModuleRef::Embedded {
                    packed: bytes.into(),
                    length,
                }
            }
        };
        Ok(Self {
            meta,
            module,
            instance,
            wasi,
            pages: Vec::new(),
            stack,
        })
    }
}

fn missing(section: Section) -> Error {
    Error::Malformed(format!("it has no {section:?} section"))
}

/// What a snapshot has beside its pages and its module, as the content of sections.
pub(super) struct SmallSections<'a> {
    meta: Vec<u8>,
    instance: Vec<u8>,
    wasi: &'a [u8],
    stack: &'a [u8],
}

impl<'a> SmallSections<'a> {
    pub(super) fn of(snapshot: &'a Snapshot) -> Result<Self, Error> {
        Ok(Self {
            meta: to_bytes(&snapshot.meta)?,
            instance: to_bytes(&snapshot.instance)?,
            wasi: &snapshot.wasi,
            stack: &snapshot.stack,
        })
    }

    /// In the order in which they are written.
    pub(super) fn contents(&self) -> Result<Vec<(Section, Content<'_>)>, Error> {
        Ok(vec![
            (Section::Meta, Content::pack(&self.meta)?),
            (Section::Instance, Content::pack(&self.instance)?),
            (Section::Wasi, Content::pack(self.wasi)?),
            (Section::Stack, Content::pack(self.stack)?),
        ])
    }
}

/// A value as a MessagePack map, so that fields can be told by name.
pub(super) fn to_bytes(value: &impl Serialize) -> Result<Vec<u8>, Error> {
    rmp_serde::to_vec_named(value).map_err(|e| Error::Malformed(e.to_string()))
}

pub(super) fn from_bytes<T: DeserializeOwned>(bytes: &[u8]) -> Result<T, Error> {
    rmp_serde::from_slice(bytes).map_err(|e| Error::Malformed(e.to_string()))
}
