//! Which stored snapshot another one is compressed against.
//!
//! Sleeping copies of one program are alike, so each is stored as its difference from a *base*: the
//! snapshot of another copy, which is a blob of the store's. A program has few bases: one more for each
//! place where it sleeps with a memory of another look.

use std::collections::HashMap;
use std::num::NonZeroUsize;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use lru::LruCache;

use super::journal::Journal;
use crate::error::Error;
use crate::model::{Digest, Limit, Limits};
use crate::store::{Change, Frozen, Store};
use crate::task::{pack, unpack};

/// Bytes of bases that are kept in memory.
const KEPT: usize = 96 << 20;

/// A program has at most so many bases, and this many are tried for one snapshot.
const MOST: usize = 16;
const TRIES: usize = 3;

/// A snapshot's flat form, with its digest.
struct Base {
    digest: Digest,
    flat: Vec<u8>,
    /// How long it is when compressed by itself.
    alone: usize,
}

/// The bases of all programs.
pub(super) struct Bases {
    state: Mutex<State>,
    store: Arc<dyn Store>,
    journal: Journal,
}

struct State {
    kept: LruCache<Digest, Arc<Base>>,
    bytes: usize,
    /// By program, the one used last first.
    programs: HashMap<Digest, Vec<Digest>>,
}

impl Bases {
    pub(super) fn new(store: Arc<dyn Store>, journal: Journal) -> Self {
        Self {
            state: Mutex::new(State {
                kept: LruCache::unbounded(),
                bytes: 0,
                programs: HashMap::new(),
            }),
            store,
            journal,
        }
    }

    /// Compresses the snapshot of a program's task. `previous` is the base that the task had before.
    pub(super) fn pack(
        &self,
        program: Digest,
        flat: &[u8],
        previous: Option<Digest>,
    ) -> Result<Frozen, Error> {
        let mut candidates: Vec<Digest> = previous.into_iter().collect();
        let (known, room) = {
            let state = self.state();
            let known = state.programs.get(&program);
            let room = known.is_none_or(|known| known.len() < MOST);
            (known.cloned().unwrap_or_default(), room)
        };
        candidates.extend(known.iter().filter(|digest| Some(**digest) != previous));
        candidates.truncate(TRIES);
        let mut best: Option<(Frozen, usize)> = None;
        for digest in candidates {
            let Some(base) = self.base(&digest)? else {
                continue;
            };
            let bytes = pack(flat, &base.flat)?;
            let good = is_good(bytes.len(), base.alone);
            if best
                .as_ref()
                .is_none_or(|(best, _)| bytes.len() < best.bytes.len())
            {
                let frozen = Frozen {
                    base: Some(digest),
                    bytes,
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

    /// Undoes [`pack`](Self::pack).
    pub(super) fn unpack(&self, frozen: &Frozen) -> Result<Vec<u8>, Error> {
        let limit = Limits::default().value(Limit::Snapshot);
        let Some(digest) = frozen.base else {
            return unpack(&frozen.bytes, &[], limit);
        };
        let missing = || super::Error::Damaged(format!("blob {} is missing", digest.short()));
        let base = self.base(&digest)?.ok_or_else(missing)?;
        unpack(&frozen.bytes, &base.flat, limit)
    }

    /// Makes a snapshot a base.
    fn found(&self, program: Digest, flat: &[u8]) -> Result<Frozen, Error> {
        let digest = Digest::of(flat);
        let packed = pack(flat, &[])?;
        let base = Arc::new(Base {
            digest,
            flat: flat.to_vec(),
            alone: packed.len(),
        });
        let bytes = pack(flat, &base.flat)?;
        // The journal keeps the order, so the blob is there before anything refers to it.
        self.journal.keep(
            vec![Change::Blob {
                digest,
                bytes: packed,
            }],
            drop,
            |_| {},
        );
        let mut state = self.state();
        state.keep(base);
        state.used(program, digest);
        Ok(Frozen {
            base: Some(digest),
            bytes,
        })
    }

    fn base(&self, digest: &Digest) -> Result<Option<Arc<Base>>, Error> {
        if let Some(base) = self.state().kept.get(digest) {
            return Ok(Some(base.clone()));
        }
        let Some(packed) = self.store.blob(digest)? else {
            return Ok(None);
        };
        let base = Arc::new(Base {
            digest: *digest,
            flat: unpack(&packed, &[], Limits::default().value(Limit::Snapshot))?,
            alone: packed.len(),
        });
        self.state().keep(base.clone());
        Ok(Some(base))
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Forgets which bases programs have, after some of them may have been removed.
    pub(super) fn forget(&self) {
        let mut state = self.state();
        state.programs.clear();
        state.kept.clear();
        state.bytes = 0;
    }
}

impl State {
    fn keep(&mut self, base: Arc<Base>) {
        self.bytes += base.flat.len();
        if let Some(old) = self.kept.put(base.digest, base) {
            self.bytes -= old.flat.len();
        }
        while self.bytes > KEPT
            && self.kept.len() > NonZeroUsize::MIN.get()
            && let Some((_, old)) = self.kept.pop_lru()
        {
            self.bytes -= old.flat.len();
        }
    }

    fn used(&mut self, program: Digest, digest: Digest) {
        let known = self.programs.entry(program).or_default();
        match known.iter().position(|known| *known == digest) {
            Some(place) => known[..=place].rotate_right(1),
            None => known.insert(0, digest),
        }
        known.truncate(MOST);
    }
}

/// Whether a difference is small against the whole.
fn is_good(difference: usize, alone: usize) -> bool {
    difference <= 256 + alone / 3
}
