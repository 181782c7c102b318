//! What SQLite alone has for numbers: rows of chunks, and columns that must name something.

use rusqlite::Error::IntegralValueOutOfRange;

use crate::model::TenantId;
use crate::moves::MovePhase;
use crate::numbers::{known_phase, known_stream, signed};
use crate::task::Stream;

/// How many chunks a pack may have: a chunk's row number has its place in the lower 20 bits.
const CHUNKS_PER_PACK: u64 = 1 << 20;

/// The row number of a chunk.
pub(super) fn chunk_id(pack: u64, number: u32) -> i64 {
    signed(
        pack.saturating_mul(CHUNKS_PER_PACK)
            .saturating_add(u64::from(number)),
    )
}

/// The phase of a move that a column names by its number.
pub(super) fn phase_of(column: usize, number: i64) -> rusqlite::Result<MovePhase> {
    known_phase(number).ok_or(IntegralValueOutOfRange(column, number))
}

/// The output stream that a column names by its number.
pub(super) fn stream_of(column: usize, number: i64) -> rusqlite::Result<Stream> {
    known_stream(number).ok_or(IntegralValueOutOfRange(column, number))
}

/// A part of a condition without which the index of tenants is not used.
pub(super) fn indexed(tenant: TenantId) -> &'static str {
    match tenant {
        TenantId::DEFAULT => "",
        _ => " AND tenant <> 0",
    }
}
