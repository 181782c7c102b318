//! What a guest writes, until it is stored with the guest's next snapshot.
//!
//! Output and snapshot are stored in one transaction: after a crash the guest goes on from the
//! snapshot, and what it wrote after that was never stored, so that it is not there twice.

use std::collections::VecDeque;
use std::io::IoSlice;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use tokio::sync::broadcast;

use crate::model::TaskId;
use crate::model::clock::Clock;
use crate::store::{Entry, Stream};
use crate::task::{Output, Sink};

/// A piece of output gets no larger than this: pieces of one stream are joined up to it.
const PIECE: usize = 64 << 10;

/// Pieces further apart than this have times of their own, in nanoseconds.
const TOGETHER: u64 = 50_000_000;

/// Output as it is written, for those who follow.
pub type Following = broadcast::Sender<Fresh>;

/// A piece of output that has just been written.
#[derive(Clone, Debug)]
pub struct Fresh {
    /// The task.
    pub id: TaskId,
    /// What was written.
    pub entry: Entry,
    /// Rises each time that a task is taken into memory.
    pub tail: u64,
    /// Bytes that were written since then, with these.
    pub written: u64,
}

static NUMBER: AtomicU64 = AtomicU64::new(1);

/// A copy of the output of a task that may not be stored yet.
#[derive(Debug, Default)]
pub(super) struct Fleeting {
    taken: Vec<Entry>,
    taken_at: u64,
    pieces: Vec<Entry>,
    /// Bytes that were ever written to it.
    pub(super) written: u64,
    /// Tells one tail from another.
    pub(super) number: u64,
}

impl Fleeting {
    /// What is not in the store, where the task's version in the store was this one after the copy was made.
    pub(super) fn beyond(self, version: u64) -> Vec<Entry> {
        let mut entries = match version > self.taken_at {
            true => Vec::new(),
            false => self.taken,
        };
        entries.extend(self.pieces);
        entries
    }
}

/// The output of one task that is not stored yet.
#[derive(Clone, Debug)]
pub(super) struct Tail(Arc<Shared>);

#[derive(Debug)]
struct Shared {
    id: TaskId,
    number: u64,
    limit: usize,
    clock: Arc<dyn Clock>,
    following: Following,
    pending: Mutex<Pending>,
}

#[derive(Debug, Default)]
struct Pending {
    /// On their way to the store, with the version of the task after which they are there.
    taken: Vec<Entry>,
    taken_at: u64,
    pieces: VecDeque<Entry>,
    size: usize,
    /// Bytes that were ever written to it.
    written: u64,
}

impl Tail {
    /// Keeps at most about `limit` bytes; the oldest go first.
    pub(super) fn new(id: TaskId, limit: u64, clock: Arc<dyn Clock>, following: Following) -> Self {
        Self(Arc::new(Shared {
            id,
            number: NUMBER.fetch_add(1, Ordering::Relaxed),
            limit: usize::try_from(limit).unwrap_or(usize::MAX),
            clock,
            following,
            pending: Mutex::default(),
        }))
    }

    /// Where one of the guest's streams goes.
    pub(super) fn output(&self, stream: Stream) -> Output {
        Output::Sink(Arc::new(OneStream {
            shared: self.0.clone(),
            stream,
        }))
    }

    /// Takes all of it, to store it in a change of the task's version `from`. It stays visible until
    /// [`stored`](Self::stored), or until somebody has seen a later version.
    pub(super) fn take(&self, from: u64) -> Vec<Entry> {
        let mut pending = self.0.pending();
        pending.taken_at = from;
        let entries: Vec<Entry> = std::mem::take(&mut pending.pieces).into();
        pending.size = 0;
        pending.taken.extend_from_slice(&entries);
        entries
    }

    /// What was taken is in the store now.
    pub(super) fn stored(&self) {
        self.0.pending().taken.clear();
    }

    /// A copy of what is not stored, and how many bytes were ever written.
    pub(super) fn peek(&self) -> Fleeting {
        let pending = self.0.pending();
        Fleeting {
            taken: pending.taken.clone(),
            taken_at: pending.taken_at,
            pieces: pending.pieces.iter().cloned().collect(),
            written: pending.written,
            number: self.0.number,
        }
    }
}

impl Shared {
    fn pending(&self) -> MutexGuard<'_, Pending> {
        self.pending.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[derive(Debug)]
struct OneStream {
    shared: Arc<Shared>,
    stream: Stream,
}

impl Sink for OneStream {
    fn write(&self, written: &[IoSlice<'_>]) {
        let time = self.shared.clock.realtime();
        let bytes: Vec<u8> = written
            .iter()
            .flat_map(|piece| piece.iter().copied())
            .collect();
        if bytes.is_empty() {
            return;
        }
        let mut pending = self.shared.pending();
        pending.size += bytes.len();
        pending.written += bytes.len() as u64;
        if self.shared.following.receiver_count() > 0 {
            // Whoever followed may just have gone.
            let _ = self.shared.following.send(Fresh {
                id: self.shared.id,
                entry: Entry {
                    stream: self.stream,
                    time,
                    bytes: bytes.clone(),
                },
                tail: self.shared.number,
                written: pending.written,
            });
        }
        for chunk in bytes.chunks(PIECE) {
            match pending.pieces.back_mut() {
                Some(last)
                    if last.stream == self.stream
                        && last.bytes.len() + chunk.len() <= PIECE
                        && time.saturating_sub(last.time) < TOGETHER =>
                {
                    last.bytes.extend_from_slice(chunk);
                }
                _ => pending.pieces.push_back(Entry {
                    stream: self.stream,
                    time,
                    bytes: chunk.to_vec(),
                }),
            }
        }
        while pending.size > self.shared.limit && pending.pieces.len() > 1 {
            let oldest = pending.pieces.pop_front();
            pending.size -= oldest.map_or(0, |entry| entry.bytes.len());
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::model::clock::SimClock;

    fn tail(limit: u64) -> (Tail, Arc<SimClock>) {
        let clock = Arc::new(SimClock::at(1));
        let tail = Tail::new(TaskId(1), limit, clock.clone(), broadcast::channel(1).0);
        (tail, clock)
    }

    fn write(output: &Output, text: &str) {
        match output {
            Output::Sink(sink) => sink.write(&[IoSlice::new(text.as_bytes())]),
            other => panic!("{other:?}"),
        }
    }

    #[test]
    fn writes_join_but_streams_stay_in_order() {
        let (tail, clock) = tail(1000);
        let (out, err) = (tail.output(Stream::Stdout), tail.output(Stream::Stderr));
        write(&out, "a");
        write(&out, "b");
        write(&err, "c");
        write(&out, "d");
        clock.advance(2 * TOGETHER);
        write(&out, "e");
        let texts: Vec<_> = tail.take(4).into_iter().map(|piece| piece.bytes).collect();
        assert_eq!(texts, [&b"ab"[..], b"c", b"d", b"e"]);
        assert_eq!(tail.peek().beyond(4).len(), 4, "visible until it is stored");
        assert!(
            tail.peek().beyond(5).is_empty(),
            "it is stored, and nobody has said so yet"
        );
        tail.stored();
        assert!(tail.peek().beyond(4).is_empty());
        assert_eq!(tail.peek().written, 5);
    }

    #[test]
    fn the_oldest_output_goes_first() {
        let (tail, _) = tail(PIECE as u64 * 2);
        let out = tail.output(Stream::Stdout);
        write(&out, &"x".repeat(PIECE));
        write(&out, &"y".repeat(PIECE));
        write(&out, &"z".repeat(PIECE));
        let kept = tail.take(1);
        assert_eq!(kept.len(), 2);
        assert_eq!(kept[0].bytes[0], b'y');
    }
}
