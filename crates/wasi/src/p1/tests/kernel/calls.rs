//! The calls that are compared, and what they are made on.

use std::fmt::Write as _;
use std::path::Path;

use rustix::fs::{self as os, CWD, FileType, Mode};

/// In a directory in memory there are none.
pub(super) const PIPES: [&str; 2] = ["p", "lp"];

/// One call, and its answer as a text.
pub(super) trait Side {
    fn one(&mut self, call: &One, path: &str) -> String;
    fn two(&mut self, call: Two, old: &str, new: &str) -> String;
    /// What is there now.
    fn tree(&mut self) -> String;
    fn knows_pipes(&self) -> bool {
        true
    }
}

#[derive(Clone, Copy, Debug)]
pub(super) enum One {
    MakeDir,
    RemoveDir,
    Unlink,
    Stat(bool),
    SetTimes(bool),
    ReadLink,
    Symlink,
    Open {
        oflags: u32,
        rights: u64,
        follow: bool,
    },
}

#[derive(Clone, Copy, Debug)]
pub(super) enum Two {
    Rename,
    Link,
}

pub(super) fn build(dir: &Path, pipes: bool) {
    std::fs::create_dir(dir.join("d")).expect("a directory");
    std::fs::create_dir(dir.join("n")).expect("a directory");
    std::fs::write(dir.join("f"), "file").expect("a file");
    std::fs::write(dir.join("n/f"), "other").expect("a file");
    for (name, target) in LINKS {
        if pipes || !PIPES.contains(&name) {
            std::os::unix::fs::symlink(target, dir.join(name)).expect("a link");
        }
    }
    os::mkfifoat(CWD, dir.join("p"), Mode::from_raw_mode(0o666)).expect("a pipe");
}

pub(super) const LINKS: [(&str, &str); 8] = [
    ("lf", "f"),
    ("ld", "d"),
    ("ln", "n"),
    ("lp", "p"),
    ("lm", "m"),
    ("ll", "ll"),
    ("lfs", "f/"),
    ("lds", "d/"),
];

/// Preview1's number of the type that stands in a mode.
pub(super) fn filetype(mode: u32) -> u8 {
    crate::FileType::of_mode(mode).into()
}

/// What is in a directory of the host's.
pub(super) fn host_tree(dir: &Path, below: &str, text: &mut String) {
    let entries = std::fs::read_dir(dir).expect("a directory").flatten();
    let mut names: Vec<_> = entries.map(|entry| entry.file_name()).collect();
    names.sort();
    for name in names {
        let path = dir.join(&name);
        let shown = format!("{below}{}", name.to_string_lossy());
        let stat = std::fs::symlink_metadata(&path).expect("it is there");
        let ty = FileType::from_raw_mode(std::os::unix::fs::MetadataExt::mode(&stat));
        match ty {
            FileType::Directory => {
                let _ = writeln!(text, "{shown}/");
                host_tree(&path, &format!("{shown}/"), text);
            }
            FileType::Symlink => {
                let target = std::fs::read_link(&path).expect("a link");
                let _ = writeln!(text, "{shown} -> {}", target.display());
            }
            FileType::RegularFile => {
                let bytes = std::fs::read(&path).expect("a file");
                let links = std::os::unix::fs::MetadataExt::nlink(&stat);
                let _ = writeln!(
                    text,
                    "{shown} x{links}: {}",
                    String::from_utf8_lossy(&bytes)
                );
            }
            ty => {
                let _ = writeln!(text, "{shown}: {ty:?}");
            }
        }
    }
}
