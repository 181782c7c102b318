//! Snapshots of large guests: chunk by chunk from the guest's memory into the store.

use std::io;
use std::sync::Arc;
use std::sync::atomic::Ordering;

use parking_lot::{Condvar, Mutex};

use crate::blobs::snapshot_bases::{Kind, MOST_BASES_PER_PROGRAM, SnapshotBases, unread};
use crate::journal::Journal;
use crate::model::Digest;
use crate::model::error::Error;
use crate::store::{Change, Error as StoreError, Store, StoredSnapshot};
use crate::task::Snapshot;
use crate::task::chunks::{self, Chunk, ChunkPosition, How, Index, Known, ReadChunk, WritePages};

/// At most this many chunks of a snapshot are on their way to the disk; then its guest waits.
const MOST_CHUNKS_UNDER_WAY: usize = 6;

/// The large bases of a program have at most this many bytes of pages together, unless there is
/// only one.
const MOST_LARGE_BASE_BYTES: usize = 1 << 30;

/// A base fits where the difference is at most this part of the snapshot.
const LARGEST_FITTING_DIFFERENCE: f64 = 1.0 / 3.0;

/// The base that fits best.
type Best = (Digest, Arc<Known>);

impl SnapshotBases {
    /// Stores the pages of a large snapshot. Returns what is to be stored with the task, and how
    /// many bytes the chunks have. `previous` is the base that the task had before.
    pub(crate) fn pack_large(
        &self,
        program: Digest,
        head: &Snapshot,
        pages: &mut WritePages<'_>,
        previous: Option<Digest>,
    ) -> Result<(StoredSnapshot, usize), Error> {
        let digests = chunks::digests(head, pages).map_err(failed)?;
        let read = self.read_chunk();
        let (best, count) = self.best(program, &digests, previous)?;
        let room = count == 0
            || (count < MOST_BASES_PER_PROGRAM
                && (count + 1).saturating_mul(head.stored_bytes()) <= MOST_LARGE_BASE_BYTES);
        let fitting = match best {
            Some((digest, known)) if !room => Some((digest, known)),
            Some((digest, known)) => {
                let left = chunks::estimate(head, &digests, pages, &known, &read);
                (left.map_err(failed)? <= LARGEST_FITTING_DIFFERENCE).then_some((digest, known))
            }
            None => None,
        };
        let Some((digest, known)) = fitting else {
            return self.found_large(program, head, &digests, pages);
        };
        self.state().used(program, digest);
        let pack = self.packs.fetch_add(1, Ordering::Relaxed);
        let (chunks, stored) =
            self.store_chunks(pack, head, &digests, pages, Some((&known, read)))?;
        let index = Index {
            pack,
            flat: head.flatten()?,
            chunks,
        };
        let frozen = StoredSnapshot {
            base: Some(digest),
            bytes: index.pack()?,
            pack: (stored > 0).then_some(pack),
        };
        Ok((frozen, stored))
    }

    /// The base with the most chunks in common, and how many large bases the program has.
    fn best(
        &self,
        program: Digest,
        digests: &[(ChunkPosition, Digest)],
        previous: Option<Digest>,
    ) -> Result<(Option<Best>, usize), Error> {
        let known = self.state().programs.get(&program).cloned();
        let known = known.unwrap_or_default();
        let others = known.iter().filter(|digest| Some(**digest) != previous);
        let mut best: Option<(Digest, Arc<Known>, usize)> = None;
        let mut count = 0;
        for digest in previous.iter().chain(others) {
            let Some(base) = self.base(digest)? else {
                continue;
            };
            let Kind::Chunks(known) = &base.kind else {
                continue;
            };
            count += 1;
            let same = known.same(digests);
            if best.as_ref().is_none_or(|(_, _, most)| same > *most) {
                best = Some((*digest, known.clone(), same));
            }
        }
        Ok((best.map(|(digest, known, _)| (digest, known)), count))
    }

    /// Makes a large snapshot a base.
    fn found_large(
        &self,
        program: Digest,
        head: &Snapshot,
        digests: &[(ChunkPosition, Digest)],
        pages: &mut WritePages<'_>,
    ) -> Result<(StoredSnapshot, usize), Error> {
        let pack = self.packs.fetch_add(1, Ordering::Relaxed);
        let (chunks, stored) = self.store_chunks(pack, head, digests, pages, None)?;
        let flat = head.flatten()?;
        let base = Index {
            pack,
            flat: flat.clone(),
            chunks,
        };
        let packed = base.pack()?;
        let digest = Digest::of(&packed);
        let known = Known::of(&base)?;
        let same = base.chunks.into_iter().map(|chunk| Chunk {
            how: How::Same,
            ..chunk
        });
        let index = Index {
            pack: 0,
            flat,
            chunks: same.collect(),
        };
        let base = crate::blobs::snapshot_bases::SnapshotBase {
            digest,
            kind: Kind::Chunks(Arc::new(known)),
            alone: packed.len(),
        };
        self.keep(program, base, packed, Some(pack));
        let frozen = StoredSnapshot {
            base: Some(digest),
            bytes: index.pack()?,
            pack: None,
        };
        Ok((frozen, stored))
    }

    /// Stores chunks, and waits until they are durable. Returns their entries and how many bytes
    /// they have.
    fn store_chunks(
        &self,
        pack: u64,
        head: &Snapshot,
        digests: &[(ChunkPosition, Digest)],
        pages: &mut WritePages<'_>,
        base: Option<(&Known, ReadChunk)>,
    ) -> Result<(Vec<Chunk>, usize), Error> {
        let way = Arc::new(Way::default());
        let mut stored = 0;
        let written = chunks::write(head, digests, pages, base, |number, bytes| {
            stored += bytes.len();
            way.send(&self.journal, pack, number, bytes)
        });
        // All chunks that were sent are waited for, so that their pack is whole or can be dropped.
        let arrived = way.wait(0);
        match written.and_then(|chunks| arrived.map(|()| chunks)) {
            Ok(chunks) => Ok((chunks, stored)),
            Err(error) => {
                self.journal
                    .keep(vec![Change::DropPack { pack }], drop, |_| {});
                Err(failed(error))
            }
        }
    }

    /// Reads chunks from the store.
    pub(super) fn read_chunk(&self) -> ReadChunk {
        read_chunk(self.store.clone())
    }
}

/// Reads chunks from a store.
pub(crate) fn read_chunk(store: Arc<dyn Store>) -> ReadChunk {
    Arc::new(move |pack, number| {
        let found = store.chunk(pack, number);
        let found = found.map_err(|error| io::Error::other(Error::from(error)))?;
        found.ok_or_else(|| io::Error::other(format!("chunk {number} of {pack} is missing")))
    })
}

fn failed(error: io::Error) -> Error {
    unread(error)
}

/// Chunks on their way to the disk.
#[derive(Default)]
struct Way {
    state: Mutex<(usize, Option<StoreError>)>,
    changed: Condvar,
}

impl Way {
    fn send(
        self: &Arc<Self>,
        journal: &Journal,
        pack: u64,
        number: u32,
        bytes: Vec<u8>,
    ) -> io::Result<()> {
        self.wait(MOST_CHUNKS_UNDER_WAY - 1)?;
        self.state.lock().0 += 1;
        let way = self.clone();
        let bytes = bytes.into();
        let chunk = Change::Chunk {
            pack,
            number,
            bytes,
        };
        // Where a chunk cannot be stored for now, the guest stays in memory and is frozen again
        // later.
        journal.put(vec![chunk], move |result| {
            let mut state = way.state.lock();
            state.0 -= 1;
            if let Err(error) = result {
                state.1.get_or_insert(error);
            }
            way.changed.notify_all();
        });
        Ok(())
    }

    /// Waits until at most this many are on their way.
    fn wait(&self, most: usize) -> io::Result<()> {
        let mut state = self.state.lock();
        while state.0 > most {
            self.changed.wait(&mut state);
        }
        match state.1.take() {
            Some(error) => Err(io::Error::other(Error::from(error))),
            None => Ok(()),
        }
    }
}
