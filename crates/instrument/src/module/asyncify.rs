//! What asyncify adds to a module, whoever runs it.

/// Asyncify's stack, in pages of 64 KiB: 32 MiB. A frame takes at most a few times what the same
/// frame takes on the native stack, of which engines allow 8 MiB. Pages that are not written cost
/// no memory.
pub(crate) const STACK_PAGES: u32 = 512;
