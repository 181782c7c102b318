//! The parts of a block of memory that are written. A snapshot has them as a list.

use serde::{Deserialize, Deserializer, Serializer};
use smallvec::SmallVec;

/// Parts of a block, each from an offset to another. Most blocks are written as a whole.
pub(super) type Parts = SmallVec<[(usize, usize); 1]>;

pub(super) fn serialize<S: Serializer>(parts: &Parts, to: S) -> Result<S::Ok, S::Error> {
    to.collect_seq(parts)
}

pub(super) fn deserialize<'de, D: Deserializer<'de>>(from: D) -> Result<Parts, D::Error> {
    Vec::<(usize, usize)>::deserialize(from).map(Parts::from_vec)
}
