//! A command with a cache of its own, and what it leaves there.

use std::io::{BufRead, BufReader, Read};
use std::path::{Path, PathBuf};
use std::process::{Child, ChildStderr, Command, Stdio};
use std::time::{Duration, Instant};

use dormouse_test_support::{dormouse, send};
use tempfile::TempDir;

/// Has a module rewritten by Binaryen, which takes seconds for one for which it is not the default
/// any more. So there is time to look at the work and to end it.
pub const BINARYEN: &str = "--transform=two-version";

/// A large module takes minutes on a busy machine.
pub const LONG: Duration = Duration::from_secs(900);

/// A cache, a directory for temporary files, and one for what a command writes.
pub struct Place {
    folder: TempDir,
}

impl Place {
    pub fn new() -> Self {
        let folder = tempfile::tempdir().expect("a scratch directory");
        for name in ["temporary", "output"] {
            std::fs::create_dir(folder.path().join(name)).expect("a folder");
        }
        Self { folder }
    }

    pub fn cache(&self) -> PathBuf {
        self.folder.path().join("cache")
    }

    pub fn output(&self, name: &str) -> PathBuf {
        self.folder.path().join("output").join(name)
    }

    /// The binary, which uses this place.
    pub fn command(&self) -> Command {
        let mut command = dormouse();
        command
            .env("DORMOUSE_CACHE", self.cache())
            .env("TMPDIR", self.folder.path().join("temporary"))
            .stdin(Stdio::null());
        command
    }

    /// Starts the binary, and listens to what it says.
    pub fn start(&self, arguments: &[&str]) -> Working {
        let mut child = self
            .command()
            .args(arguments)
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .spawn()
            .expect("the binary starts");
        let stderr = child.stderr.take().expect("it is piped");
        Working {
            child: Some(child),
            stderr: BufReader::new(stderr),
            said: String::new(),
        }
    }

    /// All files, by their names below this place.
    pub fn files(&self) -> Vec<String> {
        let mut names = Vec::new();
        let mut folders = vec![self.folder.path().to_path_buf()];
        while let Some(folder) = folders.pop() {
            for entry in std::fs::read_dir(folder).expect("it is there").flatten() {
                match entry.path().is_dir() {
                    true => folders.push(entry.path()),
                    false => names.push(self.name(&entry.path())),
                }
            }
        }
        names.sort();
        names
    }

    fn name(&self, path: &Path) -> String {
        let name = path.strip_prefix(self.folder.path()).expect("it is below");
        name.to_string_lossy().into_owned()
    }

    /// Processes that have this place's cache for theirs.
    pub fn users(&self) -> Vec<PathBuf> {
        use std::os::unix::ffi::OsStrExt;
        let cache = self.cache();
        let wanted = [b"DORMOUSE_CACHE=", cache.as_os_str().as_bytes()].concat();
        let all = std::fs::read_dir("/proc").expect("Linux has it").flatten();
        let has = |path: &PathBuf| {
            let environment = std::fs::read(path.join("environ")).unwrap_or_default();
            environment
                .split(|byte| *byte == 0)
                .any(|word| word == wanted)
        };
        all.map(|entry| entry.path()).filter(has).collect()
    }

    /// Waits until none is left: the kernel ends the children of a process that has gone.
    pub fn until_unused(&self) {
        let since = Instant::now();
        while !self.users().is_empty() {
            let users = self.users();
            assert!(since.elapsed() < LONG, "{users:?}");
            std::thread::sleep(Duration::from_millis(5));
        }
    }
}

/// A command at work.
pub struct Working {
    child: Option<Child>,
    stderr: BufReader<ChildStderr>,
    pub said: String,
}

impl Working {
    /// Waits until it says this; gives the line.
    #[track_caller]
    pub fn until(&mut self, words: &str) -> String {
        loop {
            let mut line = String::new();
            let length = self.stderr.read_line(&mut line).expect("it is text");
            self.said += &line;
            assert!(length > 0, "it ended before {words:?}: {}", self.said);
            if line.contains(words) {
                return line;
            }
        }
    }

    pub fn send(&self, signal: &str) {
        send(self.child.as_ref().expect("it runs"), signal);
    }

    /// Its exit code and what it wrote to stdout. A process that was killed has no code.
    pub fn end(mut self) -> (Option<i32>, String, String) {
        self.stderr
            .read_to_string(&mut self.said)
            .expect("it is text");
        let child = self.child.take().expect("it runs");
        let output = child.wait_with_output().expect("it ends");
        let stdout = String::from_utf8_lossy(&output.stdout).into_owned();
        (output.status.code(), stdout, self.said.clone())
    }
}

impl Drop for Working {
    fn drop(&mut self) {
        if let Some(child) = &mut self.child {
            let _ = child.kill();
            let _ = child.wait();
        }
    }
}
