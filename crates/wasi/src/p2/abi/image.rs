//! What a call gives, as it is going to lie in the guest's memory.
//!
//! The value itself goes to where the guest wants it. Memory for lists and strings can only be
//! allocated by the guest, and the host never calls the guest. So they wait here as data. A thunk
//! of the guest's asks for one block after another (`result.next`), in the order in which the
//! canonical ABI allocates them: a list before its elements. When all blocks have addresses, they
//! are written. As the specification has it, what lies between the values and behind them, such as
//! room for a larger case, stays as it was.

use dormouse_model::lowered::StringEncoding;
use serde::{Deserialize, Serialize};

use super::lifting::check;
use crate::p2::handles::Handles;
use crate::p2::stop::{Called, trap};

/// A result that is being put together.
pub(crate) struct Image<'a> {
    pub(crate) encoding: StringEncoding,
    pub(crate) handles: &'a mut Handles,
    /// The component instance that gets the result.
    pub(crate) instance: u32,
    /// The guest's memory from where it wants the value.
    root: &'a mut [u8],
    /// What the value points to.
    blocks: Vec<Block>,
}

/// A place in an image.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Place {
    /// The block, by its number: 0 is the value itself.
    pub(crate) block: usize,
    /// Where in the block, in bytes.
    pub(crate) offset: usize,
}

impl Place {
    /// Where the value itself belongs.
    pub(crate) const ROOT: Self = Self {
        block: 0,
        offset: 0,
    };

    /// The place so many bytes behind this one.
    pub(crate) fn after(self, bytes: u32) -> Self {
        Self {
            block: self.block,
            offset: self.offset + bytes as usize,
        }
    }
}

/// A list or a string.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
struct Block {
    /// What its address must be a multiple of.
    align: u32,
    #[serde(with = "serde_bytes")]
    bytes: Vec<u8>,
    /// The parts of it that are written, each from an offset to another; `None` for all of it.
    parts: Option<Vec<(usize, usize)>>,
    /// The block, and the offset in it, where this one's address belongs.
    pointer: (usize, usize),
}

/// A result that waits for the guest to allocate memory.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Pending {
    /// Where the value itself is.
    root: u32,
    blocks: Vec<Block>,
    /// The addresses of the blocks that have one. The next block's has been asked for if
    /// `requested` says so.
    addresses: Vec<u32>,
    requested: bool,
}

impl Block {
    /// Puts bytes to an offset, where there is room for them.
    fn put(&mut self, offset: usize, bytes: &[u8]) {
        put(&mut self.bytes, offset, bytes);
        let end = offset.saturating_add(bytes.len());
        if let Some(parts) = &mut self.parts {
            match parts.last_mut() {
                Some((_, last)) if *last == offset => *last = end,
                _ => parts.push((offset, end)),
            }
        }
    }

    /// Writes its parts to an address in memory, which was checked.
    fn write(&self, memory: &mut [u8], at: u32) {
        let memory = memory.get_mut(at as usize..).unwrap_or_default();
        let Some(parts) = &self.parts else {
            return put(memory, 0, &self.bytes);
        };
        for (start, end) in parts {
            put(
                memory,
                *start,
                self.bytes.get(*start..*end).unwrap_or_default(),
            );
        }
    }
}

/// Puts bytes to an offset in a buffer, where there is room for them.
fn put(buffer: &mut [u8], offset: usize, bytes: &[u8]) {
    let place = buffer.get_mut(offset..).unwrap_or_default();
    if let Some(place) = place.get_mut(..bytes.len()) {
        place.copy_from_slice(bytes);
    }
}

impl<'a> Image<'a> {
    /// An image whose value belongs to the start of `root`, which has room for it.
    pub(crate) fn new(
        handles: &'a mut Handles,
        instance: u32,
        encoding: StringEncoding,
        root: &'a mut [u8],
    ) -> Self {
        Self {
            encoding,
            handles,
            instance,
            root,
            blocks: Vec::new(),
        }
    }

    /// Puts bytes to a place, where there is room for them.
    pub(crate) fn put(&mut self, at: Place, bytes: &[u8]) {
        match at.block.checked_sub(1) {
            None => put(self.root, at.offset, bytes),
            Some(block) => {
                if let Some(block) = self.blocks.get_mut(block) {
                    block.put(at.offset, bytes);
                }
            }
        }
    }

    /// Adds a block with room for values, whose address belongs to the place, and gives its number.
    pub(crate) fn allocate(&mut self, pointer: Place, align: u32, size: usize) -> usize {
        self.add(pointer, align, vec![0; size], Some(Vec::new()))
    }

    /// Adds a block of bytes, whose address belongs to the place.
    pub(crate) fn allocate_bytes(&mut self, pointer: Place, align: u32, bytes: Vec<u8>) {
        self.add(pointer, align, bytes, None);
    }

    fn add(
        &mut self,
        pointer: Place,
        align: u32,
        bytes: Vec<u8>,
        parts: Option<Vec<(usize, usize)>>,
    ) -> usize {
        // The address is put there when it is known.
        self.put(pointer, &[0; 4]);
        self.blocks.push(Block {
            align,
            bytes,
            parts,
            pointer: (pointer.block, pointer.offset),
        });
        self.blocks.len()
    }

    /// What waits for the guest to allocate memory, if anything does. `root` is the address of the
    /// value itself.
    pub(crate) fn pending(self, root: u32) -> Option<Pending> {
        (!self.blocks.is_empty()).then_some(Pending {
            root,
            blocks: self.blocks,
            addresses: Vec::new(),
            requested: false,
        })
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
            let (owner, offset) = block.pointer;
            check(memory, at, block.bytes.len() as u64, block.align.max(1))?;
            self.addresses.push(at);
            let address = at.to_le_bytes();
            match owner.checked_sub(1) {
                None => put(
                    memory,
                    (self.root as usize).saturating_add(offset),
                    &address,
                ),
                Some(owner) => {
                    if let Some(owner) = self.blocks.get_mut(owner) {
                        put(&mut owner.bytes, offset, &address);
                    }
                }
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
