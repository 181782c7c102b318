//! Bodies of requests: how large they may be, and how slowly they may come.
//!
//! A body is read before its request is handled, and never kept beyond its bound. A body that is
//! too large is read and discarded for a while, because a client that is still sending does not see
//! the answer.

use std::time::Duration;

use axum::body::{Body, Bytes};
use axum::extract::{Request, State};
use axum::http::StatusCode;
use axum::http::header::{CONNECTION, CONTENT_LENGTH, EXPECT};
use axum::http::{HeaderMap, HeaderValue};
use axum::middleware::Next;
use axum::response::{IntoResponse, Response};
use http_body_util::BodyExt;
use tokio::time::{Instant, timeout_at};

use crate::http::answers::Refused;
use crate::model::error::ErrorKind;

/// A body may take this long, and a second longer for each [`SLOWEST_BYTES_PER_SECOND`] that have
/// arrived.
const BODY_TIMEOUT: Duration = Duration::from_secs(30);

/// The lowest rate at which a body may arrive.
const SLOWEST_BYTES_PER_SECOND: u64 = 16 << 10;

/// At most this many bytes of a body that is too large are read and discarded.
const MOST_DISCARDED_BYTES: u64 = 1 << 30;

/// How large a body may be.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Bound {
    bytes: u64,
    /// What to do about one that is larger.
    hint: &'static str,
    patience: Duration,
}

impl Bound {
    pub(crate) fn new(bytes: u64, hint: &'static str) -> Self {
        Self {
            bytes,
            hint,
            patience: BODY_TIMEOUT,
        }
    }
}

/// Why a body was not read.
enum Unread {
    TooLarge,
    TooSlow,
    Broken(axum::Error),
}

/// Reads the body of a request; refuses one that is too large or arrives too slowly.
pub(crate) async fn bounded(State(bound): State<Bound>, request: Request, next: Next) -> Response {
    let (parts, body) = request.into_parts();
    match read(&parts.headers, body, bound).await {
        Ok(bytes) => {
            let request = Request::from_parts(parts, Body::from(bytes));
            next.run(request).await
        }
        Err(why) => refusal(&why, bound),
    }
}

fn refusal(why: &Unread, bound: Bound) -> Response {
    let (status, text) = match why {
        Unread::TooLarge => (
            StatusCode::PAYLOAD_TOO_LARGE,
            format!(
                "the body of this request may have at most {} bytes; {}",
                bound.bytes, bound.hint
            ),
        ),
        Unread::TooSlow => (
            StatusCode::REQUEST_TIMEOUT,
            format!(
                "the body of the request came slower than {SLOWEST_BYTES_PER_SECOND} bytes in a second"
            ),
        ),
        Unread::Broken(error) => (
            StatusCode::BAD_REQUEST,
            format!("the body of the request broke off: {error}"),
        ),
    };
    let refused = Refused::new(status, text);
    let mut response = match why {
        Unread::TooLarge => refused.of(ErrorKind::Limit),
        Unread::TooSlow | Unread::Broken(_) => refused,
    }
    .into_response();
    let close = HeaderValue::from_static("close");
    response.headers_mut().insert(CONNECTION, close);
    response
}

async fn read(headers: &HeaderMap, body: Body, bound: Bound) -> Result<Bytes, Unread> {
    let length = headers.get(CONTENT_LENGTH);
    let length = length.and_then(|length| length.to_str().ok()?.parse::<u64>().ok());
    let mut coming = Coming {
        body,
        come: 0,
        started: Instant::now(),
        patience: bound.patience,
    };
    if length.is_some_and(|length| length > bound.bytes) {
        // A client that waits for `100 Continue` sees the answer.
        if !headers.contains_key(EXPECT) {
            coming.throw_away().await;
        }
        return Err(Unread::TooLarge);
    }
    let mut bytes = Vec::new();
    while let Some(piece) = coming.piece().await? {
        if coming.come > bound.bytes {
            drop(bytes);
            coming.throw_away().await;
            return Err(Unread::TooLarge);
        }
        bytes.extend_from_slice(&piece);
    }
    Ok(bytes.into())
}

/// A body that is being received.
struct Coming {
    body: Body,
    /// How many bytes have arrived.
    come: u64,
    started: Instant,
    patience: Duration,
}

impl Coming {
    /// The next piece, before the deadline.
    async fn piece(&mut self) -> Result<Option<Bytes>, Unread> {
        let deadline = self.started
            + self.patience
            + Duration::from_secs(self.come / SLOWEST_BYTES_PER_SECOND);
        loop {
            let frame = timeout_at(deadline, self.body.frame()).await;
            match frame.map_err(|_| Unread::TooSlow)? {
                None => return Ok(None),
                Some(Err(error)) => return Err(Unread::Broken(error)),
                // Trailers mean nothing here.
                Some(Ok(frame)) => {
                    if let Ok(data) = frame.into_data() {
                        self.come += data.len() as u64;
                        return Ok(Some(data));
                    }
                }
            }
        }
    }

    /// Reads and discards the rest, until the end of the body or the deadline.
    async fn throw_away(&mut self) {
        while self.come < MOST_DISCARDED_BYTES
            && let Ok(Some(_)) = self.piece().await
        {}
    }
}

#[cfg(test)]
mod tests {
    use std::convert::Infallible;

    use tokio_stream::wrappers::ReceiverStream;

    use super::*;

    const MIB: u64 = 1 << 20;

    /// A body of so many pieces, each of which comes so long after the one before.
    fn body(count: usize, size: usize, every: Duration) -> Body {
        let (pieces, stream) = tokio::sync::mpsc::channel(1);
        tokio::spawn(async move {
            for _ in 0..count {
                tokio::time::sleep(every).await;
                if pieces
                    .send(Ok::<_, Infallible>(vec![b'x'; size]))
                    .await
                    .is_err()
                {
                    return;
                }
            }
        });
        Body::from_stream(ReceiverStream::new(stream))
    }

    async fn read_within(body: Body, patience: Duration) -> Result<Bytes, Unread> {
        let bound = Bound {
            patience,
            ..Bound::new(3 * MIB, "")
        };
        read(&HeaderMap::new(), body, bound).await
    }

    #[tokio::test]
    async fn a_body_is_refused_while_it_comes() {
        // Far more than the memory that there is.
        let endless = body(usize::MAX, MIB as usize, Duration::ZERO);
        let read = read_within(endless, BODY_TIMEOUT).await;
        assert!(matches!(read, Err(Unread::TooLarge)));
    }

    /// Each piece comes soon after the one before; all together would take for ever.
    #[tokio::test]
    async fn a_body_that_trickles_is_given_up() {
        let trickle = body(usize::MAX, 1, Duration::from_millis(1));
        let read = read_within(trickle, Duration::from_millis(100)).await;
        assert!(matches!(read, Err(Unread::TooSlow)));
    }

    #[tokio::test]
    async fn a_body_of_some_size_may_take_longer() {
        let patience = Duration::from_millis(20);
        // Two MiB may take two minutes more.
        let slow = body(20, (MIB / 10) as usize, Duration::from_millis(5));
        let read = read_within(slow, patience).await;
        assert_eq!(
            read.ok().map(|bytes| bytes.len() as u64),
            Some(20 * (MIB / 10))
        );
    }
}
