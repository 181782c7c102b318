//! What the allocator keeps of memory that was freed goes back to the system.

/// Blocks from so many bytes on are mapped by themselves, and go back to the system when they are freed. Left to itself,
/// the allocator raises this with each such block that is freed, and keeps the next ones.
#[cfg(all(target_os = "linux", target_env = "gnu"))]
const MAPPED: libc::c_int = 1 << 20;

/// Sets the allocator up for a process that goes on for long.
pub(in super::super) fn settle() {
    #[cfg(all(target_os = "linux", target_env = "gnu"))]
    // SAFETY: it only sets a number of the allocator's, under the allocator's own lock.
    unsafe {
        libc::mallopt(libc::M_MMAP_THRESHOLD, MAPPED);
    }
}

/// Gives back what lies free in the allocator's arenas.
pub(in super::super) fn trim() {
    #[cfg(all(target_os = "linux", target_env = "gnu"))]
    // SAFETY: it may be called at any time, from any thread; what is in use stays as it is.
    unsafe {
        libc::malloc_trim(0);
    }
}
