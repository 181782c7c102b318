//! Open files and directories in a snapshot.
//!
//! A file is opened again by its place in one of the guest's directories. A file that has been
//! deleted, or never had a name, is in the snapshot with its content. A snapshot may have been
//! written by anybody: what it says is checked, and it gets nothing that the bindings do not grant.
//! A resume neither creates nor truncates a file.

use std::fs::File;
use std::io::{self, Read, Seek, SeekFrom, Write};
use std::os::fd::AsFd;
use std::os::unix::fs::OpenOptionsExt;

use cap_std::fs::{Dir, OpenOptions, OpenOptionsExt as _};
use rustix::fs::{self as os, FileType, OFlags};
use serde::{Deserialize, Serialize};
use serde_bytes::ByteBuf;

use super::dir::{EntryV1, OpenDir, open_below};
use super::file::OpenFile;
use super::identity::{IdentityV1, proc_path};
use super::locate::{Location, locate};
use super::open::host_flags;
use super::preopen::{Preopen, find_preopen};
use crate::error::Error;

/// The largest deleted file that a snapshot takes, in bytes.
const MAX_DELETED_BYTES: u64 = 64 << 20;

/// What to do at a resume where the host is not as it was.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct RestoreOptions {
    /// Take open files as they are now, even if they were changed in the meantime. Without it, a
    /// changed file is an error, whether it is open for reading, for writing or for appending.
    pub accept_changed_files: bool,
}

/// What a file is open for. A snapshot keeps it as a pair.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(from = "(bool, bool)", into = "(bool, bool)")]
pub struct OpenMode {
    /// For reading.
    pub read: bool,
    /// For writing.
    pub write: bool,
}

impl From<OpenMode> for (bool, bool) {
    fn from(mode: OpenMode) -> Self {
        (mode.read, mode.write)
    }
}

impl From<(bool, bool)> for OpenMode {
    fn from((read, write): (bool, bool)) -> Self {
        Self { read, write }
    }
}

/// An open directory that is not itself one of those given by the host.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct DirV1 {
    /// The guest name of the directory given by the host.
    pub preopen: String,
    /// The path in there.
    pub path: String,
}

/// An open file.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct FileV1 {
    /// The guest name of the directory given by the host.
    pub preopen: String,
    /// The path in there.
    pub path: String,
    /// Where the next read or write happens, in bytes.
    pub offset: u64,
    /// What it is open for.
    pub access: OpenMode,
    /// What the file was like.
    pub identity: IdentityV1,
}

/// An open file without a name.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct DeletedV1 {
    /// The content's place in the list of the snapshot.
    pub content: u32,
    /// Where the next read or write happens, in bytes.
    pub offset: u64,
    /// What it is open for.
    pub access: OpenMode,
}

/// An open directory as a snapshot has it.
pub(crate) enum SavedDir {
    /// One that the host gives, by its guest name.
    Preopen(String),
    Below(DirV1),
}

/// An open file as a snapshot has it.
pub(crate) enum SavedFile {
    Named(FileV1),
    Deleted(DeletedV1),
}

impl OpenDir {
    /// The directory as data.
    pub(crate) fn save(&self, preopens: &[Preopen]) -> Result<SavedDir, Error> {
        if self.is_preopen {
            return Ok(SavedDir::Preopen(self.preopen.clone()));
        }
        match locate(preopens, self.fd(), &self.preopen, &self.path) {
            Location::Inside { preopen, path } => Ok(SavedDir::Below(DirV1 { preopen, path })),
            Location::Nameless => {
                let path = guest_path(&self.preopen, &self.path);
                Err(Error::DeletedNotFile(path))
            }
            Location::Outside(now) => Err(Error::MovedOut(now)),
        }
    }
}

impl DirV1 {
    /// The directory opened again.
    pub(crate) fn restore(
        self,
        preopens: &[Preopen],
        listing: Option<Vec<EntryV1>>,
    ) -> Result<OpenDir, Error> {
        let given = find_preopen(preopens, &self.preopen)?;
        let missing = |source| Error::FileMissing {
            path: guest_path(&self.preopen, &self.path),
            source,
        };
        Ok(OpenDir {
            dir: open_below(&given.dir, &self.path).map_err(missing)?,
            path: self.path,
            is_preopen: false,
            read_only: given.read_only,
            preopen: self.preopen,
            listing,
        })
    }
}

impl OpenFile {
    /// The file as data. `deleted` takes the content of a file without a name.
    pub(crate) fn save(
        &self,
        preopens: &[Preopen],
        deleted: &mut DeletedFiles,
    ) -> Result<SavedFile, Error> {
        let failed = |errno| Error::Io {
            what: "look at an open file",
            source: io::Error::from(errno),
        };
        // A pipe has no offset.
        let offset = self.tell().unwrap_or(0);
        let mode = os::fcntl_getfl(&self.file).map_err(failed)? & OFlags::RWMODE;
        let access = OpenMode {
            read: mode != OFlags::WRONLY,
            write: mode != OFlags::RDONLY,
        };
        match locate(preopens, self.fd(), &self.preopen, &self.path) {
            Location::Inside { preopen, path } => Ok(SavedFile::Named(FileV1 {
                preopen,
                path,
                offset,
                access,
                identity: IdentityV1::of(self.fd()).map_err(failed)?,
            })),
            Location::Nameless => Ok(SavedFile::Deleted(DeletedV1 {
                content: deleted.add(self)?,
                offset,
                access,
            })),
            Location::Outside(now) => Err(Error::MovedOut(now)),
        }
    }
}

impl FileV1 {
    /// The file opened again, with these status flags.
    pub(crate) fn restore(
        self,
        preopens: &[Preopen],
        status: OFlags,
        options: RestoreOptions,
    ) -> Result<OpenFile, Error> {
        let given = find_preopen(preopens, &self.preopen)?;
        let name = guest_path(&self.preopen, &self.path);
        if self.access.write && given.read_only {
            return Err(Error::ReadOnly {
                path: name,
                guest: self.preopen,
            });
        }
        let (file, waits) = self
            .open(&given.dir, status, options)
            .map_err(|failure| failure.of_file(name))?;
        if !waits {
            seek(&file, self.offset)?;
        }
        Ok(OpenFile {
            file,
            preopen: self.preopen,
            path: self.path,
            read_only: given.read_only,
            waits,
        })
    }

    /// Opens the file, which must be what it was, and says whether reading it may have to wait.
    fn open(
        &self,
        dir: &Dir,
        status: OFlags,
        options: RestoreOptions,
    ) -> Result<(cap_std::fs::File, bool), Failure> {
        let mut open = OpenOptions::new();
        open.read(self.access.read)
            .write(self.access.write)
            .custom_flags(host_flags(status));
        let file = dir.open_with(&self.path, &open).map_err(Failure::Missing)?;
        let metadata = file.metadata().map_err(Failure::Missing)?;
        if metadata.is_dir() {
            return Err(Failure::Changed("it is a directory now".into()));
        }
        let now = IdentityV1::of(file.as_fd()).map_err(|errno| Failure::Missing(errno.into()))?;
        match self.identity.change(&now) {
            Some(how) if !options.accept_changed_files => Err(Failure::Changed(how)),
            _ => Ok((file, !metadata.is_file())),
        }
    }
}

impl DeletedV1 {
    /// The file opened again, with these status flags. `contents` are those of [`restore_deleted`].
    pub(crate) fn restore(self, contents: &[File], status: OFlags) -> Result<OpenFile, Error> {
        let content = contents
            .get(self.content as usize)
            .ok_or(Error::Malformed("a deleted file has no content"))?;
        // Opened anew, so that each descriptor has an offset and flags of its own.
        let file = File::options()
            .read(self.access.read)
            .write(self.access.write)
            .custom_flags(host_flags(status))
            .open(proc_path(content.as_fd()))
            .map_err(failed("restore a deleted file"))?;
        let file = cap_std::fs::File::from_std(file);
        seek(&file, self.offset)?;
        Ok(OpenFile {
            file,
            preopen: String::new(),
            path: "(deleted)".into(),
            read_only: false,
            waits: false,
        })
    }
}

/// Why a file cannot be opened again.
enum Failure {
    Missing(io::Error),
    Changed(String),
}

impl Failure {
    fn of_file(self, path: String) -> Error {
        match self {
            Self::Missing(source) => Error::FileMissing { path, source },
            Self::Changed(how) => Error::FileChanged { path, how },
        }
    }
}

/// The contents of deleted files, each of them once however many descriptors it has.
#[derive(Default)]
pub(crate) struct DeletedFiles {
    contents: Vec<ByteBuf>,
    /// Device and inode of each.
    ids: Vec<(u64, u64)>,
}

impl DeletedFiles {
    /// The contents, for the snapshot.
    pub(crate) fn into_contents(self) -> Vec<ByteBuf> {
        self.contents
    }

    /// Adds a file's content and gives its place in the list.
    fn add(&mut self, open: &OpenFile) -> Result<u32, Error> {
        let path = guest_path(&open.preopen, &open.path);
        let failed = failed("read a deleted file that the guest has open");
        let stat = os::fstat(&open.file).map_err(|errno| failed(errno.into()))?;
        let id = (stat.st_dev, stat.st_ino);
        if let Some(index) = self.ids.iter().position(|known| *known == id) {
            return Ok(index as u32);
        }
        if FileType::from_raw_mode(stat.st_mode) != FileType::RegularFile {
            return Err(Error::DeletedNotFile(path));
        }
        let mut content = Vec::new();
        let size = u64::try_from(stat.st_size).unwrap_or(0);
        if size <= MAX_DELETED_BYTES {
            // The descriptor itself may be for writing only, and its offset must stay.
            File::open(proc_path(open.fd()))
                .and_then(|file| file.take(MAX_DELETED_BYTES + 1).read_to_end(&mut content))
                .map_err(failed)?;
        }
        let size = size.max(content.len() as u64);
        if size > MAX_DELETED_BYTES {
            return Err(Error::DeletedFileTooLarge {
                path,
                size,
                limit: MAX_DELETED_BYTES,
            });
        }
        self.contents.push(content.into());
        self.ids.push(id);
        Ok(self.contents.len() as u32 - 1)
    }
}

/// Puts the contents of deleted files into files without names. There may be `max` of them.
pub(crate) fn restore_deleted(contents: &[ByteBuf], max: u64) -> Result<Vec<File>, Error> {
    if contents.len() as u64 > max {
        return Err(Error::Malformed(
            "there are more deleted files than a guest can have open",
        ));
    }
    contents
        .iter()
        .map(|content| {
            let mut file = tempfile::tempfile().map_err(failed("make a temporary file"))?;
            file.write_all(content)
                .map_err(failed("write a temporary file"))?;
            Ok(file)
        })
        .collect()
}

/// Moves a file to the offset that it had.
fn seek(mut file: &cap_std::fs::File, offset: u64) -> Result<(), Error> {
    if i64::try_from(offset).is_err() {
        return Err(Error::Malformed(
            "a file's offset is beyond what a file can have",
        ));
    }
    let sought = file.seek(SeekFrom::Start(offset));
    sought
        .map(drop)
        .map_err(failed("go to the place in an open file"))
}

/// A path as the guest writes it.
fn guest_path(preopen: &str, path: &str) -> String {
    format!("{}/{path}", preopen.trim_end_matches('/'))
}

fn failed(what: &'static str) -> impl Fn(io::Error) -> Error {
    move |source| Error::Io { what, source }
}
