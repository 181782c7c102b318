//! What the cache knows: resumable modules, and which of them belongs to a source.

use std::path::Path;
use std::sync::Arc;

use super::cache::{self, Cache, SourceEntry, pack_report, unpack_report};
use super::error::TaskError;
use super::module_bytes::{has_connections, stated_length};
use super::program::Program;
use super::runtime::Runtime;
use crate::instrument::{self, Report};
use crate::model::Digest;
use crate::model::error::Error;

impl Runtime {
    /// The resumable module of a source, by the entry that says which one that is.
    pub(super) fn cached_source(&self, entry: &Path) -> Result<Option<Arc<Program>>, Error> {
        let bytes = cache::get(entry)?;
        let found = bytes.and_then(|bytes| rmp_serde::from_slice::<SourceEntry>(&bytes).ok());
        match found {
            Some(found) => {
                Cache::mark_used(entry);
                self.cached(&found.module)
            }
            None => Ok(None),
        }
    }

    /// The resumable module of a source, by the source's digest.
    pub(super) fn cached_digest(
        &self,
        source: &Digest,
        preempt: bool,
    ) -> Result<Option<Arc<Program>>, Error> {
        // Without the source nobody knows whether it can have connections.
        for connections in [false, true] {
            let key = self.key(source, connections, preempt);
            let found = self.cached_source(&self.cache.source(&key))?;
            if let Some(program) = found
                && program.manifest().source == *source
            {
                return Ok(Some(program));
            }
        }
        Ok(None)
    }

    /// A resumable module by its own digest.
    pub(super) fn cached(&self, module: &Digest) -> Result<Option<Arc<Program>>, Error> {
        let manifest = cache::get(&self.cache.manifest(module))?;
        let packed = cache::get(&self.cache.module(module))?;
        Cache::mark_used(&self.cache.module(module));
        let program = manifest.zip(packed).and_then(|(manifest, packed)| {
            let manifest = rmp_serde::from_slice(&manifest).ok()?;
            let length = stated_length(&packed)?;
            Some(Program::new(*module, manifest, packed.into(), length))
        });
        Ok(program.map(Arc::new))
    }

    /// Puts a resumable module into the cache.
    pub(super) fn keep(&self, program: &Program) -> Result<(), Error> {
        let manifest = rmp_serde::to_vec_named(program.manifest()).map_err(TaskError::Manifest)?;
        let digest = program.digest();
        self.cache
            .put(&self.cache.module(&digest), program.packed())?;
        self.cache.put(&self.cache.manifest(&digest), &manifest)?;
        let bytes = program.packed().len() + manifest.len();
        self.cache.has_grown(bytes as u64)
    }

    /// Notes in the cache which resumable module belongs to a source.
    pub(super) fn keep_source(
        &self,
        key: &Digest,
        module: Digest,
        name: Option<&str>,
    ) -> Result<(), Error> {
        let name = name.map(str::to_owned);
        let entry = SourceEntry { module, name };
        let entry = rmp_serde::to_vec_named(&entry).map_err(TaskError::Manifest)?;
        self.cache.put(&self.cache.source(key), &entry)
    }

    /// Keeps what was done with a module.
    pub(super) fn keep_report(&self, module: &Digest, report: &Report) -> Result<(), Error> {
        let packed = pack_report(report)?;
        self.cache.put(&self.cache.report(module), &packed)
    }

    /// What was done with a module, where the cache knows it.
    pub(super) fn cached_report(&self, module: &Digest) -> Result<Option<Report>, Error> {
        let packed = cache::get(&self.cache.report(module))?;
        Ok(packed.as_deref().and_then(unpack_report))
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
