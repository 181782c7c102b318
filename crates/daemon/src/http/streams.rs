//! Answers that go on: a task's output as it is written, and changes of state as they happen.

use std::convert::Infallible;
use std::num::NonZeroUsize;
use std::sync::Arc;
use std::time::Duration;

use axum::Extension;
use axum::body::Body;
use axum::extract::State;
use axum::http::header;
use axum::response::sse::{Event, KeepAlive, Sse};
use axum::response::{IntoResponse, Response};
use lru::LruCache;
use serde::Deserialize;
use tokio::sync::broadcast::error::RecvError;
use tokio::sync::mpsc;
use tokio_stream::wrappers::ReceiverStream;
use utoipa::IntoParams;

use super::answers::{Asking, Path, QueryOf, Refused, bad, find};
use super::descriptions::{Binary, TASK};
use super::served::Served;
use super::tail::{LastLines, Skip, Start};
use super::wire::{Moved, Output, read_time};
use crate::access::caller::Caller;
use crate::daemon::info::{OutputPage, Piece};
use crate::model::{TaskId, TenantId, Timestamp};

/// Of so many tasks a stream of events remembers whether its reader may see them.
const MOST_SEEN: NonZeroUsize = NonZeroUsize::new(1 << 16).expect("it is not zero");

/// The most bytes of output that are read from the store at once.
const OUTPUT_PAGE_BYTES: u64 = 1 << 20;

/// How often it is looked for new output where several nodes share the store.
const LOOK_EVERY: Duration = Duration::from_millis(250);

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
    Extension(caller): Asking,
    Path(id): Path<String>,
    QueryOf(query): QueryOf<OutputQuery>,
) -> Result<Response, Refused> {
    let id = find(&served, &caller, &id).await?;
    served.daemon.task(id).await?;
    let raw = match query.format.as_deref() {
        None | Some("json") => false,
        Some("raw") => true,
        Some(other) => return Err(bad(format!("`format` is json or raw, not {other:?}"))),
    };
    let since = query.since.as_deref().map(read_time).transpose();
    let (body, answer) = mpsc::channel(16);
    let writer = Writer {
        served,
        id,
        raw,
        body,
        since: since.map_err(bad)?.unwrap_or_default(),
        last_lines: query.tail,
    };
    let follow = query.follow.unwrap_or(false);
    tokio::spawn(writer.write(query.from.unwrap_or(0), follow));
    let kind = match raw {
        true => "application/octet-stream",
        false => "application/x-ndjson",
    };
    let body = Body::from_stream(ReceiverStream::new(answer));
    Ok(([(header::CONTENT_TYPE, kind)], body).into_response())
}

struct Writer {
    served: Arc<Served>,
    id: TaskId,
    raw: bool,
    body: mpsc::Sender<Result<Vec<u8>, Infallible>>,
    /// Only what was written at that time or later.
    since: Timestamp,
    /// Of the output that exists at the start, only this many last lines.
    last_lines: Option<usize>,
}

impl Writer {
    /// Sends the output from piece `from` on that exists, and with `follow` also new output until
    /// the task is over. Stops early when nobody reads any more.
    async fn write(self, from: u64, follow: bool) {
        // Subscribed before the store is read, so that no output and no end is missed.
        let mut fresh = self.served.daemon.follow();
        let mut moves = self.served.daemon.watch();
        let start = match self.last_lines {
            Some(most) => self.find_last_lines(from, most).await,
            None => Some(Start::at(from)),
        };
        let Some(start) = start else { return };
        if follow && self.served.daemon.is_node() {
            return self.follow_stored(start).await;
        }
        let Some(last_page) = self.send_all(start).await else {
            return;
        };
        if !follow {
            return;
        }
        let over = self.until_over(&mut moves);
        tokio::pin!(over);
        loop {
            // Output first, so that all of it comes before the end.
            let piece = tokio::select! {
                biased;
                piece = fresh.recv() => piece,
                () = &mut over => return,
            };
            match piece {
                Ok(new) if new.id != self.id || last_page.covers(&new) => {}
                Ok(new) => {
                    let (sequence, entry) = (None, new.entry);
                    if !self.send(Piece { sequence, entry }).await {
                        return;
                    }
                }
                Err(RecvError::Lagged(count)) => {
                    log::warn!("a follower of task {} has missed {count} pieces", self.id);
                }
                Err(RecvError::Closed) => return,
            }
        }
    }

    /// Sends what is stored from a start on, until the task is over: it may run at any node, now at this
    /// one and then at that one. What is stored is there once.
    async fn follow_stored(&self, start: Start) {
        let Start {
            piece: mut from,
            mut skip,
        } = start;
        loop {
            // Before the output, so that all of it comes before the end.
            let over = match self.served.daemon.task(self.id).await {
                Ok(task) => task.state.is_final(),
                Err(error) => !error.passes(),
            };
            while let Some(page) = self.page(from).await {
                for mut piece in page.pieces.into_iter().filter(|p| p.sequence.is_some()) {
                    skip.cut(&mut piece.entry.bytes);
                    if !piece.entry.bytes.is_empty() && !self.send(piece).await {
                        return;
                    }
                }
                from = page.next;
                if !page.more {
                    break;
                }
            }
            tokio::select! {
                () = tokio::time::sleep(LOOK_EVERY) => {}
                () = self.body.closed() => return,
            }
            if over {
                return;
            }
        }
    }

    /// Where the last lines begin of the output from piece `from` on. `None` where it cannot be
    /// read.
    async fn find_last_lines(&self, from: u64, most: usize) -> Option<Start> {
        let mut last = LastLines::new(most);
        let mut from = from;
        loop {
            let page = self.page(from).await?;
            // What is not stored yet gets numbers from the next one on.
            let number = |piece: &Piece| piece.sequence.unwrap_or(page.next);
            for piece in &page.pieces {
                last.push(number(piece), &piece.entry);
            }
            from = page.next;
            if !page.more {
                let fresh = page.pieces.iter().filter(|piece| piece.sequence.is_none());
                let skip = Skip::Bytes(fresh.map(|piece| piece.entry.bytes.len()).sum());
                return Some(last.start(Start { piece: from, skip }));
            }
        }
    }

    /// Sends what exists from a start on, and gives the last page of it. `None` where it cannot be
    /// read, or nobody reads any more.
    async fn send_all(&self, start: Start) -> Option<OutputPage> {
        let Start {
            piece: mut from,
            mut skip,
        } = start;
        loop {
            let mut page = self.page(from).await?;
            for mut piece in std::mem::take(&mut page.pieces) {
                skip.cut(&mut piece.entry.bytes);
                if !piece.entry.bytes.is_empty() && !self.send(piece).await {
                    return None;
                }
            }
            from = page.next;
            if !page.more {
                return Some(page);
            }
        }
    }

    /// A page of the wanted output.
    async fn page(&self, from: u64) -> Option<OutputPage> {
        let page = self.served.daemon.output(self.id, from, OUTPUT_PAGE_BYTES);
        let mut page = page.await.ok()?;
        page.pieces.retain(|piece| piece.entry.time >= self.since);
        Some(page)
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
                    () = self.body.closed() => return,
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
        self.body.send(Ok(bytes)).await.is_ok()
    }
}

/// Changes of state as they happen, as server-sent events. Those that a slow reader misses are left
/// out.
#[utoipa::path(get, path = "/v1/events", operation_id = "watch_events",
    responses((status = 200, body = String, content_type = "text/event-stream",
        description = "Events without end; the data of each is a `Moved`")))]
pub(super) async fn events(
    State(served): State<Arc<Served>>,
    Extension(caller): Asking,
) -> Response {
    let (events, body) = mpsc::channel::<Result<Event, Infallible>>(64);
    let mut moves = served.daemon.watch();
    let mut seen = Seen::new(served.clone(), &caller);
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
            if !seen.may_see(id, state.is_none()).await {
                continue;
            }
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

/// Which tasks a caller may see whose own not all are. What was said of a task stays: whose it is
/// never changes, and of one that was removed nobody can say it any more.
struct Seen {
    served: Arc<Served>,
    scope: Option<TenantId>,
    known: LruCache<TaskId, bool>,
}

impl Seen {
    fn new(served: Arc<Served>, caller: &Caller) -> Self {
        let (scope, known) = (caller.scope(), LruCache::new(MOST_SEEN));
        Self {
            served,
            scope,
            known,
        }
    }

    async fn may_see(&mut self, id: TaskId, is_gone: bool) -> bool {
        let Some(tenant) = self.scope else {
            return true;
        };
        if let Some(known) = self.known.get(&id) {
            return *known;
        }
        if is_gone {
            return false;
        }
        let of = self.served.daemon.tenant_of(id).await;
        let Ok(of) = of else { return false };
        self.known.put(id, of == Some(tenant));
        of == Some(tenant)
    }
}

#[cfg(test)]
mod tests {
    use std::io::IoSlice;

    use super::*;
    use crate::daemon::Daemon;
    use crate::model::TaskState;
    use crate::store::Stream;
    use crate::task::Output as GuestOutput;
    use crate::tests::stores::{daemon_with_output, update};
    use crate::workers::output::Tail;

    /// A writer for a task of this daemon, and what it sends.
    fn writer(daemon: Arc<Daemon>, id: TaskId, last_lines: Option<usize>) -> (Writer, Answer) {
        let (body, answer) = mpsc::channel(1);
        let served = Arc::new(Served::new(daemon, None, "token"));
        let writer = Writer {
            served,
            id,
            raw: true,
            body,
            since: Timestamp::default(),
            last_lines,
        };
        (writer, answer)
    }

    type Answer = mpsc::Receiver<Result<Vec<u8>, Infallible>>;

    async fn rest(mut answer: Answer) -> String {
        let mut got = Vec::new();
        while let Some(bytes) = answer.recv().await {
            got.extend(bytes.expect("bytes"));
        }
        String::from_utf8(got).expect("text")
    }

    /// All pieces in which the last lines stand were kept in memory until the end was read.
    #[tokio::test]
    async fn the_last_lines_are_sent_from_the_store() {
        let (daemon, id, _directory) = daemon_with_output(&["a\nb\n", "c\nd", "e\n", "f"]);
        for (most, expected) in [(0, ""), (1, "f"), (2, "de\nf"), (9, "a\nb\nc\nde\nf")] {
            let (writer, answer) = writer(daemon.clone(), id, Some(most));
            tokio::spawn(writer.write(0, false));
            assert_eq!(rest(answer).await, expected, "{most}");
        }
        daemon.close().await;
    }

    /// While a client still read what was there before, the task ran, wrote, and was stored. The
    /// client read that output in the store, and then got it once more as new output.
    #[tokio::test]
    async fn output_that_is_stored_while_a_backlog_is_sent_is_sent_once() {
        let page = "x".repeat(OUTPUT_PAGE_BYTES as usize);
        let (daemon, id, _directory) = daemon_with_output(&[page.as_str(); 4]);
        let (writer, mut answer) = writer(daemon.clone(), id, None);
        tokio::spawn(writer.write(0, true));
        let first = answer.recv().await.expect("the first page").expect("bytes");
        // The second page is on its way and the third waits for room, so that the last is not read
        // yet. The task is loaded, writes, and is over.
        let shared = &daemon.shared;
        let tail = Tail::new(id, 2, 100, shared.time.clone(), shared.following.clone());
        let GuestOutput::Sink(output) = tail.output(Stream::Stdout) else {
            panic!("a guest of the daemon's writes to a sink");
        };
        output.write(&[IoSlice::new(b"once")]);
        let stored = update(id, 2, TaskState::Exited, tail.take(2));
        daemon.commit(vec![stored]).await.expect("it is stored");
        let text = rest(answer).await;
        assert_eq!(text.matches("once").count(), 1);
        assert_eq!(first.len() + text.len(), 4 * page.len() + "once".len());
        daemon.close().await;
    }
}
