//! A socket as a stream of the standard library.

use std::io::{IoSlice, Read, Result as IoResult, Write};

use crate::sock::Socket;

/// A socket as a stream of the standard library.
pub(super) struct Stream<'a>(pub(super) &'a mut Socket);

impl Read for Stream<'_> {
    fn read(&mut self, buffer: &mut [u8]) -> IoResult<usize> {
        let received = self.0.receive(buffer, false)?;
        Ok(received.count)
    }
}

impl Write for Stream<'_> {
    fn write(&mut self, bytes: &[u8]) -> IoResult<usize> {
        Ok(self.0.send(&[IoSlice::new(bytes)], None)?)
    }

    fn flush(&mut self) -> IoResult<()> {
        Ok(())
    }
}
