//! How much an instance may take, and how much is kept ready for the next.

use wasmtime::{PoolingAllocationConfig, ResourceLimiter};

use super::host::HostData;
use crate::model::Limit;

/// Address space for this many instances, made once: a new instance neither maps nor unmaps anything.
/// The limits are far above what compilers make; a slot costs address space, not memory.
pub(super) fn pooling(instances: u32) -> PoolingAllocationConfig {
    let mut pool = PoolingAllocationConfig::new();
    pool.total_core_instances(instances)
        .max_memories_per_module(MEMORIES)
        .total_memories(instances.saturating_mul(2).max(MEMORIES))
        .max_tables_per_module(TABLES)
        .total_tables(instances.saturating_mul(2).max(TABLES))
        .table_elements(1 << 20)
        .max_core_instance_size(4 << 20)
        .max_memory_size(1 << 32)
        // What small guests touch is cleared by hand, which is cheaper than unmapping it.
        .linear_memory_keep_resident(128 << 10)
        .table_keep_resident(16 << 10);
    pool
}

/// How many memories and tables a module may have in a pool.
const MEMORIES: u32 = 16;
const TABLES: u32 = 16;

impl ResourceLimiter for HostData {
    fn memory_growing(
        &mut self,
        current: usize,
        desired: usize,
        _maximum: Option<usize>,
    ) -> wasmtime::Result<bool> {
        // What a memory starts with, asyncify's own among them, is the module's: it was accepted.
        if self.handles.is_none() {
            return Ok(true);
        }
        if !self.allows(Limit::Memory, desired) {
            return Ok(false);
        }
        if let Some(governor) = &self.governor {
            governor.reserve(desired.saturating_sub(current) as u64)?;
        }
        Ok(true)
    }

    fn table_growing(
        &mut self,
        _current: usize,
        desired: usize,
        _maximum: Option<usize>,
    ) -> wasmtime::Result<bool> {
        Ok(self.handles.is_none() || self.allows(Limit::Table, desired))
    }
}

impl HostData {
    /// Whether the guest may have this much. A refusal is remembered.
    fn allows(&mut self, limit: Limit, wanted: usize) -> bool {
        let allowed = wanted as u64 <= self.limits.value(limit);
        if !allowed {
            self.last_refused = Some(self.limits.reached(limit).with(wanted as u64));
        }
        allowed
    }
}
