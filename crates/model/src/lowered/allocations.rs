//! How the host tells a thunk which blocks of memory a result needs: several in one number, since
//! each call of the host costs more than the allocation.
//!
//! ```text
//! bit 63 set      one block: the exponent of its alignment in bits 32 to 33, its size in 0 to 31
//! bit 63 clear    up to four blocks of 16 bits each, the first one lowest: its size in bits 0 to 11,
//!                 the exponent of its alignment in 12 to 13, and 14 is set where there is a block
//! all bits set    none: the result is written
//! ```

/// How many blocks one number asks for at most.
pub const MAX_BLOCKS: usize = 4;

/// The number that asks for no block.
pub const NO_BLOCKS: u64 = u64::MAX;

/// Set where a number asks for one block, which may be large.
pub const IS_ONE_BLOCK: u64 = 1 << 63;

/// Where the exponent of the alignment of such a block begins.
pub const ONE_ALIGN_SHIFT: u32 = 32;

/// Of how many bits each small block is.
pub const BLOCK_BITS: u32 = 16;

/// Where the exponent of a small block's alignment begins; its size is below.
pub const ALIGN_SHIFT: u32 = 12;

/// The size of a small block.
pub const SIZE_MASK: u64 = (1 << ALIGN_SHIFT) - 1;

/// The exponent of an alignment, once it is shifted down.
pub const ALIGN_MASK: u64 = 3;

/// Set where there is a small block.
pub const IS_BLOCK: u64 = 1 << 14;

/// Asks for the first of these blocks, each with its alignment (1, 2, 4 or 8) and its size, and for
/// how many of them.
pub fn request(blocks: impl IntoIterator<Item = (u32, u32)>) -> (u64, usize) {
    let (mut number, mut count) = (0, 0);
    for (align, size) in blocks.into_iter().take(MAX_BLOCKS) {
        let (align, size) = (u64::from(align.trailing_zeros()), u64::from(size));
        if size > SIZE_MASK {
            return match count {
                0 => (IS_ONE_BLOCK | align << ONE_ALIGN_SHIFT | size, 1),
                _ => (number, count),
            };
        }
        number |= (IS_BLOCK | align << ALIGN_SHIFT | size) << (BLOCK_BITS * count as u32);
        count += 1;
    }
    match count {
        0 => (NO_BLOCKS, 0),
        _ => (number, count),
    }
}

/// The blocks that a number asks for, each with its alignment and its size.
pub fn requested(number: u64) -> impl Iterator<Item = (u32, u32)> {
    let is_one = number & IS_ONE_BLOCK != 0 && number != NO_BLOCKS;
    let align = |exponent: u64| 1 << (exponent & ALIGN_MASK);
    let one = is_one.then(|| (align(number >> ONE_ALIGN_SHIFT), number as u32));
    let blocks = (0..MAX_BLOCKS as u32).map(move |place| number >> (BLOCK_BITS * place));
    let blocks =
        blocks.take_while(move |block| !is_one && number != NO_BLOCKS && block & IS_BLOCK != 0);
    one.into_iter()
        .chain(blocks.map(move |block| (align(block >> ALIGN_SHIFT), (block & SIZE_MASK) as u32)))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_number_asks_for_as_many_blocks_as_go_into_it() {
        for (blocks, fitting) in [
            (vec![], 0),
            (vec![(1, 0)], 1),
            (vec![(8, u32::MAX)], 1),
            (vec![(4, 4096), (1, 1)], 1),
            (vec![(4, 4095), (1, 4096)], 1),
            (vec![(8, 4095); 4], 4),
            (vec![(4, 328), (1, 4), (1, 12), (2, 0), (1, 7)], 4),
        ] {
            let (number, count) = request(blocks.iter().copied());
            assert_eq!(count, fitting, "{blocks:?}");
            let read: Vec<_> = requested(number).collect();
            assert_eq!(read, blocks[..fitting], "{blocks:?}");
            assert_eq!(number == NO_BLOCKS, blocks.is_empty());
        }
    }
}
