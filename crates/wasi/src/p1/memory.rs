//! Checked access to the guest's memory. A bad pointer is `EFAULT`, never a panic.

use std::io::IoSlice;

use super::errno::Errno;

/// A value, or an error number of preview1.
pub(super) type Result<T> = std::result::Result<T, Errno>;

/// How many buffers one system call takes on Linux (`UIO_MAXIOV`).
pub(super) const MAX_IOVECS: usize = 1024;

/// A buffer in the guest's memory: an `iovec` or a `ciovec` of the specification.
#[derive(Clone, Copy, Debug)]
pub(super) struct Iovec {
    pub(super) address: u32,
    pub(super) length: u32,
}

/// The guest's memory.
pub(super) struct Memory<'a>(pub(super) &'a mut [u8]);

impl Memory<'_> {
    /// `length` bytes at `address`.
    pub(super) fn bytes(&self, address: u32, length: u32) -> Result<&[u8]> {
        let start = address as usize;
        let end = start.checked_add(length as usize).ok_or(Errno::Fault)?;
        self.0.get(start..end).ok_or(Errno::Fault)
    }

    /// `length` bytes at `address`, to write to.
    pub(super) fn bytes_mut(&mut self, address: u32, length: u32) -> Result<&mut [u8]> {
        let start = address as usize;
        let end = start.checked_add(length as usize).ok_or(Errno::Fault)?;
        self.0.get_mut(start..end).ok_or(Errno::Fault)
    }

    /// A path or another text, which the specification wants to be UTF-8.
    pub(super) fn text(&self, address: u32, length: u32) -> Result<String> {
        let bytes = self.bytes(address, length)?;
        let text = std::str::from_utf8(bytes).map_err(|_| Errno::Ilseq)?;
        match text.contains('\0') {
            true => Err(Errno::Inval),
            false => Ok(text.to_string()),
        }
    }

    fn array<const N: usize>(&self, address: u32) -> Result<[u8; N]> {
        let bytes = self.bytes(address, N as u32)?;
        bytes.try_into().map_err(|_| Errno::Fault)
    }

    pub(super) fn u8(&self, address: u32) -> Result<u8> {
        self.array::<1>(address).map(|[byte]| byte)
    }

    pub(super) fn u16(&self, address: u32) -> Result<u16> {
        self.array(address).map(u16::from_le_bytes)
    }

    pub(super) fn u32(&self, address: u32) -> Result<u32> {
        self.array(address).map(u32::from_le_bytes)
    }

    pub(super) fn u64(&self, address: u32) -> Result<u64> {
        self.array(address).map(u64::from_le_bytes)
    }

    pub(super) fn write(&mut self, address: u32, bytes: &[u8]) -> Result<()> {
        let length = u32::try_from(bytes.len()).map_err(|_| Errno::Fault)?;
        self.bytes_mut(address, length)?.copy_from_slice(bytes);
        Ok(())
    }

    pub(super) fn write_u32(&mut self, address: u32, value: u32) -> Result<()> {
        self.write(address, &value.to_le_bytes())
    }

    pub(super) fn write_u64(&mut self, address: u32, value: u64) -> Result<()> {
        self.write(address, &value.to_le_bytes())
    }

    /// The first buffers of a list, as many as one system call takes. The specification limits no
    /// list, and a transfer may always be a short one.
    pub(super) fn iovecs(&self, list: u32, count: u32) -> Result<Vec<Iovec>> {
        self.nonempty_iovecs(list, count, MAX_IOVECS)
            .map(|(iovecs, _)| iovecs)
    }

    /// The first non-empty buffers of a list, and whether the list has no others. There are at most
    /// `max`, and the sum of their lengths fits the `u32` in which a call reports it. A buffer that
    /// does not lie in memory is an error. Empty buffers are left out, since a transfer of nothing
    /// would look like the end of a file.
    pub(super) fn nonempty_iovecs(
        &self,
        list: u32,
        count: u32,
        max: usize,
    ) -> Result<(Vec<Iovec>, bool)> {
        if count == 0 {
            return Ok((Vec::new(), true));
        }
        let entries = self.bytes(list, count.checked_mul(8).ok_or(Errno::Fault)?)?;
        let (mut taken, mut total) = (Vec::new(), 0u32);
        for entry in entries.as_chunks::<8>().0 {
            let [a, b, c, d, e, f, g, h] = *entry;
            let address = u32::from_le_bytes([a, b, c, d]);
            let length = u32::from_le_bytes([e, f, g, h]);
            self.bytes(address, length)?;
            if length == 0 {
                continue;
            }
            match total.checked_add(length) {
                Some(sum) if taken.len() < max => total = sum,
                _ => return Ok((taken, false)),
            }
            taken.push(Iovec { address, length });
        }
        Ok((taken, true))
    }

    /// The bytes of the first buffers of a list, as [`iovecs`](Self::iovecs) takes them. They are
    /// not copied: buffers may overlap, so that copies could be far larger than the memory.
    pub(super) fn slices(&self, list: u32, count: u32) -> Result<Vec<IoSlice<'_>>> {
        self.slices_of(&self.iovecs(list, count)?)
    }

    /// The bytes of buffers.
    pub(super) fn slices_of(&self, iovecs: &[Iovec]) -> Result<Vec<IoSlice<'_>>> {
        let bytes = |iovec: &Iovec| self.bytes(iovec.address, iovec.length);
        iovecs
            .iter()
            .map(|iovec| bytes(iovec).map(IoSlice::new))
            .collect()
    }

    /// Fills buffers one after another until a read does not fill one, and gives the number of
    /// bytes. An error after the first byte is left to the next call.
    pub(super) fn fill(
        &mut self,
        iovecs: &[Iovec],
        mut read: impl FnMut(&mut [u8]) -> crate::errno::Result<usize>,
    ) -> Result<u32> {
        let mut total = 0u32;
        for iovec in iovecs {
            let buffer = self.bytes_mut(iovec.address, iovec.length)?;
            let count = match read(buffer) {
                Ok(count) => count as u32,
                Err(errno) if total == 0 => return Err(errno.into()),
                Err(_) => break,
            };
            total = total.saturating_add(count);
            if count < iovec.length {
                break;
            }
        }
        Ok(total)
    }

    /// Fails where a result cannot be written, before the call does anything.
    pub(super) fn check_result(&self, address: u32) -> Result<()> {
        self.bytes(address, 4).map(drop)
    }
}

/// The address of an entry in an array whose entries have `size` bytes.
pub(super) fn at(base: u32, index: u32, size: u32) -> Result<u32> {
    index
        .checked_mul(size)
        .and_then(|offset| base.checked_add(offset))
        .ok_or(Errno::Fault)
}

/// The argument at `index`, of type i32.
pub(super) fn arg(arguments: &[u64], index: usize) -> u32 {
    // Arguments arrive with the import's own type checked; a missing one reads as zero.
    arguments.get(index).copied().unwrap_or(0) as u32
}

/// The argument at `index`, of type i64.
pub(super) fn arg64(arguments: &[u64], index: usize) -> u64 {
    arguments.get(index).copied().unwrap_or(0)
}
