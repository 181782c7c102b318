//! `wasi:io/error`, and what a stream's operation comes to.

use crate::errno::Errno;
use crate::http::Failure;
use crate::p2::abi::{Borrow, Own, variant};
use crate::p2::call::Call;
use crate::p2::resource::Error;
use crate::p2::stop::Called;

variant! { Lower:
    /// Why a stream did not do what it was asked to.
    #[derive(Debug)]
    enum StreamError {
        LastOperationFailed(Own<Error>) = 0,
        Closed(()) = 1,
    }
}

/// What a stream's operation gives.
pub(crate) type Streamed<T> = Result<T, StreamError>;

pub(crate) fn to_debug_string(call: &mut Call<'_>, (error,): (Borrow<Error>,)) -> Called<String> {
    let error: &Error = call.component().resources.get(error.rep)?;
    Ok(match error.http {
        Some(failure) => failure.to_string(),
        None => std::io::Error::from_raw_os_error(error.errno).to_string(),
    })
}

/// What a guest is told of an error of the system's.
pub(crate) fn failed(call: &mut Call<'_>, errno: Errno) -> Called<StreamError> {
    let error = Error {
        errno: errno.raw_os_error(),
        of_socket: false,
        http: None,
    };
    let error = call.component().resources.push(error)?;
    Ok(StreamError::LastOperationFailed(Own::new(error)))
}

/// What a guest is told of the end of a connection, which an error has caused if there is a number.
pub(crate) fn ended(call: &mut Call<'_>, errno: Option<i32>) -> Called<StreamError> {
    let Some(errno) = errno else {
        return Ok(StreamError::Closed(()));
    };
    let error = Error {
        errno,
        of_socket: true,
        http: None,
    };
    let error = call.component().resources.push(error)?;
    Ok(StreamError::LastOperationFailed(Own::new(error)))
}

/// What a guest is told of the end of a body, which a failure has caused if there is one.
pub(crate) fn body_ended(call: &mut Call<'_>, failure: Option<Failure>) -> Called<StreamError> {
    let Some(failure) = failure else {
        return Ok(StreamError::Closed(()));
    };
    let error = Error {
        errno: Errno::IO.raw_os_error(),
        of_socket: true,
        http: Some(failure),
    };
    let error = call.component().resources.push(error)?;
    Ok(StreamError::LastOperationFailed(Own::new(error)))
}

/// What a guest is told of an error of a standard stream's: a pipe that nobody reads is closed.
pub(crate) fn stdio_failed(call: &mut Call<'_>, errno: Errno) -> Called<StreamError> {
    match errno {
        Errno::PIPE => Ok(StreamError::Closed(())),
        errno => failed(call, errno),
    }
}
