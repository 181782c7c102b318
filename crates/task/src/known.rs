//! Modules that have been made resumable before, by the digest of their source.

use std::path::Path;
use std::sync::Arc;

use serde::{Deserialize, Serialize};

use super::packed::has_connections;
use super::{Program, Runtime, TaskError, cache};
use crate::instrument;
use crate::model::Digest;
use crate::model::error::Error;

/// Ties a source to its resumable module.
#[derive(Serialize, Deserialize)]
pub(super) struct SourceEntry {
    pub(super) module: Digest,
}

impl Runtime {
    /// A module that is in the cache, by the BLAKE3 digest of its source: made resumable as this runtime does.
    ///
    /// # Errors
    /// `TaskError::Unknown` where there is none.
    pub fn load_known(&self, source: &Digest) -> Result<Arc<Program>, Error> {
        self.load_known_as(source, self.preempt)
    }

    /// Like [`load_known`](Self::load_known), and says whether it is to have checks.
    ///
    /// # Errors
    /// `TaskError::Unknown` where there is none.
    pub fn load_known_as(&self, source: &Digest, preempt: bool) -> Result<Arc<Program>, Error> {
        for connections in [false, true] {
            let key = self.key(source, connections, preempt);
            let found = self.cached_source(&self.cache.source(&key))?;
            if let Some(program) = found
                && program.manifest().source == *source
            {
                return Ok(program);
            }
        }
        Err(TaskError::Unknown(*source).into())
    }

    pub(super) fn cached_source(&self, entry: &Path) -> Result<Option<Arc<Program>>, Error> {
        let entry = cache::get(entry)?;
        let entry = entry.and_then(|bytes| rmp_serde::from_slice::<SourceEntry>(&bytes).ok());
        entry.map_or(Ok(None), |entry| self.cached(&entry.module))
    }

    /// What the resumable module of a source is found by.
    pub(super) fn source_key(&self, source: &[u8], preempt: bool) -> Digest {
        self.key(&Digest::of(source), has_connections(source), preempt)
    }

    fn key(&self, source: &Digest, connections: bool, preempt: bool) -> Digest {
        let functions = format!("{:?}", self.functions().types());
        Digest::of_parts([
            env!("CARGO_PKG_VERSION").as_bytes(),
            instrument::REVISION.as_bytes(),
            self.transform.to_string().as_bytes(),
            functions.as_bytes(),
            match connections {
                true => b"connections",
                false => b"",
            },
            match preempt {
                true => b"preempt",
                false => b"",
            },
            source.as_bytes(),
        ])
    }
}
