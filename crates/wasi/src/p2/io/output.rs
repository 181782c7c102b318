//! `output-stream`.

use std::io::IoSlice;

use super::error::{StreamError, Streamed, failed, stdio_failed};
use super::input;
use crate::errno::Errno;
use crate::p1::Ctx;
use crate::p2::abi::{Borrow, ByteList, Own};
use crate::p2::call::Call;
use crate::p2::file;
use crate::p2::resource::{FileOutput, InputStream, OutputStream, Pollable, Progress};
use crate::p2::stop::{Called, trap};
use crate::stdio::Stream;

/// How many bytes a stream takes at a time, as with Wasmtime.
const PERMIT: u64 = 64 << 10;
/// The error of a stream that is closed.
const CLOSED: Errno = Errno::PIPE;
/// How many bytes a blocking write takes, as the interface says.
const MAX_BLOCKING_WRITE: u64 = 4096;

pub(crate) fn check_write(
    call: &mut Call<'_>,
    (stream,): (Borrow<OutputStream>,),
) -> Called<Streamed<u64>> {
    permit(call, stream.rep)
}

pub(crate) fn write(
    call: &mut Call<'_>,
    (stream, bytes): (Borrow<OutputStream>, ByteList),
) -> Called<Streamed<()>> {
    write_list(call, stream.rep, bytes)
}

pub(crate) fn blocking_write_and_flush(
    call: &mut Call<'_>,
    (stream, bytes): (Borrow<OutputStream>, ByteList),
) -> Called<Streamed<()>> {
    if bytes.len() as u64 > MAX_BLOCKING_WRITE {
        return trap("Buffer too large for blocking-write-and-flush (expected at most 4096)");
    }
    write_and_flush(call, stream.rep, |call| write_list(call, stream.rep, bytes))
}

pub(crate) fn flush(
    call: &mut Call<'_>,
    (stream,): (Borrow<OutputStream>,),
) -> Called<Streamed<()>> {
    flush_now(call, stream.rep)
}

pub(crate) fn blocking_flush(
    call: &mut Call<'_>,
    (stream,): (Borrow<OutputStream>,),
) -> Called<Streamed<()>> {
    flush_now(call, stream.rep)
}

pub(crate) fn subscribe(
    call: &mut Call<'_>,
    (stream,): (Borrow<OutputStream>,),
) -> Called<Own<Pollable>> {
    let resources = &mut call.component().resources;
    resources.get::<OutputStream>(stream.rep)?;
    resources.push_child(Pollable, stream.rep).map(Own::new)
}

pub(crate) fn write_zeroes(
    call: &mut Call<'_>,
    (stream, length): (Borrow<OutputStream>, u64),
) -> Called<Streamed<()>> {
    match permit(call, stream.rep)? {
        Err(error) => Ok(Err(error)),
        Ok(permit) if length > permit => trap("cannot write more zeroes than `check_write` allows"),
        Ok(_) => write_now(call, stream.rep, &vec![0; length as usize]),
    }
}

pub(crate) fn blocking_write_zeroes_and_flush(
    call: &mut Call<'_>,
    (stream, length): (Borrow<OutputStream>, u64),
) -> Called<Streamed<()>> {
    if length > MAX_BLOCKING_WRITE {
        return trap(
            "Buffer too large for blocking-write-zeroes-and-flush (expected at most 4096)",
        );
    }
    write_and_flush(call, stream.rep, |call| {
        write_now(call, stream.rep, &vec![0; length as usize])
    })
}

pub(crate) fn splice(
    call: &mut Call<'_>,
    (stream, from, length): (Borrow<OutputStream>, Borrow<InputStream>, u64),
) -> Called<Streamed<u64>> {
    spliced(call, stream.rep, length, |call, length| {
        input::read_now(call, from.rep, length)
    })
}

pub(crate) fn blocking_splice(
    call: &mut Call<'_>,
    (stream, from, length): (Borrow<OutputStream>, Borrow<InputStream>, u64),
) -> Called<Streamed<u64>> {
    spliced(call, stream.rep, length, |call, length| {
        input::read_or_wait(call, from.rep, length)
    })
}

fn spliced(
    call: &mut Call<'_>,
    stream: u32,
    length: u64,
    read: impl Fn(&mut Call<'_>, u64) -> Called<Streamed<Vec<u8>>>,
) -> Called<Streamed<u64>> {
    let length = match permit(call, stream)? {
        Ok(permit) => length.min(permit),
        Err(error) => return Ok(Err(error)),
    };
    if length == 0 {
        return Ok(Ok(0));
    }
    let bytes = match read(call, length)? {
        Ok(bytes) => bytes,
        Err(error) => return Ok(Err(error)),
    };
    if bytes.is_empty() {
        return Ok(Ok(0));
    }
    let written = write_now(call, stream, &bytes)?;
    Ok(written.map(|()| bytes.len() as u64))
}

/// How many bytes a stream takes now.
fn permit(call: &mut Call<'_>, stream: u32) -> Called<Streamed<u64>> {
    let last = flush_now(call, stream)?;
    Ok(last.map(|()| PERMIT))
}

/// Tells of the last write, if it has failed. What was written has left the host already.
fn flush_now(call: &mut Call<'_>, stream: u32) -> Called<Streamed<()>> {
    let resources = &mut call.component().resources;
    let progress = match resources.get_mut::<OutputStream>(stream)? {
        OutputStream::Stdout | OutputStream::Stderr => return Ok(Ok(())),
        OutputStream::File(file) => &mut file.progress,
    };
    match *progress {
        Progress::Open => Ok(Ok(())),
        Progress::Closed => Ok(Err(StreamError::Closed(()))),
        Progress::Failed(errno) => {
            *progress = Progress::Closed;
            Ok(Err(failed(call, Errno::from_raw_os_error(errno))?))
        }
    }
}

/// Writes bytes of the guest's memory.
fn write_list(call: &mut Call<'_>, stream: u32, list: ByteList) -> Called<Streamed<()>> {
    let bytes = call.memory.get(list.range()).unwrap_or_default();
    let written = write_bytes(call.ctx, stream, bytes)?;
    told(call, written)
}

fn write_now(call: &mut Call<'_>, stream: u32, bytes: &[u8]) -> Called<Streamed<()>> {
    let written = write_bytes(call.ctx, stream, bytes)?;
    told(call, written)
}

/// Tells of the write before, and then writes to the end. The guest is told of an error at once.
fn write_and_flush(
    call: &mut Call<'_>,
    stream: u32,
    write: impl FnOnce(&mut Call<'_>) -> Called<Streamed<()>>,
) -> Called<Streamed<()>> {
    if let Err(error) = flush_now(call, stream)? {
        return Ok(Err(error));
    }
    match write(call)? {
        Ok(()) => flush_now(call, stream),
        Err(error) => Ok(Err(error)),
    }
}

/// What the guest is told of a write.
fn told(call: &mut Call<'_>, written: Result<(), Errno>) -> Called<Streamed<()>> {
    match written {
        Ok(()) => Ok(Ok(())),
        Err(errno) => Ok(Err(stdio_failed(call, errno)?)),
    }
}

fn write_bytes(ctx: &mut Ctx, stream: u32, bytes: &[u8]) -> Called<Result<(), Errno>> {
    let output = match ctx.component.resources.get::<OutputStream>(stream)? {
        OutputStream::Stdout => Stream::Stdout,
        OutputStream::Stderr => Stream::Stderr,
        OutputStream::File(file) => {
            let file = *file;
            return write_file(ctx, stream, file, bytes);
        }
    };
    if let Err(errno) = ctx.resources.quota.charge_output(bytes.len() as u64) {
        return Ok(Err(errno));
    }
    let written = ctx
        .resources
        .streams
        .write(output, &mut [IoSlice::new(bytes)]);
    Ok(written.map(drop))
}

/// Writes to a file. As with Wasmtime, where a write goes on behind the guest's back, the guest is
/// told of an error by the next call.
fn write_file(
    ctx: &mut Ctx,
    stream: u32,
    mut output: FileOutput,
    bytes: &[u8],
) -> Called<Result<(), Errno>> {
    match output.progress {
        Progress::Open => {}
        Progress::Closed => return Ok(Err(CLOSED)),
        Progress::Failed(_) => {
            return trap("write not permitted: check_write not called first");
        }
    }
    match file::write_all(ctx, output.fd, bytes, output.position) {
        Ok(()) => {
            let moved = |position: u64| position.saturating_add(bytes.len() as u64);
            output.position = output.position.map(moved);
        }
        Err(errno) => output.progress = Progress::Failed(errno.raw_os_error()),
    }
    *ctx.component.resources.get_mut(stream)? = OutputStream::File(output);
    Ok(Ok(()))
}
