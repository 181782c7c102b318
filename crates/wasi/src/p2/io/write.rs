//! Writing to each kind of stream.

use std::io::IoSlice;

use super::error::{StreamError, Streamed, body_ended, ended, failed, stdio_failed};
use crate::errno::Errno;
use crate::guest::Ctx;
use crate::http::{Failure, WriteError};
use crate::p2::abi::ByteList;
use crate::p2::call::Call;
use crate::p2::connection::{self, Ended};
use crate::p2::file;
use crate::p2::http::drive;
use crate::p2::resource::{FileOutput, OutputStream, Progress};
use crate::p2::stop::{Called, trap};
use crate::stdio::Stream;

/// How many bytes a stream takes at a time, as with Wasmtime.
const PERMIT: u64 = 64 << 10;

/// What a write comes to.
enum Written {
    Done,
    /// A standard stream has failed.
    Failed(Errno),
    /// A stream is at its end.
    Ended(Option<i32>),
    /// The body of a message has failed.
    BodyFailed(Failure),
}

/// How many bytes a stream takes now. It is told of the last write, if that has failed.
pub(super) fn permit(call: &mut Call<'_>, stream: u32) -> Called<Streamed<u64>> {
    if let OutputStream::Tcp(socket) = call.ctx.component.resources.get(stream)? {
        let socket = *socket;
        return match connection::permit(call.ctx, socket)? {
            Ok(permit) => Ok(Ok(permit)),
            Err(Ended(errno)) => Ok(Err(ended(call, errno)?)),
        };
    }
    if let OutputStream::Message(message) = call.ctx.component.resources.get(stream)? {
        let message = *message;
        drive::drive_message(call.ctx, message);
        let room = call.component().http.room(message);
        return Ok(room.ok_or(StreamError::Closed(())));
    }
    let last = flush(call, stream)?;
    Ok(last.map(|()| PERMIT))
}

/// Tells of the last write, if it has failed. What was written has left the host already, or is
/// going to be sent.
pub(super) fn flush(call: &mut Call<'_>, stream: u32) -> Called<Streamed<()>> {
    let resources = &mut call.component().resources;
    let progress = match resources.get_mut::<OutputStream>(stream)? {
        OutputStream::Stdout | OutputStream::Stderr => return Ok(Ok(())),
        OutputStream::File(file) => &mut file.progress,
        OutputStream::Tcp(socket) => {
            let socket = *socket;
            return match connection::flush(call.ctx, socket)? {
                Ok(()) => Ok(Ok(())),
                Err(Ended(errno)) => Ok(Err(ended(call, errno)?)),
            };
        }
        OutputStream::Message(message) => {
            let message = *message;
            let room = call.component().http.room(message);
            return Ok(room.map(drop).ok_or(StreamError::Closed(())));
        }
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
pub(super) fn write_list(call: &mut Call<'_>, stream: u32, list: ByteList) -> Called<Streamed<()>> {
    let bytes = call.memory.get(list.range()).unwrap_or_default();
    let written = write_bytes(call.ctx, stream, bytes)?;
    told(call, written)
}

/// Writes bytes.
pub(super) fn write(call: &mut Call<'_>, stream: u32, bytes: &[u8]) -> Called<Streamed<()>> {
    let written = write_bytes(call.ctx, stream, bytes)?;
    told(call, written)
}

/// What the guest is told of a write.
fn told(call: &mut Call<'_>, written: Written) -> Called<Streamed<()>> {
    match written {
        Written::Done => Ok(Ok(())),
        Written::Failed(errno) => Ok(Err(stdio_failed(call, errno)?)),
        Written::Ended(errno) => Ok(Err(ended(call, errno)?)),
        Written::BodyFailed(failure) => Ok(Err(body_ended(call, Some(failure))?)),
    }
}

fn write_bytes(ctx: &mut Ctx, stream: u32, bytes: &[u8]) -> Called<Written> {
    let output = match ctx.component.resources.get::<OutputStream>(stream)? {
        OutputStream::Stdout => Stream::Stdout,
        OutputStream::Stderr => Stream::Stderr,
        OutputStream::File(file) => {
            let file = *file;
            return write_file(ctx, stream, file, bytes);
        }
        OutputStream::Tcp(socket) => {
            let socket = *socket;
            return Ok(match connection::write(ctx, socket, bytes)? {
                Ok(()) => Written::Done,
                Err(Ended(errno)) => Written::Ended(errno),
            });
        }
        OutputStream::Message(message) => {
            let message = *message;
            return write_body(ctx, message, bytes);
        }
    };
    let counted = ctx.resources.quota.charge_output(bytes.len() as u64);
    let written = counted.and_then(|()| {
        let streams = &ctx.resources.streams;
        streams.write(output, &mut [IoSlice::new(bytes)])
    });
    Ok(match written {
        Ok(_) => Written::Done,
        Err(errno) => Written::Failed(errno),
    })
}

/// Writes to the body of a message.
fn write_body(ctx: &mut Ctx, message: u64, bytes: &[u8]) -> Called<Written> {
    let http = &mut ctx.component.http;
    let Some(room) = http.room(message) else {
        return Ok(Written::Ended(None));
    };
    if bytes.len() as u64 > room {
        return trap("write exceeded budget");
    }
    let written = match http.message_mut(message) {
        Some(message) => message.write(bytes),
        None => Err(WriteError::Closed),
    };
    drive::drive_message(ctx, message);
    Ok(match written {
        Ok(()) => Written::Done,
        Err(WriteError::Closed) => Written::Ended(None),
        Err(WriteError::Failed(failure)) => Written::BodyFailed(failure),
    })
}

/// Writes to a file. As with Wasmtime, where a write goes on behind the guest's back, the guest is
/// told of an error by the next call.
fn write_file(ctx: &mut Ctx, stream: u32, mut output: FileOutput, bytes: &[u8]) -> Called<Written> {
    match output.progress {
        Progress::Open => {}
        Progress::Closed => return Ok(Written::Ended(None)),
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
    Ok(Written::Done)
}
