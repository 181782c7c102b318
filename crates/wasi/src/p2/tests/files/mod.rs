//! Files and directories.

mod both;
mod host;

use super::*;
use crate::TmpDir;

const TYPES: &str = "wasi:filesystem/types";
const STREAMS: &str = "wasi:io/streams";

/// Error codes by their numbers in the interface.
const BAD_DESCRIPTOR: u8 = 3;
const EXIST: u8 = 7;
const INSUFFICIENT_SPACE: u8 = 23;
const INVALID: u8 = 12;
const IO: u8 = 13;
const IS_DIRECTORY: u8 = 14;
const LOOP: u8 = 15;
const NO_ENTRY: u8 = 20;
const NOT_DIRECTORY: u8 = 24;
const UNSUPPORTED: u8 = 27;
const OVERFLOW: u8 = 30;
const NOT_PERMITTED: u8 = 31;
const READ_ONLY: u8 = 33;
const CROSS_DEVICE: u8 = 36;

const FOLLOW: u64 = 1;
const CREATE: u64 = 1;
const DIRECTORY: u64 = 2;
const EXCLUSIVE: u64 = 4;
const TRUNCATE: u64 = 8;
const READ: u64 = 1;
const WRITE: u64 = 2;

impl Guest {
    fn method(&mut self, name: &str, arguments: &[u64]) {
        self.done(TYPES, &format!("[method]descriptor.{name}"), arguments);
    }

    /// The descriptors of the guest's directories, with their names.
    fn directories(&mut self) -> Vec<(u64, String)> {
        self.done(
            "wasi:filesystem/preopens",
            "get-directories",
            &[RESULT.into()],
        );
        let (at, count) = (self.u32_at(RESULT), self.u32_at(RESULT + 4));
        let directory = |place| {
            let at = at + place * 12;
            (self.u32_at(at).into(), self.text_at(at + 4))
        };
        (0..count).map(directory).collect()
    }

    fn root(&mut self) -> u64 {
        self.directories()[0].0
    }

    /// Whether the call that gave `result<_, error-code>` or one with a payload of this alignment
    /// has failed, and how.
    fn error(&self, align: u32) -> Result<(), u8> {
        match self.u8_at(RESULT) {
            0 => Ok(()),
            _ => Err(self.u8_at(RESULT + align)),
        }
    }

    fn text(&mut self, at: u32, text: &str) -> [u64; 2] {
        self.put(at, text.as_bytes());
        [at.into(), text.len() as u64]
    }

    fn open(&mut self, dir: u64, path: &str, open_flags: u64, flags: u64) -> Result<u64, u8> {
        let [at, length] = self.text(DATA, path);
        let arguments = [dir, FOLLOW, at, length, open_flags, flags, RESULT.into()];
        self.method("open-at", &arguments);
        self.error(4).map(|()| self.u32_at(RESULT + 4).into())
    }

    /// A method whose argument is a path, and which gives nothing.
    fn path_call(&mut self, name: &str, dir: u64, path: &str) -> Result<(), u8> {
        let [at, length] = self.text(DATA, path);
        self.method(name, &[dir, at, length, RESULT.into()]);
        self.error(1)
    }

    /// A method whose arguments are two paths, with what comes before and between them.
    fn paths_call(&mut self, name: &str, arguments: &[&[u64]], texts: [&str; 2]) -> Result<(), u8> {
        let old = self.text(DATA, texts[0]);
        let new = self.text(DATA + 2048, texts[1]);
        let mut all = arguments[0].to_vec();
        all.extend(old);
        all.extend(arguments[1]);
        all.extend(new);
        all.push(RESULT.into());
        self.method(name, &all);
        self.error(1)
    }

    fn write_file(&mut self, file: u64, bytes: &[u8], offset: u64) -> Result<u64, u8> {
        self.put(DATA, bytes);
        self.method(
            "write",
            &[file, DATA.into(), bytes.len() as u64, offset, RESULT.into()],
        );
        self.error(8).map(|()| self.u64_at(RESULT + 8))
    }

    fn read_file(&mut self, file: u64, length: u64, offset: u64) -> Result<(Vec<u8>, bool), u8> {
        self.method("read", &[file, length, offset, RESULT.into()]);
        let read = self.error(4);
        read.map(|()| (self.list_at(RESULT + 4), self.u8_at(RESULT + 12) == 1))
    }

    /// Type, size and time of the last change of the content.
    fn stat(&mut self, file: u64) -> Result<(u8, u64, u64), u8> {
        self.method("stat", &[file, RESULT.into()]);
        self.error(8)?;
        let at = RESULT + 8;
        assert_eq!(self.u8_at(at + 48), 1, "the time is known");
        Ok((self.u8_at(at), self.u64_at(at + 16), self.u64_at(at + 56)))
    }

    fn names(&mut self, dir: u64) -> Result<Vec<(u8, String)>, u8> {
        self.method("read-directory", &[dir, RESULT.into()]);
        self.error(4)?;
        let stream = self.u32_at(RESULT + 4).into();
        let mut names = Vec::new();
        loop {
            let name = "[method]directory-entry-stream.read-directory-entry";
            self.done(TYPES, name, &[stream, RESULT.into()]);
            assert_eq!(self.u8_at(RESULT), 0);
            if self.u8_at(RESULT + 4) == 0 {
                return Ok(names);
            }
            names.push((self.u8_at(RESULT + 8), self.text_at(RESULT + 12)));
        }
    }

    /// A stream that a method of a descriptor's gives.
    fn stream(&mut self, name: &str, arguments: &[u64]) -> Result<u64, u8> {
        let mut arguments = arguments.to_vec();
        arguments.push(RESULT.into());
        self.method(name, &arguments);
        self.error(4).map(|()| self.u32_at(RESULT + 4).into())
    }

    fn write_stream(&mut self, name: &str, stream: u64, bytes: &[u8]) -> Option<u8> {
        self.put(DATA, bytes);
        let arguments = [stream, DATA.into(), bytes.len() as u64, RESULT.into()];
        self.done(
            STREAMS,
            &format!("[method]output-stream.{name}"),
            &arguments,
        );
        (self.u8_at(RESULT) == 1).then(|| self.u8_at(RESULT + 4))
    }
}

/// The same on the host and in memory.
fn in_both(test: impl Fn(&mut Guest, u64)) {
    let mut guest = Guest::with(|config, _| {
        config.tmpfs = vec![TmpDir {
            guest: "/tmp".into(),
            limit: 1 << 20,
        }];
    });
    let directories = guest.directories();
    let names: Vec<&str> = directories.iter().map(|(_, name)| name.as_str()).collect();
    assert_eq!(names, ["/", "/tmp"]);
    for (dir, _) in &directories {
        test(&mut guest, *dir);
    }
}
