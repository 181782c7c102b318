//! `input-stream`.

use dormouse_model::Interest;

use super::error::{StreamError, Streamed, body_ended, ended, failed, stdio_failed};
use super::watch::{self, is_ready};
use crate::errno::Errno;
use crate::p2::abi::{Borrow, Own};
use crate::p2::call::Call;
use crate::p2::connection::{self, Ended};
use crate::p2::file;
use crate::p2::http::drive;
use crate::p2::resource::{FileInput, InputStream, Pollable, Progress};
use crate::p2::stop::Called;

/// How many bytes one read gives at most, as with Wasmtime.
const MAX_READ: u64 = 64 << 10;

pub(crate) fn read(
    call: &mut Call<'_>,
    (stream, length): (Borrow<InputStream>, u64),
) -> Called<Streamed<Vec<u8>>> {
    read_now(call, stream.rep, length)
}

pub(crate) fn blocking_read(
    call: &mut Call<'_>,
    (stream, length): (Borrow<InputStream>, u64),
) -> Called<Streamed<Vec<u8>>> {
    read_or_wait(call, stream.rep, length)
}

pub(crate) fn skip(
    call: &mut Call<'_>,
    (stream, length): (Borrow<InputStream>, u64),
) -> Called<Streamed<u64>> {
    let bytes = read_now(call, stream.rep, length)?;
    Ok(bytes.map(|bytes| bytes.len() as u64))
}

pub(crate) fn blocking_skip(
    call: &mut Call<'_>,
    (stream, length): (Borrow<InputStream>, u64),
) -> Called<Streamed<u64>> {
    let bytes = read_or_wait(call, stream.rep, length)?;
    Ok(bytes.map(|bytes| bytes.len() as u64))
}

pub(crate) fn subscribe(
    call: &mut Call<'_>,
    (stream,): (Borrow<InputStream>,),
) -> Called<Own<Pollable>> {
    let resources = &mut call.component().resources;
    resources.get::<InputStream>(stream.rep)?;
    resources.push_child(Pollable, stream.rep).map(Own::new)
}

/// Reads, and waits until there is something to read.
pub(super) fn read_or_wait(
    call: &mut Call<'_>,
    stream: u32,
    length: u64,
) -> Called<Streamed<Vec<u8>>> {
    watch::go_on(call.ctx);
    let watched = watch::of_input(call, stream)?;
    if is_ready(call, watched) {
        match read_now(call, stream, length)? {
            // This also happens if another process that shares the pipe has read first.
            Ok(bytes) if bytes.is_empty() && length > 0 => {}
            result => return Ok(result),
        }
    }
    Err(watch::block(call, watched))
}

/// Reads what there is: nothing, if there is nothing yet.
pub(super) fn read_now(call: &mut Call<'_>, stream: u32, length: u64) -> Called<Streamed<Vec<u8>>> {
    match call.ctx.component.resources.get::<InputStream>(stream)? {
        InputStream::Stdin => read_stdin(call, length),
        InputStream::File(file) => {
            let file = *file;
            read_file(call, stream, file, length)
        }
        InputStream::Tcp(socket) => {
            let socket = *socket;
            match connection::receive(call.ctx, socket, length)? {
                Ok(bytes) => Ok(Ok(bytes)),
                Err(Ended(errno)) => Ok(Err(ended(call, errno)?)),
            }
        }
        InputStream::Body(exchange) => {
            let exchange = *exchange;
            read_body(call, exchange, length)
        }
    }
}

fn read_body(call: &mut Call<'_>, exchange: u64, length: u64) -> Called<Streamed<Vec<u8>>> {
    drive::fill(call.ctx, exchange);
    match drive::read(call.ctx, exchange, length.min(MAX_READ)) {
        Ok(bytes) => Ok(Ok(bytes)),
        Err(failure) => Ok(Err(body_ended(call, failure)?)),
    }
}

fn read_stdin(call: &mut Call<'_>, length: u64) -> Called<Streamed<Vec<u8>>> {
    if length == 0 || !call.ctx.readiness(0, Interest::Read).ready {
        return Ok(Ok(Vec::new()));
    }
    let mut bytes = vec![0; length.min(MAX_READ) as usize];
    match call.ctx.resources.streams.read(&mut bytes) {
        Ok(0) => Ok(Err(StreamError::Closed(()))),
        Ok(count) => {
            bytes.truncate(count);
            Ok(Ok(bytes))
        }
        Err(Errno::AGAIN) => Ok(Ok(Vec::new())),
        Err(errno) => Ok(Err(stdio_failed(call, errno)?)),
    }
}

fn read_file(
    call: &mut Call<'_>,
    stream: u32,
    mut file: FileInput,
    length: u64,
) -> Called<Streamed<Vec<u8>>> {
    if file.progress != Progress::Open {
        return Ok(Err(StreamError::Closed(())));
    }
    if length == 0 {
        return Ok(Ok(Vec::new()));
    }
    let read = file::read_at(call.ctx, file.fd, length, file.position);
    let result = match read {
        Ok(bytes) if bytes.is_empty() => {
            file.progress = Progress::Closed;
            Err(StreamError::Closed(()))
        }
        Ok(bytes) => {
            file.position = file.position.saturating_add(bytes.len() as u64);
            Ok(bytes)
        }
        Err(errno) => {
            file.progress = Progress::Closed;
            Err(failed(call, errno)?)
        }
    };
    *call.component().resources.get_mut(stream)? = InputStream::File(file);
    Ok(result)
}
