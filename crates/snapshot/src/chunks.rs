//! A large snapshot as a store keeps it: its pages in chunks, each compressed by itself or against
//! the same chunk of another snapshot of the same program, its *base*. However large the guest is,
//! only some chunks are in memory at a time.
//!
//! A chunk has the stored pages that lie in one span of a memory. A chunk that is the same in the
//! base is not stored at all, so that a guest that has changed little is serialized as fast as it
//! can be read.
//!
//! ```text
//!   packed   one byte, 2, then a zstd frame of the index: pack, the flat form without pages, and
//!            one entry for each chunk
//!   chunk    a zstd frame of the pages; with `Delta` the base's chunk is its prefix
//! ```

use std::collections::HashMap;
use std::io::{self, Read, Write};
use std::sync::Arc;

use serde::{Deserialize, Serialize};
use zstd::zstd_safe::{CCtx, CParameter, DCtx, DParameter};

use super::data::{from_bytes, to_bytes};
use super::pages::PAGE;
pub use super::pages::WritePages;
use super::{Error, MemoryV1, Snapshot};
use crate::model::Digest;
use crate::model::error::Error as Public;

/// The first byte of a packed snapshot in chunks.
const FORM: u8 = 2;

/// Bytes of a memory that one chunk is for.
pub const SPAN: usize = 1 << 20;

/// Pages of a span.
const PAGES_PER_SPAN: u32 = (SPAN / PAGE) as u32;

/// How many chunks are compared with a base to see whether it fits.
const SAMPLED_CHUNKS: usize = 8;

/// Where a chunk lies: the index of the memory, and the index of the span in it.
pub type ChunkPosition = (u32, u32);

/// How a chunk is stored.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum How {
    /// It is the base's.
    Same,
    /// Compressed against the base's chunk.
    Delta,
    /// Compressed by itself.
    Alone,
}

/// A chunk in the index.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Chunk {
    /// Where it lies.
    pub position: ChunkPosition,
    /// Bytes of its pages.
    pub length: u32,
    /// Digest of its pages.
    pub digest: Digest,
    /// How it is stored.
    pub how: How,
}

/// What is stored of a large snapshot beside its chunks.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct Index {
    /// Under which number its chunks are stored.
    pub pack: u64,
    /// The flat form, without the bytes of pages.
    #[serde(with = "serde_bytes")]
    pub flat: Vec<u8>,
    /// The chunks, in the order of the pages.
    pub chunks: Vec<Chunk>,
}

impl Index {
    /// Whether bytes are an index.
    pub fn is(packed: &[u8]) -> bool {
        packed.first() == Some(&FORM)
    }

    /// The index as bytes.
    ///
    /// # Errors
    /// If zstd fails, which means that memory is short.
    pub fn pack(&self) -> Result<Vec<u8>, Public> {
        let bytes = to_bytes(self)?;
        let frame = zstd::bulk::compress(&bytes, zstd::DEFAULT_COMPRESSION_LEVEL);
        let mut packed = frame.map_err(|e| Error::Malformed(e.to_string()))?;
        packed.insert(0, FORM);
        Ok(packed)
    }

    /// Reads an index of at most `limit` bytes.
    ///
    /// # Errors
    /// Says what is wrong with the bytes.
    pub fn unpack(packed: &[u8], limit: u64) -> Result<Self, Public> {
        let damaged = |text: String| Error::Malformed(format!("a stored snapshot's index {text}"));
        let frame = packed.strip_prefix(&[FORM]);
        let frame = frame.ok_or_else(|| damaged("has an unknown form".into()))?;
        let size = zstd::zstd_safe::get_frame_content_size(frame)
            .ok()
            .flatten();
        // Checked before memory is asked for.
        let size = size.filter(|size| *size <= limit);
        let size = size.and_then(|size| usize::try_from(size).ok());
        let size = size.ok_or_else(|| damaged("is too large".into()))?;
        let bytes = zstd::bulk::decompress(frame, size);
        let bytes = bytes.map_err(|e| damaged(format!("is damaged: {e}")))?;
        Ok(from_bytes(&bytes)?)
    }
}

/// The chunks of these memories by memory and address, each with the size in bytes of its stored
/// (non-zero) pages.
pub fn layout(memories: &[MemoryV1]) -> Vec<(ChunkPosition, u32)> {
    let mut chunks: Vec<(ChunkPosition, u32)> = Vec::new();
    for (memory, saved) in (0..).zip(memories) {
        for run in saved.runs.iter().filter(|run| !run.zero) {
            let (mut first, end) = (run.first, run.first.saturating_add(run.count));
            while first < end {
                let span = first / PAGES_PER_SPAN;
                let until = end.min(span.saturating_add(1).saturating_mul(PAGES_PER_SPAN));
                let length = (until - first) * PAGE as u32;
                match chunks.last_mut() {
                    Some((position, have)) if *position == (memory, span) => *have += length,
                    _ => chunks.push(((memory, span), length)),
                }
                first = until;
            }
        }
    }
    chunks
}

/// A snapshot whose chunks are stored, as the base of others.
#[derive(Clone, Debug, Default)]
pub struct Known {
    /// Under which number its chunks are stored.
    pub pack: u64,
    /// By position: the chunk's index in the pack, and its digest.
    chunks: HashMap<ChunkPosition, (u32, Digest)>,
}

impl Known {
    /// What can be said of a base without reading its chunks. A base stands alone.
    ///
    /// # Errors
    /// If it does not.
    pub fn of(index: &Index) -> Result<Self, Public> {
        if index.chunks.iter().any(|chunk| chunk.how != How::Alone) {
            let text = "a base of stored snapshots does not stand alone";
            return Err(Error::Malformed(text.into()).into());
        }
        let chunks = (0..).zip(&index.chunks);
        let chunks = chunks.map(|(number, chunk)| (chunk.position, (number, chunk.digest)));
        Ok(Self {
            pack: index.pack,
            chunks: chunks.collect(),
        })
    }

    /// About how many bytes it takes in memory.
    pub fn size(&self) -> usize {
        self.chunks.len() * 64
    }

    /// How many of these chunks are the same here.
    pub fn same(&self, chunks: &[(ChunkPosition, Digest)]) -> usize {
        let same = |(position, digest): &&(ChunkPosition, Digest)| {
            let known = self.chunks.get(position);
            known.is_some_and(|(_, known)| known == digest)
        };
        chunks.iter().filter(same).count()
    }
}

/// How much smaller a snapshot is as a difference from a base than by itself, from 0 for nothing
/// left to about 1. A few of its chunks are tried.
///
/// # Errors
/// If they cannot be read.
pub fn estimate(
    head: &Snapshot,
    digests: &[(ChunkPosition, Digest)],
    pages: &mut WritePages<'_>,
    known: &Known,
    read: &ReadChunk,
) -> io::Result<f64> {
    let differ: Vec<ChunkPosition> = digests
        .iter()
        .filter(|(position, digest)| {
            known
                .chunks
                .get(position)
                .is_none_or(|(_, one)| one != digest)
        })
        .map(|(position, _)| *position)
        .collect();
    if differ.is_empty() {
        return Ok(0.0);
    }
    let step = differ.len().div_ceil(SAMPLED_CHUNKS);
    let tried: Vec<ChunkPosition> = differ.iter().step_by(step).copied().collect();
    let alone = Packer::new(None);
    let against = Packer::new(Some((known, read.clone())));
    let (mut whole, mut difference) = (0, 0);
    let mut cutter = Cutter::new(&head.instance.memories, |position, bytes: &[u8]| {
        if tried.binary_search(&position).is_ok() {
            let digest = Digest::of(bytes);
            whole += alone.pack(position, &digest, bytes)?.1.len();
            difference += against.pack(position, &digest, bytes)?.1.len();
        }
        Ok(())
    });
    pages(&mut cutter)?;
    let ratio = difference as f64 / whole.max(1) as f64;
    Ok(ratio * differ.len() as f64 / digests.len().max(1) as f64)
}

/// Reads a stored chunk by pack and number.
pub type ReadChunk = Arc<dyn Fn(u64, u32) -> io::Result<Vec<u8>> + Send + Sync>;

/// Takes pages in, and gives each chunk whole.
struct Cutter<F> {
    layout: std::vec::IntoIter<(ChunkPosition, u32)>,
    buffer: Vec<u8>,
    wanted: Option<(ChunkPosition, u32)>,
    chunk: F,
}

impl<F: FnMut(ChunkPosition, &[u8]) -> io::Result<()>> Cutter<F> {
    fn new(memories: &[MemoryV1], chunk: F) -> Self {
        let mut layout = layout(memories).into_iter();
        let wanted = layout.next();
        Self {
            layout,
            buffer: Vec::new(),
            wanted,
            chunk,
        }
    }
}

impl<F: FnMut(ChunkPosition, &[u8]) -> io::Result<()>> Write for Cutter<F> {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        let Some((position, length)) = self.wanted else {
            return Err(io::Error::other("there are more pages than were named"));
        };
        let length = length as usize;
        // A whole one is taken from where it lies.
        if self.buffer.is_empty() && bytes.len() >= length {
            (self.chunk)(position, &bytes[..length])?;
            self.wanted = self.layout.next();
            return Ok(length);
        }
        let taken = bytes.len().min(length - self.buffer.len());
        self.buffer.extend_from_slice(&bytes[..taken]);
        if self.buffer.len() == length {
            (self.chunk)(position, &self.buffer)?;
            self.buffer.clear();
            self.wanted = self.layout.next();
        }
        Ok(taken)
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

/// The digests of a snapshot's chunks.
///
/// # Errors
/// If the pages cannot be read.
pub fn digests(
    head: &Snapshot,
    pages: &mut WritePages<'_>,
) -> io::Result<Vec<(ChunkPosition, Digest)>> {
    let mut found = Vec::new();
    let mut cutter = Cutter::new(&head.instance.memories, |position, bytes: &[u8]| {
        found.push((position, Digest::of(bytes)));
        Ok(())
    });
    pages(&mut cutter)?;
    Ok(found)
}

/// Compresses chunks.
pub struct Packer<'a> {
    base: Option<(&'a Known, ReadChunk)>,
}

impl<'a> Packer<'a> {
    /// Against this base, whose chunks are read so.
    pub fn new(base: Option<(&'a Known, ReadChunk)>) -> Self {
        Self { base }
    }

    /// A chunk as it is to be stored: the way, and the bytes if there are any.
    ///
    /// # Errors
    /// If the base cannot be read.
    pub fn pack(
        &self,
        position: ChunkPosition,
        digest: &Digest,
        bytes: &[u8],
    ) -> io::Result<(How, Vec<u8>)> {
        let old = match &self.base {
            Some((known, read)) => match known.chunks.get(&position) {
                Some((_, same)) if same == digest => return Ok((How::Same, Vec::new())),
                Some((number, _)) => {
                    let stored = read(known.pack, *number)?;
                    Some(unpack(&stored, None, SPAN)?)
                }
                None => None,
            },
            None => None,
        };
        // One context a chunk: a prefix is lent to it for as long as it lives.
        let mut context = CCtx::create();
        let parameters = [
            CParameter::CompressionLevel(zstd::DEFAULT_COMPRESSION_LEVEL),
            // A chunk and its prefix.
            CParameter::WindowLog((2 * SPAN).ilog2()),
            // Its default tables do not reach back so far.
            CParameter::EnableLongDistanceMatching(old.is_some()),
        ];
        for parameter in parameters {
            context.set_parameter(parameter).map_err(short)?;
        }
        let mut packed = Vec::with_capacity(zstd::zstd_safe::compress_bound(bytes.len()));
        if let Some(old) = &old {
            context.ref_prefix(old).map_err(short)?;
        }
        context.compress2(&mut packed, bytes).map_err(short)?;
        packed.shrink_to_fit();
        let how = if old.is_some() {
            How::Delta
        } else {
            How::Alone
        };
        drop(context);
        Ok((how, packed))
    }
}

/// Compressing fails only where memory is short.
fn short(_: usize) -> io::Error {
    io::ErrorKind::OutOfMemory.into()
}

fn failed(code: usize) -> io::Error {
    io::Error::other(zstd::zstd_safe::get_error_name(code))
}

/// Undoes [`Packer::pack`] into at most this many bytes.
fn unpack(packed: &[u8], old: Option<&[u8]>, most: usize) -> io::Result<Vec<u8>> {
    let mut bytes = Vec::with_capacity(most);
    let mut context = DCtx::create();
    let parameter = DParameter::WindowLogMax((2 * SPAN).ilog2());
    context.set_parameter(parameter).map_err(failed)?;
    if let Some(old) = old {
        context.ref_prefix(old).map_err(failed)?;
    }
    context.decompress(&mut bytes, packed).map_err(failed)?;
    Ok(bytes)
}

/// Writes a snapshot's pages as chunks, whose digests these are; `store` gets the number and the
/// bytes of each. Gives the index's entries.
///
/// # Errors
/// If they cannot be read or stored.
pub fn write(
    head: &Snapshot,
    digests: &[(ChunkPosition, Digest)],
    pages: &mut WritePages<'_>,
    base: Option<(&Known, ReadChunk)>,
    mut store: impl FnMut(u32, Vec<u8>) -> io::Result<()>,
) -> io::Result<Vec<Chunk>> {
    let packer = Packer::new(base);
    let mut chunks: Vec<Chunk> = Vec::new();
    let mut cutter = Cutter::new(&head.instance.memories, |position, bytes: &[u8]| {
        let known = digests
            .get(chunks.len())
            .filter(|(one, _)| *one == position);
        let digest = known.map_or_else(|| Digest::of(bytes), |(_, digest)| *digest);
        let (how, packed) = packer.pack(position, &digest, bytes)?;
        let number = u32::try_from(chunks.len()).map_err(io::Error::other)?;
        chunks.push(Chunk {
            position,
            length: u32::try_from(bytes.len()).map_err(io::Error::other)?,
            digest,
            how,
        });
        match how {
            How::Same => Ok(()),
            How::Delta | How::Alone => store(number, packed),
        }
    });
    pages(&mut cutter)?;
    Ok(chunks)
}

/// The pages of a snapshot out of its chunks, one chunk at a time.
pub struct Pages {
    pack: u64,
    chunks: std::iter::Enumerate<std::vec::IntoIter<Chunk>>,
    base: Option<Arc<Known>>,
    read: ReadChunk,
    bytes: Vec<u8>,
    at: usize,
}

impl Pages {
    /// Those of an index, whose base is this.
    pub fn new(index: &Index, base: Option<Arc<Known>>, read: ReadChunk) -> Self {
        Self {
            pack: index.pack,
            chunks: index.chunks.clone().into_iter().enumerate(),
            base,
            read,
            bytes: Vec::new(),
            at: 0,
        }
    }

    fn chunk(&self, number: u32, chunk: &Chunk) -> io::Result<Vec<u8>> {
        let length = chunk.length as usize;
        if length > SPAN {
            return Err(io::Error::other("a chunk is larger than it can be"));
        }
        let known = || {
            let base = self.base.as_ref();
            let found =
                base.and_then(|base| Some((base.pack, base.chunks.get(&chunk.position)?.0)));
            found.ok_or_else(|| io::Error::other("a chunk of its base is missing"))
        };
        let old = match chunk.how {
            How::Alone => None,
            How::Same | How::Delta => {
                let (pack, number) = known()?;
                let stored = (self.read)(pack, number)?;
                Some(unpack(&stored, None, SPAN)?)
            }
        };
        let bytes = match (chunk.how, old) {
            (How::Same, Some(old)) => old,
            (_, old) => {
                let stored = (self.read)(self.pack, number)?;
                unpack(&stored, old.as_deref(), length)?
            }
        };
        match bytes.len() == length && Digest::of(&bytes) == chunk.digest {
            true => Ok(bytes),
            false => Err(io::Error::other(
                "a chunk is damaged, or its base is another one",
            )),
        }
    }
}

impl Read for Pages {
    fn read(&mut self, into: &mut [u8]) -> io::Result<usize> {
        while self.at == self.bytes.len() {
            let Some((number, chunk)) = self.chunks.next() else {
                return Ok(0);
            };
            let number = u32::try_from(number).map_err(io::Error::other)?;
            self.bytes = self.chunk(number, &chunk)?;
            self.at = 0;
        }
        let read = into.len().min(self.bytes.len() - self.at);
        into[..read].copy_from_slice(&self.bytes[self.at..self.at + read]);
        self.at += read;
        Ok(read)
    }
}
