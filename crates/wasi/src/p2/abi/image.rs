//! What a call gives, as it is going to lie in the guest's memory.
//!
//! Only the guest can allocate memory, and the host never calls the guest. So a result with lists
//! or strings waits here as data. A thunk of the guest's asks for one block after another
//! (`result.next`), in the order in which the canonical ABI allocates them: a list before its
//! elements. When all blocks have addresses, everything is written. As the specification has it,
//! what lies between the values and behind them, such as room for a larger case, stays as it was.

use serde::{Deserialize, Serialize};

use super::lifting::check;
use crate::p2::handles::Handles;
use crate::p2::stop::{Called, trap};
use dormouse_model::lowered::StringEncoding;

/// A result that is being put together.
pub(crate) struct Image<'a> {
    pub(crate) encoding: StringEncoding,
    pub(crate) handles: &'a mut Handles,
    /// The component instance that gets the result.
    pub(crate) instance: u32,
    blocks: Vec<Block>,
}

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
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
struct Block {
    /// What its address must be a multiple of.
    align: u32,
    #[serde(with = "serde_bytes")]
    bytes: Vec<u8>,
    /// The parts of it that are written, each from an offset to another.
    parts: Vec<(usize, usize)>,
    /// The block, and the offset in it, where this one's address belongs.
    pointer: (usize, usize),
}

impl Block {
    /// Puts bytes to an offset, where there is room for them.
    fn put(&mut self, offset: usize, bytes: &[u8]) {
        let end = offset.saturating_add(bytes.len());
        let Some(slot) = self.bytes.get_mut(offset..end) else {
            return;
        };
        slot.copy_from_slice(bytes);
        match self.parts.last_mut() {
            Some((_, last)) if *last == offset => *last = end,
            _ => self.parts.push((offset, end)),
        }
    }

    /// Writes its parts to an address in memory, which was checked.
    fn write(&self, memory: &mut [u8], at: u32) {
        for (start, end) in &self.parts {
            let bytes = self.bytes.get(*start..*end).unwrap_or_default();
            let slot = memory
                .get_mut((at as usize).saturating_add(*start)..)
                .unwrap_or_default();
            if let Some(slot) = slot.get_mut(..bytes.len()) {
                slot.copy_from_slice(bytes);
            }
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
    /// Whether the address of the next block has been asked for.
    requested: bool,
}

impl<'a> Image<'a> {
    /// An image with room for a value of this size.
    pub(crate) fn new(
        handles: &'a mut Handles,
        instance: u32,
        encoding: StringEncoding,
        size: u32,
    ) -> Self {
        let root = Block {
            align: 1,
            bytes: vec![0; size as usize],
            parts: Vec::new(),
            pointer: (0, 0),
        };
        Self {
            encoding,
            handles,
            instance,
            blocks: vec![root],
        }
    }

    /// Where the value itself belongs.
    pub(crate) const ROOT: Place = Place {
        block: 0,
        offset: 0,
    };

    /// Puts bytes to a place, where there is room for them.
    pub(crate) fn put(&mut self, at: Place, bytes: &[u8]) {
        if let Some(block) = self.blocks.get_mut(at.block) {
            block.put(at.offset, bytes);
        }
    }

    /// Adds a block with room for values, whose address belongs to the place, and gives its number.
    pub(crate) fn allocate(&mut self, pointer: Place, align: u32, size: usize) -> usize {
        self.add(pointer, align, vec![0; size], Vec::new())
    }

    /// Adds a block of bytes, whose address belongs to the place.
    pub(crate) fn allocate_bytes(&mut self, pointer: Place, align: u32, bytes: Vec<u8>) {
        let all = (0, bytes.len());
        self.add(pointer, align, bytes, vec![all]);
    }

    fn add(
        &mut self,
        pointer: Place,
        align: u32,
        bytes: Vec<u8>,
        parts: Vec<(usize, usize)>,
    ) -> usize {
        // The address is put there when it is known.
        self.put(pointer, &[0; 4]);
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
        for (slot, byte) in bytes.iter_mut().zip(&self.blocks[0].bytes) {
            *slot = *byte;
        }
        u64::from_le_bytes(bytes)
    }

    /// Writes the value to an address in memory, which was checked. Where the guest has to allocate
    /// memory for it, this gives what waits for that.
    pub(crate) fn write(self, memory: &mut [u8], at: u32) -> Option<Pending> {
        match self.blocks.as_slice() {
            [root] => {
                root.write(memory, at);
                None
            }
            _ => Some(Pending {
                blocks: self.blocks,
                addresses: vec![at],
                requested: false,
            }),
        }
    }
}

impl Pending {
    /// Takes the address of the block that was asked for, and asks for the next: alignment and
    /// size, or nothing if all has been written.
    pub(crate) fn next(&mut self, memory: &mut [u8], at: u32) -> Called<Option<(u32, u32)>> {
        if std::mem::take(&mut self.requested) {
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
        if let Some(block) = self.blocks.get(self.addresses.len()) {
            self.requested = true;
            // A list or a string that is longer was refused.
            return Ok(Some((block.align, block.bytes.len() as u32)));
        }
        for (block, at) in self.blocks.iter().zip(&self.addresses) {
            check(memory, *at, block.bytes.len() as u64, 1)?;
            block.write(memory, *at);
        }
        Ok(None)
    }
}
