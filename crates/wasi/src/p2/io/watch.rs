//! What a pollable waits for.

use dormouse_model::{FdInterest, Interest};

use crate::p2::call::Call;
use crate::p2::resource::{InputStream, OutputStream, Resource};
use crate::p2::stop::{Called, trap};

/// The descriptor of standard input.
const STDIN: u32 = 0;

/// What a pollable waits for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Watched {
    /// Nothing: it is always ready.
    Ready,
    /// The time when the guest's monotonic clock shows this many nanoseconds.
    Timer(u64),
    /// A descriptor.
    Fd(FdInterest),
}

/// What a wait for a resource waits for.
pub(super) fn watched(call: &Call<'_>, rep: u32) -> Called<Watched> {
    match call.ctx.component.resources.any(rep)? {
        Resource::Timer(timer) => Ok(Watched::Timer(timer.due)),
        Resource::InputStream(stream) => Ok(input(stream)),
        Resource::OutputStream(stream) => Ok(output(stream)),
        _ => trap("resource is of another type"),
    }
}

/// What a read from a stream waits for.
pub(super) fn input(stream: &InputStream) -> Watched {
    match stream {
        InputStream::Stdin => Watched::Fd(FdInterest {
            fd: STDIN,
            interest: Interest::Read,
        }),
        InputStream::File(_) => Watched::Ready,
    }
}

/// What a write to a stream waits for.
pub(super) fn output(stream: &OutputStream) -> Watched {
    match stream {
        OutputStream::Stdout | OutputStream::Stderr | OutputStream::File(_) => Watched::Ready,
    }
}

/// Whether a descriptor, or nothing at all, is ready.
pub(super) fn is_ready(call: &Call<'_>, watched: Watched) -> bool {
    match watched {
        Watched::Ready => true,
        Watched::Timer(due) => call.ctx.resources.clock.shown_monotonic().as_nanos() >= due,
        Watched::Fd(wanted) => call.ctx.readiness(wanted.fd, wanted.interest).ready,
    }
}
