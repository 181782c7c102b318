//! How values of the store's types are written as SQLite's signed integers, and read back.

use rusqlite::Error::IntegralValueOutOfRange;

use crate::model::{MonotonicTime, TaskState};
use crate::moves::MovePhase;
use crate::task::Stream;

/// How many chunks a pack may have: a chunk's row number has its place in the lower 20 bits.
const CHUNKS_PER_PACK: u64 = 1 << 20;

/// A number of ours as SQLite's.
pub(super) fn signed(number: u64) -> i64 {
    i64::try_from(number).unwrap_or(i64::MAX)
}

/// A time as SQLite's number: its nanoseconds fit for 292 years, and so until the year 2262.
pub(super) fn time_number(time: MonotonicTime) -> i64 {
    signed(time.as_nanos())
}

/// A time by SQLite's number.
pub(super) fn time_of(number: i64) -> MonotonicTime {
    MonotonicTime::from_nanos(unsigned(number))
}

/// A number of SQLite's as ours.
pub(super) fn unsigned(number: i64) -> u64 {
    u64::try_from(number).unwrap_or(0)
}

/// The row number of a chunk.
pub(super) fn chunk_id(pack: u64, number: u32) -> i64 {
    signed(
        pack.saturating_mul(CHUNKS_PER_PACK)
            .saturating_add(u64::from(number)),
    )
}

/// The number by which a column names a state.
pub(super) fn state_number(state: TaskState) -> i64 {
    place_in(&TaskState::ALL, state)
}

/// The state that a column names by its number; `None` where there is no such state.
pub(super) fn known_state(number: i64) -> Option<TaskState> {
    at_place(&TaskState::ALL, number)
}

/// The number by which a column names the phase of a move.
pub(super) fn phase_number(phase: MovePhase) -> i64 {
    place_in(&MovePhase::ALL, phase)
}

/// The phase of a move that a column names by its number.
pub(super) fn phase_of(column: usize, number: i64) -> rusqlite::Result<MovePhase> {
    at_place(&MovePhase::ALL, number).ok_or(IntegralValueOutOfRange(column, number))
}

/// The number by which a column names an output stream.
pub(super) fn stream_number(stream: Stream) -> i64 {
    match stream {
        Stream::Stdout => 1,
        Stream::Stderr => 2,
    }
}

/// The output stream that a column names by its number.
pub(super) fn stream_of(column: usize, number: i64) -> rusqlite::Result<Stream> {
    match number {
        1 => Ok(Stream::Stdout),
        2 => Ok(Stream::Stderr),
        other => Err(IntegralValueOutOfRange(column, other)),
    }
}

fn place_in<T: Copy + PartialEq>(all: &[T], value: T) -> i64 {
    let index = all.iter().position(|known| *known == value);
    // `all` holds every value of its enum: each has a place.
    index.map_or(0, |index| index as i64)
}

fn at_place<T: Copy>(all: &[T], number: i64) -> Option<T> {
    let index = usize::try_from(number).ok()?;
    all.get(index).copied()
}
