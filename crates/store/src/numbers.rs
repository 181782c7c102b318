//! How values of the store's types are written as a database's signed integers, and read back.

use crate::model::{MonotonicTime, TaskState};
use crate::moves::MovePhase;
use crate::task::Stream;

/// A number of ours as a database's.
pub(crate) fn signed(number: u64) -> i64 {
    i64::try_from(number).unwrap_or(i64::MAX)
}

/// A time as a database's number: its nanoseconds fit for 292 years, and so until the year 2262.
pub(crate) fn time_number(time: MonotonicTime) -> i64 {
    signed(time.as_nanos())
}

/// A time by a database's number.
pub(crate) fn time_of(number: i64) -> MonotonicTime {
    MonotonicTime::from_nanos(unsigned(number))
}

/// A number of a database's as ours.
pub(crate) fn unsigned(number: i64) -> u64 {
    u64::try_from(number).unwrap_or(0)
}

/// The number by which a column names a state.
pub(crate) fn state_number(state: TaskState) -> i64 {
    place_in(&TaskState::ALL, state)
}

/// The state that a column names by its number; `None` where there is no such state.
pub(crate) fn known_state(number: i64) -> Option<TaskState> {
    at_place(&TaskState::ALL, number)
}

/// The number by which a column names the phase of a move.
pub(crate) fn phase_number(phase: MovePhase) -> i64 {
    place_in(&MovePhase::ALL, phase)
}

/// The phase of a move that a column names by its number; `None` where there is no such phase.
pub(crate) fn known_phase(number: i64) -> Option<MovePhase> {
    at_place(&MovePhase::ALL, number)
}

/// The number by which a column names an output stream.
pub(crate) fn stream_number(stream: Stream) -> i64 {
    match stream {
        Stream::Stdout => 1,
        Stream::Stderr => 2,
    }
}

/// The output stream that a column names by its number; `None` where there is no such stream.
pub(crate) fn known_stream(number: i64) -> Option<Stream> {
    match number {
        1 => Some(Stream::Stdout),
        2 => Some(Stream::Stderr),
        _ => None,
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
