//! The file format: fixed bytes first, then sections.
//!
//! ```text
//! offset  size  content (all numbers little-endian)
//!      0     8  "dormouse"
//!      8     4  format version
//!     12     4  number of sections, n
//!     16     8  length of the whole file in bytes
//!     24    32  BLAKE3 digest of bytes 0..24 and of everything from 56 on
//!     56  32*n  section table
//!           ..  the sections, in the table's order, without gaps
//!
//! a row of the table
//!      0     4  section number
//!      4     4  0: stored as it is, 1: zstd
//!      8     8  offset in the file
//!     16     8  length in the file
//!     24     8  length of the content
//! ```
//!
//! Nothing is decoded before the version, the lengths and the digest have been checked.

use std::borrow::Cow;

use super::Error;
use crate::model::{Digest, Limit, Limits};

/// The format version that this build writes and reads.
pub const VERSION: u32 = 1;

/// How many bytes of a file tell what it is and how long.
pub(super) const START_BYTES: usize = 24;

const MAGIC: &[u8; 8] = b"dormouse";
/// Bytes before the section table.
pub(super) const HEADER_BYTES: usize = 56;
/// Bytes of a row of the section table.
pub(super) const ROW_BYTES: usize = 32;
/// How a section is written.
const STORED: u32 = 0;
const ZSTD: u32 = 1;

/// The sections of format version 1.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Section {
    Meta = 1,
    Module = 2,
    Instance = 3,
    Wasi = 4,
    Pages = 5,
    Stack = 6,
}

impl Section {
    const ALL: [Self; 6] = [
        Self::Meta,
        Self::Module,
        Self::Instance,
        Self::Wasi,
        Self::Pages,
        Self::Stack,
    ];

    /// How many bytes its content may have: no guest needs more, and zeros in an untrusted file are small
    /// when they are compressed.
    fn most(self, limits: &Limits) -> u64 {
        let most = match self {
            Self::Meta => 1 << 20,
            Self::Stack => 64 << 20,
            Self::Instance => 256 << 20,
            Self::Module | Self::Wasi => 1 << 30,
            // As many as its memories have: `data.rs` compares.
            Self::Pages => u64::MAX,
        };
        most.min(limits.value(Limit::Snapshot))
    }

    /// Whether so much content is taken.
    pub(super) fn check(self, size: u64, limits: &Limits) -> Result<(), Error> {
        let limit = self.most(limits);
        match size > limit {
            true => Err(Error::TooLarge {
                what: self.name(),
                size,
                limit,
            }),
            false => Ok(()),
        }
    }

    fn name(self) -> &'static str {
        match self {
            Self::Meta => "meta section",
            Self::Module => "module",
            Self::Instance => "instance section",
            Self::Wasi => "WASI section",
            Self::Pages => "memory",
            Self::Stack => "stack",
        }
    }
}

/// The content of a section, compressed or not.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Content<'a> {
    pub(super) compressed: bool,
    pub(super) bytes: Cow<'a, [u8]>,
    pub(super) length: u64,
}

impl<'a> Content<'a> {
    /// Compresses, unless that gains nothing.
    pub(super) fn pack(bytes: &'a [u8]) -> Result<Self, Error> {
        let compressed = zstd::bulk::compress(bytes, zstd::DEFAULT_COMPRESSION_LEVEL)
            .map_err(|e| Error::Malformed(e.to_string()))?;
        let gains = compressed.len() < bytes.len();
        Ok(Self {
            compressed: gains,
            length: bytes.len() as u64,
            bytes: match gains {
                true => Cow::Owned(compressed),
                false => Cow::Borrowed(bytes),
            },
        })
    }

    /// Bytes that have been compressed already.
    pub(super) fn packed(bytes: &'a [u8], length: u64) -> Self {
        Self {
            compressed: true,
            length,
            bytes: Cow::Borrowed(bytes),
        }
    }

    /// The bytes as they are in the file, whether they are compressed, and their length when not.
    pub(super) fn stored(&self) -> (&[u8], bool, u64) {
        (&self.bytes, self.compressed, self.length)
    }

    /// The content itself.
    pub(super) fn unpack(self) -> Result<Vec<u8>, Error> {
        if !self.compressed {
            return Ok(self.bytes.into_owned());
        }
        // Checked before memory is asked for: a frame says how long its content is.
        if content_size(&self.bytes) != Some(self.length) {
            return Err(Error::Malformed(
                "a section has another length than stated".into(),
            ));
        }
        let length = usize::try_from(self.length)
            .map_err(|_| Error::Malformed("a section is larger than the address space".into()))?;
        let content = zstd::bulk::decompress(&self.bytes, length)
            .map_err(|e| Error::Malformed(format!("a section cannot be decompressed: {e}")))?;
        match content.len() == length {
            true => Ok(content),
            false => Err(Error::Malformed(
                "a section has another length than stated".into(),
            )),
        }
    }
}

/// Puts sections together to a file.
///
/// # Errors
/// If a section is larger than a reader would take.
pub(super) fn join(sections: &[(Section, Content<'_>)]) -> Result<Vec<u8>, Error> {
    for (section, content) in sections {
        section.check(content.length, &Limits::default())?;
    }
    let parts = sections.iter().map(|(section, content)| Part {
        section: *section,
        compressed: content.compressed,
        stored: content.bytes.len() as u64,
        length: content.length,
    });
    let mut file = header(&parts.collect::<Vec<_>>());
    for (_, content) in sections {
        file.extend_from_slice(&content.bytes);
    }
    let digest = digest(&file);
    file[24..HEADER_BYTES].copy_from_slice(digest.as_bytes());
    Ok(file)
}

/// What the table says of a section that is going to be written.
#[derive(Clone, Copy)]
pub(super) struct Part {
    pub(super) section: Section,
    pub(super) compressed: bool,
    pub(super) stored: u64,
    pub(super) length: u64,
}

/// The fixed bytes and the section table; the digest is still zero.
pub(super) fn header(parts: &[Part]) -> Vec<u8> {
    let table = (HEADER_BYTES + ROW_BYTES * parts.len()) as u64;
    let total = table + parts.iter().map(|part| part.stored).sum::<u64>();
    let mut file = Vec::with_capacity(table as usize);
    file.extend_from_slice(MAGIC);
    file.extend_from_slice(&VERSION.to_le_bytes());
    file.extend_from_slice(&(parts.len() as u32).to_le_bytes());
    file.extend_from_slice(&total.to_le_bytes());
    file.extend_from_slice(&[0; 32]);
    let mut offset = table;
    for part in parts {
        let compression = if part.compressed { ZSTD } else { STORED };
        file.extend_from_slice(&(part.section as u32).to_le_bytes());
        file.extend_from_slice(&compression.to_le_bytes());
        file.extend_from_slice(&offset.to_le_bytes());
        file.extend_from_slice(&part.stored.to_le_bytes());
        file.extend_from_slice(&part.length.to_le_bytes());
        offset += part.stored;
    }
    file
}

/// Whether it starts like a snapshot that is in no envelope.
#[cfg(feature = "seal")]
pub(super) fn is_plain(start: &[u8]) -> bool {
    start.starts_with(MAGIC)
}

/// How long a file says that it is, from its first [`START_BYTES`] bytes.
pub(super) fn stated_length(start: &[u8], limits: &Limits) -> Result<u64, Error> {
    #[cfg(feature = "seal")]
    if start.starts_with(super::seal::MAGIC) {
        return Err(Error::Sealed);
    }
    if !start.starts_with(MAGIC) {
        let text = String::from_utf8_lossy(&start[..start.len().min(8)]).into_owned();
        return Err(Error::NotASnapshot(match start.len() {
            0 => "the file is empty".into(),
            _ => format!("it starts with {text:?} instead of \"dormouse\""),
        }));
    }
    let mut fields = Fields(&start[MAGIC.len()..]);
    let (Some(version), Some(_), Some(total)) = (fields.u32(), fields.u32(), fields.u64()) else {
        return Err(short(start.len() as u64));
    };
    match version {
        VERSION => {}
        0 => return Err(Error::VersionZero),
        found => {
            return Err(Error::Version {
                found,
                known: VERSION,
            });
        }
    }
    match total > limits.value(Limit::Snapshot) {
        true => Err(Error::TooLarge {
            what: "file",
            size: total,
            limit: limits.value(Limit::Snapshot),
        }),
        false => Ok(total),
    }
}

pub(super) fn short(found: u64) -> Error {
    Error::Truncated {
        expected: HEADER_BYTES as u64,
        found,
    }
}

/// Takes a file apart after checking it.
pub(super) fn split<'a>(
    file: &'a [u8],
    limits: &Limits,
) -> Result<Vec<(Section, Content<'a>)>, Error> {
    let found = file.len() as u64;
    let total = stated_length(file, limits)?;
    if found < total {
        return Err(Error::Truncated {
            expected: total,
            found,
        });
    }
    if found > total {
        return Err(Error::Trailing(found - total));
    }
    if file.len() < HEADER_BYTES {
        return Err(short(found));
    }
    // The digest covers it, and the start was there.
    let count = Fields(&file[12..]).u32().unwrap_or_default();
    if digest(file).as_bytes() != &file[24..HEADER_BYTES] {
        return Err(Error::Damaged);
    }

    let rows = rows(count, &file[HEADER_BYTES..], found, limits)?;
    rows.into_iter()
        .map(|row| {
            let content = Content {
                compressed: row.compressed,
                // Its place has been compared with the file's length.
                bytes: Cow::Borrowed(
                    &file[row.offset as usize..(row.offset + row.stored) as usize],
                ),
                length: row.length,
            };
            Ok((row.section, content))
        })
        .collect()
}

/// Where a section lies.
#[derive(Clone, Copy, Debug)]
pub(super) struct Row {
    pub(super) section: Section,
    pub(super) compressed: bool,
    /// Offset in the file.
    pub(super) offset: u64,
    /// Length in the file.
    pub(super) stored: u64,
    /// Length of the content.
    pub(super) length: u64,
}

/// How many sections a file has at most: each is there once.
pub(super) const MAX_SECTIONS: usize = Section::ALL.len();

/// The rows of a section table of so many rows, in a file of `total` bytes.
///
/// # Errors
/// If a section is not known, is there twice or is too large, or does not lie where it should.
pub(super) fn rows(
    count: u32,
    table: &[u8],
    total: u64,
    limits: &Limits,
) -> Result<Vec<Row>, Error> {
    let mut fields = Fields(table);
    let mut rows: Vec<Row> = Vec::new();
    // Where the next section starts: what no section covers, nobody would ever look at.
    let mut next = HEADER_BYTES as u64 + u64::from(count) * ROW_BYTES as u64;
    for _ in 0..count {
        let row = row(&mut fields, total, limits, &mut next)?;
        if rows.iter().any(|other| other.section == row.section) {
            return Err(Error::Malformed(format!(
                "there are two of its {}",
                row.section.name()
            )));
        }
        rows.push(row);
    }
    match next == total {
        true => Ok(rows),
        false => Err(Error::Malformed(format!(
            "{} bytes follow its last section",
            total.saturating_sub(next)
        ))),
    }
}

/// One row of the table. The section has to start at `next`, which is moved to its end.
fn row(rows: &mut Fields<'_>, total: u64, limits: &Limits, next: &mut u64) -> Result<Row, Error> {
    let cut = || Error::Malformed("the section table is cut off".into());
    let number = rows.u32().ok_or_else(cut)?;
    let compression = rows.u32().ok_or_else(cut)?;
    let offset = rows.u64().ok_or_else(cut)?;
    let stored = rows.u64().ok_or_else(cut)?;
    let length = rows.u64().ok_or_else(cut)?;
    let section = Section::ALL
        .into_iter()
        .find(|section| *section as u32 == number)
        .ok_or_else(|| Error::Malformed(format!("section {number} is not known")))?;
    section.check(length, limits)?;
    let end = offset.checked_add(stored).filter(|end| *end <= total);
    let end =
        end.ok_or_else(|| Error::Malformed(format!("the {} is out of bounds", section.name())))?;
    if offset != *next {
        let text = format!("the {} does not start where it should", section.name());
        return Err(Error::Malformed(text));
    }
    *next = end;
    let compressed = match compression {
        STORED if stored == length => false,
        ZSTD => true,
        _ => {
            let text = format!("the {} is stored in an unknown way", section.name());
            return Err(Error::Malformed(text));
        }
    };
    Ok(Row {
        section,
        compressed,
        offset,
        stored,
        length,
    })
}

/// What a zstd frame says of its content's length.
fn content_size(frame: &[u8]) -> Option<u64> {
    zstd::zstd_safe::get_frame_content_size(frame)
        .ok()
        .flatten()
}

/// Over everything but the digest itself.
fn digest(file: &[u8]) -> Digest {
    Digest::of_parts([&file[..24], &file[HEADER_BYTES..]])
}

/// Reads numbers one after another.
struct Fields<'a>(&'a [u8]);

impl Fields<'_> {
    fn take<const N: usize>(&mut self) -> Option<[u8; N]> {
        let (bytes, rest) = self.0.split_first_chunk::<N>()?;
        self.0 = rest;
        Some(*bytes)
    }

    fn u32(&mut self) -> Option<u32> {
        self.take().map(u32::from_le_bytes)
    }

    fn u64(&mut self) -> Option<u64> {
        self.take().map(u64::from_le_bytes)
    }
}
