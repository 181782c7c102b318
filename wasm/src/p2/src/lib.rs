//! What the guests that speak HTTP have in common.

use wasi::http::types::{ErrorCode, IncomingBody, Trailers};

/// By which bodies are compared.
pub fn sum(bytes: &[u8]) -> u32 {
    bytes.iter().fold(0, |sum: u32, byte| {
        sum.wrapping_mul(31).wrapping_add((*byte).into())
    })
}

/// A body of so many bytes.
pub fn many_bytes(count: usize) -> Vec<u8> {
    (0..count).map(|place| b'a' + (place % 23) as u8).collect()
}

/// Waits for what comes behind a body.
pub fn trailers(body: IncomingBody) -> Result<Option<Trailers>, ErrorCode> {
    let trailers = IncomingBody::finish(body);
    trailers.subscribe().block();
    trailers.get().expect("they are there").expect("once")
}
