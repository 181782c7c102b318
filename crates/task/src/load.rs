//! Modules on their way into a [`Program`]: from their source, from the cache, from a snapshot or
//! from a store.

use std::sync::Arc;

use super::cache::Lock;
use super::error::TaskError;
use super::module_bytes::{check_digest, code_bytes, has_connections, stated_length, unpack};
use super::program::{PREEMPTIBLE, Program};
use super::progress::{Progress, Reporter, Step, Waiting, Work, quiet};
use super::runtime::Runtime;
use super::wasi_import::WasiImport;
use crate::instrument::{self, HostFunction, Instrumented, Manifest, Report};
use crate::model::error::Error;
use crate::model::{Digest, ValType};
use crate::snapshot::{ModuleRef, Snapshot};
use crate::wasi;

impl Runtime {
    /// Makes a module resumable, or finds it in the cache.
    ///
    /// # Errors
    /// Says why the module cannot be made resumable.
    pub fn load(&self, source: &[u8]) -> Result<Arc<Program>, Error> {
        self.load_with_progress(source, &quiet)
    }

    /// Like [`load`](Self::load), and tells of its work: it can take minutes for a large module.
    ///
    /// # Errors
    /// Says why the module cannot be made resumable.
    pub fn load_with_progress(
        &self,
        source: &[u8],
        progress: Progress<'_>,
    ) -> Result<Arc<Program>, Error> {
        self.load_as(source, self.preempt, progress)
    }

    /// Like [`load_with_progress`](Self::load_with_progress), and says whether the guest can be
    /// suspended while it computes: its loops and calls carry a check then.
    ///
    /// # Errors
    /// Says why the module cannot be made resumable.
    pub fn load_as(
        &self,
        source: &[u8],
        preempt: bool,
        progress: Progress<'_>,
    ) -> Result<Arc<Program>, Error> {
        self.load_and_tell_as(source, preempt, progress)
            .map(|(program, _)| program)
    }

    /// Like [`load_with_progress`](Self::load_with_progress), and says whether the module was made
    /// resumable now, here or by another process that was waited for.
    ///
    /// # Errors
    /// Says why the module cannot be made resumable.
    pub fn load_and_tell(
        &self,
        source: &[u8],
        progress: Progress<'_>,
    ) -> Result<(Arc<Program>, bool), Error> {
        self.load_and_tell_as(source, self.preempt, progress)
    }

    fn load_and_tell_as(
        &self,
        source: &[u8],
        preempt: bool,
        progress: Progress<'_>,
    ) -> Result<(Arc<Program>, bool), Error> {
        if let Some(program) = self.load_prepared(source, preempt)? {
            return Ok((program, false));
        }
        instrument::check_size(source, &self.limits, 1).map_err(TaskError::Limit)?;
        let entry = self.cache.source(&self.source_key(source, preempt));
        let cached = || self.cached_source(&entry);
        if let Some(program) = cached()? {
            return Ok((program, false));
        }
        let waiting = Waiting::new(progress, Work::Rewriting);
        let lock = self.cache.lock(&entry, &|found| waiting.look(found));
        if let Some(program) = cached()? {
            waiting.over();
            return Ok((program, true));
        }
        Ok((self.make(source, preempt, progress, &lock)?.0, true))
    }

    /// Makes a module resumable, or finds it in the cache, and says what was done.
    ///
    /// # Errors
    /// Says why the module cannot be made resumable.
    pub fn load_with_report(
        &self,
        source: &[u8],
        progress: Progress<'_>,
    ) -> Result<(Arc<Program>, Report), Error> {
        instrument::check_size(source, &self.limits, 1).map_err(TaskError::Limit)?;
        let entry = self.cache.source(&self.source_key(source, self.preempt));
        let cached = || {
            let found = self.cached_source(&entry)?;
            let report = |program: Arc<Program>| {
                let report = self.cached_report(&program.digest())?;
                Ok::<_, Error>(report.map(|report| (program, report)))
            };
            found.map_or(Ok(None), report)
        };
        if let Some(found) = cached()? {
            return Ok(found);
        }
        let waiting = Waiting::new(progress, Work::Rewriting);
        let lock = self.cache.lock(&entry, &|found| waiting.look(found));
        if let Some(found) = cached()? {
            waiting.over();
            return Ok(found);
        }
        self.make(source, self.preempt, progress, &lock)
    }

    /// Makes a module resumable anew, and says what was done.
    ///
    /// # Errors
    /// Says why the module cannot be made resumable.
    pub fn instrument(
        &self,
        source: &[u8],
        progress: Progress<'_>,
    ) -> Result<(Arc<Program>, Report), Error> {
        let entry = self.cache.source(&self.source_key(source, self.preempt));
        let waiting = Waiting::new(progress, Work::Rewriting);
        let lock = self.cache.lock(&entry, &|found| waiting.look(found));
        self.make(source, self.preempt, progress, &lock)
    }

    /// Makes a module resumable, and puts it into the cache.
    fn make(
        &self,
        source: &[u8],
        preempt: bool,
        progress: Progress<'_>,
        lock: &Lock,
    ) -> Result<(Arc<Program>, Report), Error> {
        let bytes = code_bytes(source);
        let note = |under_way: &_| lock.note(under_way);
        let reporter = Reporter::new(progress, &note, Work::Rewriting, bytes);
        let done = self.rewrite_with(source, preempt, &reporter)?;
        reporter.step(Step::Keeping);
        let module = Digest::of(&done.wasm);
        let packed = zstd::bulk::compress(&done.wasm, zstd::DEFAULT_COMPRESSION_LEVEL)
            .map_err(TaskError::Compress)?;
        let program = Program::of_wasm(module, done.manifest, packed.into(), done.wasm);
        self.keep_report(&module, &done.report)?;
        self.keep(&program)?;
        let key = self.source_key(source, preempt);
        self.keep_source(&key, module, progress.name())?;
        reporter.ended();
        Ok((Arc::new(program), done.report))
    }

    /// Makes a module resumable, and keeps nothing of it.
    pub fn rewrite(
        &self,
        source: &[u8],
        preempt: bool,
        progress: Progress<'_>,
    ) -> Result<Instrumented, Error> {
        let reporter = Reporter::new(progress, &|_| {}, Work::Rewriting, code_bytes(source));
        let done = self.rewrite_with(source, preempt, &reporter)?;
        reporter.ended();
        Ok(done)
    }

    fn rewrite_with(
        &self,
        source: &[u8],
        preempt: bool,
        reporter: &Reporter<'_>,
    ) -> Result<Instrumented, Error> {
        let connections = has_connections(source);
        let host = |module: &str, name: &str, params: &[ValType]| {
            self.host_function(module, name, params, connections)
        };
        let options = instrument::Options {
            interfaces: &wasi::p2::Function::interfaces(),
            transform: self.transform,
            preempt,
            steps: &|step| reporter.step(Step::Instrument(step)),
            code: &|bytes, transform| reporter.begins_rewriting(bytes, transform),
            ..instrument::Options::new(&host)
        };
        Ok(instrument::instrument(source, &options)?)
    }

    /// The module of a snapshot: from the snapshot itself, else from the cache.
    ///
    /// # Errors
    /// `TaskError::ModuleMissing` if neither has it.
    pub fn load_snapshot(&self, snapshot: &Snapshot) -> Result<Arc<Program>, Error> {
        let wanted = snapshot.meta.module;
        let ModuleRef::Embedded { packed, length } = &snapshot.module else {
            return self
                .cached(&wanted)?
                .ok_or_else(|| TaskError::ModuleMissing(wanted).into());
        };
        // What lies in the cache was checked before it got there. Where the snapshot's module is
        // the same bytes, it need not be unpacked to run. Other bytes might be anything, and would
        // go on into the next snapshot.
        if let Some(program) = self.cached(&wanted)?
            && program.packed() == packed
            && program.length() == *length
        {
            return Ok(program);
        }
        self.load_packed(&wanted, packed, *length)
    }

    /// An untrusted module: it must be what it claims.
    fn load_packed(
        &self,
        wanted: &Digest,
        packed: &Arc<[u8]>,
        length: u64,
    ) -> Result<Arc<Program>, Error> {
        let wasm = unpack(packed, length)?;
        check_digest(&wasm, wanted)?;
        let manifest = Manifest::of(&wasm)?;
        self.check_untrusted(&wasm, &manifest, TaskError::ForgedModule)?;
        self.keep_checked(Program::of_wasm(*wanted, manifest, packed.clone(), wasm))
    }

    /// The same of one that comes in no snapshot.
    pub(super) fn keep_untrusted(
        &self,
        digest: Digest,
        manifest: Manifest,
        wasm: &[u8],
    ) -> Result<Arc<Program>, Error> {
        self.check_untrusted(wasm, &manifest, TaskError::ForgedPrepared)?;
        let packed = zstd::bulk::compress(wasm, zstd::DEFAULT_COMPRESSION_LEVEL)
            .map_err(TaskError::Compress)?;
        let wasm = wasm.to_vec();
        self.keep_checked(Program::of_wasm(digest, manifest, packed.into(), wasm))
    }

    /// Machine code made of an untrusted module is going to be cached, so that the module must be
    /// what it claims.
    fn check_untrusted(
        &self,
        wasm: &[u8],
        manifest: &Manifest,
        forged: fn(instrument::Error) -> TaskError,
    ) -> Result<(), Error> {
        instrument::check_size(wasm, &self.limits, 8).map_err(TaskError::Limit)?;
        Ok(instrument::check_resumable(wasm, manifest).map_err(forged)?)
    }

    fn keep_checked(&self, program: Program) -> Result<Arc<Program>, Error> {
        self.keep(&program)?;
        Ok(Arc::new(program))
    }

    /// The module of this digest: from the cache, else from the bytes that `packed` gives.
    ///
    /// # Errors
    /// `TaskError::ModuleMissing` if neither has it.
    pub fn load_stored(
        &self,
        wanted: &Digest,
        packed: impl FnOnce() -> Result<Option<Vec<u8>>, Error>,
    ) -> Result<Arc<Program>, Error> {
        if let Some(program) = self.cached(wanted)? {
            return Ok(program);
        }
        let packed = packed()?.ok_or(TaskError::ModuleMissing(*wanted))?;
        let length = stated_length(&packed).unwrap_or_default();
        self.load_packed(wanted, &packed.into(), length)
    }

    /// Checks that a module given beside a snapshot is the one that the snapshot was taken of.
    ///
    /// # Errors
    /// `TaskError::OtherModule` or `TaskError::OtherTransform`.
    pub fn load_beside(
        &self,
        source: &[u8],
        snapshot: &Snapshot,
        progress: Progress<'_>,
    ) -> Result<Arc<Program>, Error> {
        let prepared = self.load_prepared(source, false)?;
        let found = match &prepared {
            Some(program) => program.manifest().source,
            None => Digest::of(source),
        };
        if found != snapshot.meta.source {
            let wanted = snapshot.meta.source;
            return Err(TaskError::OtherModule { wanted, found }.into());
        }
        let preempt = snapshot.meta.transform.ends_with(PREEMPTIBLE);
        let program = match prepared {
            Some(program) => program,
            None => self.load_as(source, preempt, progress)?,
        };
        match program.digest() == snapshot.meta.module {
            true => Ok(program),
            false => Err(TaskError::OtherTransform {
                ours: env!("CARGO_PKG_VERSION").into(),
                theirs: snapshot.meta.tool.clone(),
            }
            .into()),
        }
    }

    /// A module that is in the cache, by the BLAKE3 digest of its source, made resumable as this
    /// runtime does.
    ///
    /// # Errors
    /// `TaskError::Unknown` if the cache has no such module.
    pub fn load_known(&self, source: &Digest) -> Result<Arc<Program>, Error> {
        self.load_known_as(source, self.preempt)
    }

    /// Like [`load_known`](Self::load_known), and says whether it is to have checks.
    ///
    /// # Errors
    /// `TaskError::Unknown` if the cache has no such module.
    pub fn load_known_as(&self, source: &Digest, preempt: bool) -> Result<Arc<Program>, Error> {
        let known = self.cached_digest(source, preempt)?;
        known.ok_or_else(|| TaskError::Unknown(*source).into())
    }

    fn host_function(
        &self,
        module: &str,
        name: &str,
        params: &[ValType],
        connections: bool,
    ) -> Option<HostFunction> {
        if let Some(registered) = self.functions().get(module, name) {
            return Some(registered.ty.clone());
        }
        let function = WasiImport::find(module, name, params)?;
        Some(function.host_function(connections))
    }
}
