//! What the allocator keeps of memory that was freed goes back to the system.

#![expect(unsafe_code, reason = "functions of the C library's allocator")]

/// Blocks from so many bytes on are mapped by themselves, and go back to the system when they are freed. Left to itself,
/// the allocator raises this with each such block that is freed, up to 32 MiB, and keeps the next ones. What is smaller
/// is used again at once: a suspend of a small guest must not map and fault in what it compresses with each time.
#[cfg(all(target_os = "linux", target_env = "gnu"))]
const MAPPED: libc::c_int = 4 << 20;

/// So much may lie free at the end of an arena before it is given back by itself. With a threshold that was set, the
/// allocator does not raise this from 128 KiB either.
#[cfg(all(target_os = "linux", target_env = "gnu"))]
const SPARE: libc::c_int = 2 * MAPPED;

/// Sets the allocator up for a process that goes on for long.
pub(in super::super) fn settle() {
    #[cfg(all(target_os = "linux", target_env = "gnu"))]
    // SAFETY: it only sets numbers of the allocator's, under the allocator's own lock.
    unsafe {
        libc::mallopt(libc::M_MMAP_THRESHOLD, MAPPED);
        libc::mallopt(libc::M_TRIM_THRESHOLD, SPARE);
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
