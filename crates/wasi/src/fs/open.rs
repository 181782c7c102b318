//! Opening a file or a directory by its path.

use std::io;
use std::path::Path;

use cap_fs_ext::{FollowSymlinks, OpenOptionsFollowExt};
use cap_std::fs::{Dir, File, FileTypeExt, OpenOptions, OpenOptionsExt};
use rustix::fs::OFlags;

use super::dir::OpenDir;
use super::entries::names_directory;
use super::fifo::{FifoOpening, has_no_reader};
use super::file::OpenFile;
use super::read_only;
use crate::errno::{Errno, Result, errno};

/// How a guest opens a file or a directory.
#[derive(Clone, Copy, Debug)]
pub(crate) struct OpenRequest {
    /// Follow a symbolic link in the last name.
    pub(crate) follow: bool,
    /// `O_CREAT`.
    pub(crate) create: bool,
    /// `O_EXCL`.
    pub(crate) exclusive: bool,
    /// `O_TRUNC`.
    pub(crate) truncate: bool,
    /// `O_DIRECTORY`.
    pub(crate) directory: bool,
    pub(crate) read: bool,
    pub(crate) write: bool,
    /// `O_APPEND`, `O_DSYNC`, `O_SYNC` and `O_NONBLOCK`.
    pub(crate) status: OFlags,
}

/// What has been opened.
pub(crate) enum Node {
    Dir(OpenDir),
    File(OpenFile),
}

/// What an open comes to.
pub(crate) enum Opened {
    /// It is open.
    Done(Node),
    /// It is a named pipe, to be opened for writing, that nobody reads from yet.
    Waits(FifoOpening),
}

impl OpenRequest {
    /// The file must not exist yet.
    pub(crate) fn must_create(&self) -> bool {
        self.create && self.exclusive
    }

    /// Whether it has a flag that no directory can be opened with.
    pub(crate) fn excludes_directories(&self) -> bool {
        self.create || self.exclusive || self.truncate
    }

    /// Whether the system is asked to open for writing. cap-std creates and truncates only what it
    /// opens for writing, as Wasmtime does. The rights of the descriptor keep the guest from
    /// writing all the same.
    pub(crate) fn opens_for_writing(&self) -> bool {
        self.create || self.truncate || self.write
    }

    /// Whether all that it may change is that it creates a file where there is none.
    fn only_creates(&self) -> bool {
        self.create && !self.exclusive && !self.truncate && !self.write
    }

    fn options(&self, writes: bool) -> OpenOptions {
        let mut options = OpenOptions::new();
        options
            .read(self.read || !writes)
            .write(writes)
            .create(writes && self.create)
            .create_new(self.must_create())
            .truncate(self.truncate)
            .custom_flags(host_flags(self.status))
            .follow(match self.follow {
                true => FollowSymlinks::Yes,
                false => FollowSymlinks::No,
            });
        options
    }
}

/// The flags that the host opens a file with. `O_NONBLOCK` is always among them: it means nothing
/// for files, and with it a named pipe makes only the guest wait and not the host.
pub(super) fn host_flags(status: OFlags) -> i32 {
    (status | OFlags::NONBLOCK).bits() as i32
}

impl OpenDir {
    /// Opens what a path names.
    pub(crate) fn open(&self, path: &str, request: &OpenRequest) -> Result<Opened> {
        if request.directory && request.excludes_directories() {
            return Err(Errno::INVAL);
        }
        if self.read_only {
            return self.open_read_only(path, request).map(Opened::Done);
        }
        let writes = request.opens_for_writing();
        if writes && !request.must_create() && self.is_fifo(path, request) {
            return self.open_fifo(path, request);
        }
        let node = match self.open_node(path, request, writes) {
            // Creating a file that exists changes nothing.
            Err(Errno::ROFS) if request.only_creates() => {
                match self.open_node(path, request, false) {
                    Err(Errno::NOENT) => Err(Errno::ROFS),
                    opened => opened,
                }
            }
            opened => opened,
        };
        node.map(Opened::Done)
    }

    /// The open directory or file that the host has opened by a path.
    pub(crate) fn opened(&self, path: &str, request: &OpenRequest, file: File) -> Result<Node> {
        let (preopen, path) = (self.preopen.clone(), join(&self.path, path));
        let metadata = file.metadata().map_err(errno)?;
        if metadata.is_dir() {
            return Ok(Node::Dir(OpenDir {
                dir: Dir::from_std_file(file.into_std()),
                preopen,
                path,
                is_preopen: false,
                read_only: self.read_only,
                listing: None,
            }));
        }
        match request.directory {
            true => Err(Errno::NOTDIR),
            false => Ok(Node::File(OpenFile {
                file,
                preopen,
                path,
                read_only: self.read_only,
                waits: !metadata.is_file(),
            })),
        }
    }

    fn open_node(&self, path: &str, request: &OpenRequest, writes: bool) -> Result<Node> {
        let file = self.dir.open_with(path, &request.options(writes));
        self.opened(path, request, file.map_err(errno)?)
    }

    /// Whether a path names a named pipe. If another program puts one there right after this, it is
    /// opened as a file is, which never waits.
    fn is_fifo(&self, path: &str, request: &OpenRequest) -> bool {
        let found = match request.follow {
            true => self.dir.metadata(path),
            false => self.dir.symlink_metadata(path),
        };
        let is_fifo = found.is_ok_and(|found| found.file_type().is_fifo());
        // For a path that can only name a directory the kernel gives the error.
        is_fifo && !names_directory(path)
    }

    /// Opens a named pipe. It is neither created nor truncated, and opened for what was asked and
    /// nothing more: an open for writing alone waits for a reader, one for both ends never waits.
    fn open_fifo(&self, path: &str, request: &OpenRequest) -> Result<Opened> {
        if request.directory {
            return Err(Errno::NOTDIR);
        }
        let mut options = request.options(request.write);
        options.create(false).truncate(false);
        match self.dir.open_with(path, &options) {
            Ok(file) => self.opened(path, request, file).map(Opened::Done),
            Err(error) if has_no_reader(&error) && !request.status.contains(OFlags::NONBLOCK) => {
                FifoOpening::new(&self.dir, path, options).map(Opened::Waits)
            }
            Err(error) => Err(errno(error)),
        }
    }

    /// Opens in a directory that the guest may only read.
    fn open_read_only(&self, path: &str, request: &OpenRequest) -> Result<Node> {
        if !request.opens_for_writing() {
            return self.open_node(path, request, false);
        }
        let found = match request.follow && !request.must_create() {
            true => self.dir.metadata(path),
            false => self.dir.symlink_metadata(path),
        };
        match found {
            Ok(_) if request.must_create() && path.ends_with('/') => Err(Errno::ISDIR),
            Ok(_) if request.must_create() => Err(Errno::EXIST),
            Ok(found) if found.is_symlink() => Err(Errno::LOOP),
            Ok(found) if found.is_dir() => Err(Errno::ISDIR),
            Ok(_) if request.only_creates() => self.open_node(path, request, false),
            // Unlike Linux, also for a FIFO or a device: writing to one needs a writable preopen.
            Ok(_) => Err(Errno::ROFS),
            Err(error) if error.kind() == io::ErrorKind::NotFound && request.create => {
                read_only::check_parent(&self.dir, path)?;
                match path.ends_with('/') {
                    true => Err(Errno::ISDIR),
                    false => Err(Errno::ROFS),
                }
            }
            Err(error) => Err(errno(error)),
        }
    }
}

/// The path below the directory given by the host.
fn join(dir: &str, path: &str) -> String {
    match dir {
        "." => path.to_string(),
        dir => Path::new(dir).join(path).to_string_lossy().into_owned(),
    }
}
