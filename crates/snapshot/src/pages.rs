//! Memories as the 4 KiB pages that differ from what instantiating the module gives.

use std::io::{self, Read};

use serde::{Deserialize, Serialize};

use super::Error;

/// Bytes in a page of a snapshot. Smaller than wasm's 64 KiB, because a sleeping program has
/// touched little.
pub const PAGE: usize = 4096;

/// Writes the pages of a guest, the same each time that it is called.
pub type WritePages<'a> = dyn FnMut(&mut dyn io::Write) -> io::Result<()> + 'a;

/// Neighbouring pages that differ from a fresh instance.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Run {
    /// Number of the first page.
    pub first: u32,
    /// How many pages.
    pub count: u32,
    /// All bytes are zero, so none are stored.
    pub zero: bool,
}

/// The pages of `memory` that differ from a fresh instance, which holds `initial` (offset and
/// bytes, written in this order) and zeros.
pub fn changed<'a>(
    memory: &[u8],
    initial: impl Iterator<Item = (usize, &'a [u8])> + Clone,
) -> Vec<Run> {
    let mut runs = Vec::new();
    let touched = touched_pages(memory.len(), initial.clone());
    let mut fresh = [0; PAGE];
    for (number, page) in memory.chunks(PAGE).enumerate() {
        let zero = is_zero(page);
        if !touched.get(number).copied().unwrap_or(false) {
            if !zero {
                push(&mut runs, number, false);
            }
            continue;
        }
        fresh.fill(0);
        for (offset, bytes) in initial.clone() {
            overlay(&mut fresh, number * PAGE, offset, bytes);
        }
        if page != &fresh[..page.len()] {
            push(&mut runs, number, zero);
        }
    }
    runs
}

/// The bytes of the runs that are stored, where they lie in the memory: nothing is copied.
pub fn stored<'a>(runs: &'a [Run], memory: &'a [u8]) -> impl Iterator<Item = &'a [u8]> {
    let runs = runs.iter().filter(|run| !run.zero);
    runs.filter_map(|run| {
        let start = (run.first as usize).checked_mul(PAGE)?;
        let end = start.checked_add((run.count as usize).checked_mul(PAGE)?)?;
        memory.get(start..end)
    })
}

fn push(runs: &mut Vec<Run>, number: usize, zero: bool) {
    // A memory has at most 4 GiB, so the number of a page fits.
    let number = number as u32;
    match runs.last_mut() {
        Some(run) if run.first + run.count == number && run.zero == zero => run.count += 1,
        _ => runs.push(Run {
            first: number,
            count: 1,
            zero,
        }),
    }
}

/// Which pages any segment touches: all others are zero in a fresh instance.
fn touched_pages<'a>(size: usize, initial: impl Iterator<Item = (usize, &'a [u8])>) -> Vec<bool> {
    let mut touched = vec![false; size.div_ceil(PAGE)];
    for (offset, bytes) in initial {
        if bytes.is_empty() {
            continue;
        }
        let last = offset.saturating_add(bytes.len() - 1) / PAGE;
        for page in touched.iter_mut().take(last + 1).skip(offset / PAGE) {
            *page = true;
        }
    }
    touched
}

/// Writes the part of a segment that lies in the page at `base`.
fn overlay(page: &mut [u8; PAGE], base: usize, offset: usize, bytes: &[u8]) {
    let start = offset.max(base);
    let end = offset.saturating_add(bytes.len()).min(base + PAGE);
    if start < end {
        page[start - base..end - base].copy_from_slice(&bytes[start - offset..end - offset]);
    }
}

fn is_zero(page: &[u8]) -> bool {
    // Without an early exit the loop compiles to vector instructions.
    page.iter().fold(0, |all, byte| all | byte) == 0
}

/// How many bytes the runs of a memory of `size` bytes store.
///
/// # Errors
/// If they do not rise, or lie outside: in a malformed snapshot, many runs could fill one memory
/// for hours.
pub(super) fn stored_bytes(runs: &[Run], size: u64) -> Result<u64, Error> {
    let (mut next, mut stored) = (0, 0);
    for run in runs {
        let (first, count) = (u64::from(run.first), u64::from(run.count));
        if first < next || count == 0 {
            return Err(Error::Malformed("its pages are not in order".into()));
        }
        next = first + count;
        if next > size.div_ceil(PAGE as u64) {
            let text = "a page lies outside the guest's memory".into();
            return Err(Error::Malformed(text));
        }
        if !run.zero {
            stored += count * PAGE as u64;
        }
    }
    Ok(stored)
}

/// Writes pages into the memory of a fresh instance; takes as many bytes as the runs store.
///
/// # Errors
/// If a run lies outside the memory, or bytes are missing.
pub fn fill(runs: &[Run], bytes: &mut dyn Read, memory: &mut [u8]) -> Result<(), Error> {
    let outside = || Error::Malformed("a page lies outside the guest's memory".into());
    for run in runs {
        let start = (run.first as usize).checked_mul(PAGE).ok_or_else(outside)?;
        let length = (run.count as usize).checked_mul(PAGE).ok_or_else(outside)?;
        let end = start.checked_add(length).ok_or_else(outside)?;
        let slot = memory.get_mut(start..end).ok_or_else(outside)?;
        if run.zero {
            // What is zero already is not touched, so that it costs no memory.
            let pages = slot.chunks_mut(PAGE).filter(|page| !is_zero(page));
            pages.for_each(|page| page.fill(0));
            continue;
        }
        bytes.read_exact(slot).map_err(|error| match error.kind() {
            io::ErrorKind::UnexpectedEof => Error::Malformed("bytes of memory are missing".into()),
            _ => Error::Pages(error),
        })?;
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn round_trip(memory: &[u8], initial: &[(usize, Vec<u8>)]) -> (Vec<Run>, usize) {
        let segments = initial
            .iter()
            .map(|(offset, bytes)| (*offset, bytes.as_slice()));
        let runs = changed(memory, segments.clone());
        let bytes: Vec<u8> = stored(&runs, memory).flatten().copied().collect();
        let mut fresh = vec![0; memory.len()];
        for (offset, bytes) in segments {
            fresh[offset..offset + bytes.len()].copy_from_slice(bytes);
        }
        let mut rest = bytes.as_slice();
        fill(&runs, &mut rest, &mut fresh).expect("own pages fit");
        assert!(rest.is_empty());
        assert_eq!(fresh, memory);
        (runs, bytes.len())
    }

    #[test]
    fn a_fresh_memory_has_no_pages() {
        let initial = [(PAGE - 2, vec![1, 2, 3, 4])];
        let mut memory = vec![0; 4 * PAGE];
        memory[PAGE - 2..PAGE + 2].copy_from_slice(&[1, 2, 3, 4]);
        assert_eq!(round_trip(&memory, &initial), (Vec::new(), 0));
    }

    #[test]
    fn a_page_that_became_zero_is_stored_without_bytes() {
        let (runs, bytes) = round_trip(&vec![0; 4 * PAGE], &[(PAGE, vec![7; 10])]);
        let zero = Run {
            first: 1,
            count: 1,
            zero: true,
        };
        assert_eq!((runs, bytes), (vec![zero], 0));
    }

    #[test]
    fn neighbours_join_to_one_run() {
        let mut memory = vec![0; 8 * PAGE];
        memory[3 * PAGE..5 * PAGE].fill(9);
        let (runs, bytes) = round_trip(&memory, &[(3 * PAGE + 5, vec![9; 3])]);
        assert_eq!(runs.len(), 1);
        assert_eq!(bytes, 2 * PAGE);
    }

    #[test]
    fn a_run_outside_the_memory_is_refused() {
        let run = Run {
            first: u32::MAX,
            count: u32::MAX,
            zero: true,
        };
        assert!(fill(&[run], &mut io::empty(), &mut [0; PAGE]).is_err());
    }
}
