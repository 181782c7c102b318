//! How WasmEdge is set up, and what is asked of the disk.

use std::path::Path;

use wasmedge_sdk::config::{
    CommonConfigOptions, CompilerConfigOptions, Config, ConfigBuilder, RuntimeConfigOptions,
};
use wasmedge_sdk::{CompilerOptimizationLevel, CompilerOutputFormat};

use crate::model::{Limit, Limits};
use crate::{EngineKind, Error};

/// Which engine this is, for messages.
pub(super) const KIND: EngineKind = EngineKind::WasmEdge;

/// Bytes of a page of a wasm memory.
pub(super) const WASM_PAGE: usize = 65536;

/// Pages of 64 KiB in 4 GiB: as many as a memory can have.
pub(super) const MAX_PAGES: u32 = 65536;

/// How many pages a memory may have under a limit. Asyncify's own, which does not grow, has 512.
pub(super) fn pages(limits: &Limits) -> u32 {
    let bytes = limits.value(Limit::Memory);
    let limit = u32::try_from(bytes >> 16).unwrap_or(MAX_PAGES);
    limit.clamp(512, MAX_PAGES)
}

/// The configuration, with this level for its compiler.
pub(super) fn config(level: CompilerOptimizationLevel, pages: u32) -> Result<Config, Error> {
    let common = CommonConfigOptions::default()
        .multi_memories(true)
        .tail_call(true)
        .threads(true)
        .simd(true);
    let compiler = CompilerConfigOptions::new()
        .out_format(CompilerOutputFormat::Native)
        .optimization_level(level);
    ConfigBuilder::new(common)
        .with_compiler_config(compiler)
        .with_runtime_config(RuntimeConfigOptions::new().max_memory_pages(pages))
        .build()
        .map_err(|e| Error::Setup(KIND, e.to_string()))
}

/// Fails where a disk has no room for the code of a module of this size. The linker writes through
/// a mapping of the file: where the disk gets full, a signal ends the process.
pub(super) fn check_room(folder: &Path, bytes: usize) -> Result<(), Error> {
    // An object file and the library, each several times as large as the module.
    let needed = (bytes as u64).saturating_mul(24).saturating_add(256 << 10);
    match rustix::fs::statvfs(folder) {
        Ok(disk) if disk.f_bavail.saturating_mul(disk.f_frsize) < needed => {
            Err(Error::Write(folder.into(), rustix::io::Errno::NOSPC.into()))
        }
        _ => Ok(()),
    }
}
