//! Items on their way to a collector. Whoever adds one never waits; a thread sends them in batches.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, Instant};

use parking_lot::{Condvar, Mutex};

use crate::throttled_log::{note_recovered, warn_throttled};

/// A batch has at most this many items.
const BATCH: usize = 512;

/// An item waits so long at most for others to be sent with it.
const GATHERED_FOR: Duration = Duration::from_secs(1);

/// Topic of the log.
const SENDING: &str = "telemetry";

/// Items that wait to be sent.
pub(super) struct Queue<T>(Arc<Shared<T>>);

struct Shared<T> {
    waiting: Mutex<Waiting<T>>,
    changed: Condvar,
    /// How many items and bytes may wait.
    most: (usize, usize),
    dropped: AtomicU64,
}

struct Waiting<T> {
    items: Vec<(T, usize)>,
    bytes: usize,
    /// A batch is being sent.
    sending: bool,
    /// What is there is to be sent at once.
    hurry: bool,
    closed: bool,
}

impl<T: Send + 'static> Queue<T> {
    /// Starts a thread that sends batches by `export`, which may block for a bounded time.
    pub(super) fn start(
        what: &'static str,
        most: (usize, usize),
        export: impl FnMut(Vec<T>) -> Result<(), String> + Send + 'static,
    ) -> std::io::Result<Self> {
        let shared = Arc::new(Shared {
            waiting: Mutex::new(Waiting {
                items: Vec::new(),
                bytes: 0,
                sending: false,
                hurry: false,
                closed: false,
            }),
            changed: Condvar::new(),
            most,
            dropped: AtomicU64::new(0),
        });
        let sender = shared.clone();
        std::thread::Builder::new()
            .name(format!("otlp-{what}"))
            .spawn(move || sender.run(what, export))?;
        Ok(Self(shared))
    }

    /// Adds an item of so many bytes, or drops it where there is no room.
    pub(super) fn push(&self, item: T, bytes: usize) {
        let (most_items, most_bytes) = self.0.most;
        let mut waiting = self.0.waiting.lock();
        if waiting.items.len() >= most_items || waiting.bytes + bytes > most_bytes {
            drop(waiting);
            self.0.dropped.fetch_add(1, Ordering::Relaxed);
            return;
        }
        waiting.bytes += bytes;
        waiting.items.push((item, bytes));
        // Else the thread comes by itself.
        if waiting.items.len() == BATCH {
            self.0.changed.notify_all();
        }
    }

    /// How many items were dropped.
    pub(super) fn dropped(&self) -> &AtomicU64 {
        &self.0.dropped
    }

    /// Has everything sent that is there, and waits for it until then at most.
    pub(super) fn flush(&self, until: Instant) {
        let mut waiting = self.0.waiting.lock();
        while !waiting.items.is_empty() || waiting.sending {
            waiting.hurry = true;
            self.0.changed.notify_all();
            if self.0.changed.wait_until(&mut waiting, until).timed_out() {
                return;
            }
        }
    }
}

impl<T> Drop for Queue<T> {
    fn drop(&mut self) {
        self.0.waiting.lock().closed = true;
        self.0.changed.notify_all();
    }
}

impl<T> Shared<T> {
    fn run(&self, what: &str, mut export: impl FnMut(Vec<T>) -> Result<(), String>) {
        while let Some(batch) = self.next() {
            let count = batch.len() as u64;
            match export(batch) {
                Ok(()) => note_recovered(SENDING, "telemetry is sent again"),
                Err(error) => {
                    self.dropped.fetch_add(count, Ordering::Relaxed);
                    warn_throttled(SENDING, &error, || {
                        format!("{count} {what} could not be sent, and are dropped: {error}")
                    });
                }
            }
            self.waiting.lock().sending = false;
            self.changed.notify_all();
        }
    }

    /// The next batch; `None` where the queue is gone.
    fn next(&self) -> Option<Vec<T>> {
        let mut waiting = self.waiting.lock();
        let mut since = Instant::now();
        loop {
            let full = waiting.items.len() >= BATCH || waiting.hurry || waiting.closed;
            if !waiting.items.is_empty() && (full || since.elapsed() >= GATHERED_FOR) {
                break;
            }
            if waiting.items.is_empty() {
                waiting.hurry = false;
                since = Instant::now();
                if waiting.closed {
                    return None;
                }
            }
            self.changed.wait_for(&mut waiting, GATHERED_FOR);
        }
        let count = waiting.items.len().min(BATCH);
        let rest = waiting.items.split_off(count);
        let batch = std::mem::replace(&mut waiting.items, rest);
        waiting.bytes -= batch.iter().map(|(_, bytes)| bytes).sum::<usize>();
        waiting.sending = true;
        Some(batch.into_iter().map(|(item, _)| item).collect())
    }
}

#[cfg(test)]
mod tests {
    use std::sync::mpsc;

    use super::*;

    #[test]
    fn what_is_added_is_sent_in_order() {
        let (sent, got) = mpsc::channel();
        let export = move |batch: Vec<usize>| sent.send(batch).map_err(|error| error.to_string());
        let queue = Queue::start("numbers", (10_000, 10_000), export).expect("a thread");
        (0..2 * BATCH + 1).for_each(|number| queue.push(number, 1));
        queue.flush(Instant::now() + Duration::from_secs(60));
        let all: Vec<usize> = got.try_iter().flatten().collect();
        assert!(all.iter().copied().eq(0..2 * BATCH + 1), "{}", all.len());
        assert_eq!(queue.dropped().load(Ordering::Relaxed), 0);
    }

    #[test]
    fn what_there_is_no_room_for_is_dropped_and_counted() {
        let (go, wait) = mpsc::channel::<()>();
        // A collector that takes nothing until it is told to.
        let export = move |_: Vec<usize>| wait.recv().map_err(|_| "it is gone".into());
        let queue = Queue::start("numbers", (BATCH, 10), export).expect("a thread");
        queue.push(0, 11);
        assert_eq!(queue.dropped().load(Ordering::Relaxed), 1, "too many bytes");
        (0..BATCH).for_each(|number| queue.push(number, 0));
        while !queue.0.waiting.lock().sending {
            std::thread::yield_now();
        }
        (0..BATCH + 5).for_each(|number| queue.push(number, 0));
        assert_eq!(queue.dropped().load(Ordering::Relaxed), 6, "too many items");
        queue.flush(Instant::now());
        // What cannot be sent counts as dropped.
        drop(go);
        queue.flush(Instant::now() + Duration::from_secs(60));
        let dropped = queue.dropped().load(Ordering::Relaxed);
        assert_eq!(dropped, 6 + 2 * BATCH as u64);
    }
}
