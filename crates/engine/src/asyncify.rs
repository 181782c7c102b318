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
//!    │    0    │                                    │     1     │ and its place, and returns
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

/// Where the two pointers are. Not zero, so that a null pointer is never valid.
const DATA: u32 = 16;
/// Where the stack starts.
const STACK: u32 = 32;

/// The byte at which a host asks a guest with checks to unwind. Where it is not zero, the guest
/// sets the state itself; [`prepare`] has made everything else ready.
pub(super) const FLAG: usize = 0;

/// Makes a fresh instance ready to unwind by itself.
pub fn prepare(guest: &mut dyn Guest) {
    clear_stack(guest);
    guest.set_asyncify(State::Normal, DATA);
}

/// Makes the guest unwind when the host call returns. In a module whose memory for it is too small,
/// which only a forged one is, the guest traps when it unwinds.
pub fn begin_unwind(guest: &mut dyn Guest) {
    clear_stack(guest);
    guest.set_asyncify(State::Unwinding, DATA);
}

fn clear_stack(guest: &mut dyn Guest) {
    let memory = guest.asyncify_memory();
    let limit = u32::try_from(memory.len()).unwrap_or(u32::MAX);
    let top = DATA as usize;
    if let Some(pointers) = memory.get_mut(top..top + 8) {
        pointers[..4].copy_from_slice(&STACK.to_le_bytes());
        pointers[4..].copy_from_slice(&limit.to_le_bytes());
    }
}

/// The used part of the stack of a guest that has unwound.
pub fn saved_stack(guest: &mut dyn Guest) -> Result<&[u8], Error> {
    guest.set_asyncify(State::Normal, DATA);
    let memory = guest.asyncify_memory();
    let top = DATA as usize;
    let pointer = memory
        .get(top..top + 4)
        .and_then(|bytes| bytes.try_into().ok())
        .map_or(0, u32::from_le_bytes);
    memory
        .get(STACK as usize..pointer as usize)
        .ok_or_else(|| Error::Trap("asyncify's stack pointer is out of bounds".into()))
}

/// Puts a saved stack into a fresh instance.
///
/// # Errors
/// [`Error::Trap`] where the stack does not fit.
pub fn restore_stack(guest: &mut dyn Guest, stack: &[u8]) -> Result<(), Error> {
    let memory = guest.asyncify_memory();
    let end = STACK as usize + stack.len();
    let limit = u32::try_from(memory.len()).unwrap_or(u32::MAX);
    let place = memory.get_mut(STACK as usize..end).ok_or_else(|| {
        Error::Trap(format!(
            "a saved stack of {} bytes does not fit",
            stack.len()
        ))
    })?;
    place.copy_from_slice(stack);
    let (top, limit_at) = (DATA as usize, DATA as usize + 4);
    // `end` fits: it lies within a memory of at most 4 GiB.
    memory[top..limit_at].copy_from_slice(&(end as u32).to_le_bytes());
    memory[limit_at..limit_at + 4].copy_from_slice(&limit.to_le_bytes());
    Ok(())
}

/// Makes the next call of the entry rewind.
pub fn begin_rewind(guest: &mut dyn Guest) {
    guest.set_asyncify(State::Rewinding, DATA);
}

/// Ends the rewinding, in the host call at which the guest had unwound.
pub fn end_rewind(guest: &mut dyn Guest) {
    guest.set_asyncify(State::Normal, DATA);
}
