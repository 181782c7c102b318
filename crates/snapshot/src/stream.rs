//! Snapshots of large guests to a file and from one, without a copy of the guest's memory: pages go
//! from the guest's memory through the compression into the file, and back the same way.
//!
//! The header says how long sections are and what their digest is, which is known only at the end.
//! So it is written last, into the place that was left for it. A reader reads the whole file once
//! for the digest and keeps the small sections. Then it reads the pages a second time, and compares
//! them with what it read at first.

use std::fs::File;
use std::io::{self, BufReader, BufWriter, Read, Seek, SeekFrom, Write};
use std::os::unix::fs::FileExt;
use std::path::Path;
use std::sync::Arc;

use super::container::{
    self, Content, HEADER_BYTES, MAX_SECTIONS, Part, ROW_BYTES, Row, START_BYTES, Section,
};
use super::data::SmallSections;
use super::pages::WritePages;
use super::{Error, Snapshot, file};
use crate::model::Limits;
use crate::model::error::Error as Public;

/// How many bytes are read or written at once.
const BUFFER_BYTES: usize = 256 << 10;

/// Writes a snapshot to `path` as [`write`](super::write) does, with the pages that `pages` gives.
/// `check` may refuse its size. Gives the size in bytes.
///
/// # Errors
/// If it cannot be written. A file that was there before is still there.
pub fn write_streamed(
    path: &Path,
    head: &Snapshot,
    pages: &mut WritePages<'_>,
    check: impl FnOnce(u64) -> Result<(), Public>,
) -> Result<u64, Public> {
    let mut size = 0;
    file::replace(path, |into| {
        size = write(path, into, head, pages)?;
        check(size)
    })?;
    Ok(size)
}

fn write(
    path: &Path,
    into: &mut File,
    head: &Snapshot,
    pages: &mut WritePages<'_>,
) -> Result<u64, Public> {
    let failed = |source: io::Error| Error::Write {
        path: path.to_path_buf(),
        source,
    };
    let limits = Limits::default();
    let small = SmallSections::of(head)?;
    let small = small.contents()?;
    let module = head.module_content();
    let length = head.stored_bytes() as u64;
    let all = small.iter().chain(&module);
    for (section, content) in all.clone() {
        section.check(content.length, &limits)?;
    }
    Section::Pages.check(length, &limits)?;
    let part = |(section, content): &(Section, Content<'_>)| Part {
        section: *section,
        compressed: content.compressed,
        stored: content.bytes.len() as u64,
        length: content.length,
    };
    let mut parts: Vec<Part> = small.iter().map(part).collect();
    let index = parts.len();
    parts.push(Part {
        section: Section::Pages,
        compressed: true,
        stored: 0,
        length,
    });
    parts.extend(module.iter().map(part));

    let written = (|| {
        let mut out = BufWriter::with_capacity(BUFFER_BYTES, &mut *into);
        out.write_all(&container::header(&parts))?;
        for (_, content) in &small {
            out.write_all(&content.bytes)?;
        }
        let start = out.stream_position()?;
        let mut packer = zstd::Encoder::new(&mut out, zstd::DEFAULT_COMPRESSION_LEVEL)?;
        packer.set_pledged_src_size(Some(length))?;
        pages(&mut packer)?;
        packer.finish()?;
        let mut end = out.stream_position()?;
        parts[index].stored = end - start;
        if end - start >= length {
            // As with any section, compression that gains nothing is left out.
            out.seek(SeekFrom::Start(start))?;
            out.flush()?;
            out.get_ref().set_len(start)?;
            pages(&mut out)?;
            end = out.stream_position()?;
            (parts[index].stored, parts[index].compressed) = (length, false);
        }
        if let Some((_, content)) = &module {
            out.write_all(&content.bytes)?;
            end += content.bytes.len() as u64;
        }
        out.seek(SeekFrom::Start(0))?;
        out.write_all(&container::header(&parts))?;
        out.flush()?;
        drop(out);
        let mut hasher = blake3::Hasher::new();
        let mut reader = At::new(Arc::new(into.try_clone()?), 0);
        copy(&mut (&mut reader).take(START_BYTES as u64), &mut hasher)?;
        reader.at = HEADER_BYTES as u64;
        copy(&mut reader, &mut hasher)?;
        into.write_all_at(hasher.finalize().as_bytes(), START_BYTES as u64)?;
        Ok(end)
    })();
    Ok(written.map_err(failed)?)
}

/// The same as [`io::copy`], with a larger buffer.
fn copy(from: &mut dyn Read, into: &mut dyn Write) -> io::Result<u64> {
    let mut buffer = vec![0; BUFFER_BYTES];
    let mut copied = 0;
    loop {
        match from.read(&mut buffer) {
            Ok(0) => return Ok(copied),
            Ok(read) => {
                into.write_all(&buffer[..read])?;
                copied += read as u64;
            }
            Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
            Err(error) => return Err(error),
        }
    }
}

/// Reads a file from a place on, without moving anybody else's place in it.
struct At {
    file: Arc<File>,
    at: u64,
}

impl At {
    fn new(file: Arc<File>, at: u64) -> Self {
        Self { file, at }
    }
}

impl Read for At {
    fn read(&mut self, into: &mut [u8]) -> io::Result<usize> {
        let read = self.file.read_at(into, self.at)?;
        self.at += read as u64;
        Ok(read)
    }
}

/// A snapshot file that has been checked, with its pages still in it.
pub struct InFile {
    /// All but the pages.
    pub head: Snapshot,
    file: Arc<File>,
    pages: Row,
    /// Of the pages as they are in the file.
    digest: blake3::Hash,
}

impl InFile {
    /// Checks a snapshot file and reads all but its pages; `None` where it is no file that can be
    /// read twice, or is in an envelope.
    ///
    /// # Errors
    /// As [`Snapshot::decode`].
    pub fn open(path: &Path, limits: &Limits) -> Result<Option<Self>, Public> {
        let failed = |source: io::Error| Error::Read {
            path: path.to_path_buf(),
            source,
        };
        // Whoever writes into a pipe must not see it closed.
        if !std::fs::metadata(path).map_err(failed)?.is_file() {
            return Ok(None);
        }
        let file = Arc::new(File::open(path).map_err(failed)?);
        let mut reader = At::new(file.clone(), 0);
        let mut start = Vec::with_capacity(HEADER_BYTES);
        (&mut reader)
            .take(HEADER_BYTES as u64)
            .read_to_end(&mut start)
            .map_err(failed)?;
        if !container::is_plain(&start) {
            return Ok(None);
        }
        let total = container::stated_length(&start, limits)?;
        let found = file.metadata().map_err(failed)?.len();
        if found < total {
            let expected = total;
            return Err(Error::Truncated { expected, found }.into());
        }
        if found > total {
            return Err(Error::Trailing(found - total).into());
        }
        if start.len() < HEADER_BYTES {
            return Err(container::short(found).into());
        }
        let (digest, scanned) = Scan::run(&mut reader, &start, total, limits).map_err(failed)?;
        if digest.as_bytes() != &start[START_BYTES..HEADER_BYTES] {
            return Err(Error::Damaged.into());
        }
        let scanned = scanned?;
        let missing = || Error::Malformed("it has no Pages section".into());
        let (pages, digest) = scanned.pages.ok_or_else(missing)?;
        Ok(Some(Self {
            head: Snapshot::from_sections(scanned.sections, pages.length)?,
            file,
            pages,
            digest,
        }))
    }

    /// Its pages, in order. An error at the end says that they are not those that were checked.
    ///
    /// # Errors
    /// If there is no memory.
    pub fn pages(&self) -> io::Result<impl Read + use<>> {
        let bytes = Checked {
            inner: At::new(self.file.clone(), self.pages.offset).take(self.pages.stored),
            hasher: blake3::Hasher::new(),
            digest: self.digest,
        };
        let bytes = BufReader::with_capacity(BUFFER_BYTES, bytes);
        Ok(match self.pages.compressed {
            true => Pages::Packed(zstd::Decoder::with_buffer(bytes)?),
            false => Pages::Plain(bytes),
        })
    }
}

enum Pages<R: Read> {
    Plain(BufReader<R>),
    Packed(zstd::Decoder<'static, BufReader<R>>),
}

impl<R: Read> Read for Pages<R> {
    fn read(&mut self, into: &mut [u8]) -> io::Result<usize> {
        match self {
            Self::Plain(bytes) => bytes.read(into),
            Self::Packed(bytes) => bytes.read(into),
        }
    }
}

/// Bytes that have to be those of a digest; that they are not is an error at their end.
struct Checked {
    inner: io::Take<At>,
    hasher: blake3::Hasher,
    digest: blake3::Hash,
}

impl Read for Checked {
    fn read(&mut self, into: &mut [u8]) -> io::Result<usize> {
        let read = self.inner.read(into)?;
        self.hasher.update(&into[..read]);
        if read == 0 && !into.is_empty() && self.hasher.finalize() != self.digest {
            return Err(io::Error::other("the file was changed while it was read"));
        }
        Ok(read)
    }
}

/// What a look at the whole file finds.
struct Scan {
    sections: Vec<(Section, Content<'static>)>,
    pages: Option<(Row, blake3::Hash)>,
}

impl Scan {
    /// Reads the rest of a file of `total` bytes; `start` is its header, which has been read. Gives
    /// the digest of the file without the digest in its header, and the sections or why they cannot
    /// be told. Where the two digests differ, the sections or the error mean nothing.
    fn run(
        reader: &mut At,
        start: &[u8],
        total: u64,
        limits: &Limits,
    ) -> io::Result<(blake3::Hash, Result<Self, Error>)> {
        let mut hasher = blake3::Hasher::new();
        hasher.update(&start[..START_BYTES]);
        let count = start[12..16].try_into().map_or(0, u32::from_le_bytes);
        let mut table = Vec::new();
        let most = (count as usize).min(MAX_SECTIONS + 1) * ROW_BYTES;
        reader.take(most as u64).read_to_end(&mut table)?;
        hasher.update(&table);
        let mut found = Self {
            sections: Vec::new(),
            pages: None,
        };
        let rows = match container::rows(count, &table, total, limits) {
            Ok(rows) => rows,
            Err(error) => {
                copy(reader, &mut hasher)?;
                return Ok((hasher.finalize(), Err(error)));
            }
        };
        for row in rows {
            let mut part = reader.take(row.stored);
            if row.section == Section::Pages {
                let mut own = blake3::Hasher::new();
                copy(&mut part, &mut Both(&mut own, &mut hasher))?;
                found.pages = Some((row, own.finalize()));
                continue;
            }
            let mut bytes = Vec::new();
            part.read_to_end(&mut bytes)?;
            hasher.update(&bytes);
            let content = Content {
                compressed: row.compressed,
                bytes: bytes.into(),
                length: row.length,
            };
            found.sections.push((row.section, content));
        }
        Ok((hasher.finalize(), Ok(found)))
    }
}

struct Both<'a>(&'a mut blake3::Hasher, &'a mut blake3::Hasher);

impl Write for Both<'_> {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.0.update(bytes);
        self.1.update(bytes);
        Ok(bytes.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}
