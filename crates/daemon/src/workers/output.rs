//! What a guest writes, until it is stored with the guest's next snapshot.
//!
//! Output and snapshot are stored in one transaction. After a crash the guest continues from the
//! snapshot. What it wrote after the snapshot was not stored, and is not there twice.

use std::collections::VecDeque;
use std::io::IoSlice;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use parking_lot::{Mutex, MutexGuard};
use tokio::sync::broadcast;

use crate::model::TaskId;
use crate::model::clock::Clock;
use crate::store::{OutputPiece, Stream};
use crate::task::{Output, Sink};
use crate::telemetry::LineLog;

/// Pieces of one stream are joined up to this many bytes.
const LARGEST_PIECE_BYTES: usize = 64 << 10;

/// Pieces that were written further apart are not joined, so that each has its own time.
const JOINED_WITHIN: Duration = Duration::from_millis(50);

/// Where output is sent as it is written, to those who follow it.
pub type Following = broadcast::Sender<FreshOutput>;

/// A piece of output that has just been written.
#[derive(Clone, Debug)]
pub struct FreshOutput {
    /// The task.
    pub id: TaskId,
    /// What was written.
    pub entry: OutputPiece,
    /// Identifies the time in memory of the task: each load of a task has another number.
    pub load_number: u64,
    /// Bytes that were written since the task was loaded, including these.
    pub written: u64,
    /// The task's version in the store at that time. When the task has a higher one there, the
    /// piece has been stored, or dropped.
    pub version: u64,
}

/// How many times tasks were loaded. No load has the number 0.
static LOADS: AtomicU64 = AtomicU64::new(1);

/// A copy of the output of a task that may not be stored yet.
#[derive(Debug, Default)]
pub(crate) struct Fleeting {
    taken: Vec<OutputPiece>,
    taken_at: u64,
    pieces: Vec<OutputPiece>,
    /// Bytes that were ever written to it.
    pub(crate) written: u64,
    /// That of [`FreshOutput`].
    pub(crate) load_number: u64,
}

impl Fleeting {
    /// What is not in the store, if the task had this version in the store after the copy was made.
    pub(crate) fn beyond(self, version: u64) -> Vec<OutputPiece> {
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
pub(crate) struct Tail(Arc<TailShared>);

#[derive(Debug)]
struct TailShared {
    id: TaskId,
    load_number: u64,
    limit: usize,
    clock: Arc<dyn Clock>,
    following: Following,
    pending: Mutex<Pending>,
    /// What tells a collector of each line.
    lines: Option<Mutex<LineLog>>,
}

#[derive(Debug, Default)]
struct Pending {
    /// Pieces on their way to the store. They are there when the task has a higher version than
    /// `taken_at`.
    taken: Vec<OutputPiece>,
    taken_at: u64,
    pieces: VecDeque<OutputPiece>,
    size: usize,
    /// Bytes that were ever written to it.
    written: u64,
    /// The task's version in the store.
    version: u64,
}

impl Tail {
    /// The output of a task that has this version in the store. Keeps at most about `limit` bytes;
    /// the oldest are dropped first.
    pub(crate) fn new(
        id: TaskId,
        version: u64,
        limit: u64,
        clock: Arc<dyn Clock>,
        following: Following,
    ) -> Self {
        let pending = Pending {
            version,
            ..Pending::default()
        };
        Self(Arc::new(TailShared {
            id,
            load_number: LOADS.fetch_add(1, Ordering::Relaxed),
            limit: usize::try_from(limit).unwrap_or(usize::MAX),
            clock,
            following,
            pending: Mutex::new(pending),
            lines: None,
        }))
    }

    /// The same, which tells each line to a collector.
    pub(crate) fn telling(mut self, lines: Option<LineLog>) -> Self {
        if let Some(shared) = Arc::get_mut(&mut self.0) {
            shared.lines = lines.map(Mutex::new);
        }
        self
    }

    /// Where one of the guest's streams goes.
    pub(crate) fn output(&self, stream: Stream) -> Output {
        Output::Sink(Arc::new(OneStream {
            shared: self.0.clone(),
            stream,
        }))
    }

    /// Adds a line of the daemon's own, for whoever reads what the task has written to stderr.
    pub(crate) fn say(&self, text: &str) {
        let stderr = OneStream {
            shared: self.0.clone(),
            stream: Stream::Stderr,
        };
        stderr.write(&[IoSlice::new(text.as_bytes())]);
    }

    /// Takes all pieces, to store them in a change of the task's version `from`. They stay visible
    /// until [`stored`](Self::stored), or until a reader has seen a later version.
    pub(crate) fn take(&self, from: u64) -> Vec<OutputPiece> {
        if let Some(lines) = &self.0.lines {
            lines.lock().end(self.0.clock.realtime());
        }
        let mut pending = self.0.pending();
        pending.taken_at = from;
        let entries: Vec<OutputPiece> = std::mem::take(&mut pending.pieces).into();
        pending.size = 0;
        pending.taken.extend_from_slice(&entries);
        entries
    }

    /// The pieces that were taken are in the store now, in which the task has this version.
    pub(crate) fn stored(&self, version: u64) {
        let mut pending = self.0.pending();
        pending.taken.clear();
        pending.version = version;
    }

    /// A copy of what is not stored, with how many bytes were ever written.
    pub(crate) fn peek(&self) -> Fleeting {
        let pending = self.0.pending();
        Fleeting {
            taken: pending.taken.clone(),
            taken_at: pending.taken_at,
            pieces: pending.pieces.iter().cloned().collect(),
            written: pending.written,
            load_number: self.0.load_number,
        }
    }
}

impl TailShared {
    fn pending(&self) -> MutexGuard<'_, Pending> {
        self.pending.lock()
    }
}

#[derive(Debug)]
struct OneStream {
    shared: Arc<TailShared>,
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
        if let Some(lines) = &self.shared.lines {
            let is_stderr = self.stream == Stream::Stderr;
            lines.lock().write(is_stderr, time, &bytes);
        }
        let mut pending = self.shared.pending();
        pending.size += bytes.len();
        pending.written += bytes.len() as u64;
        if self.shared.following.receiver_count() > 0 {
            // An error means that the last receiver has just been dropped.
            let _ = self.shared.following.send(FreshOutput {
                id: self.shared.id,
                entry: OutputPiece {
                    stream: self.stream,
                    time,
                    bytes: bytes.clone(),
                },
                load_number: self.shared.load_number,
                written: pending.written,
                version: pending.version,
            });
        }
        for chunk in bytes.chunks(LARGEST_PIECE_BYTES) {
            match pending.pieces.back_mut() {
                Some(last)
                    if last.stream == self.stream
                        && last.bytes.len() + chunk.len() <= LARGEST_PIECE_BYTES
                        && time.saturating_duration_since(last.time) < JOINED_WITHIN =>
                {
                    last.bytes.extend_from_slice(chunk);
                }
                _ => pending.pieces.push_back(OutputPiece {
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
    use crate::model::Timestamp;
    use crate::model::clock::SimClock;

    fn tail(limit: u64) -> (Tail, Arc<SimClock>) {
        let clock = Arc::new(SimClock::at(Timestamp::from_nanos(1)));
        let tail = Tail::new(TaskId(1), 4, limit, clock.clone(), broadcast::channel(1).0);
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
        clock.advance(2 * JOINED_WITHIN);
        write(&out, "e");
        let texts: Vec<_> = tail.take(4).into_iter().map(|piece| piece.bytes).collect();
        assert_eq!(texts, [&b"ab"[..], b"c", b"d", b"e"]);
        assert_eq!(tail.peek().beyond(4).len(), 4, "visible until it is stored");
        assert!(
            tail.peek().beyond(5).is_empty(),
            "it is stored, and nobody has said so yet"
        );
        tail.stored(5);
        assert!(tail.peek().beyond(4).is_empty());
        assert_eq!(tail.peek().written, 5);
    }

    #[test]
    fn the_oldest_output_goes_first() {
        let (tail, _) = tail(LARGEST_PIECE_BYTES as u64 * 2);
        let out = tail.output(Stream::Stdout);
        write(&out, &"x".repeat(LARGEST_PIECE_BYTES));
        write(&out, &"y".repeat(LARGEST_PIECE_BYTES));
        write(&out, &"z".repeat(LARGEST_PIECE_BYTES));
        let kept = tail.take(1);
        assert_eq!(kept.len(), 2);
        assert_eq!(kept[0].bytes[0], b'y');
    }
}
