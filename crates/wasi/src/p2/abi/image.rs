//! What a call gives, as it is going to lie in the guest's memory.
//!
//! Only the guest can allocate memory, and the host never calls the guest. So a result with lists
//! or strings waits here as data. A thunk of the guest's asks for one block after another
//! (`result.next`), in the order in which the canonical ABI allocates them: a list before its
//! elements. When all blocks have addresses, everything is written.

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
    /// The place so many bytes behind this one.
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
    /// The block, and the offset in it, where this one's address belongs.
    pointer: (usize, usize),
}

/// A result that waits for the guest to allocate memory.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Pending {
    /// The first one is where the guest wants the result.
    blocks: Vec<Block>,
    /// The addresses of the blocks that have one. The next block's has been asked for if
    /// `requested` says so.
    addresses: Vec<u32>,
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
        let block = self.blocks.get_mut(at.block);
        let place = block.and_then(|block| block.bytes.get_mut(at.offset..));
        if let Some(place) = place.and_then(|place| place.get_mut(..bytes.len())) {
            place.copy_from_slice(bytes);
        }
    }

    /// Adds a block whose address belongs to the place, and gives its number.
    pub(crate) fn allocate(&mut self, pointer: Place, align: u32, bytes: Vec<u8>) -> usize {
        self.blocks.push(Block {
            align,
            bytes,
            pointer: (pointer.block, pointer.offset),
        });
        self.blocks.len() - 1
    }

    /// The value as a core value, where it passes as one.
    pub(crate) fn core_value(&self) -> u64 {
        let mut bytes = [0; 8];
        for (place, byte) in bytes.iter_mut().zip(&self.blocks[0].bytes) {
            *place = *byte;
        }
        u64::from_le_bytes(bytes)
    }

    /// Writes the value to an address in memory, which was checked. Where the guest has to allocate
    /// memory for it, this gives what waits for that.
    pub(crate) fn write(self, memory: &mut [u8], at: u32) -> Option<Pending> {
        match self.blocks.as_slice() {
            [root] => {
                write(memory, at, &root.bytes);
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
            let place = parent.and_then(|block| block.bytes.get_mut(pointer.1..));
            if let Some(place) = place.and_then(|place| place.first_chunk_mut::<4>()) {
                *place = at.to_le_bytes();
            }
        }
        if let Some(block) = self.blocks.get(self.addresses.len()) {
            self.requested = true;
            // A list or a string that is longer was refused.
            return Ok(Some((block.align, block.bytes.len() as u32)));
        }
        for (block, at) in self.blocks.iter().zip(&self.addresses) {
            check(memory, *at, block.bytes.len() as u64, 1)?;
            write(memory, *at, &block.bytes);
        }
        Ok(None)
    }
}

/// Writes bytes to where they were checked to fit.
fn write(memory: &mut [u8], at: u32, bytes: &[u8]) {
    let place = memory.get_mut(at as usize..).unwrap_or_default();
    if let Some(place) = place.get_mut(..bytes.len()) {
        place.copy_from_slice(bytes);
    }
}
