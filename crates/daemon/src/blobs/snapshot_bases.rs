//! Which stored snapshot another one is compressed against.
//!
//! Sleeping copies of one program are alike, so that each is stored as its difference from a
//! *base*: the snapshot of another copy, which is a blob in the store. A program has few bases: one
//! for each place where it sleeps with memories that differ much.

use std::collections::HashMap;
use std::io::Read;
use std::num::NonZeroUsize;
use std::sync::Arc;
use std::sync::atomic::AtomicU64;

use lru::LruCache;
use parking_lot::{Mutex, MutexGuard};

use crate::journal::Journal;
use crate::model::error::{Error, ErrorKind};
use crate::model::{Digest, Limit, Limits};
use crate::store::{Change, Store, StoredSnapshot};
use crate::task::chunks::{Index, Known, Pages};
use crate::task::{Snapshot, pack, unpack};

/// Bytes of bases that are kept in memory.
const MOST_KEPT_BYTES: usize = 96 << 20;

/// A snapshot with more bytes of pages is stored in chunks.
pub(crate) const LARGEST_SMALL_BYTES: usize = 8 << 20;

/// A program has at most this many bases, and at most this many are tried for one snapshot.
pub(super) const MOST_BASES_PER_PROGRAM: usize = 16;
pub(super) const MOST_BASES_TRIED: usize = 3;

/// A snapshot that others are compressed against.
pub(super) struct SnapshotBase {
    pub(super) digest: Digest,
    pub(super) kind: Kind,
    /// How long its blob is.
    pub(super) alone: usize,
}

pub(super) enum Kind {
    /// The flat form of a small snapshot.
    Flat(Vec<u8>),
    /// Where the chunks of a large snapshot are.
    Chunks(Arc<Known>),
}

impl SnapshotBase {
    /// Reads a base from its blob.
    fn of(digest: Digest, packed: &[u8]) -> Result<Self, Error> {
        let limit = Limits::default().value(Limit::Snapshot);
        let kind = match Index::is(packed) {
            true => Kind::Chunks(Arc::new(Known::of(&Index::unpack(packed, limit)?)?)),
            false => Kind::Flat(unpack(packed, &[], limit)?),
        };
        Ok(Self {
            digest,
            kind,
            alone: packed.len(),
        })
    }

    fn flat(&self) -> Option<&[u8]> {
        match &self.kind {
            Kind::Flat(flat) => Some(flat),
            Kind::Chunks(_) => None,
        }
    }

    fn size(&self) -> usize {
        match &self.kind {
            Kind::Flat(flat) => flat.len(),
            Kind::Chunks(known) => known.size(),
        }
    }
}

/// The bases of all programs.
pub(crate) struct SnapshotBases {
    state: Mutex<State>,
    pub(super) store: Arc<dyn Store>,
    pub(super) journal: Journal,
    /// The number of the next pack.
    pub(super) packs: AtomicU64,
}

pub(super) struct State {
    kept: LruCache<Digest, Arc<SnapshotBase>>,
    bytes: usize,
    /// How many bytes of bases may be kept.
    most: usize,
    /// The bases of each program, the one that was used last first.
    pub(super) programs: HashMap<Digest, Vec<Digest>>,
}

impl SnapshotBases {
    /// Keeps at most this many bytes of bases in memory, and no more than [`MOST_KEPT_BYTES`].
    /// Packs are numbered from `pack` on.
    pub(crate) fn new(store: Arc<dyn Store>, journal: Journal, most: u64, pack: u64) -> Self {
        let most = usize::try_from(most).map_or(MOST_KEPT_BYTES, |most| most.min(MOST_KEPT_BYTES));
        Self {
            packs: AtomicU64::new(pack),
            state: Mutex::new(State {
                kept: LruCache::unbounded(),
                bytes: 0,
                most,
                programs: HashMap::new(),
            }),
            store,
            journal,
        }
    }

    /// Compresses the snapshot of a program's task. `previous` is the base that the task had
    /// before.
    pub(crate) fn pack(
        &self,
        program: Digest,
        flat: &[u8],
        previous: Option<Digest>,
    ) -> Result<StoredSnapshot, Error> {
        let mut candidates: Vec<Digest> = previous.into_iter().collect();
        let (known, room) = {
            let state = self.state();
            let known = state.programs.get(&program);
            let room = known.is_none_or(|known| known.len() < MOST_BASES_PER_PROGRAM);
            (known.cloned().unwrap_or_default(), room)
        };
        candidates.extend(known.iter().filter(|digest| Some(**digest) != previous));
        candidates.truncate(MOST_BASES_TRIED);
        let mut best: Option<(StoredSnapshot, usize)> = None;
        for digest in candidates {
            let Some(base) = self.base(&digest)? else {
                continue;
            };
            let Some(old) = base.flat() else { continue };
            let bytes = pack(flat, old)?;
            let good = is_good(bytes.len(), base.alone);
            if best
                .as_ref()
                .is_none_or(|(best, _)| bytes.len() < best.bytes.len())
            {
                let frozen = StoredSnapshot {
                    base: Some(digest),
                    bytes,
                    pack: None,
                };
                best = Some((frozen, base.alone));
            }
            if good {
                break;
            }
        }
        match best {
            Some((frozen, alone)) if is_good(frozen.bytes.len(), alone) || !room => {
                if let Some(digest) = frozen.base {
                    self.state().used(program, digest);
                }
                Ok(frozen)
            }
            _ => self.found(program, flat),
        }
    }

    /// Undoes [`pack`](Self::pack) and [`pack_large`](Self::pack_large). The pages of a large
    /// snapshot are still in the store; they are read as they are asked for.
    pub(crate) fn open(&self, frozen: &StoredSnapshot) -> Result<(Snapshot, Option<Pages>), Error> {
        let limit = Limits::default().value(Limit::Snapshot);
        let base = match frozen.base {
            None => None,
            Some(digest) => {
                let missing =
                    || crate::Error::Damaged(format!("blob {} is missing", digest.short()));
                Some(self.base(&digest)?.ok_or_else(missing)?)
            }
        };
        if !Index::is(&frozen.bytes) {
            let flat = base.as_ref().and_then(|base| base.flat()).unwrap_or(&[]);
            let flat = unpack(&frozen.bytes, flat, limit)?;
            return Ok((Snapshot::unflatten(&flat)?, None));
        }
        let index = Index::unpack(&frozen.bytes, limit)?;
        let known = base.and_then(|base| match &base.kind {
            Kind::Chunks(known) => Some(known.clone()),
            Kind::Flat(_) => None,
        });
        let pages = Pages::new(&index, known, self.read_chunk());
        Ok((Snapshot::unflatten(&index.flat)?, Some(pages)))
    }

    /// The same, with all pages in memory.
    pub(crate) fn whole(&self, frozen: &StoredSnapshot) -> Result<Snapshot, Error> {
        let (mut snapshot, pages) = self.open(frozen)?;
        if let Some(mut pages) = pages {
            let mut bytes = Vec::with_capacity(snapshot.stored_bytes());
            pages.read_to_end(&mut bytes).map_err(unread)?;
            snapshot.pages = bytes;
        }
        Ok(snapshot)
    }

    /// Compresses a snapshot that is in memory as a whole.
    pub(crate) fn pack_whole(
        &self,
        program: Digest,
        snapshot: &mut Snapshot,
        previous: Option<Digest>,
    ) -> Result<StoredSnapshot, Error> {
        if snapshot.stored_bytes() <= LARGEST_SMALL_BYTES {
            return self.pack(program, &snapshot.flatten()?, previous);
        }
        let bytes = std::mem::take(&mut snapshot.pages);
        let mut pages = |into: &mut dyn std::io::Write| into.write_all(&bytes);
        let packed = self.pack_large(program, snapshot, &mut pages, previous)?;
        Ok(packed.0)
    }

    /// Makes a snapshot a base.
    fn found(&self, program: Digest, flat: &[u8]) -> Result<StoredSnapshot, Error> {
        let digest = Digest::of(flat);
        let packed = pack(flat, &[])?;
        let base = SnapshotBase {
            digest,
            kind: Kind::Flat(flat.to_vec()),
            alone: packed.len(),
        };
        let bytes = pack(flat, base.flat().unwrap_or(&[]))?;
        self.keep(program, base, packed, None);
        Ok(StoredSnapshot {
            base: Some(digest),
            bytes,
            pack: None,
        })
    }

    /// Keeps a new base of a program.
    pub(super) fn keep(
        &self,
        program: Digest,
        base: SnapshotBase,
        packed: Vec<u8>,
        pack: Option<u64>,
    ) {
        // The journal keeps the order, so that the blob is stored before anything refers to it.
        let digest = base.digest;
        let blob = Change::Blob {
            digest,
            bytes: packed,
            pack,
        };
        self.journal.keep(vec![blob], drop, |_| {});
        let mut state = self.state();
        state.keep(Arc::new(base));
        state.used(program, digest);
    }

    pub(super) fn base(&self, digest: &Digest) -> Result<Option<Arc<SnapshotBase>>, Error> {
        if let Some(base) = self.state().kept.get(digest) {
            return Ok(Some(base.clone()));
        }
        let Some(packed) = self.store.blob(digest)? else {
            return Ok(None);
        };
        let base = Arc::new(SnapshotBase::of(*digest, &packed)?);
        self.state().keep(base.clone());
        Ok(Some(base))
    }

    pub(super) fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock()
    }

    /// Forgets which bases programs have, after some of them may have been removed.
    pub(crate) fn forget(&self) {
        let mut state = self.state();
        state.programs.clear();
        state.kept.clear();
        state.bytes = 0;
    }
}

impl State {
    fn keep(&mut self, base: Arc<SnapshotBase>) {
        self.bytes += base.size();
        if let Some(old) = self.kept.put(base.digest, base) {
            self.bytes -= old.size();
        }
        while self.bytes > self.most
            && self.kept.len() > NonZeroUsize::MIN.get()
            && let Some((_, old)) = self.kept.pop_lru()
        {
            self.bytes -= old.size();
        }
    }

    pub(super) fn used(&mut self, program: Digest, digest: Digest) {
        let known = self.programs.entry(program).or_default();
        match known.iter().position(|known| *known == digest) {
            Some(index) => known[..=index].rotate_right(1),
            None => known.insert(0, digest),
        }
        known.truncate(MOST_BASES_PER_PROGRAM);
    }
}

/// Makes an error of one that occurred while pages were read or written. It may have come from the
/// store.
pub(crate) fn unread(error: std::io::Error) -> Error {
    let error = match error.downcast::<Error>() {
        Ok(error) => return error,
        Err(error) => error,
    };
    if error.kind() == std::io::ErrorKind::OutOfMemory {
        return Error::new(ErrorKind::Internal, error);
    }
    crate::Error::Damaged(format!(
        "the pages of a stored snapshot cannot be read: {error}"
    ))
    .into()
}

/// Whether a difference is small compared with the whole snapshot.
fn is_good(difference: usize, alone: usize) -> bool {
    difference <= 256 + alone / 3
}
