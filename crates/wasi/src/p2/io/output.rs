//! `output-stream`.

use std::ops::Range;

use super::error::{StreamError, Streamed};
use super::input;
use super::watch;
use super::write::{flush as flush_now, permit, write as write_now, write_list};
use crate::p2::abi::{Borrow, ByteList, Own};
use crate::p2::call::Call;
use crate::p2::resource::{InputStream, OutputStream, Pollable};
use crate::p2::stop::{Called, trap};

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
    write_and_wait(call, stream.rep, bytes.len(), |call, range| {
        write_list(call, stream.rep, bytes.part(range))
    })
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
    if let Err(error) = flush_now(call, stream.rep)? {
        return Ok(Err(error));
    }
    match permit(call, stream.rep)? {
        Err(error) => Ok(Err(error)),
        Ok(0) => wait_for_room(call, stream.rep, 0),
        Ok(_) => Ok(Ok(())),
    }
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
    write_and_wait(call, stream.rep, length as usize, |call, range| {
        write_now(call, stream.rep, &vec![0; range.len()])
    })
}

pub(crate) fn splice(
    call: &mut Call<'_>,
    (stream, from, length): (Borrow<OutputStream>, Borrow<InputStream>, u64),
) -> Called<Streamed<u64>> {
    let length = match permit(call, stream.rep)? {
        Ok(permit) => length.min(permit),
        Err(error) => return Ok(Err(error)),
    };
    if length == 0 {
        return Ok(Ok(0));
    }
    let bytes = match input::read_now(call, from.rep, length)? {
        Ok(bytes) if bytes.is_empty() => return Ok(Ok(0)),
        Ok(bytes) => bytes,
        Err(error) => return Ok(Err(error)),
    };
    let written = write_now(call, stream.rep, &bytes)?;
    Ok(written.map(|()| bytes.len() as u64))
}

pub(crate) fn blocking_splice(
    call: &mut Call<'_>,
    (stream, from, length): (Borrow<OutputStream>, Borrow<InputStream>, u64),
) -> Called<Streamed<u64>> {
    let before = written_before(call);
    if before > 0 {
        let sent = wait_until_sent(call, stream.rep, before)?;
        return Ok(sent.map(|()| before as u64));
    }
    let length = match permit(call, stream.rep)? {
        Err(error) => return Ok(Err(error)),
        Ok(0) => return wait_for_room(call, stream.rep, 0),
        Ok(permit) => length.min(permit),
    };
    if length == 0 {
        return Ok(Ok(0));
    }
    let bytes = match input::read_or_wait(call, from.rep, length)? {
        Ok(bytes) if bytes.is_empty() => return Ok(Ok(0)),
        Ok(bytes) => bytes,
        Err(error) => return Ok(Err(error)),
    };
    if let Err(error) = write_now(call, stream.rep, &bytes)? {
        return Ok(Err(error));
    }
    let sent = wait_until_sent(call, stream.rep, bytes.len())?;
    Ok(sent.map(|()| bytes.len() as u64))
}

/// How many bytes this very call has written before it blocked.
fn written_before(call: &mut Call<'_>) -> usize {
    let written = std::mem::take(&mut call.component().written);
    match call.woken {
        Some(_) => written as usize,
        None => 0,
    }
}

/// Writes as many bytes as there are, as there is room for them, and waits until all are sent.
fn write_and_wait(
    call: &mut Call<'_>,
    stream: u32,
    length: usize,
    write: impl Fn(&mut Call<'_>, Range<usize>) -> Called<Streamed<()>>,
) -> Called<Streamed<()>> {
    let mut done = written_before(call);
    // Also a write of nothing tells of an error.
    let mut is_first = done == 0;
    while is_first || done < length {
        is_first = false;
        let room = match permit(call, stream)? {
            Err(error) => return Ok(Err(error)),
            Ok(0) => return wait_for_room(call, stream, done),
            Ok(room) => room as usize,
        };
        let end = length.min(done.saturating_add(room));
        if let Err(error) = write(call, done..end)? {
            return Ok(Err(error));
        }
        done = end;
    }
    wait_until_sent(call, stream, done)
}

/// Waits until all that was written is sent. That the stream is closed then is no error.
fn wait_until_sent(call: &mut Call<'_>, stream: u32, done: usize) -> Called<Streamed<()>> {
    let flushed = flush_now(call, stream)?;
    let room = match flushed {
        Ok(()) => permit(call, stream)?,
        Err(error) => Err(error),
    };
    match room {
        Ok(0) => wait_for_room(call, stream, done),
        Ok(_) | Err(StreamError::Closed(())) => Ok(Ok(())),
        Err(error) => Ok(Err(error)),
    }
}

/// Blocks until a stream has room. So many bytes have been written by this call.
fn wait_for_room<T>(call: &mut Call<'_>, stream: u32, done: usize) -> Called<T> {
    // A blocking write takes few bytes.
    call.component().written = done as u32;
    let watched = watch::of_output(call, stream)?;
    Err(watch::block(call, watched))
}
