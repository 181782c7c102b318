//! Arguments, environment, and the end of the process.

use super::errno::Errno;
use super::memory::{Memory, Result, arg};
use super::outcome::Outcome;

/// `args_sizes_get` and `environ_sizes_get`: the number of texts, and their bytes with the zero
/// byte behind each.
pub(super) fn sizes_get(
    texts: impl Iterator<Item = String>,
    a: &[u64],
    memory: &mut Memory<'_>,
) -> Result<()> {
    let (count, bytes) = texts.fold((0u32, 0usize), |(count, bytes), text| {
        (count + 1, bytes + text.len() + 1)
    });
    memory.write_u32(arg(a, 0), count)?;
    let bytes = u32::try_from(bytes).map_err(|_| Errno::Overflow)?;
    memory.write_u32(arg(a, 1), bytes)
}

/// `args_get` and `environ_get`: pointers to the texts, and the texts.
pub(super) fn texts_get(
    texts: impl Iterator<Item = String>,
    a: &[u64],
    memory: &mut Memory<'_>,
) -> Result<()> {
    let (mut pointer, mut address) = (arg(a, 0), arg(a, 1));
    for mut text in texts {
        text.push('\0');
        memory.write_u32(pointer, address)?;
        memory.write(address, text.as_bytes())?;
        pointer = pointer.checked_add(4).ok_or(Errno::Fault)?;
        // The write has shown that the text ends inside memory.
        address = address.checked_add(text.len() as u32).ok_or(Errno::Fault)?;
    }
    Ok(())
}

/// `proc_raise`: a signal that does nothing by default is ignored; any other ends the guest with
/// the exit code by which a shell reports it.
pub(super) fn proc_raise(signal: u32) -> Outcome {
    /// None, `SIGCHLD`, `SIGCONT`, `SIGURG` and `SIGWINCH` of the specification.
    const IGNORED: [u32; 5] = [0, 16, 17, 22, 27];
    match signal {
        signal if IGNORED.contains(&signal) => Outcome::Done(Errno::Success),
        1..=30 => Outcome::Exit(128 + signal),
        _ => Outcome::Done(Errno::Inval),
    }
}
