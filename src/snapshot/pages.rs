//! Memories as the 4 KiB pages that differ from what instantiating the module gives.

use serde::{Deserialize, Serialize};

use super::Error;

/// Bytes in a page of a snapshot. Smaller than wasm's 64 KiB, because a sleeping program has
/// touched little.
pub const PAGE: usize = 4096;

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

/// The pages of one memory that differ.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Pages {
    /// Which pages, in rising order.
    pub runs: Vec<Run>,
    /// The bytes of those that are not zero, one run after another.
    pub bytes: Vec<u8>,
}

/// The pages of `memory` that differ from a fresh instance, which holds `initial` (offset and
/// bytes, written in this order) and zeros.
pub fn diff<'a>(memory: &[u8], initial: impl Iterator<Item = (usize, &'a [u8])> + Clone) -> Pages {
    let mut pages = Pages::default();
    let touched = touched_pages(memory.len(), initial.clone());
    let mut fresh = [0; PAGE];
    for (number, page) in memory.chunks(PAGE).enumerate() {
        let zero = is_zero(page);
        if !touched.get(number).copied().unwrap_or(false) {
            if !zero {
                pages.push(number, page, false);
            }
            continue;
        }
        fresh.fill(0);
        for (offset, bytes) in initial.clone() {
            overlay(&mut fresh, number * PAGE, offset, bytes);
        }
        if page != &fresh[..page.len()] {
            pages.push(number, page, zero);
        }
    }
    pages
}

impl Pages {
    fn push(&mut self, number: usize, page: &[u8], zero: bool) {
        // A memory has at most 4 GiB, so the number of a page fits.
        let number = number as u32;
        match self.runs.last_mut() {
            Some(run) if run.first + run.count == number && run.zero == zero => run.count += 1,
            _ => self.runs.push(Run {
                first: number,
                count: 1,
                zero,
            }),
        }
        if !zero {
            self.bytes.extend_from_slice(page);
        }
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
/// Where they do not rise, or lie outside: in a forged snapshot, many runs could fill one memory for hours.
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

/// Writes pages into the memory of a fresh instance; gives what is left of `bytes`.
///
/// # Errors
/// Where a run lies outside the memory or bytes are missing.
pub fn apply<'a>(runs: &[Run], mut bytes: &'a [u8], memory: &mut [u8]) -> Result<&'a [u8], Error> {
    let outside = || Error::Malformed("a page lies outside the guest's memory".into());
    for run in runs {
        let start = (run.first as usize).checked_mul(PAGE).ok_or_else(outside)?;
        let length = (run.count as usize).checked_mul(PAGE).ok_or_else(outside)?;
        let end = start.checked_add(length).ok_or_else(outside)?;
        let place = memory.get_mut(start..end).ok_or_else(outside)?;
        if run.zero {
            // What is zero already is not touched, so that it costs no memory.
            let pages = place.chunks_mut(PAGE).filter(|page| !is_zero(page));
            pages.for_each(|page| page.fill(0));
            continue;
        }
        let (page, rest) = bytes
            .split_at_checked(length)
            .ok_or_else(|| Error::Malformed("bytes of memory are missing".into()))?;
        place.copy_from_slice(page);
        bytes = rest;
    }
    Ok(bytes)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn round_trip(memory: &[u8], initial: &[(usize, Vec<u8>)]) -> Pages {
        let segments = initial
            .iter()
            .map(|(offset, bytes)| (*offset, bytes.as_slice()));
        let pages = diff(memory, segments.clone());
        let mut fresh = vec![0; memory.len()];
        for (offset, bytes) in segments {
            fresh[offset..offset + bytes.len()].copy_from_slice(bytes);
        }
        let rest = apply(&pages.runs, &pages.bytes, &mut fresh).expect("own pages apply");
        assert!(rest.is_empty());
        assert_eq!(fresh, memory);
        pages
    }

    #[test]
    fn a_fresh_memory_has_no_pages() {
        let initial = [(PAGE - 2, vec![1, 2, 3, 4])];
        let mut memory = vec![0; 4 * PAGE];
        memory[PAGE - 2..PAGE + 2].copy_from_slice(&[1, 2, 3, 4]);
        assert_eq!(round_trip(&memory, &initial), Pages::default());
    }

    #[test]
    fn a_page_that_became_zero_is_stored_without_bytes() {
        let pages = round_trip(&vec![0; 4 * PAGE], &[(PAGE, vec![7; 10])]);
        let zero = Run {
            first: 1,
            count: 1,
            zero: true,
        };
        assert_eq!((pages.runs, pages.bytes.len()), (vec![zero], 0));
    }

    #[test]
    fn neighbours_join_to_one_run() {
        let mut memory = vec![0; 8 * PAGE];
        memory[3 * PAGE..5 * PAGE].fill(9);
        let pages = round_trip(&memory, &[(3 * PAGE + 5, vec![9; 3])]);
        assert_eq!(pages.runs.len(), 1);
        assert_eq!(pages.bytes.len(), 2 * PAGE);
    }

    #[test]
    fn a_run_outside_the_memory_is_refused() {
        let run = Run {
            first: u32::MAX,
            count: u32::MAX,
            zero: true,
        };
        assert!(apply(&[run], &[], &mut [0; PAGE]).is_err());
    }
}
