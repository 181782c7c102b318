//! Answers that go on: a task's output as it is written, and changes of state as they happen.

use std::convert::Infallible;
use std::sync::Arc;

use axum::body::Body;
use axum::extract::State;
use axum::http::header;
use axum::response::sse::{Event, KeepAlive, Sse};
use axum::response::{IntoResponse, Response};
use serde::Deserialize;
use tokio::sync::broadcast::error::RecvError;
use tokio::sync::mpsc;
use tokio_stream::wrappers::ReceiverStream;
use utoipa::IntoParams;

use super::answers::{Path, QueryOf, Refused, bad, find};
use super::descriptions::{Binary, TASK};
use super::served::Served;
use super::tail::LastLines;
use super::wire::{Moved, Output, read_time};
use crate::daemon::info::Piece;
use crate::model::{TaskId, Timestamp};

/// The most bytes of output that are read from the store at once.
const OUTPUT_PAGE_BYTES: u64 = 1 << 20;

/// Which output.
#[derive(Debug, Deserialize, IntoParams)]
#[into_params(parameter_in = Query)]
#[serde(deny_unknown_fields)]
pub(super) struct OutputQuery {
    /// From this piece on.
    from: Option<u64>,
    /// Only this many last lines of what is kept.
    tail: Option<usize>,
    /// Only what was written since then, RFC 3339.
    since: Option<String>,
    /// Go on until the task is over.
    follow: Option<bool>,
    /// `json`: a line of JSON for each piece. `raw`: the bytes.
    format: Option<String>,
}

/// A task's output: a line of JSON for each piece, or the bytes.
#[utoipa::path(get, path = "/v1/tasks/{id}/logs", operation_id = "get_logs",
    params(("id" = String, Path, description = TASK), OutputQuery),
    responses((status = 200, content((String = "application/x-ndjson"), (Binary = "application/octet-stream")),
        description = "With `format=json` a line for each piece, an `Output`; with `format=raw` the bytes")))]
pub(super) async fn logs(
    State(served): State<Arc<Served>>,
    Path(id): Path<String>,
    QueryOf(query): QueryOf<OutputQuery>,
) -> Result<Response, Refused> {
    let id = find(&served, &id).await?;
    served.daemon.task(id).await?;
    let raw = match query.format.as_deref() {
        None | Some("json") => false,
        Some("raw") => true,
        Some(other) => return Err(bad(format!("`format` is json or raw, not {other:?}"))),
    };
    let since = query.since.as_deref().map(read_time).transpose();
    let (lines, body) = mpsc::channel(16);
    let writer = Writer {
        served,
        id,
        raw,
        lines,
        since: since.map_err(bad)?.unwrap_or_default(),
        tail: query.tail,
    };
    let follow = query.follow.unwrap_or(false);
    tokio::spawn(writer.write(query.from.unwrap_or(0), follow));
    let kind = match raw {
        true => "application/octet-stream",
        false => "application/x-ndjson",
    };
    let body = Body::from_stream(ReceiverStream::new(body));
    Ok(([(header::CONTENT_TYPE, kind)], body).into_response())
}

struct Writer {
    served: Arc<Served>,
    id: TaskId,
    raw: bool,
    lines: mpsc::Sender<Result<Vec<u8>, Infallible>>,
    /// Only what was written at that time or later.
    since: Timestamp,
    /// Of the output that exists at the start, only this many last lines.
    tail: Option<usize>,
}

impl Writer {
    /// Sends the output from piece `from` on that exists, and with `follow` also new output until
    /// the task is over. Stops early when nobody reads any more.
    async fn write(self, from: u64, follow: bool) {
        let daemon = self.served.daemon.clone();
        // Subscribed before the store is read, so that no output and no end is missed.
        let mut fresh = daemon.follow();
        let mut moves = daemon.watch();
        let mut from = from;
        let mut last = self.tail.map(LastLines::new);
        let (tail, written) = loop {
            let Ok(outputs) = daemon.output(self.id, from, OUTPUT_PAGE_BYTES).await else {
                return;
            };
            from = outputs.next;
            let pieces = outputs.pieces.into_iter();
            for piece in pieces.filter(|piece| piece.entry.time >= self.since) {
                match &mut last {
                    Some(last) => last.push(piece),
                    None if !self.send(piece).await => return,
                    None => {}
                }
            }
            if !outputs.more {
                break (outputs.tail, outputs.written);
            }
        };
        for piece in last.into_iter().flat_map(LastLines::pieces) {
            if !self.send(piece).await {
                return;
            }
        }
        if !follow {
            return;
        }
        loop {
            // Output first, so that all of it comes before the end.
            let piece = tokio::select! {
                biased;
                piece = fresh.recv() => piece,
                () = self.until_over(&mut moves) => return,
            };
            match piece {
                Ok(new) if new.id == self.id => {
                    let known = new.tail == tail && new.written <= written;
                    let entry = new.entry;
                    if !known
                        && !self
                            .send(Piece {
                                sequence: None,
                                entry,
                            })
                            .await
                    {
                        return;
                    }
                }
                Ok(_) => {}
                Err(RecvError::Lagged(count)) => {
                    log::warn!("a follower of task {} has missed {count} pieces", self.id);
                }
                Err(RecvError::Closed) => return,
            }
        }
    }

    /// Completes when the task is over, or nobody reads any more.
    async fn until_over(&self, moves: &mut tokio::sync::broadcast::Receiver<crate::Moved>) {
        let daemon = &self.served.daemon;
        loop {
            match daemon.task(self.id).await {
                Ok(task) if !task.state.is_final() => {}
                _ => return,
            }
            loop {
                tokio::select! {
                    moved = moves.recv() => match moved {
                        Ok((id, state)) if id == self.id => match state {
                            Some(state) if !state.is_final() => {}
                            _ => break,
                        },
                        Ok(_) => {}
                        // The store tells what was missed.
                        Err(RecvError::Lagged(_)) => break,
                        Err(RecvError::Closed) => return,
                    },
                    () = self.lines.closed() => return,
                }
            }
        }
    }

    async fn send(&self, piece: Piece) -> bool {
        let bytes = match self.raw {
            true => piece.entry.bytes,
            false => {
                let mut line = serde_json::to_vec(&Output::from(piece)).unwrap_or_default();
                line.push(b'\n');
                line
            }
        };
        self.lines.send(Ok(bytes)).await.is_ok()
    }
}

/// Changes of state as they happen, as server-sent events. Those that a slow reader misses are left
/// out.
#[utoipa::path(get, path = "/v1/events", operation_id = "watch_events",
    responses((status = 200, body = String, content_type = "text/event-stream",
        description = "Events without end; the data of each is a `Moved`")))]
pub(super) async fn events(State(served): State<Arc<Served>>) -> Response {
    let (events, body) = mpsc::channel::<Result<Event, Infallible>>(64);
    let mut moves = served.daemon.watch();
    tokio::spawn(async move {
        loop {
            let moved = tokio::select! {
                moved = moves.recv() => moved,
                () = events.closed() => return,
            };
            let (id, state) = match moved {
                Ok(moved) => moved,
                Err(RecvError::Lagged(_)) => continue,
                Err(RecvError::Closed) => return,
            };
            let moved = Moved {
                id: id.0,
                state: state.map(|state| state.to_string()),
            };
            let Ok(event) = Event::default().json_data(moved) else {
                continue;
            };
            if events.send(Ok(event)).await.is_err() {
                return;
            }
        }
    });
    Sse::new(ReceiverStream::new(body))
        .keep_alive(KeepAlive::default())
        .into_response()
}
