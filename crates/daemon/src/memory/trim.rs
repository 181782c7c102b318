//! Gives memory that was freed, and that the allocator keeps, back to the system.

#![expect(unsafe_code, reason = "functions of the C library's allocator")]

/// Blocks of at least so many bytes are mapped by themselves, and go back to the system when they
/// are freed. Without a fixed threshold the allocator raises it with each such block that is freed,
/// up to 32 MiB, and keeps the blocks after that. Smaller blocks are reused at once: a suspend of a
/// small guest must not map and fault in its compressor's memory each time.
#[cfg(all(target_os = "linux", target_env = "gnu"))]
const MAPPED_FROM_BYTES: libc::c_int = 4 << 20;

/// At most this many bytes may be free at the end of an arena before the allocator gives them back.
/// Since the threshold above is fixed, the allocator would leave this at 128 KiB.
#[cfg(all(target_os = "linux", target_env = "gnu"))]
const KEPT_AT_END_BYTES: libc::c_int = 2 * MAPPED_FROM_BYTES;

/// Configures the allocator for a process that runs for long.
pub(crate) fn configure_allocator() {
    #[cfg(all(target_os = "linux", target_env = "gnu"))]
    // SAFETY: it only sets numbers of the allocator's, under the allocator's own lock.
    unsafe {
        libc::mallopt(libc::M_MMAP_THRESHOLD, MAPPED_FROM_BYTES);
        libc::mallopt(libc::M_TRIM_THRESHOLD, KEPT_AT_END_BYTES);
    }
}

/// Gives the system back what is free in the allocator's arenas.
pub(crate) fn trim() {
    #[cfg(all(target_os = "linux", target_env = "gnu"))]
    // SAFETY: it may be called at any time, from any thread; what is in use stays as it is.
    unsafe {
        libc::malloc_trim(0);
    }
}
