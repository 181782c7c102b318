//! Asyncify's protocol, from the host's side.
//!
//! The host drives it with two exported globals, state and data pointer, set from inside the host
//! call. The guest is never called for it.
//!
//! ```text
//!                  a host call blocks: set state 1,
//!                  return anything
//!    ┌─────────┐ ─────────────────────────────────▶ ┌───────────┐
//!    │ Normal  │                                    │ Unwinding │ each frame saves its locals
//!    │    0    │                                    │     1     │ and its position, and returns
//!    └─────────┘                                    └───────────┘
//!         ▲                                               │ the entry has returned
//!         │ the same host call is reached:                ▼
//!         │ set state 0, answer it           parked: state, memories, globals, tables and
//!         │                                  stack can be read; freeze takes them
//!    ┌───────────┐                                        │
//!    │ Rewinding │ ◀──────────────────────────────────────┘
//!    │     2     │   set state 2, call the entry again: the same instance,
//!    └───────────┘   or a fresh one that a resume has filled
//!      each frame restores its locals and calls on
//! ```
//!
//! A second memory holds asyncify's stack: bytes 16 to 24 hold the stack's end and its limit, the
//! stack starts at byte 32, and the memory has 32 MiB. Only the used part is saved. A stack that
//! does not fit traps in the guest, which becomes "the guest's stack is too deep" and exit code 76.
//!
//! A guest with checks sets the state to unwinding itself, where the host has set the flag.
//!
//! The numbers and the data structure are those of Binaryen's `Asyncify.cpp`: two pointers, the
//! current end of the stack and its limit, at the address that `asyncify_data` holds.

pub use super::traits::State;

use super::{Error, Guest};

/// Address of asyncify's data structure (the current end of the stack, and its limit) in asyncify's
/// memory. Not 0: byte 0 is [`FLAG`], and 0 in the global `asyncify_data` means that none was set.
const DATA_ADDRESS: u32 = 16;
/// Address at which the stack starts in asyncify's memory.
const STACK_START: u32 = 32;

/// Address of the byte by which a host asks a guest with checks to unwind. If it is not zero, the
/// guest sets the state itself; [`prepare`] has made everything else ready.
pub(super) const FLAG: usize = 0;

/// Makes a fresh instance ready to unwind by itself.
pub fn prepare(guest: &mut dyn Guest) {
    clear_stack(guest);
    guest.set_asyncify(State::Normal, DATA_ADDRESS);
}

/// Makes the guest unwind when the host call returns. In a module whose memory for the stack is too
/// small, which only a malformed one is, the guest traps when it unwinds.
pub fn begin_unwind(guest: &mut dyn Guest) {
    clear_stack(guest);
    guest.set_asyncify(State::Unwinding, DATA_ADDRESS);
}

fn clear_stack(guest: &mut dyn Guest) {
    let memory = guest.asyncify_memory();
    let limit = u32::try_from(memory.len()).unwrap_or(u32::MAX);
    let data = DATA_ADDRESS as usize;
    if let Some(pointers) = memory.get_mut(data..data + 8) {
        pointers[..4].copy_from_slice(&STACK_START.to_le_bytes());
        pointers[4..].copy_from_slice(&limit.to_le_bytes());
    }
}

/// The used part of the stack of a guest that has unwound.
pub fn saved_stack(guest: &mut dyn Guest) -> Result<&[u8], Error> {
    guest.set_asyncify(State::Normal, DATA_ADDRESS);
    let memory = guest.asyncify_memory();
    let data = DATA_ADDRESS as usize;
    let end = memory
        .get(data..data + 4)
        .and_then(|bytes| bytes.try_into().ok())
        .map_or(0, u32::from_le_bytes);
    memory
        .get(STACK_START as usize..end as usize)
        .ok_or_else(|| Error::Trap("asyncify's stack pointer is out of bounds".into()))
}

/// Puts a saved stack into a fresh instance.
///
/// # Errors
/// [`Error::Trap`] if the stack does not fit.
pub fn restore_stack(guest: &mut dyn Guest, stack: &[u8]) -> Result<(), Error> {
    let memory = guest.asyncify_memory();
    let end = STACK_START as usize + stack.len();
    let limit = u32::try_from(memory.len()).unwrap_or(u32::MAX);
    let saved = memory.get_mut(STACK_START as usize..end).ok_or_else(|| {
        Error::Trap(format!(
            "a saved stack of {} bytes does not fit",
            stack.len()
        ))
    })?;
    saved.copy_from_slice(stack);
    let data = DATA_ADDRESS as usize;
    // `end` fits: it lies within a memory of at most 4 GiB.
    memory[data..data + 4].copy_from_slice(&(end as u32).to_le_bytes());
    memory[data + 4..data + 8].copy_from_slice(&limit.to_le_bytes());
    Ok(())
}

/// Makes the next call of the entry rewind.
pub fn begin_rewind(guest: &mut dyn Guest) {
    guest.set_asyncify(State::Rewinding, DATA_ADDRESS);
}

/// Ends the rewinding, in the host call at which the guest had unwound.
pub fn end_rewind(guest: &mut dyn Guest) {
    guest.set_asyncify(State::Normal, DATA_ADDRESS);
}
