//! What a call gives, as it is going to lie in the guest's memory.
//!
//! Only the guest can allocate memory, and the host never calls the guest. So a result with lists
//! or strings waits here as data. A thunk of the guest's asks for some blocks after others
//! (`result.next`), in the order in which the canonical ABI allocates them: a list before its
//! elements. When all blocks have addresses, everything is written. As the specification has it,
//! what lies between the values and behind them, such as room for a larger case, stays as it was.

use serde::{Deserialize, Serialize};
use smallvec::SmallVec;

use super::lifting::check;
use super::parts::{self, Parts};
use crate::p2::handles::Handles;
use crate::p2::stop::{Called, trap};
use dormouse_model::lowered::{StringEncoding, allocations};

/// A result that is being put together.
pub(crate) struct Image<'a> {
    pub(crate) encoding: StringEncoding,
    pub(crate) handles: &'a mut Handles,
    /// The component instance that gets the result.
    pub(crate) instance: u32,
    /// The value itself. Most are small, so that they need no memory of the host's.
    root: SmallVec<[u8; INLINE_BYTES]>,
    /// The parts of it that are written.
    root_parts: Parts,
    /// What the guest has to allocate: the blocks from number 1 on. Number 0 is empty until the image
    /// is written, and there are none if nothing is to be allocated.
    blocks: Vec<Block>,
}

/// How large a value may be in bytes that lies in the image itself.
const INLINE_BYTES: usize = 32;

/// A place in an image.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Place {
    /// The block, by its number.
    pub(crate) block: usize,
    /// Where in the block, in bytes.
    pub(crate) offset: usize,
}

impl Place {
    /// The place that is `bytes` bytes behind this one.
    pub(crate) fn after(self, bytes: u32) -> Self {
        Self {
            block: self.block,
            offset: self.offset + bytes as usize,
        }
    }
}

/// Memory in one piece.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
struct Block {
    /// What its address must be a multiple of.
    align: u32,
    #[serde(with = "serde_bytes")]
    bytes: Vec<u8>,
    /// The parts of it that are written.
    #[serde(with = "parts")]
    parts: Parts,
    /// The block, and the offset in it, where this one's address belongs.
    pointer: (usize, usize),
}

/// Puts bytes to an offset in a block, where there is room for them.
fn put(block: &mut [u8], parts: &mut Parts, offset: usize, bytes: &[u8]) {
    let end = offset.saturating_add(bytes.len());
    let Some(place) = block.get_mut(offset..end) else {
        return;
    };
    place.copy_from_slice(bytes);
    match parts.last_mut() {
        Some((_, last)) if *last == offset => *last = end,
        _ => parts.push((offset, end)),
    }
}

/// Writes the parts of a block to an address in memory, which was checked.
fn write(block: &[u8], parts: &Parts, memory: &mut [u8], at: u32) {
    for (start, end) in parts {
        let bytes = block.get(*start..*end).unwrap_or_default();
        let place = memory
            .get_mut((at as usize).saturating_add(*start)..)
            .unwrap_or_default();
        if let Some(place) = place.get_mut(..bytes.len()) {
            place.copy_from_slice(bytes);
        }
    }
}

/// A result that waits for the guest to allocate memory.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Pending {
    /// The first one is where the guest wants the result.
    blocks: Vec<Block>,
    /// The addresses of the blocks that have one.
    addresses: Vec<u32>,
    /// Of how many blocks the addresses have been asked for.
    requested: usize,
}

impl<'a> Image<'a> {
    /// An image with room for a value of this size.
    pub(crate) fn new(
        handles: &'a mut Handles,
        instance: u32,
        encoding: StringEncoding,
        size: u32,
    ) -> Self {
        Self {
            encoding,
            handles,
            instance,
            root: SmallVec::from_elem(0, size as usize),
            root_parts: Parts::new(),
            blocks: Vec::new(),
        }
    }

    /// Where the value itself belongs.
    pub(crate) const ROOT: Place = Place {
        block: 0,
        offset: 0,
    };

    /// Puts bytes to a place, where there is room for them.
    pub(crate) fn put(&mut self, at: Place, bytes: &[u8]) {
        if at.block == Self::ROOT.block {
            put(&mut self.root, &mut self.root_parts, at.offset, bytes);
        } else if let Some(block) = self.blocks.get_mut(at.block) {
            put(&mut block.bytes, &mut block.parts, at.offset, bytes);
        }
    }

    /// Adds a block with room for values, whose address belongs to the place, and gives its number.
    pub(crate) fn allocate(&mut self, pointer: Place, align: u32, size: usize) -> usize {
        self.add(pointer, align, vec![0; size], Parts::new())
    }

    /// Adds a block of bytes, whose address belongs to the place.
    pub(crate) fn allocate_bytes(&mut self, pointer: Place, align: u32, bytes: Vec<u8>) {
        let all = Parts::from_slice(&[(0, bytes.len())]);
        self.add(pointer, align, bytes, all);
    }

    fn add(&mut self, pointer: Place, align: u32, bytes: Vec<u8>, parts: Parts) -> usize {
        // The address is put there when it is known.
        self.put(pointer, &[0; 4]);
        if self.blocks.is_empty() {
            self.blocks.push(Block::default());
        }
        self.blocks.push(Block {
            align,
            bytes,
            parts,
            pointer: (pointer.block, pointer.offset),
        });
        self.blocks.len() - 1
    }

    /// The value as a core value, where it passes as one.
    pub(crate) fn core_value(&self) -> u64 {
        let mut bytes = [0; 8];
        for (place, byte) in bytes.iter_mut().zip(&self.root) {
            *place = *byte;
        }
        u64::from_le_bytes(bytes)
    }

    /// Writes the value to an address in memory, which was checked. Where the guest has to allocate
    /// memory for it, this gives what waits for that.
    pub(crate) fn write(mut self, memory: &mut [u8], at: u32) -> Option<Pending> {
        let Some(root) = self.blocks.first_mut() else {
            write(&self.root, &self.root_parts, memory, at);
            return None;
        };
        *root = Block {
            align: 1,
            bytes: self.root.into_vec(),
            parts: self.root_parts,
            pointer: (0, 0),
        };
        let mut addresses = Vec::with_capacity(self.blocks.len());
        addresses.push(at);
        Some(Pending {
            blocks: self.blocks,
            addresses,
            requested: 0,
        })
    }
}

impl Pending {
    /// Takes the addresses of the blocks that were asked for, and asks for the next ones, or for
    /// none if all has been written.
    pub(crate) fn next(&mut self, memory: &mut [u8], addresses: &[u64]) -> Called<u64> {
        let asked = std::mem::take(&mut self.requested);
        for at in addresses.iter().take(asked) {
            let at = *at as u32;
            let Some(block) = self.blocks.get(self.addresses.len()) else {
                return trap("a result has no such block");
            };
            let pointer = block.pointer;
            check(memory, at, block.bytes.len() as u64, block.align.max(1))?;
            self.addresses.push(at);
            let parent = self.blocks.get_mut(pointer.0);
            let slot = parent.and_then(|block| block.bytes.get_mut(pointer.1..));
            if let Some(slot) = slot.and_then(|slot| slot.first_chunk_mut::<4>()) {
                *slot = at.to_le_bytes();
            }
        }
        let rest = self.blocks.get(self.addresses.len()..).unwrap_or_default();
        // A list or a string that is longer was refused.
        let sizes = rest
            .iter()
            .map(|block| (block.align, block.bytes.len() as u32));
        let (request, count) = allocations::request(sizes);
        if count > 0 {
            self.requested = count;
            return Ok(request);
        }
        for (block, at) in self.blocks.iter().zip(&self.addresses) {
            check(memory, *at, block.bytes.len() as u64, 1)?;
            write(&block.bytes, &block.parts, memory, *at);
        }
        Ok(request)
    }
}
