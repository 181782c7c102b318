//! What a guest passes to a call: its memory, its core values and its handles.

use crate::p2::handles::Handles;
use crate::p2::stop::{Called, trap};
use dormouse_model::lowered::StringEncoding;

/// How many bytes the lists and strings of one call may have that the host copies, as with Wasmtime.
/// They may overlap, so that copies could be far larger than the memory.
const MAX_COPIED_BYTES: u64 = 128 << 20;

/// Where the values of one call are taken from.
pub(crate) struct Lifting<'a> {
    pub(crate) memory: &'a [u8],
    pub(crate) encoding: StringEncoding,
    pub(crate) handles: &'a mut Handles,
    /// The component instance that calls.
    pub(crate) instance: u32,
    /// How many bytes of lists and strings have been copied.
    pub(crate) copied: u64,
}

/// The core values of one call that have not been taken yet.
pub(crate) struct Flat<'a>(pub(crate) &'a [u64]);

impl Flat<'_> {
    /// The next value, as raw bits.
    pub(crate) fn next(&mut self) -> u64 {
        // Arguments arrive with the import's own type checked; a missing one reads as zero.
        match self.0.split_first() {
            Some((first, rest)) => {
                self.0 = rest;
                *first
            }
            None => 0,
        }
    }

    /// The next values, as many as are asked for.
    pub(crate) fn take(&mut self, count: usize) -> Flat<'_> {
        let (taken, rest) = self.0.split_at(count.min(self.0.len()));
        self.0 = rest;
        Flat(taken)
    }
}

impl<'a> Lifting<'a> {
    /// Bytes that the host copies, if the address is aligned and they lie in memory.
    pub(crate) fn bytes(&mut self, at: u32, size: u64, align: u32) -> Called<&'a [u8]> {
        self.check_copied(at, size, align)?;
        let bytes = self.memory.get(at as usize..).unwrap_or_default();
        Ok(bytes.get(..size as usize).unwrap_or_default())
    }

    /// Bytes in memory that were checked to be there.
    pub(crate) fn array<const N: usize>(&self, at: u32) -> [u8; N] {
        let bytes = self.memory.get(at as usize..).unwrap_or_default();
        bytes.first_chunk().copied().unwrap_or([0; N])
    }

    /// Fails unless an address is aligned and `size` bytes there lie in memory.
    pub(crate) fn check(&self, at: u32, size: u64, align: u32) -> Called<()> {
        check(self.memory, at, size, align)
    }

    /// The same for what the host copies.
    pub(crate) fn check_copied(&mut self, at: u32, size: u64, align: u32) -> Called<()> {
        self.check(at, size, align)?;
        self.copied = self.copied.saturating_add(size);
        match self.copied <= MAX_COPIED_BYTES {
            true => Ok(()),
            false => trap(format!(
                "the lists and strings of one call have more than {MAX_COPIED_BYTES} bytes"
            )),
        }
    }
}

/// Fails unless an address is aligned and `size` bytes there lie in memory.
pub(crate) fn check(memory: &[u8], at: u32, size: u64, align: u32) -> Called<()> {
    if !at.is_multiple_of(align) {
        return trap(format!("the pointer {at:#x} is not aligned to {align}"));
    }
    match u64::from(at) + size <= memory.len() as u64 {
        true => Ok(()),
        false => trap(format!("{size} bytes at {at:#x} do not lie in memory")),
    }
}
